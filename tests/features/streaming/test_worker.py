"""The worker leaves the online store as a recomputation would: whatever came, in any portions, wherever it ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.base.errors import BadData
from features.base.workspace import Workspace
from features.identity.streamed_events import read_segments
from features.store.online_records import OnlineRecords
from features.streaming import worker as working
from features.streaming.event import from_us
from features.streaming.event_log import EventLog, WorkerPosition
from features.streaming.worker import Worker, follow
from tests.features.streaming.conftest import OpenLog
from tests.features.streaming.world import (
    CUSTOMERS,
    NOW,
    SECOND,
    VIEWS,
    accept,
    built,
    customer,
    log_of,
    offline,
    records_of,
    told,
    values_of,
    world,
)
from tests.features.tiny import unified

DAY = timedelta(days=1)


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return world(tmp_path_factory.mktemp("company"))


@pytest.fixture
def workspace(company: Workspace) -> Workspace:
    """Return the company as it was built, with no streamed events and nothing online."""
    emptied(company)
    return company


def emptied(workspace: Workspace) -> None:
    for path in sorted([*workspace.streaming.rglob("*"), *(workspace.state / "online").rglob("*")]):
        if path.is_file():
            path.unlink()


def caught_up(workspace: Workspace, *, at: datetime = NOW, log: EventLog | None = None) -> dict[str, dict[str, Any]]:
    """Let a worker take everything, and return what is online: values by customer and view."""
    opened, records = log or log_of(workspace), records_of(workspace)
    follow(workspace, opened, records, clock=lambda: at, pause=lambda _: None, until_empty=True)
    found = online(records)
    if log is None:
        opened.close()
    records.close()
    return found


def online(records: OnlineRecords) -> dict[str, dict[str, Any]]:
    return {one: dict(values_of(record)) for one, record in records.scan()}


def without_company(features: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one: {name: row for name, row in views.items() if name != "market"} for one, views in features.items()}


def test_online_is_what_a_snapshot_of_that_moment_would_hold(workspace: Workspace) -> None:
    accept(workspace, [told(1, "A1"), told(2, "B1", amount=3.25), told(3, "D1", item="wine-red")])
    found = caught_up(workspace)
    last = log_of(workspace).read(after=0, limit=9)[-1].known_us
    expected = without_company(offline(workspace, from_us(last)))
    assert set(found) == {customer(workspace, name) for name in ("A1", "B1", "D1")}
    assert found == {one: expected[one] for one in found}


def test_a_customer_without_a_basis_is_served_no_view_of_that_purpose(workspace: Workspace) -> None:
    accept(workspace, [told(1, "B1"), told(2, "D1")])
    found = caught_up(workspace)
    assert "families" not in found[customer(workspace, "B1")]
    assert "families" in found[customer(workspace, "D1")]


def test_a_grant_that_runs_out_while_the_worker_runs_is_seen_to_have(workspace: Workspace) -> None:
    accept(workspace, [told(1, "A1")])
    assert "families" in caught_up(workspace)[customer(workspace, "A1")]
    emptied(workspace)
    later = NOW + 60 * DAY
    accept(workspace, [told(1, "A1", at=later)], at=later)
    assert "families" not in caught_up(workspace, at=later)[customer(workspace, "A1")]


ITEMS = st.sampled_from(["toy", None])
PORTIONS = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.integers(0, 12), st.sampled_from(CUSTOMERS), st.integers(0, 40), ITEMS),
            min_size=1,
            max_size=6,
        ),
        st.booleans(),  # whether the worker takes them at once
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.property
@given(portions=PORTIONS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8, deadline=None)
def test_whatever_comes_in_whatever_portions_online_is_the_recomputation(
    company: Workspace, portions: list[tuple[list[tuple[int, str, int, str | None]], bool]]
) -> None:
    emptied(company)
    touched: dict[str, int] = {}
    start = 0
    for number, (events, at_once) in enumerate(portions):
        at = NOW + number * timedelta(hours=7)
        accept(company, [told(n, who, at - days * DAY, item=item) for n, who, days, item in events], at=at)
        if at_once or number == len(portions) - 1:
            found = caught_up(company, at=at)
            entries = log_of(company).read(after=start, limit=1000)
            touched |= {entry.event.customer_id: entries[-1].known_us for entry in entries}
            start += len(entries)
    assert set(found) == set(touched)
    for moment in set(touched.values()):
        expected = without_company(offline(company, from_us(moment)))
        for one in (one for one, last in touched.items() if last == moment):
            assert found[one] == expected[one]


@pytest.mark.parametrize("moment", ["before writing", "before moving on", "after moving on"])
def test_a_worker_that_ends_anywhere_in_a_batch_has_no_effect_twice(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    accept(workspace, [told(1, "A1"), told(2, "D1")])
    log, records = log_of(workspace), records_of(workspace)

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        if moment == "before writing":
            patched.setattr(records, "write", die)
        elif moment == "before moving on":
            patched.setattr(log, "set_position", lambda position: die() if position.seq else None)
        else:
            patched.setattr(working, "compact", lambda *_: die() if log.position().seq else 0)
        with pytest.raises(Killed):
            follow(workspace, log, records, clock=lambda: NOW, pause=lambda _: None, until_empty=True)
    log.close()
    records.close()
    accept(workspace, [told(3, "A1")], at=NOW + SECOND)
    found = caught_up(workspace, at=NOW + SECOND)
    (first, second, third) = log_of(workspace).read(after=0, limit=9)
    expected = without_company(offline(workspace, from_us(third.known_us)))
    assert found[first.event.customer_id] == expected[first.event.customer_id]
    assert found[second.event.customer_id]["purchases"][:3] == (7.5, 7.5, 7.5)
    assert log_of(workspace).position().seq == 3


def test_events_that_a_build_has_not_seen_are_taken_again_after_it(tmp_path: Path) -> None:
    workspace = world(tmp_path)
    ann = customer(workspace, "A1")
    accept(workspace, [told(1, "A1")])
    caught_up(workspace)
    report = built(workspace)  # has seen the first event, and not the second
    accept(workspace, [told(2, "A1")], at=NOW + SECOND)
    log, records = log_of(workspace), records_of(workspace)
    log.set_position(WorkerPosition(2, log.position().digest))  # as if it had been taken before the build ended
    log.close()
    found = caught_up(workspace, at=NOW + SECOND)
    assert report.last_event == 1
    assert found[ann]["purchases"][0] == 15.0
    (block,) = {block.event_us for block in dict(records.scan())[ann].values()}
    assert from_us(block) == report.as_of == NOW.replace(hour=0) + DAY, "served as of tonight, as the build was"
    assert found[ann] == without_company(offline(workspace, report.as_of))[ann]
    records.close()


def test_after_a_new_build_of_other_views_the_worker_goes_on_with_those(tmp_path: Path) -> None:
    workspace = world(tmp_path)
    accept(workspace, [told(1, "A1")])
    log, records = log_of(workspace), records_of(workspace)
    worker = Worker(workspace, log, records, clock=lambda: NOW)
    assert log.acquire_lease()
    assert worker.step() == 1
    views = tmp_path / "features" / "views.yaml"
    views.write_text(VIEWS.replace("[1d, 30d]", "[2d]"), encoding="utf-8")
    built(workspace)
    accept(workspace, [told(2, "D1")], at=NOW + SECOND)
    assert worker.step() == 1
    assert len(online(records)[customer(workspace, "D1")]["purchases"]) == 8
    worker.end()
    log.close()
    records.close()


def test_views_that_are_declared_and_not_built_are_told(tmp_path: Path) -> None:
    workspace = world(tmp_path)
    views = tmp_path / "features" / "views.yaml"
    views.write_text(VIEWS.replace("[1d, 30d]", "[2d]"), encoding="utf-8")
    accept(workspace, [told(1, "A1")])
    with pytest.raises(BadData) as caught:
        caught_up(workspace)
    assert caught.value.first.code == "streaming.out_of_step"
    assert log_of(workspace).position().seq == 0


def test_a_new_customer_of_the_next_unification_is_followed(tmp_path: Path) -> None:
    workspace = world(tmp_path)
    accept(workspace, [told(1, "A1", record="crm:E1")])
    assert caught_up(workspace) == {}
    crm = tmp_path / "crm.csv"
    crm.write_text(crm.read_text(encoding="utf-8") + "E1,2026-01-01,e1@x.org,Town E1\n", encoding="utf-8")
    unified(workspace)
    built(workspace)
    assert set(caught_up(workspace, at=NOW + SECOND)) == {customer(workspace, "E1")}


def test_what_a_feed_has_delivered_already_is_not_counted_again(workspace: Workspace) -> None:
    accept(workspace, [told(2, "A1", feed="till", id="2", amount=20.0)])
    assert caught_up(workspace)[customer(workspace, "A1")]["purchases"][1] == 30.0


def test_two_workers_one_waits_and_takes_over(workspace: Workspace) -> None:
    accept(workspace, [told(1, "A1")])
    first, second = log_of(workspace), log_of(workspace)
    assert first.acquire_lease()
    waits: list[str] = []

    def pause(_: float) -> None:
        if not waits:
            raise AssertionError("it did not say that it waits")
        first.release_lease()

    records = records_of(workspace)
    done = follow(
        workspace,
        second,
        records,
        clock=lambda: NOW,
        pause=pause,
        until_empty=True,
        waiting=lambda: waits.append("waits"),
    )
    assert (waits, done.events) == (["waits"], 1)
    for opened in (first, second, records):
        opened.close()


def test_a_worker_that_takes_over_again_knows_what_another_one_did_meanwhile(workspace: Workspace) -> None:
    log, records = log_of(workspace), records_of(workspace)
    assert log.acquire_lease()
    one, other = (Worker(workspace, log, records, clock=lambda: NOW) for _ in range(2))
    for number, worker in enumerate([one, other, one]):
        accept(workspace, [told(number, "A1")], at=NOW + number * SECOND)
        assert worker.step() == 1
    assert online(records)[customer(workspace, "A1")]["purchases"][0] == 3 * 7.5
    for opened in (one, other):
        opened.end()
    log.close()
    records.close()


def test_an_interrupted_worker_compacts_what_it_took(workspace: Workspace) -> None:
    accept(workspace, [told(1, "A1")])
    log, records = log_of(workspace), records_of(workspace)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow(workspace, log, records, clock=lambda: NOW, pause=interrupt)
    assert log.position().seq == read_segments(workspace.streaming).through == 1
    assert log_of(workspace).acquire_lease(), "the lease is given back"
    log.close()
    records.close()


def test_it_follows_either_log(workspace: Workspace, opened: OpenLog) -> None:
    log = opened()
    stop = threading.Event()
    records = records_of(workspace)

    def pause(_: float) -> None:
        if stop.is_set():
            raise KeyboardInterrupt

    def produce() -> Iterator[None]:
        for number in range(30):
            accept(workspace, [told(number, CUSTOMERS[number % 4])], at=NOW + number * SECOND, log=opened())
            yield

    worker = Worker(workspace, log, records, clock=lambda: NOW)
    assert log.acquire_lease()
    taken = sum(worker.step() for _ in produce())
    assert taken == worker.done.events == 30
    assert len(online(records)) == 4
    worker.end()
    records.close()
