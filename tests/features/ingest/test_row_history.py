"""When rows were first known, from load to load, and what records of customers held before."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from features.base.progress import Silent
from features.base.workspace import Workspace
from features.consent.table_counts import count_tables
from features.pipeline.build_features import build_features
from features.pipeline.unify import unify
from tests.features.tiny import STORE, company, lines, table, unified

FEEDS = """\
company: {currency: GBP, timezone: UTC}
feeds:
  crm: {source: crm.csv, kind: customers, key: id, fields: {city: city, email: mail}}
  till:
    source: till.csv
    kind: events
    event: purchase
    key: no
    customer: crm.id = till.who
    event_time: day
    timezone: UTC
    fields: {amount: paid}
quality: {checks: {FQ017: {severity: warn}, FQ019: {severity: warn}}}
"""
#: All customers were known before their first order.
OPENED = FEEDS.replace("key: id,", "key: id, timezone: UTC, known_at: \"TIMESTAMP '2026-03-01 00:00:00'\",")
VIEWS = """\
views:
  orders: {from: events, aggregates: {"*": [count]}, windows: [90d]}
  profile: {from: customers, fields: [city, crm.segment]}
snapshots: {every: 30d}
"""
CRM = ["1,Hull,1@a.example,gold", "2,York,2@a.example,gold", "3,York,3@a.example,basic"]
TILL = [f"{number},{number % 3 + 1},2026-0{number // 25 + 3}-{number % 25 + 1:02d},5" for number in range(100)]
LAST = datetime(2026, 6, 25, tzinfo=UTC)


def write(root: Path, *, crm: list[str] = CRM, till: list[str] = TILL, at: datetime | None = None) -> None:
    for name, header, rows in (("crm.csv", "id,city,mail,segment", crm), ("till.csv", "no,who,day,paid", till)):
        text = lines(header, rows)
        if not (root / name).is_file() or (root / name).read_text(encoding="utf-8") != text:
            (root / name).write_text(text, encoding="utf-8")
        if at is not None:
            os.utime(root / name, (at.timestamp(),) * 2)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    place = company(tmp_path, feeds=FEEDS, views=VIEWS)
    (tmp_path / "features" / "feature_store.yaml").write_text(STORE, encoding="utf-8")
    write(tmp_path)
    return place


def events(workspace: Workspace) -> dict[str, datetime]:
    return {row["record_id"]: row["known_at"] for row in table(workspace.unified / "events.parquet")}


def customers(workspace: Workspace) -> list[dict[str, Any]]:
    return table(workspace.unified / "customers.parquet")


def features(workspace: Workspace) -> dict[str, Any]:
    """Return the values of the profile by cutoff, sorted, and the moment of the build."""
    report = build_features(workspace, Silent())
    found = {
        path.name[:10]: sorted(
            (row["profile__city"] or "", row["profile__crm_segment"] or "") for row in table(path) if row["customer_id"]
        )
        for path in sorted((workspace.snapshots / "profile").glob("*.parquet"))
    }
    return {"as_of": report.as_of, "cutoffs": len(report.cutoffs), "profile": found}


def test_no_files_time_stamp_is_a_time_of_the_data(workspace: Workspace) -> None:
    found = []
    for day in (datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 11, 30, tzinfo=UTC)):
        write(workspace.root, at=day)
        unified(workspace)
        assert {row["known_at"] for row in customers(workspace)} == {LAST}
        found.append(features(workspace))
    assert found[0] == found[1]
    assert found[0]["as_of"] == LAST


def test_without_any_time_in_the_data_the_delivery_is_the_present(tmp_path: Path) -> None:
    (feeds, _) = FEEDS.split("  till:")
    day = datetime(2026, 7, 1, 9, tzinfo=UTC)
    place = company(tmp_path, feeds=feeds, files={"crm.csv": lines("id,city,mail,segment", CRM)}, delivered=day)
    unified(place)
    assert {row["known_at"] for row in customers(place)} == {day}


def test_a_row_of_the_future_does_not_move_the_present(workspace: Workspace) -> None:
    write(workspace.root, till=[*TILL, "ahead,1,2027-03-15,5"], at=datetime(2026, 6, 30, tzinfo=UTC))
    report = unified(workspace)
    assert (events(workspace)["ahead"], report.feeds["till"]) == (
        LAST,
        "read, 1 rows dated after the delivery: they count from their day on",
    )
    built = build_features(workspace, Silent())
    assert (built.as_of, len(built.cutoffs)) == (LAST, 5)
    (newest,) = (workspace.snapshots / "orders").glob("2026-06-25*.parquet")
    assert sum(row["orders__count_90d"] for row in table(newest)) == len([row for row in TILL if "2026-03" not in row])


def test_the_first_load_was_known_when_it_happened_and_later_rows_when_they_came(workspace: Workspace) -> None:
    unified(workspace)
    first = events(workspace)
    assert (first["0"], first["99"]) == (datetime(2026, 3, 1, tzinfo=UTC), LAST)
    write(workspace.root, till=[*TILL, "late,1,2026-04-01,5", "new,2,2026-07-02,5"])
    unified(workspace)
    came = datetime(2026, 7, 2, tzinfo=UTC)
    assert events(workspace) == first | {"late": came, "new": came}
    write(workspace.root, till=[*TILL, "late,1,2026-04-01,6", "new,2,2026-07-02,5", "newer,2,2026-07-09,5"])
    unified(workspace)
    assert events(workspace) == first | {"late": came, "new": came, "newer": datetime(2026, 7, 9, tzinfo=UTC)}


def test_rows_without_a_key_are_found_again_by_what_they_hold(workspace: Workspace) -> None:
    feeds = workspace.file("features/feeds.yaml")
    feeds.write_text(FEEDS.replace("    key: no\n", ""), encoding="utf-8")
    unified(workspace)
    write(workspace.root, till=["late,1,2026-04-01,7", TILL[0], *TILL])
    unified(workspace)
    known = sorted(events(workspace).values())
    assert known[:2] == [datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)]
    assert known.count(LAST) == 1 + 2  # the last day's own, the late one, and the second of two equal rows


def test_a_load_of_mostly_earlier_rows_begins_the_history_anew(workspace: Workspace) -> None:
    write(workspace.root, till=TILL[-10:])
    unified(workspace)
    write(workspace.root)
    unified(workspace)
    assert events(workspace)["0"] == datetime(2026, 3, 1, tzinfo=UTC)


def test_a_declared_time_is_believed_in_every_load(workspace: Workspace) -> None:
    feeds = workspace.file("features/feeds.yaml")
    feeds.write_text(
        FEEDS.replace("    event_time: day\n", "    event_time: day\n    known_at: day\n"), encoding="utf-8"
    )
    unified(workspace)
    write(workspace.root, till=[*TILL, "late,1,2026-04-01,5", "new,2,2026-07-02,5"])
    unified(workspace)
    assert events(workspace)["late"] == datetime(2026, 4, 1, tzinfo=UTC)


def test_what_a_record_holds_today_does_not_stand_in_snapshots_of_the_past(workspace: Workspace) -> None:
    workspace.file("features/feeds.yaml").write_text(OPENED, encoding="utf-8")
    unified(workspace)
    before = features(workspace)
    write(
        workspace.root,
        crm=["1,Hull,1@a.example,lost", "2,Leeds,2@b.example,gold", CRM[2]],
        till=[*TILL, "n,2,2026-07-24,5"],
    )
    report = unified(workspace)
    assert (report.records, report.customers) == (3, 3)
    after = features(workspace)
    past = [cutoff for cutoff in before["profile"] if cutoff < "2026-06-25"]
    assert len(past) == 4
    assert {cutoff: after["profile"][cutoff] for cutoff in past} == {
        cutoff: before["profile"][cutoff] for cutoff in past
    }
    assert after["profile"]["2026-07-24"] == [("Hull", "lost"), ("Leeds", "gold"), ("York", "basic")]
    assert sorted(row["city"] for row in table(workspace.unified / "golden.parquet")) == ["Hull", "Leeds", "York"]


def test_a_record_that_is_gone_stays_in_the_snapshots_of_the_past(workspace: Workspace) -> None:
    workspace.file("features/feeds.yaml").write_text(OPENED, encoding="utf-8")
    unified(workspace)
    before = {cutoff: rows for cutoff, rows in features(workspace)["profile"].items() if cutoff < "2026-06-25"}
    assert before[min(before)] == [("Hull", "gold"), ("York", "basic"), ("York", "gold")]
    events_before = events(workspace)
    gone = next(row["customer_id"] for row in customers(workspace) if row["city"] == "Hull")
    write(workspace.root, crm=CRM[1:], till=[*TILL, "n,2,2026-07-24,5"])
    report = unify(workspace, Silent(), accept=["crm", "till"])
    assert (report.records, report.customers, report.quarantined) == (2, 2, 0)
    assert events(workspace) == events_before | {"n": datetime(2026, 7, 24, tzinfo=UTC)}
    after = features(workspace)["profile"]
    assert {cutoff: after[cutoff] for cutoff in before} == before
    assert after["2026-07-24"] == [("York", "basic"), ("York", "gold")]
    (newest,) = (workspace.snapshots / "orders").glob("2026-07-24*.parquet")
    assert gone not in {row["customer_id"] for row in table(newest)}
    assert gone not in {row["customer_id"] for row in table(workspace.unified / "golden.parquet")}
    assert len(count_tables(workspace, {})["customers"]["by_feed"]) == 1
    assert count_tables(workspace, {})["customers"]["customers"] == 2
    fresh = build_features(workspace, Silent(), refit=True)  # rebuilt from nothing, the past is the same
    assert fresh.as_of == datetime(2026, 7, 24, tzinfo=UTC)
    assert features(workspace)["profile"] == after


def test_a_record_that_comes_back_holds_its_values_from_then_on(workspace: Workspace) -> None:
    unified(workspace)
    write(workspace.root, crm=CRM[1:], till=[*TILL, "n,2,2026-07-24,5"])
    unify(workspace, Silent(), accept=["crm", "till"])
    write(workspace.root, crm=["1,Leeds,1@a.example,gold", *CRM[1:]], till=[*TILL, "n,2,2026-08-24,5"])
    unify(workspace, Silent(), accept=["crm", "till"])
    held = sorted(
        (row["known_at"], row["known_until"], row["city"]) for row in customers(workspace) if row["city"] != "York"
    )
    back = datetime(2026, 8, 24, tzinfo=UTC)
    assert held == [(LAST, datetime(2026, 7, 24, tzinfo=UTC), "Hull"), (back, None, "Leeds")]
    assert len({row["customer_id"] for row in customers(workspace)}) == 3


def test_another_mapping_is_no_change_of_the_records(workspace: Workspace) -> None:
    unified(workspace)
    feeds = workspace.file("features/feeds.yaml")
    feeds.write_text(FEEDS.replace("city: city", "city: upper(city)"), encoding="utf-8")
    write(workspace.root, till=[*TILL, "n,2,2026-07-24,5"])
    unified(workspace)
    assert {(row["city"], row["known_at"], row["known_until"]) for row in customers(workspace)} == {
        ("HULL", LAST, None),
        ("YORK", LAST, None),
    }


HISTORY = """\
company: {currency: GBP, timezone: UTC}
feeds:
  crm:
    source: crm.csv
    kind: customers
    key: [id, valid_from]
    updated_at: valid_from
    timezone: UTC
    fields: {city: city}
  till:
    source: till.csv
    kind: events
    event: purchase
    key: no
    customer: crm.id = till.who
    event_time: day
    timezone: UTC
