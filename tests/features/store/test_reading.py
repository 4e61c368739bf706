"""Customers' newest values without Feast: whole services in one round trip, labelled, and always in time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from features.base.errors import BadConfiguration
from features.store.definitions import ServiceDefinition
from features.store.online_reader import OnlineValue, open_reader
from features.store.online_records import WAIT_S, OnlineRecords, Record
from features.store.repository import Store, open_store
from tests.features.store.conftest import RedisServer, keep_in_redis

JAN = datetime(2026, 1, 1, tzinfo=UTC)
FEB = datetime(2026, 2, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SPEND = {"spend__sum": "float", "spend__at": "timestamp"}


@pytest.fixture(params=["sqlite", "redis"])
def both(request: pytest.FixtureRequest, workspace: Path, write_view) -> Iterator[Store]:
    """Return a store on each backend, with two views and a service, filled as of January."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        request.getfixturevalue("monkeypatch").setenv("OUR_REDIS", server.url)
        keep_in_redis(workspace, "${env:OUR_REDIS}", project=f"p{workspace.name.replace('-', '_').lower()}")
    store = open_store(workspace)
    views = [
        write_view("spend", SPEND, {JAN: [("ann", 1.5, FEB), ("bob", None, None)]}, ttl=7 * DAY),
        write_view("visits", {"visits__n": "int"}, {JAN: [("ann", 3)]}),
    ]
    store.apply(views, [ServiceDefinition("churn", ("spend__sum", "visits__n", "spend__at"))])
    store.materialize(as_of=JAN)
    yield store
    store.close()


def test_a_whole_service_is_read_with_value_moment_and_status(both: Store, workspace: Path) -> None:
    del both
    reader = open_reader(workspace)
    ann, bob, nobody = reader.read(["ann", "bob", "nobody"], "churn", as_of=JAN + 8 * DAY)
    assert list(ann.values.items()) == [("spend__sum", 1.5), ("visits__n", 3), ("spend__at", FEB)]
    assert ann["spend__sum"] == OnlineValue(1.5, JAN, "stale")
    assert ann["visits__n"] == OnlineValue(3, JAN, "fresh")
    assert bob["spend__at"] == OnlineValue(None, JAN, "stale")
    assert bob["visits__n"] == OnlineValue(None, None, "missing")
    assert (ann.found, bob.found, nobody.found, nobody.unread) == (True, True, False, "")
    assert set(nobody.status.values()) == {"missing"}
    assert reader.read(["ann"], ["visits__n"], as_of=JAN)[0].values == {"visits__n": 3}
    reader.close()


def test_feast_reads_and_writes_the_same_records(both: Store, workspace: Path) -> None:
    feast = both.feast
    read = feast.get_online_features(
        features=feast.get_feature_service("churn"), entity_rows=[{"customer_id": "ann"}, {"customer_id": "nobody"}]
    ).to_dict()
    assert read["customer_id"] == ["ann", "nobody"]
    assert read["spend__sum"] == [1.5, None]
    assert read["visits__n"] == [3, None]
    awaited = asyncio.run(
        feast.get_online_features_async(features=["spend:spend__sum"], entity_rows=[{"customer_id": "ann"}])
    )
    assert awaited.to_dict()["spend__sum"] == [1.5]
    row = {"customer_id": ["ann"], "event_timestamp": [pd.Timestamp(FEB)], "created_timestamp": [pd.Timestamp(FEB)]}
    feast.write_to_online_store("visits", pd.DataFrame({**row, "visits__n": [9]}))
    (ann,) = open_reader(workspace).read(["ann"], "churn", as_of=FEB)
    assert ann["visits__n"] == OnlineValue(9, FEB, "fresh")
    feast.materialize_incremental(end_date=JAN + DAY)
    assert both.online(["ann"], ["visits__n"], as_of=FEB)[0].values == {"visits__n": 9}
    feast.teardown()
    with pytest.raises(BadConfiguration, match="visits"):
        open_reader(workspace).read(["ann"], ["visits__n"], as_of=FEB)


def test_delete_forgets_one_customer_until_a_new_snapshot_holds_them(both: Store, workspace: Path, write_view) -> None:
    assert both.delete("ann")
    assert not both.delete("ann")
    rows = open_reader(workspace).read(["ann", "bob"], "churn", as_of=JAN)
    assert [row.found for row in rows] == [False, True]
    both.materialize(as_of=JAN)
    assert not both.online(["ann"], ["visits__n"], as_of=JAN)[0].found
    write_view("visits", {"visits__n": "int"}, {FEB: [("ann", 4)]})
    both.materialize(as_of=FEB)
    assert both.online(["ann"], ["visits__n"], as_of=FEB)[0].found


