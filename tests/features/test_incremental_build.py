"""Snapshots renewed day after day are those of a full build, byte for byte, and what nothing changed is left alone."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from features.base.manifest import MANIFEST, Manifest
from features.base.storage import write_json
from features.config.feeds_file import FeedsFile
from features.config.loading import Lines
from features.config.views_file import ViewsFile
from features.snapshots.changes import count_changed
from features.snapshots.incremental_build import IncrementalBuild, SnapshotInputs
from features.views.compute import embedded
from features.views.plan import plan_views
from tests.features.views.world import DAY, FEEDS, day, engine_with

VIEWS = """\
views:
  buys:
    from: events
    aggregates: {amount: [sum, std, last], "*": [count, recency], item: [nunique]}
    windows: [2d, 30d]
  market: {from: events, of: company, aggregates: {"*": [count]}, windows: [3d]}
  place: {from: customers, fields: [crm.town]}
  held: {from: holdings, items: [gas]}
"""
Tables = Mapping[str, Sequence[Mapping[str, Any]]]
TOWNS = {"customer_id": "ann", "event_time": day(0), "known_at": day(0), "crm.town": "York", "feed": "crm"}


@dataclass
class Company:
    """What a company's tables say: rows by table."""

    customers: list[dict[str, Any]]
    events: list[dict[str, Any]]
    holdings: list[dict[str, Any]]


def renew(folder: Path, number: int, tables: Tables, cutoffs: list[datetime], views: str) -> Path:
    """Build the snapshots of these tables beside those of build `number` - 1, if there are any; return the folder."""
    old, new = folder / str(number - 1), folder / str(number)
    new.mkdir(parents=True)
    manifest = Manifest.read(old)
    with engine_with(2, [folder], **tables) as (engine, columns):
        incremental = IncrementalBuild(
            old=old,
            new=new,
            before=SnapshotInputs.read(old),
            intact=manifest.intact(old),
            cutoffs=cutoffs,
            every=2 * DAY,
            numbered=frozenset({"crm"}),
            rows_of_view=embedded,
        )
        incremental.detect_changes(engine, columns, "")
        file = ViewsFile.model_validate(yaml.safe_load(views))
        declared = FeedsFile.model_validate(yaml.safe_load(FEEDS))
        for view in plan_views(file, Lines("views.yaml"), declared, columns=columns, fitted={}):
            incremental.build_view(engine, columns, view, "")
        incremental.write_inputs()
    write_json(new / MANIFEST, Manifest.of(new, old, manifest, besides=()).as_json())
    return new


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def made_again(new: Path, old: Path) -> set[str]:
    """Return the snapshots that are no longer the file that they were."""
    before = {path.relative_to(old): path.stat().st_ino for path in old.rglob("*.parquet")}
    after = {path.relative_to(new): path.stat().st_ino for path in new.rglob("*.parquet")}
    return {name.as_posix() for name, inode in after.items() if before.get(name) != inode}


people = st.sampled_from(["ann", "bob", "cat", "dan", "eve"])
loads = st.fixed_dictionaries(
    {
        "events": st.lists(
            st.fixed_dictionaries(
                {
                    "customer_id": people,
                    "ago": st.sampled_from([0, 0, 0, 1, 3, 9]),  # days from event to load: late rows
                    "amount": st.none() | st.integers(-500, 500).map(lambda cents: cents / 100),
                    "item": st.sampled_from([None, "tea", "milk"]),
                }
            ),
            max_size=5,
        ),
        "corrections": st.lists(st.integers(0, 40), max_size=1),
        "merges": st.lists(st.tuples(people, people), max_size=1),
        "towns": st.lists(st.tuples(people, st.sampled_from(["York", "Leeds"])), max_size=2),
        "lost": st.lists(st.integers(0, 40), max_size=1),
        "quiet": st.booleans(),
    }
)


def live(company: Company, number: int, load: Mapping[str, Any]) -> None:
    """Let a day happen to a company: rows arrive, late ones too, are corrected or lost, and customers merge."""
    now = day(number)
    if load["quiet"]:
        return
    for place in load["corrections"]:
        if company.events:
            company.events[place % len(company.events)]["amount"] = 7.77
    for place in load["lost"]:
        if len(company.events) > 3:
            del company.events[place % len(company.events)]
    for row in load["events"]:
        moment = now - timedelta(hours=5) - row["ago"] * DAY
        arrived = {name: row[name] for name in ("customer_id", "amount", "item")}
        key = f"{len(company.events):04d}-{number}"
        company.events.append(
            {**arrived, "event_time": moment, "known_at": now - timedelta(hours=4), "feed": "till", "record_id": key}
        )
    for who, town in load["towns"]:
        known = {"customer_id": who, "event_time": now, "known_at": now, "record_id": f"{who}{number}"}
        company.customers.append(
            {
                **TOWNS,
                "customer_id": who,
                "crm.town": town,
                "event_time": now,
                "known_at": now,
                "record_id": f"{who}{number}",
            }
        )
        company.holdings.append({**known, "item": "gas", "held_from": now})
    for winner, loser in load["merges"]:
        for row in [*company.customers, *company.events, *company.holdings]:
            if row["customer_id"] == loser:
                row["customer_id"] = winner