"""


def test_a_source_with_a_history_of_its_own_gives_one_customer_a_record(tmp_path: Path) -> None:
    rows = ["1,2025-01-01,Oslo,gold", "2,2025-01-01,Oslo,gold", "1,2026-04-15,Bergen,lost", "1,2027-01-01,Paris,gold"]
    place = company(tmp_path, feeds=HISTORY, views=VIEWS)
    (tmp_path / "features" / "feature_store.yaml").write_text(STORE, encoding="utf-8")
    (tmp_path / "crm.csv").write_text(lines("id,valid_from,city,segment", rows), encoding="utf-8")
    (tmp_path / "till.csv").write_text(lines("no,who,day", ["a,1,2026-03-01", "b,2,2026-06-25"]), encoding="utf-8")
    for name in ("crm.csv", "till.csv"):
        os.utime(tmp_path / name, (datetime(2026, 6, 30, tzinfo=UTC).timestamp(),) * 2)
    report = unified(place)
    assert (report.records, report.customers, report.quarantined) == (2, 2, 0)
    assert len(table(place.unified / "events.parquet")) == 2
    found = features(place)["profile"]
    march, now = [
        values for cutoff, values in found.items() if "2026-03" <= cutoff < "2026-04" or cutoff == "2026-06-25"
    ]
    assert march == [("Oslo", "gold"), ("Oslo", "gold")]
    assert now == [("Bergen", "lost"), ("Oslo", "gold")]
    assert sorted(row["city"] for row in table(place.unified / "golden.parquet")) == ["Bergen", "Oslo"]


def test_a_change_that_comes_without_anything_newer_leaves_what_the_record_held_before(workspace: Workspace) -> None:
    unified(workspace)
    write(workspace.root, crm=["1,Hull,1@a.example,silver", *CRM[1:]])
    unified(workspace)
    later = [*TILL, "100,1,2026-06-30,5"]
    write(workspace.root, crm=["1,Hull,1@a.example,silver", *CRM[1:]], till=later)
    unified(workspace)
    (changed,) = {row["customer_id"] for row in customers(workspace) if row["crm.segment"] == "silver"}
    gold, silver = sorted(
        (row for row in customers(workspace) if row["customer_id"] == changed), key=lambda row: row["known_at"]
    )
    assert (gold["crm.segment"], gold["known_until"]) == ("gold", silver["known_at"])
    assert (silver["crm.segment"], silver["known_until"]) == ("silver", None)
    assert LAST < silver["known_at"] < datetime(2026, 6, 30, tzinfo=UTC)


ADDED = "id,city,mail,segment"


def deliver(workspace: Workspace, month: int, crm: str, *, accept: tuple[str, ...] = ()) -> None:
    """Deliver both files on the second of a month, with the till's rows up to its first day, and unify."""
    till = [f"{number},1,2026-{number:02d}-01,5" for number in range(1, month + 1)]
    for name, text in (("crm.csv", crm), ("till.csv", lines("no,who,day,paid", till))):
        (workspace.root / name).write_text(text, encoding="utf-8")
        os.utime(workspace.root / name, (datetime(2026, month, 2, tzinfo=UTC).timestamp(),) * 2)
    unify(workspace, Silent(), accept=accept)


