"""The ledger: written once, never changed, the same for every thread and process; contacts and counts from it."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from features.base.errors import BadData, StorageFailure
from serving.decisioning.contact_history import EPOCH
from serving.decisioning.decision import Decision
from serving.decisioning.value import OutcomeCount
from serving.ledger.ledger import DecisionLedger
from tests.serving.decisioning.test_arbitrate import worlds
from tests.serving.decisioning.world import NOW, ask, customers, made, offer, one, policy, stops

BOOST = policy(offer("boost"), offer("other", purpose="service", channels=["email"]))
HOUR = timedelta(hours=1)


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    with DecisionLedger(tmp_path / "ledger" / "decisions.db") as opened:
        yield opened


def boost(*names: str, **changes: Any) -> list[Decision]:
    return ask(customers(*names), BOOST, **changes)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(world=worlds())
def test_a_decision_comes_back_exactly_as_it_was_made(ledger: DecisionLedger, world: Any) -> None:
    offers, policy_settings, batch = world
    catalogue = policy(*offers, **policy_settings)
    decisions = ask(batch, catalogue, nonce=repr(world), model_versions={"m": "abc"})
    ledger.append(decisions, actor_role="batch")
    assert [ledger.get(decision.decision_id) for decision in decisions] == decisions


def test_the_same_decisions_twice_are_written_once(ledger: DecisionLedger) -> None:
    assert ledger.append(boost("ann", "bob"), actor_role="batch") == 2
    assert ledger.append(boost("ann", "bob", "cem"), actor_role="batch") == 1
    assert ledger.append([*boost("dan"), *boost("dan")], actor_role="batch") == 1


def test_the_first_decision_of_an_id_stands(ledger: DecisionLedger) -> None:
    first = one(customers(), BOOST)
    second = one(customers(consent=0.0), BOOST)
    assert first.decision_id == second.decision_id
    ledger.append([first], actor_role="batch")
    ledger.append([second], actor_role="batch")
    assert ledger.get(first.decision_id) == first


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE decisions SET customer_id = 'eve'",
        "DELETE FROM decisions",
        "UPDATE interactions SET priority = 0",
        "DELETE FROM interactions",
        "UPDATE outcomes SET outcome = 'rejected'",
        "DELETE FROM outcomes",
        "UPDATE refusals SET blocked = '[]'",
        "DELETE FROM refusals",
    ],
)
def test_the_database_itself_refuses_to_change_or_remove(
    ledger: DecisionLedger, tmp_path: Path, statement: str
) -> None:
    (decision,) = boost("ann")
    ledger.append([decision], actor_role="batch")
    ledger.record_outcome(decision.decision_id, "boost", "accepted", at=NOW)
    outside = sqlite3.connect(tmp_path / "ledger" / "decisions.db")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        outside.execute(statement)
    outside.close()


def test_an_entry_cannot_be_replaced_from_outside(ledger: DecisionLedger, tmp_path: Path) -> None:
    (decision,) = boost("ann")
    ledger.append([decision], actor_role="batch")
    outside = sqlite3.connect(tmp_path / "ledger" / "decisions.db")
    outside.execute("INSERT OR REPLACE INTO interactions SELECT * FROM interactions")
    outside.execute("REPLACE INTO decisions (decision_id, customer_id) SELECT decision_id, 'eve' FROM decisions")
    outside.commit()
    outside.close()
    assert ledger.get(decision.decision_id) == decision


def test_an_outcome_is_written_once_and_another_beside_it(ledger: DecisionLedger) -> None:
    (decision,) = boost("ann")
    ledger.append([decision], actor_role="agent")
    assert ledger.record_outcome(decision.decision_id, "boost", "impression", at=NOW)
    assert not ledger.record_outcome(decision.decision_id, "boost", "impression", at=NOW)
    assert ledger.record_outcome(
        decision.decision_id, "boost", "accepted", at=NOW + HOUR, value=80.0, reason="liked it"
    )
    first, second = ledger.outcomes_of(decision.decision_id)
    assert first.outcome == "impression"
    assert (second.outcome, second.outcome_time, second.value, second.reason) == (
        "accepted",
        NOW + HOUR,
        80,
        "liked it",
    )


@pytest.mark.parametrize(
    ("change", "code", "hint"),
    [
        ({"decision_id": "0" * 32}, "ledger.unknown_decision", "decision_id"),
        ({"offer": "third"}, "ledger.unknown_offer", "its offers: boost, other"),
        ({"outcome": "acepted"}, "ledger.unknown_outcome", "did you mean 'accepted'?"),
        ({"value": float("nan")}, "ledger.outcome_value", "give a number"),
    ],
)
def test_an_outcome_of_nothing_known_is_refused(
    ledger: DecisionLedger, change: dict[str, Any], code: str, hint: str
) -> None:
    (decision,) = boost("ann")
    ledger.append([decision], actor_role="agent")
    good = {"decision_id": decision.decision_id, "offer": "boost", "outcome": "accepted", "value": None}
    with pytest.raises(BadData) as caught:
        ledger.record_outcome(**(good | change), at=NOW)
    assert caught.value.first.code == code
    assert hint in caught.value.first.hint
    assert ledger.outcomes_of(decision.decision_id) == ()


def test_a_decision_for_no_action_can_be_overridden_too(ledger: DecisionLedger) -> None:
    nothing = one(customers(), policy(offer("boost", eligibility="a = 1")))
    ledger.append([nothing], actor_role="agent")
    assert ledger.record_outcome(nothing.decision_id, "NO_ACTION", "overridden", at=NOW, reason="customer asked")


def test_a_decision_that_is_not_there_is_not_found(ledger: DecisionLedger) -> None:
    with pytest.raises(BadData) as caught:
        ledger.get("nothing")
    assert caught.value.first.code == "ledger.unknown_decision"


def test_a_batch_offer_is_a_contact_and_an_online_offer_once_something_came_of_it(ledger: DecisionLedger) -> None:
    batch = boost("ann")
    online = boost("bob", channel="agent", scope="online", nonce="r1")
    ledger.append([*batch, *online], actor_role="batch")
    since = NOW - timedelta(days=7)
    assert _contacts(ledger, since) == [(0, "boost", NOW, None), (0, "other", NOW, None)]
    ledger.record_outcome(online[0].decision_id, "boost", "impression", at=NOW + HOUR)
    ledger.record_outcome(online[0].decision_id, "boost", "rejected", at=NOW + 2 * HOUR)
    assert _contacts(ledger, since)[2:] == [(1, "boost", NOW + HOUR, "impression"), (1, "boost", None, "rejected")]


def test_an_offer_that_the_agent_overrode_is_no_contact(ledger: DecisionLedger) -> None:
    (online,) = boost("bob", channel="agent", scope="online", nonce="r1")
    ledger.append([online], actor_role="agent")
    ledger.record_outcome(online.decision_id, "boost", "overridden", at=NOW, reason="angry caller")
    assert _contacts(ledger, NOW - HOUR) == [(1, "boost", None, "overridden")]


def test_old_contacts_are_left_out_and_late_answers_keep_their_contacts_moment(ledger: DecisionLedger) -> None:
    (old,) = boost("ann", as_of=NOW - timedelta(days=20))
    ledger.append([old], actor_role="batch")
    since = NOW - timedelta(days=7)
    assert _contacts(ledger, since) == []
    ledger.record_outcome(old.decision_id, "boost", "rejected", at=NOW - HOUR)
    assert _contacts(ledger, since) == [(0, "boost", NOW - timedelta(days=20), "rejected")]


def test_the_ledgers_contacts_hold_back_the_next_decision_but_not_its_own_repetition(ledger: DecisionLedger) -> None:
    catalogue = policy(offer("boost", caps=[{"every": "7d", "at_most": 1}]))
    first = one(customers(), catalogue)
    ledger.append([first], actor_role="batch")

    def again(hours: int) -> Decision:
        at = NOW + hours * HOUR
        history = ledger.contacts(["ann"], since=at - catalogue.lookback)
        batch = customers()
        return one(type(batch)(batch.customer_ids, batch.features, contacts=history), catalogue, as_of=at)

    assert again(0) == first
    assert stops(again(1)) == {"boost": ("cap", "at most 1 in 7d")}
    assert made(again(7 * 24)) == ["boost"]


def test_outcomes_are_counted_before_a_moment(ledger: DecisionLedger) -> None:
    decisions = boost("ann", "bob", "cem")
    ledger.append(decisions, actor_role="batch")
    ledger.record_outcome(decisions[0].decision_id, "boost", "impression", at=NOW + HOUR)
    ledger.record_outcome(decisions[0].decision_id, "boost", "accepted", at=NOW + HOUR)
    ledger.record_outcome(decisions[1].decision_id, "boost", "accepted", at=NOW + 3 * HOUR)
    counts = ledger.outcome_counts(["boost", "never"], before=NOW + 2 * HOUR)
    assert counts == {"boost": OutcomeCount(3, 1), "never": OutcomeCount(0, 0)}
    assert ledger.outcome_counts(["boost"], before=NOW) == {"boost": OutcomeCount(0, 0)}


def test_the_places_taken_in_each_channel_are_counted(ledger: DecisionLedger) -> None:
    ledger.append(boost("ann", "bob"), actor_role="batch")
    assert ledger.capacity_used(since=NOW, before=NOW + HOUR) == {"agent": 2, "email": 2}
    assert ledger.capacity_used(since=NOW - HOUR, before=NOW) == {}


def test_a_file_that_is_no_ledger_is_a_storage_failure(tmp_path: Path) -> None:
    file = tmp_path / "decisions.db"
    file.write_bytes(b"not a database, and long enough to be read as one" * 40)
    with pytest.raises(StorageFailure) as caught:
        DecisionLedger(file)
    assert caught.value.first.code == "ledger.damaged"


def test_a_ledger_of_a_newer_program_is_not_touched(ledger: DecisionLedger, tmp_path: Path) -> None:
    del ledger
    file = tmp_path / "ledger" / "decisions.db"
    outside = sqlite3.connect(file)
    outside.execute("PRAGMA user_version = 99")
    outside.close()
    with pytest.raises(StorageFailure) as caught:
        DecisionLedger(file)
    assert caught.value.first.code == "ledger.version"


def test_a_writer_that_waits_too_long_says_so_and_can_go_on_later(ledger: DecisionLedger, tmp_path: Path) -> None:
    with DecisionLedger(tmp_path / "ledger" / "decisions.db", patience_s=0.05) as hasty:
        with ledger.connections.writing(), pytest.raises(StorageFailure) as caught:
            hasty.append(boost("ann"), actor_role="batch")
        assert caught.value.first.code == "ledger.busy"
        assert hasty.append(boost("ann"), actor_role="batch") == 1


def test_a_failure_in_the_middle_leaves_nothing_behind(ledger: DecisionLedger) -> None:
    good, bad = boost("ann", "bob")
    with pytest.raises(AttributeError):
        ledger.append([good, replace(bad, items=(None,))], actor_role="batch")  # type: ignore[arg-type]
    assert ledger.append([good, bad], actor_role="batch") == 2


def _write(path: Path, worker: int, threads: int) -> None:
    with DecisionLedger(path) as ledger:

        def work(thread: int) -> None:
            for turn in range(5):
                mine = boost(f"w{worker}t{thread}", scope="online", nonce=str(turn))
                shared = boost("shared", scope="online", nonce=str(turn))
                ledger.append([*mine, *shared], actor_role="agent")
                ledger.record_outcome(shared[0].decision_id, "boost", "impression", at=NOW)
                ledger.record_outcome(mine[0].decision_id, "boost", "accepted", at=NOW)

        running = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()


def test_two_processes_with_three_threads_each_lose_nothing_and_write_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "decisions.db"
    context = multiprocessing.get_context("spawn")
    running = [context.Process(target=_write, args=(path, worker, 3)) for worker in range(2)]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0, 0]
    opened = sqlite3.connect(path)
    (decisions,), (accepted,), (seen,) = (
        opened.execute(query).fetchone()
        for query in (
            "SELECT COUNT(*) FROM decisions",
            "SELECT COUNT(*) FROM outcomes WHERE outcome = 'accepted'",
            "SELECT COUNT(*) FROM outcomes WHERE outcome = 'impression'",
        )
    )
    opened.close()
    assert (decisions, accepted, seen) == (2 * 3 * 5 + 5, 2 * 3 * 5, 5)


def _contacts(ledger: DecisionLedger, since: Any) -> list[tuple[int, str, Any, str | None]]:
    """Return the contacts of ann and bob as plain rows."""
    history = ledger.contacts(["ann", "bob"], since=since)
    never = 2**63 - 1
    rows = range(len(history))
    times = [None if (at := int(history.time[row])) == never else EPOCH + timedelta(microseconds=at) for row in rows]
    return [
        (
            int(history.customer[row]),
            history.offer.names[history.offer.codes[row]],
            times[row],
            history.outcome.names[history.outcome.codes[row]] or None,
        )
        for row in rows
    ]
