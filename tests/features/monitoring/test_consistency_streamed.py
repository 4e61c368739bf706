"""What the worker wrote online is what the compiled views give; an event that is on its way is no skew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from features.base.workspace import Workspace
from features.monitoring.consistency import FeatureConsistency, prove
from features.monitoring.reconciliation import reconcile
from features.store.online_backend import open_records
from features.streaming.event_log_sqlite import SqliteLog
from features.streaming.intake import Intake
from features.streaming.worker import follow
from tests.features.monitoring.world import MIDNIGHT, TILL, build, customers, serve, shop

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
OWN = ("buys__amount_sum_7d", "buys__count_30d", "buys__recency", "profile__city")


@pytest.fixture
def log(workspace: Workspace) -> Iterator[SqliteLog]:
    opened = SqliteLog(workspace.streaming)
    yield opened
    opened.close()


def accept(workspace: Workspace, log: SqliteLog, number: int, who: str, *, at: datetime) -> None:
    told = {"feed": "app", "id": f"e{number}", "customer_id": who, "event": "buy", "amount": 2.5}
    receipt = Intake(workspace, log).accept([json.dumps(told | {"event_time": at.isoformat()})], at=at)
    assert receipt.accepted == 1


def catch_up(workspace: Workspace, log: SqliteLog, *, at: datetime) -> None:
    records = open_records(workspace.root)
    follow(workspace, log, records, clock=lambda: at, pause=lambda _: None, until_empty=True)
    records.close()


def told(workspace: Workspace) -> dict[str, FeatureConsistency]:
    return {feature.feature: feature for feature in prove(workspace).features}


@pytest.mark.parametrize("build_is_of", ["the night before", "the night to come"])
def test_what_the_worker_wrote_is_what_is_computed_offline(
    workspace: Workspace, log: SqliteLog, build_is_of: str
) -> None:
    """Read after each of some events; then more events come, of the same customers, and everything is built again."""
    noon = MIDNIGHT + (12 if build_is_of == "the night before" else -8) * HOUR
    asked = customers(workspace)
    for number in range(4):
        at = noon + number * 60 * SECOND
        accept(workspace, log, number, asked[number % 2], at=at)
        catch_up(workspace, log, at=at)
        serve(workspace, asked, at=at + SECOND, features=OWN)
    assert {(one.compared, one.mismatched, one.behind) for one in told(workspace).values()} == {(12, 0, 0)}
    build(workspace)
    found = told(workspace)
    assert {(one.compared, one.mismatched, one.behind) for one in found.values()} == {(12, 0, 0)}


def test_an_event_on_its_way_is_behind_and_one_that_never_came_is_a_mismatch(
    workspace: Workspace, log: SqliteLog
) -> None:
    """The build is of the night to come, so its moment says nothing about what was known."""
    ann = customers(workspace)[0]
    at = MIDNIGHT - 8 * HOUR
    accept(workspace, log, 1, ann, at=at)
    serve(workspace, [ann], at=at + SECOND, features=OWN)
    found = told(workspace)["buys__count_30d"]
    assert (found.compared, found.mismatched, found.behind) == (1, 0, 1)
    serve(workspace, [ann], at=at + 10 * SECOND, features=OWN)
    found = told(workspace)["buys__count_30d"]
    assert (found.compared, found.mismatched, found.behind) == (2, 1, 1)
    assert told(workspace)["profile__city"].mismatched == 0


def test_a_worker_that_computes_otherwise_is_found(workspace: Workspace, log: SqliteLog) -> None:
    ann = customers(workspace)[0]
    noon = MIDNIGHT + 12 * HOUR
    accept(workspace, log, 1, ann, at=noon)
    catch_up(workspace, log, at=noon)
    records = open_records(workspace.root)
    (held,) = records.read([ann], deadline_s=5)
    block = held["buys"]
    count = [name for name, _ in records.layout(block.layout)].index("buys__count_30d")
    twice = tuple(4 if place == count else value for place, value in enumerate(block.values))  # counted twice
    records.write([(ann, {"buys": replace(block, values=twice)})])
    serve(workspace, [ann], at=noon + SECOND, features=OWN)
    found = told(workspace)
    assert {name for name, one in found.items() if one.mismatched} == {"buys__count_30d"}


def test_a_build_of_the_same_night_replaces_what_the_worker_wrote_before_it(
    workspace: Workspace, log: SqliteLog
) -> None:
    """A delivery of the day is in the next build of that day, also for those whom an event touched meanwhile."""
    ann, bob, _ = customers(workspace)
    at = MIDNIGHT - 8 * HOUR
    for number, who in enumerate((ann, bob)):
        accept(workspace, log, number, who, at=at + number * SECOND)
    catch_up(workspace, log, at=at)
    (row,) = serve(workspace, [ann], at=at, features=OWN)
    assert (row.event_times["buys"], row.values["buys__count_30d"]) == (MIDNIGHT, 3)
    shop(workspace.root, till=(*TILL, "5,1,2026-01-08 17:00,2026-01-08 17:00,bear,50"))
    build(workspace)
    accept(workspace, log, 2, bob, at=at + 2 * HOUR)
    catch_up(workspace, log, at=at + 2 * HOUR)
    rows = serve(workspace, [ann, bob], at=at + 2 * HOUR, features=OWN)
    assert [row.values["buys__count_30d"] for row in rows] == [4, 3]
    found = reconcile(workspace, repair=False, now=at + 3 * HOUR)
    assert found.wrong == 0
    assert {view.view: view.counts for view in found.found}["buys"] == {"ahead": 1}
