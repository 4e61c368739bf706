"""Online reads: the right customer's newest value, labelled with its age, from any number of threads."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from features.base.errors import BadData
from features.store.repository import Store, open_store

JAN = datetime(2026, 1, 1, tzinfo=UTC)
FEB = datetime(2026, 2, 1, tzinfo=UTC)
MAR = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SPEND = {"spend__sum": "float", "spend__count": "int"}
ALL_TYPES = {"all__i": "int", "all__f": "float", "all__s": "string", "all__b": "bool", "all__t": "timestamp"}


def push(store: Store, customer: str, total: float, *, at: datetime, created: datetime | None = None) -> None:
    """Write one row through Feast's own door, as a stream would."""
    row = {
        "customer_id": [customer],
        "event_timestamp": [pd.Timestamp(at)],
        "created_timestamp": [pd.Timestamp(created or at)],
        "spend__sum": [total],
        "spend__count": [1],
    }
    store.feast.write_to_online_store("spend", pd.DataFrame(row))


def total(store: Store, customer: str = "ann") -> object:
    return store.online([customer], ["spend__sum"], as_of=MAR)[0].values["spend__sum"]


@pytest.mark.parametrize("column", ["customer_id", "event_timestamp", "created_timestamp", "spend__count"])
def test_rows_that_lack_a_column_are_refused_by_its_name(store: Store, write_view, column: str) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)]})])
    row = {"customer_id": ["ann"], "event_timestamp": [FEB], "created_timestamp": [FEB], "spend__sum": [2.0]}
    rows = pd.DataFrame(row | {"spend__count": [1]}).drop(columns=column)
    with pytest.raises(BadData, match=column):
        store.feast.write_to_online_store("spend", rows)
    with pytest.raises(BadData, match=column):
        asyncio.run(store.feast.write_to_online_store_async("spend", inputs=rows.to_dict("list")))


def test_every_type_comes_back_as_it_was_written(store: Store, write_view) -> None:
    rows = [("ann", 2**53 + 1, 0.1 + 0.2, 'é "quoted"\n☃', True, FEB), ("bob", None, float("nan"), None, None, None)]
    store.apply([write_view("all", ALL_TYPES, {JAN: rows})])
    store.materialize(as_of=JAN)
    ann, bob = store.online(["ann", "bob"], list(ALL_TYPES), as_of=JAN)
    assert tuple(ann.values.values()) == rows[0][1:]
    assert tuple(bob.values.values()) == (None, None, None, None, None)
    assert set(bob.status.values()) == {"fresh"}


def test_customers_and_features_come_in_the_asked_order(store: Store, write_view) -> None:
    spend = write_view("spend", SPEND, {JAN: [(f"c{number}", float(number), number) for number in range(20)]})
    visits = write_view("visits", {f"visits__n{n}": "int" for n in range(9)}, {JAN: [("c3", *range(9))]})
    store.apply([spend, visits])
    store.materialize(as_of=JAN)
    features = ["visits__n7", "spend__count", "visits__n0", "spend__sum", "visits__n4"]
    rows = store.online(["c7", "c3", "c7"], features, as_of=JAN)
    assert [row.customer_id for row in rows] == ["c7", "c3", "c7"]
    assert [list(row.values) for row in rows] == [features] * 3
    assert list(rows[1].values.values()) == [7, 3, 0, 3.0, 4]
    assert rows[0] == rows[2]


def test_an_unknown_customer_is_a_value_and_not_an_error(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)]})])
    store.materialize(as_of=JAN)
    nobody = store.online(["nobody"], ["spend__sum"], as_of=JAN)[0]
    assert not nobody.found
    assert nobody.values == {"spend__sum": None}
    assert nobody.status == {"spend__sum": "missing"}
    assert nobody.event_times == {"spend": None}
    assert store.online([], ["spend__sum"], as_of=JAN) == []


def test_a_row_past_its_ttl_is_labelled_stale_view_by_view(store: Store, write_view) -> None:
    spend = write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)]}, ttl=7 * DAY)
    visits = write_view("visits", {"visits__n": "int"}, {JAN: [("ann", 3)]})
    store.apply([spend, visits])
    store.materialize(as_of=JAN)

    def status(moment: datetime) -> dict[str, str]:
        return dict(store.online(["ann"], ["spend__sum", "visits__n"], as_of=moment)[0].status)

    assert status(JAN + 7 * DAY) == {"spend__sum": "fresh", "visits__n": "fresh"}
    assert status(JAN + 7 * DAY + timedelta(seconds=1)) == {"spend__sum": "stale", "visits__n": "fresh"}


def test_materializing_takes_the_newest_cutoff_at_or_before_the_moment(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)], FEB: [("ann", 2.0, 2)]})])
    assert store.materialize(as_of=JAN - DAY)[0].cutoff is None
    assert store.materialize(as_of=FEB - DAY)[0].cutoff == JAN
    assert total(store) == 1.0
    assert store.materialize(as_of=MAR)[0].cutoff == FEB
    assert total(store) == 2.0