def spans(workspace: Workspace, column: str) -> list[tuple[Any, int, int | None]]:
    """Return what the records of customers held, and the months from and until which it was known."""
    rows = sorted(customers(workspace), key=lambda row: (row["customer_id"], row["known_at"]))
    return [
        (row.get(column), row["known_at"].month, row["known_until"].month if row["known_until"] else None)
        for row in rows
    ]


@pytest.mark.parametrize("changed_in", [3, 6])
def test_another_key_of_the_declaration_changes_no_history(workspace: Workspace, changed_in: int) -> None:
    feeds = workspace.file("features/feeds.yaml")
    deliver(workspace, 2, lines(ADDED, ["1,Hull,1@a.example,gold"]))
    for month, segment in ((3, "lost"), (6, "lost")):
        if month >= changed_in:
            feeds.write_text(
                FEEDS.replace("key: id,", "key: id, owner: sales, expands_at_most: 900,"), encoding="utf-8"
            )
        deliver(workspace, month, lines(ADDED, [f"1,Hull,1@a.example,{segment}"]))
    assert spans(workspace, "crm.segment") == [("gold", 2, 3), ("lost", 3, None)]


def test_a_field_that_is_mapped_anew_leaves_the_changes_of_the_others(workspace: Workspace) -> None:
    deliver(workspace, 2, lines(ADDED, ["1,Hull,1@a.example,gold"]))
    mapped = FEEDS.replace("city: city", "city: upper(city), region: city")
    workspace.file("features/feeds.yaml").write_text(mapped, encoding="utf-8")
    deliver(workspace, 3, lines(ADDED, ["1,Hull,1@a.example,lost"]))
    assert spans(workspace, "crm.segment") == [("gold", 2, 3), ("lost", 3, None)]