@settings(max_examples=settings().max_examples // 8)  # each example builds every day twice
@given(days=st.lists(loads, min_size=2, max_size=5))
def test_a_renewed_build_is_a_full_one_byte_for_byte(days: list[dict[str, Any]]) -> None:
    start = {"customer_id": "ann", "amount": 1.0, "item": "tea", "event_time": day(0), "feed": "till", "record_id": "0"}
    company = Company(
        [{**TOWNS, "record_id": "ann0"}], [start], [{"customer_id": "ann", "item": "gas", "held_from": day(0)}]
    )
    with tempfile.TemporaryDirectory() as room:
        for number, load in enumerate(days):
            live(company, 20 + number, load)
            tables: Tables = {"customers": company.customers, "events": company.events, "holdings": company.holdings}
            cutoffs = [*(moment for moment in map(day, range(11, 20 + number, 2))), day(20 + number)]
            renewed = renew(Path(room) / "renewed", number, tables, cutoffs, VIEWS)
            full = renew(Path(room) / "full" / str(number), 0, tables, cutoffs, VIEWS)
            assert files(renewed) == files(full)


ROWS = [
    {"customer_id": who, "amount": 1.0, "event_time": day(number), "feed": "till", "record_id": f"{who}{number}"}
    for who in ("ann", "bob", "cat", "dan")
    for number in (0, 3, 6)
]
PEOPLE = [{**TOWNS, "customer_id": who, "record_id": who} for who in ("ann", "bob", "cat", "dan")]
HELD = [{"customer_id": "ann", "item": "gas", "held_from": day(0), "feed": "desk", "record_id": "1"}]
CUTOFFS = [day(2), day(4), day(6)]


def test_a_late_row_is_in_the_snapshots_from_when_it_was_known_and_touches_no_other(tmp_path: Path) -> None:
    tables: Tables = {"customers": PEOPLE, "events": ROWS, "holdings": HELD}
    old = renew(tmp_path, 0, tables, CUTOFFS, VIEWS)
    late = {**ROWS[0], "event_time": day(1), "known_at": day(5), "record_id": "late"}
    new = renew(tmp_path, 1, {**tables, "events": [*ROWS, late]}, CUTOFFS, VIEWS)
    assert made_again(new, old) == {
        f"{view}/2026-01-07T000000Z.parquet" for view in ("buys", "market", "place", "held")
    }
    assert files(new) == files(renew(tmp_path / "full", 0, {**tables, "events": [*ROWS, late]}, CUTOFFS, VIEWS))


def test_a_new_day_makes_its_own_snapshot_alone(tmp_path: Path) -> None:
    tables: Tables = {"customers": PEOPLE, "events": ROWS, "holdings": HELD}
    old = renew(tmp_path, 0, tables, CUTOFFS, VIEWS)
    today = {**ROWS[0], "event_time": day(7.5), "record_id": "today"}
    new = renew(tmp_path, 1, {**tables, "events": [*ROWS, today]}, [*CUTOFFS, day(8)], VIEWS)
    assert {name.split("/")[1] for name in made_again(new, old)} == {"2026-01-09T000000Z.parquet"}


def test_another_definition_makes_its_own_view_again_and_a_damaged_file_that_file(tmp_path: Path) -> None:
    tables: Tables = {"customers": PEOPLE, "events": ROWS, "holdings": HELD}
    old = renew(tmp_path, 0, tables, CUTOFFS, VIEWS)
    whole = files(old)
    other = renew(tmp_path, 1, tables, CUTOFFS, VIEWS.replace("windows: [3d]", "windows: [4d]"))
    assert {name.split("/")[0] for name in made_again(other, old)} == {"market"}
    again = renew(tmp_path, 2, tables, CUTOFFS, VIEWS)
    damaged = again / "buys" / "2026-01-05T000000Z.parquet"
    content = bytearray(damaged.read_bytes())
    damaged.unlink()  # it is the same file as in the build before
    content[len(content) // 3] ^= 1
    damaged.write_bytes(bytes(content))
    patched = renew(tmp_path, 3, tables, CUTOFFS, VIEWS)
    assert made_again(patched, again) == {"buys/2026-01-05T000000Z.parquet"}
    assert files(patched) == whole


def test_of_a_correction_only_the_customers_that_it_is_about_are_computed(tmp_path: Path) -> None:
    tables: Tables = {"customers": PEOPLE, "events": ROWS, "holdings": HELD}
    renew(tmp_path, 0, tables, CUTOFFS, VIEWS)
    corrected = [{**row, "amount": 5.0} if row["record_id"] == "bob3" else row for row in ROWS]
    with engine_with(2, [tmp_path], customers=PEOPLE, events=corrected, holdings=HELD) as (engine, columns):
        before = SnapshotInputs.read(tmp_path / "0")
        new = tmp_path / "1"
        new.mkdir()
        intact, numbered = Manifest.read(tmp_path / "0").intact(tmp_path / "0"), frozenset({"crm"})
        incremental = IncrementalBuild(tmp_path / "0", new, before, intact, CUTOFFS, 2 * DAY, numbered, embedded)
        incremental.detect_changes(engine, columns, "")
        assert engine.sql("SELECT customer_id FROM changed").fetchall() == [("bob",)]
        changed = [count_changed(engine, cutoff, bucket=2 * DAY) for cutoff in CUTOFFS]
        assert changed == [(0, frozenset()), (1, frozenset()), (1, frozenset())]
