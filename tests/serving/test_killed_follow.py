"""A worker that is killed at any moment loses no event and counts none twice."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.base.workspace import Workspace
from features.identity.streamed_events import read_segments
from features.store.online_backend import open_records
from features.streaming.event import from_us
from tests.features.streaming.world import CUSTOMERS, accept, log_of, offline, told, values_of, world
from tests.features.tiny import STORE, table
from tests.repetitions import repetitions
from tests.serving.forking import Forking, Moments

KILLS = repetitions(12, fuzz=60)


@pytest.mark.fuzz
def test_killed_at_any_moment_no_event_is_lost_and_none_counts_twice(tmp_path: Path) -> None:
    workspace = world(tmp_path)
    workspace.file("features/feature_store.yaml").write_text(STORE, encoding="utf-8")
    log, follow = tmp_path / "log.txt", ["events", "follow", "-w", str(tmp_path)]
    chance, told_so_far = random.Random(7), 0

    def tell() -> int:
        at = datetime.now(UTC)
        accept(workspace, [told(told_so_far + n, chance.choice(CUSTOMERS), at) for n in range(5)], at=at)
        return told_so_far + 5

    with Forking() as forking:
        told_so_far = tell()
        forking.start([*follow, "--until-empty"], log=log)
        assert forking.wait() == 0, log.read_text(encoding="utf-8")
        moments = Moments(chance, takes=forking.took)
        for _ in range(KILLS):
            told_so_far = tell()
            assert forking.kill(follow, log=log, moments=moments), "without --until-empty it never ends by itself"
        forking.start([*follow, "--until-empty"], log=log)
        assert forking.wait() == 0, log.read_text(encoding="utf-8")
    _nothing_lost_or_doubled(workspace, told_so_far)


def _nothing_lost_or_doubled(workspace: Workspace, events: int) -> None:
    entries = log_of(workspace).read(after=0, limit=10_000)
    assert [entry.event.id for entry in entries] == [f"e{number}" for number in range(events)]
    segments = [workspace.streaming / "events" / segment.file for segment in read_segments(workspace.streaming).files]
    assert [row["record_id"] for path in segments for row in table(path)] == [entry.event.id for entry in entries]
    records = open_records(workspace.root)
    last = {entry.event.customer_id: entry.known_us for entry in entries}
    found = dict(records.scan())
    assert set(found) == set(last)
    for customer, record in found.items():
        (moment,) = {block.event_us for block in record.values()}
        assert moment >= last[customer]
        expected = offline(workspace, from_us(moment))[customer]
        assert values_of(record) == {name: values for name, values in expected.items() if name != "market"}
    records.close()
