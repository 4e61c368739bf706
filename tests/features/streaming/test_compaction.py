"""Accepted events are rows of the canonical ``events`` for everything in batch, once each and under the same filter."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from features.base.database_engine import open_engine
from features.base.errors import StorageFailure
from features.base.workspace import Workspace
from features.config.workspace_files import load_feeds
from features.consent.customer_data import open_customer_data
from features.identity.streamed_events import read_segments
from features.streaming import compaction
from features.streaming.compaction import compact, compact_all
from tests.features.streaming.world import FEEDS, NOW, SECOND, accept, built, customer, log_of, offline, told, world
from tests.features.tiny import unified


def rows(workspace: Workspace, purpose: str | None = None, as_of: datetime | None = None) -> list[tuple[Any, ...]]:
    """Return the streamed events as batch sees them."""
    purposes = load_feeds(workspace)[0].purposes
    with open_engine(folders=[workspace.unified]) as engine:
        open_customer_data(engine, workspace, purposes, purpose=purpose, as_of=as_of)
        found = engine.execute(
            "SELECT customer_id, record_id, amount, known_at FROM events WHERE feed = 'app' ORDER BY known_at"
        ).fetchall()
    return [tuple(row) for row in found]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return world(tmp_path, build=False)


def test_no_streamed_event_changes_nothing(workspace: Workspace) -> None:
    assert compact_all(workspace) == 0
    assert not workspace.streaming.exists()
    assert rows(workspace) == []


def test_compacted_events_are_rows_like_any_other(workspace: Workspace) -> None:
    ann, bob = customer(workspace, "A1"), customer(workspace, "B1")
    accept(workspace, [told(1, "A1"), told(2, bob, amount=None)])
    assert rows(workspace) == []
    assert compact_all(workspace) == 2
    found = rows(workspace)
    assert [row[:3] for row in found] == [(ann, "e1", 7.5), (bob, "e2", None)]
    assert found[0][3] == NOW
    built(workspace)
    assert offline(workspace, NOW)[ann]["purchases"][:2] == (7.5, 37.5)


def test_they_are_under_the_same_filter(workspace: Workspace) -> None:
    accept(workspace, [told(1, "A1"), told(2, "B1")])
    compact_all(workspace)
    assert [row[0] for row in rows(workspace, "marketing")] == [customer(workspace, "A1")]
    assert rows(workspace, "marketing", as_of=datetime(2026, 12, 1, tzinfo=NOW.tzinfo)) == []


def test_what_a_feed_delivers_later_counts_once(workspace: Workspace, tmp_path: Path) -> None:
    accept(workspace, [told(9, "A1", feed="till", id="9"), told(10, "A1", feed="till", id="10")])
    compact_all(workspace)
    late = "9,A1,2026-03-01T09:00:00,purchase,7.5,1,toy,app\n"
    path = tmp_path / "till.csv"
    path.write_text(path.read_text(encoding="utf-8") + late, encoding="utf-8")
    unified(workspace)
    with open_engine(folders=[workspace.unified]) as engine:
        open_customer_data(engine, workspace, load_feeds(workspace)[0].purposes, purpose=None)
        counted = dict(engine.execute("SELECT record_id, count(*) FROM events GROUP BY 1").fetchall())
    assert counted == {"1": 1, "2": 1, "3": 1, "4": 1, "9": 1, "10": 1}


def test_settling_goes_on_where_it_ended_and_full_segments_are_left_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "ROWS", 3)
    accept(workspace, [told(number, "A1") for number in range(4)])
    compact_all(workspace)
    first = read_segments(workspace.streaming).files
    assert [(segment.first, segment.last) for segment in first] == [(1, 3), (4, 4)]
    accept(workspace, [told(number, "A1") for number in range(4, 8)], at=NOW + SECOND)
    compact_all(workspace)
    assert compact_all(workspace) == 8
    second = read_segments(workspace.streaming).files
    assert [(segment.first, segment.last) for segment in second] == [(1, 3), (4, 6), (7, 8)]
    assert second[0] == first[0]
    assert [row[1] for row in rows(workspace)] == [f"e{number}" for number in range(8)]


def test_a_run_that_is_killed_between_segment_and_manifest_has_changed_nothing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(workspace, [told(1, "A1")])
    compact_all(workspace)
    accept(workspace, [told(2, "A1")], at=NOW + SECOND)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(compaction, "write_segments", killed)
        with pytest.raises(KeyboardInterrupt):
            compact_all(workspace)
    assert [row[1] for row in rows(workspace)] == ["e1"]
    compact_all(workspace)
    assert [row[1] for row in rows(workspace)] == ["e1", "e2"]


def test_after_a_merge_and_a_split_events_are_with_the_customers_of_today(workspace: Workspace, tmp_path: Path) -> None:
    dora = customer(workspace, "D1")
    accept(workspace, [told(1, dora), told(2, "D1"), told(3, "A1")])
    compact_all(workspace)
    feeds = tmp_path / "features" / "feeds.yaml"
    feeds.write_text(
        FEEDS.replace("[email]}", "[email], always: [[crm:A1, crm:D1], [crm:B1, crm:A1]]}"), encoding="utf-8"
    )
    unified(workspace)
    one = customer(workspace, "A1")
    assert [row[0] for row in rows(workspace)] == [one, one, one]
    compact_all(workspace)
    assert [row[0] for row in rows(workspace)] == [one, one, one]
    feeds.write_text(FEEDS, encoding="utf-8")
    unified(workspace)
    compact_all(workspace)
    assert [row[0] for row in rows(workspace)][1:] == [customer(workspace, "D1"), customer(workspace, "A1")]


def test_a_damaged_segment_is_told_and_made_again(workspace: Workspace) -> None:
    accept(workspace, [told(number, "A1") for number in range(50)])
    compact_all(workspace)
    folder = workspace.streaming / "events"
    (path,) = folder.glob("*.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(StorageFailure) as caught:
        rows(workspace)
    assert caught.value.first.code == "streaming.segment_unreadable"
    for left in folder.iterdir():
        left.unlink()
    log = log_of(workspace)
    compact(workspace, log)
    log.close()
    assert len(rows(workspace)) == 50
