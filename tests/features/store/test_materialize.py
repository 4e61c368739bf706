"""Snapshots go online with a watermark: late rows again, future ones not, nothing half, nothing older over newer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features.base.clock import to_microseconds
from features.base.database_engine import EngineResources
from features.base.errors import StorageFailure
from features.store.definitions import SnapshotView
from features.store.materialize import Materialized, materialize, reconcile
from features.store.online_blocks import Source, read_watermark
from features.store.online_differences import Kind
from features.store.online_records import Block, OnlineRecords, Plain, Record
from features.store.online_records_redis import RedisRecords
from features.store.online_records_sqlite import SqliteRecords
from tests.features.store.conftest import RedisServer

JAN = datetime(2026, 1, 1, tzinfo=UTC)
FEB = datetime(2026, 2, 1, tzinfo=UTC)
MAR = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SPEND = {"spend__sum": "float", "spend__count": "int"}


@pytest.fixture(params=["sqlite", "redis"])
def records(request: pytest.FixtureRequest, workspace: Path) -> Iterator[OnlineRecords]:
    """Return empty records of each backend in turn."""
    opened: OnlineRecords = SqliteRecords(workspace / "state" / "feast" / "online.db")
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        opened = RedisRecords(server.url, name=workspace.name)
    yield opened
    opened.close()


def source(view: SnapshotView) -> Source:
    return Source(view.name, view.path, tuple((column.name, column.type) for column in view.columns))


def spilling(folder: Path) -> EngineResources:
    return EngineResources(spill=folder)


def fill(
    records: OnlineRecords, *views: SnapshotView, as_of: datetime, resources: EngineResources
) -> tuple[Materialized, ...]:
    return materialize(records, [source(view) for view in views], as_of=as_of, resources=resources)


def online(records: OnlineRecords) -> dict[str, dict[str, tuple[Plain, ...]]]:
    return {customer: {view: block.values for view, block in record.items()} for customer, record in records.scan()}


def push(records: OnlineRecords, customer: str, values: tuple[Plain, ...], *, at: datetime) -> None:
    """Write one block as the worker of streamed events does."""
    layout = records.put_layout(tuple(SPEND.items()))
    records.write([(customer, {"spend": Block(to_microseconds(at), to_microseconds(at), layout, values)})])


def test_the_newest_snapshot_of_every_view_goes_online(records, write_view, tmp_path: Path) -> None:
    spend = write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)], FEB: [("ann", 2.0, 2), ("bob", 3.0, 3)]})
    visits = write_view("visits", {"visits__n": "int"}, {JAN: [("ann", 7), ("cat", 9)]})
    done = fill(records, spend, visits, as_of=MAR, resources=spilling(tmp_path))
    assert [(one.view, one.cutoff, one.written, one.customers) for one in done] == [
        ("spend", FEB, 2, 2),
        ("visits", JAN, 2, 2),
    ]
    assert online(records) == {
        "ann": {"spend": (2.0, 2), "visits": (7,)},
        "bob": {"spend": (3.0, 3)},
        "cat": {"visits": (9,)},
    }


def test_a_snapshot_that_lies_online_is_not_written_again(records, write_view, tmp_path: Path) -> None:
    spend = write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)]})
    fill(records, spend, as_of=MAR, resources=spilling(tmp_path))
    (again,) = fill(records, spend, as_of=MAR, resources=spilling(tmp_path))
    assert (again.cutoff, again.written, again.dropped, again.customers) == (JAN, 0, 0, 1)


def test_a_cutoff_that_was_built_again_is_written_again(records, write_view, tmp_path: Path) -> None:
    """Late rows, corrections and withdrawn consents change a snapshot whose cutoff lies online already."""
    rows = [("ann", 1.0, 1), ("bob", 2.0, 1), ("cat", 3.0, 1)]
    fill(records, write_view("spend", SPEND, {JAN: rows}), as_of=MAR, resources=spilling(tmp_path))
    corrected = [("ann", 1.5, 2), ("cat", 3.0, 1), ("dan", 4.0, 1)]
    (done,) = fill(records, write_view("spend", SPEND, {JAN: corrected}), as_of=MAR, resources=spilling(tmp_path))
    assert (done.written, done.dropped, done.customers) == (2, 1, 3)
    assert online(records) == {"ann": {"spend": (1.5, 2)}, "cat": {"spend": (3.0, 1)}, "dan": {"spend": (4.0, 1)}}


def test_nothing_from_after_the_moment_goes_online(records, write_view, tmp_path: Path) -> None:
    """Neither a cutoff that lies ahead, nor one whose rows are not all known yet."""
    snapshots = {JAN: [("ann", 1.0, 1)], FEB: [("ann", 2.0, 2)], MAR: [("ann", 3.0, 3)]}
    spend = write_view("spend", SPEND, snapshots, created={FEB: MAR})
    assert fill(records, spend, as_of=JAN - DAY, resources=spilling(tmp_path))[0].cutoff is None
    assert fill(records, spend, as_of=FEB + DAY, resources=spilling(tmp_path))[0].cutoff == JAN
    assert fill(records, spend, as_of=MAR - DAY, resources=spilling(tmp_path))[0].cutoff == JAN
    assert fill(records, spend, as_of=MAR, resources=spilling(tmp_path))[0].cutoff == MAR
    assert online(records) == {"ann": {"spend": (3.0, 3)}}


def test_an_older_snapshot_changes_nothing_online(records, write_view, tmp_path: Path) -> None:
    spend = write_view("spend", SPEND, {JAN: [("ann", 1.0, 1), ("bob", 1.0, 1)], FEB: [("ann", 2.0, 2)]})
    fill(records, spend, as_of=FEB, resources=spilling(tmp_path))
    (older,) = fill(records, spend, as_of=JAN, resources=spilling(tmp_path))
    assert (older.superseded, older.written, older.customers) == (True, 0, 1)
    assert online(records) == {"ann": {"spend": (2.0, 2)}}


def test_what_streamed_events_wrote_later_stays_until_a_later_snapshot(records, write_view, tmp_path: Path) -> None:
    views = {JAN: [("ann", 1.0, 1)], FEB: [("ann", 2.0, 2)]}
    spend = write_view("spend", SPEND, views)
    push(records, "ann", (9.0, 9), at=JAN + DAY)
    (first,) = fill(records, spend, as_of=JAN + 2 * DAY, resources=spilling(tmp_path))
    assert (first.cutoff, first.written) == (JAN, 0)
    assert online(records) == {"ann": {"spend": (9.0, 9)}}
    (second,) = fill(records, spend, as_of=FEB, resources=spilling(tmp_path))
    assert (second.cutoff, second.written) == (FEB, 1)
    assert online(records) == {"ann": {"spend": (2.0, 2)}}


def test_a_customer_who_left_every_view_is_gone(records, write_view, tmp_path: Path) -> None:
    spend = write_view("spend", SPEND, {JAN: [("ann", 1.0, 1), ("bob", 1.0, 1)], FEB: [("ann", 2.0, 2)]})
    fill(records, spend, as_of=JAN, resources=spilling(tmp_path))
    (done,) = fill(records, spend, as_of=FEB, resources=spilling(tmp_path))
    assert (done.written, done.dropped) == (1, 1)
    assert list(online(records)) == ["ann"]


def test_a_view_whose_features_changed_is_written_again(records, write_view, tmp_path: Path) -> None:
    fill(
        records,
        write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)]}),
        as_of=JAN,
        resources=spilling(tmp_path),
    )
    wider = {**SPEND, "spend__city": "string"}
    (done,) = fill(
        records,
        write_view("spend", wider, {JAN: [("ann", 1.0, 1, "York")]}),
        as_of=JAN,
        resources=spilling(tmp_path),
    )
    assert done.written == 1
    assert online(records) == {"ann": {"spend": (1.0, 1, "York")}}


def test_a_dropped_view_that_comes_back_is_filled_again(records, write_view, tmp_path: Path) -> None:
    spend = write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)]})
    fill(records, spend, as_of=JAN, resources=spilling(tmp_path))
    records.drop(["spend"])
    assert read_watermark(records, "spend") is None
    assert fill(records, spend, as_of=JAN, resources=spilling(tmp_path))[0].written == 1


def test_each_customer_changes_in_one_step(
    records, write_view, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader between any two writes finds a customer's views all old or all new, never mixed."""
    rows = {cutoff: [(f"c{n:05}", float(month), month) for n in range(3000)] for month, cutoff in ((1, JAN), (2, FEB))}
    spend, other = write_view("spend", SPEND, rows), write_view("other", {"other__a": "float", "other__b": "int"}, rows)
    fill(records, spend, other, as_of=JAN, resources=spilling(tmp_path))
    seen: list[set[tuple[Plain, ...]]] = []

    write = records.write

    def watched(changed: Iterable[tuple[str, Record]]) -> int:
        taken: int = write(changed)
        seen.extend({block.values for block in record.values()} for _, record in records.scan())
        return taken

    monkeypatch.setattr(records, "write", watched)
    fill(records, spend, other, as_of=FEB, resources=spilling(tmp_path))
    assert all(len(values) == 1 for values in seen)
    assert {(1.0, 1)} in seen  # a reader came in between


