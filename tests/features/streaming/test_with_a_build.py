"""Streamed events and a build together: it sees them, Feast serves them, and neither undoes the other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from features.base.progress import Silent
from features.base.workspace import Workspace
from features.pipeline.build_features import build_features
from features.pipeline.unify import unify
from features.snapshots.build_report import read_report
from features.store.online_backend import open_records
from features.store.repository import open_store
from features.streaming.event import from_us
from features.streaming.worker import follow
from tests.features.streaming.world import NOW, SECOND, accept, customer, log_of, offline, told, values_of, world
from tests.features.tiny import STORE, table

SUM = "purchases__amount_sum_1d"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = world(tmp_path, build=False)
    made.file("features/feature_store.yaml").write_text(STORE, encoding="utf-8")
    build_features(made, Silent())
    return made


def followed(workspace: Workspace, at: datetime) -> None:
    log, records = log_of(workspace), open_records(workspace.root)
    follow(workspace, log, records, clock=lambda: at, pause=lambda _: None, until_empty=True)
    log.close()
    records.close()


def served(workspace: Workspace, one: str, at: datetime) -> Any:
    """Return a feature as a plain Feast store gives it."""
    store = open_store(workspace.root)
    (row,) = store.online([one], [SUM], as_of=at)
    store.close()
    return row.values[SUM]


def test_an_event_is_served_before_the_next_build_and_part_of_it_then(workspace: Workspace) -> None:
    ann = customer(workspace, "A1")
    assert served(workspace, ann, NOW) == 0.0
    accept(workspace, [told(1, "A1")])
    followed(workspace, NOW)
    assert served(workspace, ann, NOW) == 7.5
    before = read_report(workspace)
    report = build_features(workspace, Silent())
    assert (before.last_event, report.last_event) == (0, 1)
    assert report.as_of == NOW.replace(hour=0) + timedelta(days=1)
    assert served(workspace, ann, NOW) == 7.5
    assert build_features(workspace, Silent()).digest == report.digest


def test_an_event_that_comes_after_a_build_as_of_tonight_is_served_at_once(workspace: Workspace) -> None:
    accept(workspace, [told(1, "A1")])
    tonight = build_features(workspace, Silent()).as_of
    accept(workspace, [told(2, "A1")], at=NOW + SECOND)
    followed(workspace, NOW + SECOND)
    ann = customer(workspace, "A1")
    assert served(workspace, ann, NOW + SECOND) == 15.0
    build_features(workspace, Silent())
    followed(workspace, NOW + 2 * SECOND)
    records = open_records(workspace.root)
    (record,) = records.read([ann], deadline_s=5)
    records.close()
    moments = {from_us(block.event_us) for block in record.values()}
    assert moments == {tonight}
    assert values_of(record) == offline(workspace, tonight)[ann]


def test_a_streamed_event_stays_known_since_then_when_a_feed_delivers_it_and_late_rows_since_they_came(
    workspace: Workspace,
) -> None:
    accept(workspace, [told(77, "A1", at=NOW - 3 * SECOND, feed="till", id="77")])
    build_features(workspace, Silent())
    with (workspace.root / "till.csv").open("a", encoding="utf-8") as file:
        file.write(f"77,A1,{NOW - 3 * SECOND:%Y-%m-%dT%H:%M:%S},purchase,7.5,1,toy,app\n")
        file.write("78,B1,2026-02-27T10:00:00,purchase,1,1,toy,web\n")
        file.write("79,B1,2026-03-05T10:00:00,purchase,1,1,toy,web\n")
    unify(workspace, Silent(), accept=["till"])
    known = {row["record_id"]: row["known_at"] for row in table(workspace.unified / "events.parquet")}
    late = datetime(2026, 3, 5, 10, tzinfo=UTC)
    assert (known["77"], known["78"], known["79"]) == (NOW, late, late)
    build_features(workspace, Silent())
    unify(workspace, Silent())
    with (workspace.root / "till.csv").open("a", encoding="utf-8") as file:
        file.write("80,B1,2026-03-09T10:00:00,purchase,1,1,toy,web\n")
    unify(workspace, Silent(), accept=["till"])
    again = {row["record_id"]: row["known_at"] for row in table(workspace.unified / "events.parquet")}
    assert {key: again[key] for key in known} == known