def test_a_column_that_the_source_adds_was_empty_before(workspace: Workspace) -> None:
    deliver(workspace, 3, lines(ADDED, ["1,Hull,1@a.example,gold", "2,York,2@a.example,gold"]))
    rows = ["1,Hull,1@a.example,gold,too dear", "2,York,2@a.example,gold,"]
    deliver(workspace, 6, lines(f"{ADDED},reason", rows))
    assert sorted(spans(workspace, "crm.reason"), key=str) == [("too dear", 6, None), (None, 3, 6), (None, 3, None)]


def test_a_column_that_the_source_lost_stays_in_the_past_and_a_dropped_one_does_not(workspace: Workspace) -> None:
    deliver(workspace, 3, lines(ADDED, ["1,Hull,1@a.example,gold"]))
    deliver(workspace, 6, lines("id,city,mail", ["1,Hull,1@a.example"]), accept=("crm",))
    assert spans(workspace, "crm.segment") == [("gold", 3, 6), (None, 6, None)]
    dropped = FEEDS.replace("key: id,", "key: id, drop: [segment],")
    workspace.file("features/feeds.yaml").write_text(dropped, encoding="utf-8")
    deliver(workspace, 7, lines(ADDED, ["1,Leeds,1@a.example,gold"]))
    assert "crm.segment" not in customers(workspace)[0]
    assert [city for city, *_ in spans(workspace, "city")][-2:] == ["Hull", "Leeds"]