def test_what_is_not_registered_is_refused_by_name(both: Store, workspace: Path) -> None:
    del both
    reader = open_reader(workspace)
    with pytest.raises(BadConfiguration, match=r"did you mean 'churn'"):
        reader.read(["ann"], "chorn", as_of=JAN)
    with pytest.raises(BadConfiguration, match=r"did you mean 'visits'"):
        reader.read(["ann"], ["visit__n"], as_of=JAN)
    with pytest.raises(BadConfiguration, match=r"did you mean 'spend__sum'"):
        reader.read(["ann"], ["spend__sun"], as_of=JAN)


def test_a_view_that_grew_is_known_to_a_reader_that_was_open_before(both: Store, workspace: Path, write_view) -> None:
    reader = open_reader(workspace)
    reader.read(["ann"], "churn", as_of=JAN)
    wider = write_view("visits", {"visits__n": "int", "visits__m": "int"}, {FEB: [("ann", 4, 5)]})
    for old in (workspace / "state" / "snapshots" / "visits").glob("20260101*"):
        old.unlink()
    both.apply([wider])
    (before,) = reader.read(["ann"], ["visits__n", "visits__m"], as_of=FEB)
    assert before["visits__n"] == OnlineValue(3, JAN, "fresh")
    assert before["visits__m"] == OnlineValue(None, JAN, "missing")  # its row is of before the feature
    both.materialize(as_of=FEB)
    assert reader.read(["ann"], ["visits__m"], as_of=FEB)[0]["visits__m"] == OnlineValue(5, FEB, "fresh")


class Recording:
    """Records that count the round trips of reading."""

    def __init__(self, records: OnlineRecords) -> None:
        self.records, self.trips = records, 0

    def read(self, customers: list[str], *, deadline_s: float) -> list[Record]:
        self.trips += 1
        return self.records.read(customers, deadline_s=deadline_s)

    def store_id(self) -> object:
        return self.records.store_id()  # no round trip

    def __getattr__(self, name: str) -> object:
        self.trips += 1
        return getattr(self.records, name)


def test_a_service_of_several_views_takes_one_round_trip(both: Store, workspace: Path) -> None:
    del both
    reader = open_reader(workspace)
    reader.read(["ann"], "churn", as_of=JAN)  # learns what the store holds
    counted = Recording(reader.records)
    reader.records = counted  # type: ignore[assignment]  # it passes on whatever is asked
    reader.read(["ann", "bob"], "churn", as_of=JAN)
    assert counted.trips == 1


def test_a_frozen_server_gives_missing_values_within_the_deadline(
    redis_server: RedisServer, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_REDIS", redis_server.url)
    keep_in_redis(workspace, "${env:OUR_REDIS}", deadline="100ms")
    reader = open_reader(workspace)
    with redis_server.frozen():
        began = time.monotonic()
        (ann,) = reader.read(["ann"], ["spend__sum"], as_of=JAN)
        assert time.monotonic() - began < WAIT_S / 2  # how long it would wait without a deadline
    assert ann["spend__sum"] == OnlineValue(None, None, "missing")
    assert (ann.found, ann.unread) == (False, "timeout")


def test_a_server_or_file_that_is_not_there_gives_missing_values(workspace: Path) -> None:
    reader = open_reader(workspace)
    (ann,) = reader.read(["ann"], "churn", as_of=JAN)
    assert (ann.values, ann.unread) == ({}, "unreachable")


def test_reading_never_imports_feast(workspace: Path, store: Store, write_view) -> None:
    store.apply([write_view("visits", {"visits__n": "int"}, {JAN: [("ann", 3)]})])
    store.materialize(as_of=JAN)
    program = f"""
import sys
from datetime import UTC, datetime
from pathlib import Path
from features.store.online_reader import open_reader
(row,) = open_reader(Path({str(workspace)!r})).read(["ann"], ["visits__n"], as_of=datetime(2026, 1, 1, tzinfo=UTC))
heavy = sorted({{"feast", "pandas", "pyarrow", "duckdb", "redis"}} & set(sys.modules))
print(row.values["visits__n"], heavy)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split(maxsplit=1) == ["3", "[]\n"]
