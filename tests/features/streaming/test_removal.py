"""Events are taken out for good, those that are meant and no others, whoever is at work and wherever it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from features.base.errors import Unreachable
from features.base.storage import digest_of, write_json
from features.base.workspace import Workspace
from features.identity import streamed_events
from features.identity.streamed_events import read_segments
from features.snapshots.build_report import REPORT, as_json, read_report
from features.streaming import removal
from features.streaming.compaction import compact
from features.streaming.event import from_us
from features.streaming.event_log import EventLog, WorkerPosition
from features.streaming.removal import Erased, Pruned, erase, prune, without_stale_worker
from features.streaming.state_digest import features_digest
from features.streaming.worker import Worker
from tests.features.streaming.conftest import OpenLog
from tests.features.streaming.test_compaction import rows
from tests.features.streaming.test_worker import Killed, caught_up, emptied, without_company
from tests.features.streaming.world import (
    FEEDS,
    NOW,
    SECOND,
    accept,
    customer,
    log_of,
    offline,
    records_of,
    told,
    world,
)
from tests.features.tiny import unified

DAY = timedelta(days=1)
OF_THE_TILL: dict[str, Any] = {"feed": "till", "id": "2", "amount": 20.0}  # which its feed has delivered, too


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return world(tmp_path_factory.mktemp("company"))


@pytest.fixture
def workspace(company: Workspace) -> Iterator[Workspace]:
    """Return the company as it was built, with no streamed events and nothing online."""
    emptied(company)
    report = read_report(company)
    yield company
    write_json(company.snapshots / REPORT, as_json(report))


def seen(workspace: Workspace, log: EventLog, *, at: datetime = NOW) -> None:
    """Let a build and a worker see all that the log holds."""
    report = replace(read_report(workspace), last_event=compact(workspace, log))
    write_json(
        workspace.snapshots / REPORT, as_json(replace(report, digest=digest_of([report.digest, report.last_event])))
    )
    caught_up(workspace, at=at, log=log)
    log.release_lease()


def ids(log: EventLog) -> list[str]:
    return [entry.event.id for entry in log.read(after=0, limit=1000)]


def test_what_a_feed_holds_goes_and_no_feature_changes(workspace: Workspace, log: EventLog) -> None:
    accept(workspace, [told(1, "A1"), told(2, "A1", **OF_THE_TILL), told(3, "B1")], log=log)
    seen(workspace, log)
    before = offline(workspace, NOW + DAY), rows(workspace)
    assert prune(workspace, log) == Pruned(delivered=1, old=0, dead_letters=0)
    assert ids(log) == ["e1", "e3"]
    assert (offline(workspace, NOW + DAY), rows(workspace)) == before
    assert read_segments(workspace.streaming).through == 3
    assert prune(workspace, log) == Pruned(0, 0, 0)


def test_what_was_pruned_counts_once_when_it_is_told_again(workspace: Workspace, log: EventLog) -> None:
    accept(workspace, [told(2, "A1", **OF_THE_TILL)], log=log)
    seen(workspace, log)
    before = offline(workspace, NOW + DAY)
    prune(workspace, log)
    accept(workspace, [told(2, "A1", **OF_THE_TILL)] * 2, at=NOW + SECOND, log=log)
    found = caught_up(workspace, at=NOW + SECOND, log=log)[customer(workspace, "A1")]
    log.release_lease()
    assert found["purchases"][1] == 30.0
    compact(workspace, log)
    assert offline(workspace, NOW + DAY) == before


def test_what_the_worker_or_the_last_build_has_not_seen_stays(workspace: Workspace, log: EventLog) -> None:
    accept(workspace, [told(2, "A1", **OF_THE_TILL)], log=log)
    caught_up(workspace, log=log)
    log.release_lease()
    assert prune(workspace, log, before=NOW + DAY) == Pruned(0, 0, 0), "the last build has seen no streamed event"
    seen(workspace, log)
    log.acquire_lease()
    log.set_position(WorkerPosition(0, ""))
    assert prune(workspace, log, before=NOW + DAY) == Pruned(0, 0, 0), "the worker has not"
    assert ids(log) == ["2"]


def test_what_is_old_goes_only_if_that_is_asked_for_and_does_not_come_back(workspace: Workspace, log: EventLog) -> None:
    ann = customer(workspace, "A1")
    old = [told(1, "A1"), told(2, "A1", **OF_THE_TILL), told(3, "nobody"), "{"]
    accept(workspace, old, log=log)
    accept(workspace, [told(4, "A1"), told(5, "nobody")], at=NOW + DAY, log=log)
    seen(workspace, log, at=NOW + DAY)
    assert prune(workspace, log, before=NOW + DAY) == Pruned(delivered=0, old=2, dead_letters=2)
    assert [row[1] for row in rows(workspace)] == ids(log) == ["e4"]
    assert len(log.dead_letters()) == 1
    assert accept(workspace, old[:2], at=NOW + DAY, log=log).duplicates == 2
    assert offline(workspace, NOW + DAY)[ann]["purchases"][1] == 30.0 + 7.5
    accept(workspace, [told(6, "A1")], at=NOW + DAY + SECOND, log=log)
    found = caught_up(workspace, at=NOW + DAY + SECOND, log=log)[ann]
    log.release_lease()
    assert found["purchases"][1] == 30.0 + 2 * 7.5


@pytest.mark.parametrize("moment", ["before the compacted rows", "before the list of files", "before the end"])
def test_killed_anywhere_it_is_run_again(
    workspace: Workspace, log: EventLog, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def die(*_: object, **__: object) -> None:
        raise Killed

    ann = customer(workspace, "A1")
    accept(workspace, [told(1, "A1"), told(2, "A1", **OF_THE_TILL), told(3, "B1"), told(4, "D1")], log=log)
    seen(workspace, log)
    before = offline(workspace, NOW + DAY)
    point = {"before the compacted rows": "_remove_rows", "before the list of files": "write_segments"}.get(
        moment, "remove_files"
    )
    for run in (lambda: prune(workspace, log), lambda: erase(workspace, log, ann)):
        with monkeypatch.context() as patched:
            patched.setattr(removal, point, die)
            with pytest.raises(Killed):
                run()
        accept(workspace, [told(9, "B1")], at=NOW + SECOND, log=log)
        compact(workspace, log)
        run()
    assert [row[1] for row in rows(workspace)] == ids(log) == ["e3", "e4", "e9"]
    assert len(list((workspace.streaming / "events").iterdir())) == 2, "one file of rows, and their list"
    after = offline(workspace, NOW + DAY)
    dora = customer(workspace, "D1")
    assert after[dora] == before[dora]
    assert after[ann]["purchases"][1] == 30.0


def test_exactly_one_customer_is_erased(workspace: Workspace, log: EventLog) -> None:
    ann, bob = customer(workspace, "A1"), customer(workspace, "B1")
    later = NOW + 30 * DAY
    aside = [
        told(10, "A1", later),
        told(11, ann, later),
        f'{{"customer_id" : "{ann}", "broken',
        told(12, ann, extra="key"),
        told(13, "B1", later),
        told(14, bob, later, text=f'"customer_id": "{ann}"'),
        f'{{"broken": "{ann}"',
    ]
    accept(workspace, [told(1, "A1"), told(2, ann), told(3, "B1", text=ann), told(4, bob), *aside], log=log)
    seen(workspace, log)
    accept(workspace, [told(5, "A1"), told(6, "B1")], at=NOW + SECOND, log=log)  # not compacted yet
    before = without_company(offline(workspace, NOW + DAY))
    assert erase(workspace, log, ann) == Erased(events=3, dead_letters=4)
    assert ids(log) == ["e3", "e4", "e6"]
    assert [one.payload for one in log.dead_letters()] == aside[4:]
    assert [row[1] for row in rows(workspace)] == ["e3", "e4", "e6"]
    after = without_company(offline(workspace, NOW + DAY))
    assert after[ann]["purchases"][1] == 30.0, "what the feeds hold"
    assert {one: after[one] for one in after if one not in (ann, bob)} == {
        one: before[one] for one in before if one not in (ann, bob)
    }
    assert after[bob]["purchases"][1] == before[bob]["purchases"][1] + 7.5
    assert accept(workspace, [told(1, "A1"), told(5, ann)], at=NOW + SECOND, log=log).duplicates == 2
    assert erase(workspace, log, ann) == Erased(0, 0)


def test_what_was_kept_aside_does_not_come_back_through_a_worker_that_held_it(
    workspace: Workspace, log: EventLog
) -> None:
    accept(workspace, [told(1, "A1", NOW + DAY), told(2, "B1", NOW + DAY)], log=log)
    held = log.dead_letters()
    assert erase(workspace, log, customer(workspace, "A1")) == Erased(0, 1)
    later = NOW + 2 * DAY
    assert accept(workspace, [one.payload for one in held], at=later, log=log).accepted == 1
    assert ids(log) == ["e2"]


def test_an_event_of_another_with_the_key_of_one_kept_aside_stays(workspace: Workspace, log: EventLog) -> None:
    accept(workspace, [told(1, "B1"), told(1, "A1", NOW + DAY)], log=log)
    assert erase(workspace, log, customer(workspace, "A1")) == Erased(0, 1)
    assert ids(log) == ["e1"]


def test_nothing_of_the_erased_stays_in_any_file(workspace: Workspace) -> None:
    ann = customer(workspace, "A1")
    log = log_of(workspace)
    accept(workspace, [told(1, "A1", text="a secret"), told(2, "B1"), told(3, ann, NOW + DAY, text="secret")], log=log)
    compact(workspace, log)
    left = workspace.streaming / "events" / ".0-1.parquet.1.part"
    left.write_bytes(b"secret")
    log.remove([], tombstones=[])
    erase(workspace, log, ann)
    found = [path for path in workspace.streaming.rglob("*") if path.is_file()]
    assert left not in found
    assert not [path for path in found if b"secret" in path.read_bytes() or ann.encode() in path.read_bytes()]
    log.close()


def test_a_worker_at_work_forgets_what_it_held_of_the_erased(workspace: Workspace, log: EventLog) -> None:
    ann = customer(workspace, "A1")
    records = records_of(workspace)
    worker = Worker(workspace, log, records, clock=lambda: NOW)
    assert log.acquire_lease()
    accept(workspace, [told(1, "A1"), told(2, "B1")], log=log)
    assert worker.step() == 2
    assert erase(workspace, log, ann) == Erased(1, 0)
    records.delete(ann)
    assert worker.step() == 1, "it takes again what the last build has not seen"
    assert ann not in dict(records.scan())
    accept(workspace, [told(3, "A1")], at=NOW + SECOND, log=log)
    assert worker.step() == 1
    found = {one: {view: block.values for view, block in record.items()} for one, record in records.scan()}
    assert found[ann]["purchases"][1] == 30.0 + 7.5
    (last,) = log.read(after=2, limit=9)
    assert found[ann] == without_company(offline_compacted(workspace, log, from_us(last.known_us)))[ann]
    worker.end()
    records.close()


def offline_compacted(workspace: Workspace, log: EventLog, as_of: datetime) -> dict[str, dict[str, Any]]:
    compact(workspace, log)
    return offline(workspace, as_of)


def test_a_worker_that_takes_over_passes_what_was_taken_out(workspace: Workspace, log: EventLog) -> None:
    records = records_of(workspace)
    one = Worker(workspace, log, records, clock=lambda: NOW)
    other = Worker(workspace, log, records, clock=lambda: NOW)
    assert log.acquire_lease()
    for number, worker in enumerate([one, other]):
        accept(workspace, [told(number, "A1"), told(9, "A1", **OF_THE_TILL)], at=NOW + number * SECOND, log=log)
        assert worker.step() > 0
    log.remove([("app", "e1"), ("till", "2")])
    assert one.step() == 0
    accept(workspace, [told(3, "A1")], at=NOW + 3 * SECOND, log=log)
    assert one.step() == 1
    assert log.position().seq == 4
    for worker in (one, other):
        worker.end()
    records.close()


def test_the_online_store_is_emptied_once_no_worker_holds_old_rows(workspace: Workspace, opened: OpenLog) -> None:
    log, other = opened(), opened()
    assert other.acquire_lease()
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            other.set_position(WorkerPosition(0, features_digest(workspace)))  # it has loaded everything anew

    with without_stale_worker(workspace, log, pause=pause):
        assert len(waits) == 3
    other.set_position(WorkerPosition(0, "of before"))
    with pytest.raises(Unreachable) as caught, without_stale_worker(workspace, log, pause=lambda _: None):
        raise AssertionError("it did not wait")
    assert caught.value.exit_code == 69
    other.release_lease()
    with without_stale_worker(workspace, log, pause=pause):
        assert not other.acquire_lease(), "no worker begins meanwhile"
    assert other.acquire_lease()


def test_writers_at_work_lose_nothing_while_the_log_is_pruned(workspace: Workspace, opened: OpenLog) -> None:
    log = opened()
    accept(workspace, [told(2, "A1", **OF_THE_TILL)], log=log)
    seen(workspace, log)

    def work(number: int) -> None:
        own = opened()
        for event in range(number, number + 10):
            accept(workspace, [told(event, "B1"), told(2, "A1", **OF_THE_TILL)], log=own)
            compact(workspace, own)

    threads = [threading.Thread(target=work, args=(number,)) for number in (100, 200)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        prune(workspace, log)
        rows(workspace)
    for thread in threads:
        thread.join()
    seen(workspace, log, at=NOW + SECOND)
    prune(workspace, log)
    expected = sorted(f"e{event}" for number in (100, 200) for event in range(number, number + 10))
    assert sorted(ids(log)) == expected
    assert sorted(row[1] for row in rows(workspace)) == expected


def test_who_reads_while_files_take_the_place_of_others_reads_those(
    workspace: Workspace, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(workspace, [told(1, "A1"), told(2, "B1")], log=log)
    compact(workspace, log)
    ann, reading = customer(workspace, "A1"), streamed_events.compacted_rows

    def late(*told: Any, **named: Any) -> Any:
        monkeypatch.setattr(streamed_events, "compacted_rows", reading)
        erase(workspace, log, ann)
        return reading(*told, **named)

    monkeypatch.setattr(streamed_events, "compacted_rows", late)
    assert [row[1] for row in rows(workspace)] == ["e2"]


def test_settling_anew_after_everything_was_taken_out_keeps_its_number(tmp_path: Path) -> None:
    workspace = world(tmp_path)
    log = log_of(workspace)
    accept(workspace, [told(1, "A1"), told(2, "A1")], log=log)
    assert erase(workspace, log, customer(workspace, "A1")) == Erased(2, 0)
    crm = tmp_path / "crm.csv"
    crm.write_text(crm.read_text(encoding="utf-8") + "E1,2026-01-01,e1@x.org,Town E1\n", encoding="utf-8")
    unified(workspace)
    assert compact(workspace, log) == 2
    assert read_segments(workspace.streaming).files == ()
    accept(workspace, [told(3, "A1", record="crm:E1")], at=NOW + SECOND, log=log)
    assert compact(workspace, log) == 3
    assert [row[1] for row in rows(workspace)] == ["e3"]
    log.close()


def test_who_was_merged_is_erased_whole_and_by_the_id_of_today_alone(tmp_path: Path) -> None:
    workspace = world(tmp_path)
    past = {customer(workspace, "A1"), customer(workspace, "D1")}
    log = log_of(workspace)
    accept(workspace, [told(1, one) for one in sorted(past)[:1]] + [told(2, sorted(past)[1])], log=log)
    accept(workspace, [told(3, "D1"), told(4, "B1")], log=log)
    compact(workspace, log)
    feeds = tmp_path / "features" / "feeds.yaml"
    feeds.write_text(FEEDS.replace("[email]}", "[email], always: [[crm:A1, crm:D1]]}"), encoding="utf-8")
    unified(workspace)
    one = customer(workspace, "A1")
    (lost,) = past - {one}
    assert erase(workspace, log, lost) == Erased(0, 0), "it leads to another customer today"
    assert erase(workspace, log, one) == Erased(3, 0)
    assert ids(log) == ["e4"]
    log.close()


def test_who_is_gone_from_the_feeds_is_erased_by_the_id_they_had(tmp_path: Path) -> None:
    workspace = world(tmp_path)
    ann = customer(workspace, "A1")
    log = log_of(workspace)
    accept(workspace, [told(1, "A1"), told(2, ann), told(3, "B1"), told(4, "A1", NOW + DAY)], log=log)
    crm = tmp_path / "crm.csv"
    kept = [line for line in crm.read_text(encoding="utf-8").splitlines() if not line.startswith("A1,")]
    crm.write_text("\n".join(kept), encoding="utf-8")
    unified(workspace)
    accept(workspace, [told(5, "A1"), told(6, ann), told(7, "nobody")], at=NOW + SECOND, log=log)
    assert len(log.dead_letters()) == 4
    assert erase(workspace, log, ann) == Erased(events=2, dead_letters=3)
    assert (ids(log), len(log.dead_letters())) == (["e3"], 1)
    log.close()