GUESTS = """\
  guests: {source: guests.csv, kind: customers, key: row, fields: {email: mail, first_name: first}}
  area: {source: area.csv, kind: context, fields: {place: place}}
quality:"""


def guests(workspace: Workspace, month: int, rows: list[str]) -> dict[str, tuple[Any, ...]]:
    (workspace.root / "guests.csv").write_text(lines("mail,first,tier", rows), encoding="utf-8")
    (workspace.root / "area.csv").write_text(lines("place,income", [f"{n},1" for n in range(month)]), encoding="utf-8")
    deliver(workspace, month, lines(ADDED, CRM))
    mails = {(row["customer_id"], row["feed"]): row["email"] for row in table(workspace.personal / "customers.parquet")}
    found: dict[str, tuple[Any, ...]] = {}
    for row in sorted(customers(workspace), key=lambda row: row["known_at"]):
        if (mail := mails.get((row["customer_id"], row["feed"]))) and row["feed"] == "guests":  # who is gone has none
            found[mail] = (*found.get(mail, (row["customer_id"],)), (row["guests.tier"], row["known_at"].month))
    return found


def test_rows_without_key_and_time_are_known_from_the_first_load_that_holds_them(workspace: Workspace) -> None:
    workspace.file("features/feeds.yaml").write_text(FEEDS.replace("quality:", GUESTS), encoding="utf-8")
    first = guests(workspace, 3, ["ann@x.example,Ann,a", "bob@x.example,Bob,b"])
    later = guests(workspace, 6, ["ann@x.example,Ann,a", "bob@x.example,Bob,b", "cid@x.example,Cid,c"])
    assert {name: later[name] for name in first} == first
    assert later["cid@x.example"][1:] == (("c", 6),)
    area = table(workspace.unified / "context.parquet")
    assert sorted(row["known_at"].month for row in area) == [3, 3, 3, 6, 6, 6]


