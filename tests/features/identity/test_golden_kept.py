"""What is kept beside the golden record: every contact point, every owner's own customers; people apart."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from features.base.database_engine import open_engine
from features.base.errors import BadData, StorageFailure
from features.base.workspace import Workspace
from features.config.workspace_files import load_feeds
from features.identity.customer_tables import register
from features.identity.owner_views import Owner, owners
from features.identity.survivorship_rules import survivor
from tests.features.tiny import company, lines, people, table, unified

FEEDS = """\
feeds:
  crm: {source: crm.csv, owner: Sales UK, kind: customers, key: id, updated_at: changed, timezone: UTC,
    fields: {first_name: name, email: mail, phone: tel, street: street, city: town}, drop: [mail, tel, street],
    pii: [nick]}
  web: {source: web.csv, kind: customers, key: login, updated_at: changed, timezone: UTC,
    fields: {email: mail, phone: tel}, drop: [mail, tel], pii: [login]}
identity: {rules: exact, match: [email]}
"""
CRM = [
    "1,Ann,a@x.org,2026-01-02,+44 1632 960961,1 Mill Lane,Leeds,gold,annie",
    '2,Ann,A@X.org,2026-01-05,01632 960961,"1, Mill  lane",Leeds,silver,annie',
    "3,Bob,b@x.org,2026-01-03,,,,gold,bobby",
]
WEB = ["ann99,a@x.org,2026-01-04,not one,7", "cat1,cat@x,2026-01-04,,8"]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    files = {
        "crm.csv": lines("id,name,mail,changed,tel,street,town,level,nick", CRM),
        "web.csv": lines("login,mail,changed,tel,visits", WEB),
    }
    made = company(tmp_path, feeds=FEEDS, files=files)
    unified(made)
    return made


def who(workspace: Workspace, record: str) -> str:
    return next(customer for customer, records in people(workspace).items() if record in records)


def points(workspace: Workspace, record: str, kind: str) -> list[dict[str, Any]]:
    customer = who(workspace, record)
    rows = table(workspace.personal / "contact_points.parquet")
    return [row for row in rows if row["customer_id"] == customer and row["kind"] == kind]


def test_spellings_of_one_contact_point_are_one_row_that_names_all_its_records(workspace: Workspace) -> None:
    (email,) = points(workspace, "crm:1", "email")
    assert (email["value"], email["normalised"]) == ("A@X.org", "a@x.org")
    assert email["records"] == ["crm:1", "crm:2", "web:ann99"]
    assert email["feeds"] == ["crm", "web"]
    assert (email["first_seen"], email["last_seen"]) == (
        datetime(2026, 1, 2, tzinfo=UTC),
        datetime(2026, 1, 5, tzinfo=UTC),
    )
    (phone,) = points(workspace, "crm:1", "phone")
    assert phone["normalised"] == "+441632960961"
    assert phone["records"] == ["crm:1", "crm:2"]
    (address,) = points(workspace, "crm:1", "address")
    assert address["normalised"] == "1 mill lane leeds"


def test_a_contact_point_says_whether_it_is_written_as_one(workspace: Workspace) -> None:
    assert [point["valid"] for point in points(workspace, "crm:1", "email")] == [True]
    assert [point["valid"] for point in points(workspace, "web:cat1", "email")] == [False]
    assert [point["valid"] for point in points(workspace, "crm:1", "address")] == [None]


def test_an_owner_keeps_its_own_customers_with_the_link_and_nothing_personal(workspace: Workspace) -> None:
    rows = table(workspace.unified / "owners" / "sales_uk.parquet")
    assert [(int(row["record_id"]), row["crm.level"], row["own_records"]) for row in rows] == [
        (1, "gold", 2),
        (2, "silver", 2),
        (3, "gold", 1),
    ]
    assert rows[0]["customer_id"] == rows[1]["customer_id"] == who(workspace, "crm:1")
    assert set(rows[0]) == {
        "customer_id", "feed", "record_id", "event_time", "known_at", "city", "crm.changed", "crm.level",
        "crm.town", "own_records",
    }  # fmt: skip


def test_an_owners_key_gives_way_to_its_place_since_it_identifies_a_person(workspace: Workspace) -> None:
    rows = table(workspace.unified / "owners" / "web.parquet")
    assert [int(row["record_id"]) for row in rows] == [1, 2]
    assert "web.login" not in rows[0]


def test_owners_count_differently_and_the_difference_is_told(workspace: Workspace) -> None:
    feeds, _ = load_feeds(workspace)
    assert owners(workspace.unified, feeds) == [
        Owner("sales_uk", ("crm",), counted=3, customers=2, only_here=1),
        Owner("web", ("web",), counted=2, customers=2, only_here=1),
    ]


def test_a_damaged_owners_view_is_named_with_what_makes_it_again(tmp_path: Path) -> None:
    made = company(tmp_path, feeds=FEEDS)
    (made.unified / "owners").mkdir(parents=True)
    for owner in ("sales_uk", "web"):
        (made.unified / "owners" / f"{owner}.parquet").write_bytes(b"PAR1 no more")
    feeds, _ = load_feeds(made)
    with pytest.raises(StorageFailure, match="remove the folder state/unified") as caught:
        owners(made.unified, feeds)
    assert caught.value.first.where == "state/unified/owners/sales_uk.parquet"


def test_owners_are_not_known_before_unification(tmp_path: Path) -> None:
    made = company(tmp_path, feeds=FEEDS)
    feeds, _ = load_feeds(made)
    with pytest.raises(BadData, match="nextbest unify"):
        owners(made.unified, feeds)


def test_what_identifies_people_lies_apart_and_for_its_owner_alone(workspace: Workspace) -> None:
    shown = set(pq.read_schema(workspace.unified / "golden.parquet").names)
    assert shown.isdisjoint(
        {"first_name", "last_name", "email", "phone", "street", "crm.name", "crm.nick", "web.login"}
    )
    assert {"city", "crm.level", "web.visits"} <= shown
    apart = {row["customer_id"]: row for row in table(workspace.personal / "golden.parquet")}
    assert apart[who(workspace, "crm:1")]["first_name"] == "Ann"
    assert stat.S_IMODE(workspace.personal.stat().st_mode) == 0o700


@pytest.mark.parametrize("rule", ["last_updated", "most_frequent", "longest"])
def test_a_group_is_won_alike_where_its_personal_fields_lie_apart(tmp_path: Path, rule: str) -> None:
    rows = [
        "1,Ann,a@x.org,2026-01-02,,1 Mill Lane,Leeds,gold,a",
        "2,Ann,a@x.org,2026-01-03,,9 Upper High Street,York,gold,a",
        "3,Ann,a@x.org,2026-01-04,,1 Mill Lane,Leeds,gold,a",
        "4,Ann,a@x.org,2026-01-05,,7 Low St,,gold,a",
    ]
    rules = f"survivorship: {{groups: {{address: {{fields: [street, city], rule: {rule}}}}}}}\n"
    files = {
        "crm.csv": lines("id,name,mail,changed,tel,street,town,level,nick", rows),
        "web.csv": lines("login,mail,changed,tel,visits", ["ann99,a@x.org,2026-01-01,,7"]),
    }
    made = company(tmp_path, feeds=FEEDS + rules, files=files)
    assert unified(made).customers == 1
    feeds, _ = load_feeds(made)
    with open_engine(folders=[made.unified]) as engine:
        columns = register(engine, made.unified)
        assert "street" not in columns["customers"]
        seen = engine.execute(f"SELECT {survivor('city', feeds)} FROM customers GROUP BY customer_id").fetchall()
    (golden,) = table(made.unified / "golden.parquet")
    (personal,) = table(made.personal / "golden.parquet")
    expected = {"last_updated": ("7 Low St", None), "most_frequent": ("1 Mill Lane", "Leeds")}
    assert (personal["street"], golden["city"]) == expected.get(rule, ("9 Upper High Street", "York"))
    assert seen == [(golden["city"],)]
