"""What every backend of the online records keeps: one contract, the same tests for each."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.base.errors import StorageFailure
from features.store.online_records import Block, OnlineRecords, Record
from features.store.online_records_redis import RedisRecords
from features.store.online_records_sqlite import SqliteRecords
from tests.features.store.conftest import RedisServer

SOON = 5.0


BACKENDS = ("sqlite", "redis")
_names = itertools.count()


def opened(backend: str, request: pytest.FixtureRequest) -> OnlineRecords:
    """Return empty records of a backend."""
    if backend == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return RedisRecords(server.url, name=f"contract{next(_names)}")
    records = SqliteRecords(request.getfixturevalue("tmp_path_factory").mktemp("records") / "online.db")
    records.drop([])  # makes the file
    return records


@pytest.fixture(params=BACKENDS)
def records(request: pytest.FixtureRequest) -> Iterator[OnlineRecords]:
    """Return empty records of each backend in turn."""
    made = opened(request.param, request)
    yield made
    made.close()


def block(event: int, *values: object, created: int = 0, layout: str = "l") -> Block:
    return Block(event, created, layout, values)  # type: ignore[arg-type]  # a test may hold what it likes


def read(records: OnlineRecords, *customers: str) -> list[Record]:
    return records.read(customers, deadline_s=SOON)


def test_a_record_comes_back_as_it_was_written(records: OnlineRecords) -> None:
    spend = block(-5, 2**53 + 1, 0.1 + 0.2, 'é "quoted"\n☃', True, None, created=7)
    assert records.write([("ann", {"spend": spend, "visits": block(1)})]) == 2
    assert read(records, "ann") == [{"spend": spend, "visits": block(1)}]
    assert read(records, "bob", "ann", "bob") == [{}, {"spend": spend, "visits": block(1)}, {}]
    assert read(records) == []


@pytest.mark.parametrize("name", ["", " ", "ann:bob", "ann*", 'a"n', "Änn", "日本", "🙂", "a\nb", "x" * 1000])
def test_any_text_may_be_a_customer(records: OnlineRecords, name: str) -> None:
    records.write([(name, {"spend": block(1, 1)}), ("other", {"spend": block(1, 2)})])
    assert read(records, name, "other") == [{"spend": block(1, 1)}, {"spend": block(1, 2)}]
    assert [customer for customer, _ in records.scan()] == sorted([name, "other"])
    assert records.delete(name)
    assert read(records, name, "other") == [{}, {"spend": block(1, 2)}]


def test_an_older_block_never_replaces_a_newer_one_and_an_equal_one_does(records: OnlineRecords) -> None:
    for moment in (10, 9_223_372_036_854_775, -10):
        who = str(moment)
        assert records.write([(who, {"spend": block(moment, "first", created=5)})]) == 1
        assert records.write([(who, {"spend": block(moment - 1, "older", created=99)})]) == 0
        assert records.write([(who, {"spend": block(moment, "known before", created=4)})]) == 0
        assert read(records, who) == [{"spend": block(moment, "first", created=5)}]
        assert records.write([(who, {"spend": block(moment, "again", created=5)})]) == 1
        assert read(records, who) == [{"spend": block(moment, "again", created=5)}]
        assert records.write([(who, {"spend": block(moment + 1, "newer", created=-3)})]) == 1
        assert read(records, who) == [{"spend": block(moment + 1, "newer", created=-3)}]


def test_a_write_touches_only_the_views_that_it_holds(records: OnlineRecords) -> None:
    records.write([("ann", {"spend": block(1, 1), "visits": block(1, 2)})])
    records.write([("ann", {"visits": block(2, 3)})])
    assert read(records, "ann") == [{"spend": block(1, 1), "visits": block(2, 3)}]


def test_a_view_is_taken_from_a_few_customers_where_it_is_not_newer(records: OnlineRecords) -> None:
    records.write([(who, {"spend": block(10, who), "visits": block(10)}) for who in ("ann", "bob", "cem")])
    records.write([("bob", {"spend": block(11, "newer")})])
    assert records.discard("spend", ["ann", "bob", "nobody"], not_after_us=10) == 1
    assert [sorted(record) for record in read(records, "ann", "bob", "cem")] == [
        ["visits"],
        ["spend", "visits"],
        ["spend", "visits"],
    ]


def test_delete_forgets_exactly_one_customer(records: OnlineRecords) -> None:
    names = ["ann", "ann2", "an", "ANN", "ann "]
    records.write([(who, {"spend": block(1, who), "visits": block(1)}) for who in names])
    assert records.delete("ann")
    assert not records.delete("ann")
    assert [customer for customer, _ in records.scan()] == sorted(names[1:])
    assert read(records, *names) == [{}, *({"spend": block(1, who), "visits": block(1)} for who in names[1:])]


def test_a_dropped_view_is_gone_with_its_facts(records: OnlineRecords) -> None:
    records.write([("ann", {"spend": block(10), "spend2": block(1)}), ("bob", {"spend": block(2**60)})])
    for name in ("spend:watermark", "spend2:watermark", "spend"):
        records.put_fact(name, "7")
    records.drop(["spend"])
    assert list(records.scan()) == [("ann", {"spend2": block(1)})]
    assert [records.fact(name) for name in ("spend:watermark", "spend2:watermark", "spend")] == [None, "7", "7"]
    assert records.write([("ann", {"spend": block(1)})]) == 1


def test_layouts_and_facts_are_kept(records: OnlineRecords) -> None:
    layout = (("spend__sum", "float"), ("spend__count", "int"))
    identity = records.put_layout(layout)
    assert records.put_layout(layout) == identity != records.put_layout(layout[::-1])
    assert records.layout(identity) == layout
    assert records.fact("a") is None
    records.put_fact("a", "1")
    records.put_fact("a", "2")
    assert records.fact("a") == "2"
    with pytest.raises(StorageFailure, match=r"store\.layout_missing"):
        records.layout("unheard of")


def test_all_customers_are_scanned_in_order_and_a_write_may_come_between(records: OnlineRecords) -> None:
    names = [f"c{number:05d}" for number in range(2_500)]
    records.write((who, {"spend": block(1, who)}) for who in reversed(names))
    seen = []
    for customer, _ in records.scan():
        seen.append(customer)
        if len(seen) % 500 == 0:
            records.write([(customer, {"spend": block(2)})])
    assert seen == names


Write = tuple[str, str, int, int]
writes = st.lists(
    st.tuples(st.sampled_from(["ann", "bob"]), st.sampled_from(["v", "w"]), st.integers(0, 3), st.integers(0, 3)),
    max_size=40,
)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(writes, min_size=2, max_size=4))
def test_whatever_order_writers_come_in_the_newest_block_stays(
    backend: str, request: pytest.FixtureRequest, parts: list[list[Write]]
) -> None:
    records = opened(backend, request)
    start = threading.Barrier(len(parts))

    def run(part: list[Write]) -> None:
        start.wait()
        for customer, view, event, created in part:
            records.write([(customer, {view: block(event, event, created, created=created)})])
        records.close()

    with ThreadPoolExecutor(len(parts)) as pool:
        for done in [pool.submit(run, part) for part in parts]:
            done.result()
    newest: dict[tuple[str, str], tuple[int, int]] = {}
    for customer, view, event, created in (one for part in parts for one in part):
        newest[customer, view] = max(newest.get((customer, view), (-1, -1)), (event, created))
    held = {(customer, view): found for customer, record in records.scan() for view, found in record.items()}
    assert held == {key: block(event, event, created, created=created) for key, (event, created) in newest.items()}
    records.close()