def test_a_row_more_at_the_top_gives_no_customer_without_a_key_anothers_id_or_past(workspace: Workspace) -> None:
    workspace.file("features/feeds.yaml").write_text(FEEDS.replace("quality:", GUESTS), encoding="utf-8")
    first = guests(workspace, 3, ["ann@x.example,Ann,a", "bob@x.example,Bob,b"])
    top = ["zoe@x.example,Zoe,z", "ann@x.example,Ann,a", "bob@x.example,Bob,changed"]
    later = guests(workspace, 6, top)
    ann, bob = first["ann@x.example"], first["bob@x.example"]
    assert later == {
        "zoe@x.example": (later["zoe@x.example"][0], ("z", 6)),
        "ann@x.example": ann,
        "bob@x.example": (*bob, ("changed", 6)),
    }
    assert guests(workspace, 7, top[2:])["bob@x.example"] == later["bob@x.example"]  # the others are gone
    again = guests(workspace, 8, ["new@x.example,New,n", top[2]])
    assert again["new@x.example"][0] not in {found[0] for found in later.values()}


def test_records_that_come_without_anything_newer_are_dated_by_their_delivery_later(workspace: Workspace) -> None:
    deliver(workspace, 3, lines(ADDED, ["1,Hull,1@a.example,gold"]))
    changed = lines(ADDED, ["1,Hull,1@a.example,lost", "2,York,2@a.example,new"])
    for month, segment in ((4, "lost"), (5, "back")):
        (workspace.root / "crm.csv").write_text(changed.replace("lost", segment), encoding="utf-8")
        os.utime(workspace.root / "crm.csv", (datetime(2026, month, 20, tzinfo=UTC).timestamp(),) * 2)
        unified(workspace)
        assert max(row["known_at"] for row in customers(workspace)) < datetime(2026, 3, 2, tzinfo=UTC)
    (workspace.root / "till.csv").write_text(lines("no,who,day,paid", ["1,1,2026-03-01,5", "2,1,2026-06-01,5"]))
    for _ in range(2):
        unified(workspace)
        assert sorted(spans(workspace, "crm.segment")) == [
            ("back", 5, None),
            ("gold", 3, 4),
            ("lost", 4, 5),
            ("new", 4, None),
        ]


def test_what_a_holding_held_before_stays_in_the_past_and_its_end_is_no_change(workspace: Workspace) -> None:
    held = "  con: {source: con.csv, kind: holdings, key: no, customer: crm.id = con.who, timezone: UTC,\n"
    held += "    fields: {item: item, held_from: start, held_to: stop, price: price}}\nquality:"
    workspace.file("features/feeds.yaml").write_text(FEEDS.replace("quality:", held), encoding="utf-8")
    header = "no,who,item,start,stop,price,ends"
    for month, row in ((3, "20,2026-06-30"), (5, "20,2026-06-30"), (6, "35,2027-06-30")):
        stop = "2026-05-01" if month > 3 else ""
        rows = [f"1,1,fibre,2026-01-01,,{row}", f"2,1,tv,2026-01-01,{stop},9,"]
        (workspace.root / "con.csv").write_text(lines(header, rows), encoding="utf-8")
        deliver(workspace, month, lines(ADDED, CRM[:1]))
    found = [
        (row["item"], row["price"], str(row["con.ends"]), row["known_at"].month, row["known_until"], row["held_to"])
        for row in sorted(table(workspace.unified / "holdings.parquet"), key=lambda row: (row["item"], row["known_at"]))
    ]
    june, may = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
    assert found == [
        ("fibre", 20, "2026-06-30", 1, june, None),
        ("fibre", 35, "2027-06-30", 6, None, None),
        ("tv", 9, "None", 1, None, may),
    ]