def test_a_damaged_snapshot_is_refused_and_what_lay_online_stays(records, write_view, tmp_path: Path) -> None:
    spend = write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)]})
    fill(records, spend, as_of=JAN, resources=spilling(tmp_path))
    newer = write_view("spend", SPEND, {FEB: [(f"c{n}", float(n), n) for n in range(500)]})
    (file,) = newer.path.glob("202602*.parquet")
    pq.write_table(pq.read_table(file), file, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(file.read_bytes())
    content[content.index(b"c250")] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(StorageFailure) as caught:
        fill(records, newer, as_of=FEB, resources=spilling(tmp_path))
    assert caught.value.first.code == "store.snapshot_damaged"
    assert online(records) == {"ann": {"spend": (1.0, 1)}}


def test_every_difference_is_found_named_and_mended(records, write_view, tmp_path: Path) -> None:
    rows = [(name, 1.0, 1) for name in ("ann", "bob", "cat", "dan", "eve")]
    spend = write_view("spend", SPEND, {FEB: rows})
    fill(records, spend, as_of=FEB, resources=spilling(tmp_path))
    records.delete("ann")
    push(records, "bob", (5.0, 5), at=FEB)
    records.delete("cat")
    push(records, "cat", (1.0, 1), at=JAN)
    push(records, "dan", (6.0, 6), at=FEB + DAY)
    push(records, "gil", (1.0, 1), at=JAN)
    records.write([("ann", {"old": Block(1, 1, records.put_layout((("old__n", "int"),)), (1,))})])

    def held(*, repair: bool):
        return reconcile(records, [source(spend)], as_of=FEB, resources=spilling(tmp_path), repair=repair)

    found, stranger = held(repair=False)
    assert found.counts == {"missing": 1, "different": 1, "older": 1, "ahead": 1, "extra": 1}
    assert found.examples == {
        "missing": ("ann",),
        "different": ("bob",),
        "older": ("cat",),
        "ahead": ("dan",),
        "extra": ("gil",),
    }
    assert (found.wrong, stranger.view, stranger.counts) == (4, "old", {"extra": 1})
    assert held(repair=False)[0] == found  # to list changes nothing
    held(repair=True)
    (left,) = held(repair=False)
    assert (left.counts, left.wrong) == ({"ahead": 1}, 0)
    expected = {
        name: {"spend": (6.0, 6) if name == "dan" else (1.0, 1)} for name in ("ann", "bob", "cat", "dan", "eve")
    }
    assert online(records) == expected


def test_a_newer_block_of_features_that_are_no_more_is_replaced(records, write_view, tmp_path: Path) -> None:
    """Its values cannot be read as what is asked for now, so they would be missing until a later snapshot."""
    push(records, "ann", (9.0, 9), at=JAN + DAY)
    wider = write_view("spend", {**SPEND, "spend__city": "string"}, {JAN: [("ann", 1.0, 1, "York")]})
    (done,) = fill(records, wider, as_of=FEB, resources=spilling(tmp_path))
    assert done.written == 1
    assert online(records) == {"ann": {"spend": (1.0, 1, "York")}}


def test_a_snapshot_of_a_moment_to_come_is_taken_back_and_written_again_later(records, write_view, tmp_path) -> None:
    spend = write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)], MAR: [("ann", 3.0, 3)]})
    fill(records, spend, as_of=MAR, resources=spilling(tmp_path))

    def held(*, now: datetime) -> dict[Kind, int]:
        (found,) = reconcile(records, [source(spend)], as_of=FEB, now=now, resources=spilling(tmp_path), repair=True)
        return dict(found.counts)

    assert held(now=MAR) == {"ahead": 1}
    assert held(now=FEB) == {"future": 1}
    assert online(records) == {"ann": {"spend": (1.0, 1)}}
    assert fill(records, spend, as_of=MAR, resources=spilling(tmp_path))[0].written == 1
    assert online(records) == {"ann": {"spend": (3.0, 3)}}


@pytest.mark.parametrize("how", ["filled", "reconciled"])
def test_a_snapshot_that_is_no_more_gives_way_to_an_earlier_one(records, write_view, tmp_path: Path, how: str) -> None:
    """A row with a date that was a mistake made the present moment a later one, until it was corrected."""
    spend = write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)], MAR: [("ann", 0.0, 0), ("bob", 0.0, 0)]})
    fill(records, spend, as_of=MAR, resources=spilling(tmp_path))
    for file in spend.path.iterdir():
        file.unlink()
    write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)], FEB: [("ann", 2.0, 2)]})
    if how == "filled":
        (done,) = fill(records, spend, as_of=FEB, resources=spilling(tmp_path))
        assert (done.cutoff, done.superseded) == (FEB, False)
    else:
        (found,) = reconcile(records, [source(spend)], as_of=FEB, resources=spilling(tmp_path), repair=True)
        assert (found.counts, found.wrong) == ({"gone": 2}, 2)
    assert online(records) == {"ann": {"spend": (2.0, 2)}}
    mark = read_watermark(records, "spend")
    assert mark is not None
    assert mark.cutoff_us == to_microseconds(FEB)
