"""Streamed events and a build together: it sees them, Feast serves them, and neither undoes the other."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from features.base.progress import Silent
from features.base.workspace import Workspace
from features.pipeline.build_features import build_features
from features.snapshots.build_report import read_report
from features.store.online_backend import open_records
from features.store.repository import open_store
from features.streaming.event import from_us
from features.streaming.worker import follow
from tests.features.streaming.world import NOW, SECOND, accept, customer, log_of, offline, told, values_of, world
from tests.features.tiny import STORE

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
