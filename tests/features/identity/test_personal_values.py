"""Undeclared columns of any kind that hold what identifies customers lie in no table but those kept apart."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features.base.workspace import Workspace
from tests.features.tiny import company, lines, unified

FEEDS = """\
company: {country: GB}
feeds:
  crm:
    {source: crm.csv, kind: customers, key: id, drop: [since],
     fields: {email: mail, phone: tel, first_name: first, last_name: last, birth_date: born, street: street,
              postcode: post, city: town}}
  till: {source: till.csv, kind: events, event: purchase, customer: crm.id = till.who, event_time: day,
    timezone: UTC MORE}
  plans:
    {source: till.csv, kind: holdings, customer: crm.id = plans.who, timezone: UTC,
     fields: {item: sku, held_from: day}}
  calls: {source: till.csv, kind: interactions, customer: crm.id = calls.who, event_time: day,
     timezone: UTC, fields: {offer: sku}}
identity: {rules: keys}
quality: {checks: {FQ017: {severity: warn}, FQ018: {severity: warn}, FQ019: {severity: warn}}}
"""
FIRST = ["Rose", "Ivy", "Max", "Ben", "Zoe"]
LAST = ["Lincoln", "Preston", "Quist", "Alder", "Moe", "Hardy", "Carlisle", "Nash"]
PEOPLE = [(f"{FIRST[at % 5]}", f"{LAST[at % 8]}", at) for at in range(40)]


def personal(first: str, last: str, at: int) -> dict[str, str]:
    return {
        "ship_to": f"{last.upper()}, {first}",
        "deliver_at": f"{at + 1} High St.",
        "line": f"Ms {first} {last}; {at + 1} High Street; York",
        "reach": f"(01632) 960{at:03d}",
        "digits": f"441632960{at:03d}",
        "celebrates": f"{at % 28 + 1:02d}/03/19{50 + at}",
        "area": f"yo{at % 20}1aa",
        "dear": first,
        # who recommended the shop is another customer, and every third parcel goes to a stranger
        "thanks_to": " ".join(PEOPLE[(at + 7) % 40][:2]),
        "parcel": f"Kim Stranger{at}" if at % 3 else f"{first} {last}",
    }


def others(last: str, at: int) -> dict[str, str]:
    return {
        "sku": f"S{at % 4}",
        "order_no": f"100{at:04d}",
        "shop_town": LAST[at * 3 % 7],  # Lincoln, Preston and Carlisle are towns, too
        "colour": ["Rose", "Ivy", "Blue"][at % 3],
        "shop_street": f"{at % 4 + 1} High Street",
        "clerk": ["Rose Lincoln", "Kim Major"][at % 2],
        "delivery_address": ["home", "work"][at % 2],
        "note": f"the parcel number {at} came late; the street was closed, says a Mr {last}",
        "amount_due": f"{at * 7 + 1000}",
        "opened_on": f"2025-03-{at % 28 + 1:02d}",
    }


PERSONAL, OTHERS = sorted(personal("", "", 0)), sorted(others("", 0))


def crm() -> str:
    rows = [
        f"{at},p{at}@mail.example,01632 960{at:03d},{first},{last},19{50 + at}-03-{at % 28 + 1:02d},"
        f"{at + 1} High Street,YO{at % 20} 1AA,York,2020-01-01"
        for first, last, at in PEOPLE
    ]
    return lines("id,mail,tel,first,last,born,street,post,town,since", rows)


def till(*, backwards: bool = False) -> str:
    cells = [{**personal(*person), **others(*person[1:])} for person in PEOPLE]
    rows = [
        f"{at},2026-0{month}-0{at % 9 + 1}," + ",".join(f'"{value}"' for value in cells[at].values())
        for month in (1, 2)
        for at in range(len(PEOPLE))
    ]
    return lines(f"who,day,{','.join(cells[0])}", rows[::-1] if backwards else rows)


def shop(root: Path, *, more: str = "", backwards: bool = False) -> Workspace:
    root.mkdir(exist_ok=True)
    files = {"crm.csv": crm(), "till.csv": till(backwards=backwards)}
    return company(root, feeds=FEEDS.replace(" MORE", more), files=files)


def own_columns(workspace: Workspace, kind: str) -> set[str]:
    names = pq.read_schema(workspace.unified / f"{kind}.parquet").names
    return {name.partition(".")[2] for name in names if "." in name}


def test_what_identifies_customers_stands_in_no_table_of_any_kind_and_nothing_else_is_taken(tmp_path: Path) -> None:
    workspace = shop(tmp_path)
    report = unified(workspace)
    told = {check.feed: check.detail for check in report.checks if check.code == "FQ020"}
    for feed, kind in (("till", "events"), ("plans", "holdings"), ("calls", "interactions")):
        shown = own_columns(workspace, kind)
        assert shown & set(PERSONAL) == set(), kind
        assert set(OTHERS) - shown <= {"sku"}, kind
        assert told[feed] == f"treated as personal though not declared under pii: {', '.join(PERSONAL)}"


def test_what_is_found_does_not_depend_on_the_order_of_the_rows_and_declarations_decide(tmp_path: Path) -> None:
    more = ", pii: [ship_to, sku], drop: [line]"
    reports = [unified(shop(tmp_path / name, more=more, backwards=name == "two")) for name in ("one", "two")]
    one, two = ({check.feed: check.detail for check in report.checks if check.code == "FQ020"} for report in reports)
    assert one == two
    assert "ship_to" not in one["till"]
    assert "line" not in one["till"]
    assert "sku" not in own_columns(Workspace(tmp_path / "one"), "events")


@pytest.mark.parametrize(("column", "taken"), [("shop", False), ("recipient", True)])
def test_where_all_customers_share_a_postcode_only_what_is_named_so_is_taken(
    tmp_path: Path, column: str, taken: bool
) -> None:
    rows = [f"{at},HU1 1AA,Hull" for at in range(10)]
    events = [f"{at},2026-01-01,HU1 1AA" for at in range(10)]
    feeds = (
        "feeds:\n"
        "  crm: {source: crm.csv, kind: customers, key: id, fields: {postcode: post, city: town}}\n"
        "  till: {source: till.csv, kind: events, event: purchase, customer: crm.id = till.who, event_time: day, "
        "timezone: UTC}\nidentity: {rules: keys}\n"
        "quality: {checks: {FQ017: {severity: warn}, FQ018: {severity: warn}, FQ019: {severity: warn}}}\n"
    )
    name = f"{column}_postcode"
    files = {"crm.csv": lines("id,post,town", rows), "till.csv": lines(f"who,day,{name}", events)}
    workspace = company(tmp_path, feeds=feeds, files=files)
    unified(workspace)
    assert (name in own_columns(workspace, "events")) is not taken
