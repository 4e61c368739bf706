"""What both event logs promise: order, one entry an event, one moment after the other, one worker."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import redis

from features.base.errors import StorageFailure, Unreachable
from features.streaming import event_log_sqlite
from features.streaming.event import AcceptedEvent
from features.streaming.event_log import DeadLetter, EventLog, LeaseLost, WorkerPosition
from features.streaming.event_log_redis import RedisLog
from features.streaming.event_log_sqlite import SqliteLog
from tests.features.streaming.conftest import OpenLog

AT = 1_772_000_000_000_000


def event(number: int, **more: object) -> AcceptedEvent:
    told = {"feed": "app", "id": f"e{number}", "customer_id": "c1", "record": None, "event": "purchase", "event_us": AT}
    return AcceptedEvent(**{**told, **more})  # type: ignore[arg-type]


def ids(log: EventLog) -> list[str]:
    return [entry.event.id for entry in log.read(after=0, limit=1000)]


def test_what_was_appended_is_read_in_order_and_as_it_was(log: EventLog) -> None:
    told = [event(1, amount=0.1, text="Zoë said “no”"), event(2, record="crm:A1"), event(3, quantity=2.0)]
    assert log.append(told, at_us=AT).accepted == 3
    entries = log.read(after=0, limit=10)
    assert [entry.event for entry in entries] == told
    assert [entry.seq for entry in entries] == [1, 2, 3]
    assert log.read(after=1, limit=1) == entries[1:2]
    assert log.last() == 3


def test_an_event_that_is_told_twice_is_kept_once(log: EventLog) -> None:
    assert log.append([event(1), event(2), event(1)], at_us=AT).duplicates == 1
    again = log.append([event(2), event(3), event(1, feed="web")], at_us=AT + 5)
    assert (again.accepted, again.duplicates) == (2, 1)
    assert [(e.event.feed, e.event.id) for e in log.read(after=0, limit=10)] == [
        ("app", "e1"),
        ("app", "e2"),
        ("app", "e3"),
        ("web", "e1"),
    ]
    assert [entry.seq for entry in log.read(after=0, limit=10)] == [1, 2, 3, 4]


def test_every_event_is_known_later_than_the_one_before_even_if_the_clock_goes_back(log: EventLog) -> None:
    log.append([event(1), event(2)], at_us=AT)
    log.append([event(3)], at_us=AT - 1_000_000)
    log.append([event(4)], at_us=AT + 10)
    assert [entry.known_us - AT for entry in log.read(after=0, limit=10)] == [0, 1, 2, 10]


def test_more_than_a_thousand_at_once_all_lie_there(log: EventLog) -> None:
    assert log.append([event(number) for number in range(2500)], at_us=AT).accepted == 2500
    assert log.last() == 2500
    assert [entry.seq for entry in log.read(after=2400, limit=200)] == list(range(2401, 2501))


def test_what_is_kept_aside_lies_there_once_until_it_is_replayed(log: EventLog) -> None:
    first, second = DeadLetter("future", "", '{"id": 1}', AT), DeadLetter("malformed", "id: missing", "{}", AT)
    log.append([], [first, second], at_us=AT)
    log.append([], [first], at_us=AT + 1)
    assert log.dead_letters() == [first, second]
    assert log.dead_letters(["malformed"]) == [second]
    log.append([event(1)], at_us=AT + 2, replayed=[first.key])
    assert log.dead_letters() == [second]
    assert ids(log) == ["e1"]


def test_what_was_taken_out_leaves_a_gap_and_no_number_is_given_twice(log: EventLog) -> None:
    log.append([event(number) for number in range(4)], at_us=AT)
    assert log.remove([("app", "e1"), ("app", "e3"), ("web", "e0"), ("app", "never told")]) == 2
    assert log.remove([("app", "e1")]) == 0
    assert ids(log) == ["e0", "e2"]
    assert log.last() == 4
    log.append([event(9)], at_us=AT)
    (new,) = log.read(after=4, limit=9)
    assert (new.seq, new.known_us) == (5, AT + 4), "later than the one that was taken out"


def test_an_emptied_log_counts_on(log: EventLog) -> None:
    log.append([event(1), event(2)], at_us=AT)
    assert log.remove([("app", "e2")]) == log.remove([("app", "e1")]) == 1
    assert (log.last(), log.read(after=0, limit=9)) == (2, [])
    log.append([event(3)], at_us=AT)
    assert [(entry.seq, entry.known_us) for entry in log.read(after=0, limit=9)] == [(3, AT + 2)]


def test_what_was_taken_out_is_new_when_it_is_told_again_unless_it_is_barred(log: EventLog) -> None:
    log.append([event(1), event(2)], at_us=AT)
    log.remove([("app", "e1")])
    log.remove([("app", "e2")], tombstones=[("app", "e2"), ("app", "e3")])
    again = log.append([event(1), event(2), event(3), event(2, feed="web")], at_us=AT + 9)
    assert (again.accepted, again.duplicates) == (2, 2)
    assert [(e.event.feed, e.event.id) for e in log.read(after=0, limit=9)] == [("app", "e1"), ("web", "e2")]


def test_an_entry_that_is_barred_only_stays(log: EventLog) -> None:
    log.append([event(1)], at_us=AT)
    assert log.remove([], tombstones=[("app", "e1")]) == 0
    assert ids(log) == ["e1"]


def test_more_than_a_thousand_are_taken_out_and_what_is_aside_with_them(log: EventLog) -> None:
    aside = [DeadLetter("malformed", "", f"{{{number}", AT) for number in range(3)]
    log.append([event(number) for number in range(2500)], aside, at_us=AT)
    keys = [("app", f"e{number}") for number in range(2400)]
    assert log.remove(keys, dead_letters=[aside[0].key, aside[2].key], tombstones=keys) == 2400
    assert ids(log) == [f"e{number}" for number in range(2400, 2500)]
    assert log.dead_letters() == [aside[1]]
    assert log.append([event(number) for number in range(2500)], at_us=AT).accepted == 0


def test_nothing_of_what_was_taken_out_stays_in_the_files(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path)
    for number in range(300):
        log.append([event(number, text=f"secret word {number}", customer_id=f"ann of York {number}")], at_us=AT)
    kept = DeadLetter("future", "", "a replayed secret", AT)
    log.append([], [DeadLetter("malformed", "", "an unsaid secret", AT), kept], at_us=AT)
    log.append([event(999)], at_us=AT, replayed=[kept.key])
    log.remove([("app", f"e{number}") for number in range(300)], dead_letters=[one.key for one in log.dead_letters()])
    found = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"e999" in found
    assert b"secret" not in found
    assert b"ann of York" not in found
    log.close()


def test_a_log_that_is_read_all_the_time_is_told_to_be_and_can_be_taken_out_of_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log_sqlite, "BUSY_S", 0.05)
    log = SqliteLog(tmp_path)
    log.append([event(1)], at_us=AT)
    reader = sqlite3.connect(tmp_path / "events.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    with pytest.raises(StorageFailure) as caught:
        log.remove([("app", "e1")])
    assert caught.value.first.code == "streaming.log_busy"
    reader.close()
    assert log.remove([("app", "e1")]) == 0
    assert (tmp_path / "events.db-wal").stat().st_size == 0
    log.close()


def test_the_place_of_the_worker_outlives_it(opened: OpenLog) -> None:
    log = opened()
    assert log.position() == WorkerPosition(0, "")
    assert log.acquire_lease()
    log.set_position(WorkerPosition(7, "a build"))
    log.release_lease()
    assert opened().position() == WorkerPosition(7, "a build")


def test_one_worker_at_a_time(opened: OpenLog) -> None:
    one, other = opened(), opened()
    assert one.acquire_lease()
    assert one.acquire_lease()
    assert not other.acquire_lease()
    one.release_lease()
    assert other.acquire_lease()
    assert not one.acquire_lease()


def test_many_writers_lose_and_double_nothing(opened: OpenLog) -> None:
    counted: list[int] = []

    def write(own: Sequence[int]) -> None:
        log = opened()
        counted.append(sum(log.append([event(number)], at_us=AT).accepted for number in own))

    threads = [threading.Thread(target=write, args=(range(start, start + 12),)) for start in (0, 0, 6, 12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = opened()
    assert sum(counted) == log.last() == 24
    assert sorted(ids(log)) == sorted(f"e{number}" for number in range(24))
    known = [entry.known_us for entry in log.read(after=0, limit=100)]
    assert known == sorted(set(known))


def test_a_worker_whose_lease_ran_out_moves_nothing(redis_socket: str) -> None:
    client = redis.Redis(unix_socket_path=redis_socket)
    one, other = RedisLog(client, name="lease"), RedisLog(client, name="lease")
    assert one.acquire_lease()
    client.delete("{lease:streaming}:lease")  # as when a machine slept longer than the lease lasts
    assert other.acquire_lease()
    with pytest.raises(LeaseLost):
        one.set_position(WorkerPosition(9, "old"))
    assert other.position() == WorkerPosition(0, "")
    client.flushall()
    client.close()


def test_a_server_that_is_not_there_is_told_and_nobodys_data_with_it() -> None:
    log = RedisLog.at("redis://127.0.0.1:1/0")
    with pytest.raises(Unreachable) as caught:
        log.append([event(1, text="secret")], at_us=AT)
    assert caught.value.first.code == "streaming.log_unreachable"
    assert "secret" not in str(caught.value)


def test_a_log_that_cannot_be_opened_is_a_failure_of_storage(tmp_path: Path) -> None:
    (tmp_path / "streaming").mkdir()
    (tmp_path / "streaming" / "events.db").write_bytes(b"no database at all, but long enough to look like one" * 40)
    with pytest.raises(StorageFailure) as caught:
        SqliteLog(tmp_path / "streaming")
    assert caught.value.exit_code == 74


def test_the_log_is_for_its_owners_eyes_only(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "streaming")
    log.append([event(1)], at_us=AT)
    log.close()
    assert stat.S_IMODE((tmp_path / "streaming").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "streaming" / "events.db").stat().st_mode) == 0o600