def test_an_older_snapshot_never_replaces_a_newer_one_nor_brings_back_who_left(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 1), ("bob", 1.0, 1)], FEB: [("ann", 2.0, 2)]})])
    store.materialize(as_of=FEB)
    (again,) = store.materialize(as_of=JAN)
    assert (again.superseded, again.written) == (True, 0)
    assert total(store) == 2.0
    assert not store.online(["bob"], ["spend__sum"], as_of=FEB)[0].found


def test_a_customer_that_left_the_snapshot_leaves_the_store(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 1), ("bob", 1.0, 1)], FEB: [("ann", 2.0, 2)]})])
    store.materialize(as_of=JAN)
    assert store.online(["bob"], ["spend__sum"], as_of=JAN)[0].found
    (done,) = store.materialize(as_of=FEB)
    assert (done.written, done.dropped) == (1, 1)
    assert not store.online(["bob"], ["spend__sum"], as_of=FEB)[0].found


def test_a_late_older_write_never_overwrites_a_newer_value(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)]})])
    push(store, "ann", 5.0, at=FEB)
    push(store, "ann", 4.0, at=FEB - DAY)
    assert total(store) == 5.0
    store.materialize(as_of=JAN)
    assert total(store) == 5.0
    push(store, "ann", 6.0, at=FEB, created=FEB + DAY)
    assert total(store) == 6.0
    push(store, "ann", 5.5, at=FEB, created=FEB)
    assert total(store) == 6.0


def test_event_times_are_exact_and_do_not_follow_the_zone_of_the_machine(
    store: Store, write_view, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime(2026, 3, 29, 0, 30, 0, 123_456, tzinfo=UTC)
    store.apply([write_view("spend", SPEND, {moment: [("ann", 1.0, 1)]})])
    store.materialize(as_of=moment)
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert store.online(["ann"], ["spend__sum"], as_of=moment)[0].event_times == {"spend": moment}
    finally:
        monkeypatch.undo()
        time.tzset()


def test_sixteen_threads_read_the_right_customer_while_snapshots_are_replaced(store: Store, write_view) -> None:
    people = [(f"c{number}", float(number), number) for number in range(400)]
    store.apply([write_view("spend", SPEND, {JAN + day * DAY: people for day in range(6)})])
    store.materialize(as_of=JAN)
    wrong: list[object] = []
    start = threading.Barrier(17)

    def read(seed: int) -> None:
        chance = random.Random(seed)
        start.wait()
        for _ in range(250):
            numbers = [chance.randrange(400) for _ in range(chance.randint(1, 3))]
            rows = store.online([f"c{number}" for number in numbers], list(SPEND), as_of=MAR)
            for number, row in zip(numbers, rows, strict=True):
                if list(row.values.values()) != [float(number), number]:
                    wrong.append((number, row))

    with ThreadPoolExecutor(16) as pool:
        reads = [pool.submit(read, seed) for seed in range(16)]
        start.wait()
        for day in range(1, 6):
            store.materialize(as_of=JAN + day * DAY)
        for one in reads:
            one.result()
    assert wrong == []


def test_a_reader_sees_the_old_snapshot_or_the_new_one_never_a_mixture(store: Store, write_view) -> None:
    days = [JAN + day * DAY for day in range(8)]
    everyone = [f"c{number}" for number in range(300)]
    snapshots = {day: [(who, float(place), 0) for who in everyone] for place, day in enumerate(days)}
    store.apply([write_view("spend", SPEND, snapshots)])
    store.materialize(as_of=days[0])
    done = threading.Event()
    seen: list[set[object]] = []

    def read() -> None:
        while not done.is_set():
            rows = store.online(everyone[:200], ["spend__sum"], as_of=MAR)
            seen.append({row.values["spend__sum"] for row in rows})

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for day in days[1:]:
            store.materialize(as_of=day)
    finally:
        done.set()
        reader.join()
    assert seen
    assert [values for values in seen if len(values) != 1] == []


def test_a_store_that_was_removed_is_filled_again_without_registering(
    store: Store, workspace: Path, write_view
) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)]})])
    store.close()
    (workspace / "state" / "feast" / "online.db").unlink()
    fresh = open_store(workspace)
    (row,) = fresh.online(["ann"], ["spend__sum"], as_of=JAN)
    assert (row.unread, row.status) == ("unreachable", {"spend__sum": "missing"})
    fresh.materialize(as_of=JAN)
    assert total(fresh) == 1.0


def test_the_stored_values_can_be_read_without_feast(store: Store, workspace: Path, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.5, 2)]})])
    store.materialize(as_of=JAN)
    with sqlite3.connect(workspace / "state" / "feast" / "online.db") as database:
        found = database.execute("SELECT customer, view, payload, event_us FROM blocks").fetchall()
    database.close()
    assert found == [("ann", "spend", "[1.5,2]", int(JAN.timestamp()) * 1_000_000)]
