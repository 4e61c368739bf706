"""The decision ledger: decisions and their outcomes, written once and never changed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

from features.base.errors import BadData
from features.config.loading import did_you_mean
from serving.decisioning.contact_history import Contact, ContactHistory, micros
from serving.decisioning.decision import Decision
from serving.decisioning.offer_settings import Outcome
from serving.decisioning.value import OutcomeCount
from serving.ledger.channel_usage import ChannelUsage
from serving.ledger.connection_pool import ConnectionPool
from serving.ledger.rows import Encoder, decode, moment
from serving.ledger.schema import VERSION, statements

OUTCOMES: tuple[str, ...] = get_args(Outcome)
REACHED = frozenset(OUTCOMES) - {"overridden"}  # the agent who overrides does not make the offer
PATIENCE_S = 30.0


@dataclass(frozen=True)
class RecordedOutcome:
    """One outcome as recorded in the ledger."""

    offer: str
    outcome: str
    outcome_time: datetime
    value: float | None
    reason: str | None


class DecisionLedger:
    """Decisions and outcomes in one SQLite file, safe for several threads and processes.

    An offer of a batch decision counts as a contact at the moment of decision (a sent message reports nothing back).
    An offer of an online decision counts at its first outcome ``impression``, ``accepted``, ``rejected`` or
    ``maybe_later``, and not before.

    Parameters
    ----------
    path : the database file, made when it is not there
    patience_s : seconds that a writer waits for another before it fails

    Raises
    ------
    StorageFailure : here and in every method, when the file cannot be read or written
    """

    def __init__(self, path: Path, *, patience_s: float = PATIENCE_S) -> None:
        self.connections = ConnectionPool(path, patience_s=patience_s, script=statements(), version=VERSION)
        self._usage = ChannelUsage()

    def __enter__(self) -> DecisionLedger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.connections.close()

    def append(
        self, decisions: Sequence[Decision], *, actor_role: str, before_commit: Callable[[], object] = lambda: None
    ) -> int:
        """Write decisions in one transaction and return how many are new.

        A decision whose id is already in the ledger is not written again.

        Parameters
        ----------
        before_commit : called inside the transaction when all is written; when it raises, nothing is written
        """
        encoder = Encoder()
        with self.connections.writing() as connection:
            existing = {
                row[0]
                for row in connection.execute(
                    "SELECT d.decision_id FROM json_each(?) w JOIN decisions d ON d.decision_id = w.value",
                    [json.dumps([decision.decision_id for decision in decisions])],
                )
            }
            new = {one.decision_id: one for one in reversed(decisions) if one.decision_id not in existing}
            ordered = [new[key] for key in sorted(new)]  # in the order of the key: several times faster
            connection.executemany(
                f"INSERT INTO decisions VALUES ({_placeholders(16)})",
                (encoder.decision(decision, actor_role=actor_role) for decision in ordered),
            )
            connection.executemany("INSERT INTO refusals VALUES (?, ?)", encoder.refusals.values())
            connection.executemany(
                f"INSERT INTO interactions VALUES ({_placeholders(14)})",
                (row for decision in ordered for row in encoder.interactions(decision)),
            )
            before_commit()
        return len(new)

    def record_outcome(
        self,
        decision_id: str,
        offer: str,
        outcome: str,
        *,
        at: datetime,
        reason: str | None = None,
        value: float | None = None,
        before_commit: Callable[[], object] = lambda: None,
    ) -> bool:
        """Write an outcome of an offer and return whether it is new; the same outcome twice is written once.

        Parameters
        ----------
        offer : id of the offer, or ``NO_ACTION`` of a decision without offers
        outcome : ``impression``, ``accepted``, ``rejected``, ``maybe_later`` or ``overridden``
        at : when it happened
        reason : why, such as an agent's reason to override
        value : what it was worth, in the company's currency
        before_commit : called inside the transaction when all is written; when it raises, nothing is written

        Raises
        ------
        BadData : for an unknown outcome, decision or offer, or a value that is not a finite number
        """
        if outcome not in OUTCOMES:
            hint = did_you_mean(outcome, OUTCOMES)
            raise BadData("ledger.unknown_outcome", f"unknown outcome {outcome!r}", where="outcome", hint=hint)
        if value is not None and not math.isfinite(value):
            raise BadData(
                "ledger.outcome_value", "the outcome's value is not finite", where="value", hint="give a number or none"
            )
        stamp = micros(at)
        parts = json.dumps([decision_id, offer, outcome, stamp, value, reason], ensure_ascii=False)
        key = hashlib.sha256(parts.encode()).hexdigest()[:32]
        with self.connections.writing() as connection:
            _require(connection.execute(_OFFERS_OF, [decision_id]).fetchall(), offer)
            before = connection.total_changes
            connection.execute(
                f"INSERT INTO outcomes VALUES ({_placeholders(7)})",
                [key, decision_id, offer, outcome, stamp, value, reason],
            )
            before_commit()
            return connection.total_changes > before

    def get(self, decision_id: str) -> Decision:
        """Return a logged decision, blocked offers and reasons included.

        Raises
        ------
        BadData : when it is not in the ledger
        """
        with self.connections.reading() as connection:
            row = connection.execute(_DECISION, [decision_id]).fetchone()
            rows = connection.execute(
                "SELECT * FROM interactions WHERE decision_id = ? ORDER BY rank", [decision_id]
            ).fetchall()
        if row is None:
            raise _unknown_decision()
        return decode(row, rows)

    def outcomes_of(self, decision_id: str) -> tuple[RecordedOutcome, ...]:
        """Return the outcomes of a decision so far, ordered by time."""
        with self.connections.reading() as connection:
            rows = connection.execute(
                """
                SELECT offer, outcome, outcome_time, outcome_value, reason
                FROM outcomes
                WHERE decision_id = ?
                ORDER BY outcome_time, outcome_id
                """,
                [decision_id],
            ).fetchall()
        return tuple(RecordedOutcome(offer, outcome, moment(at), value, why) for offer, outcome, at, value, why in rows)

    def contacts(self, customer_ids: Sequence[str], *, since: datetime) -> ContactHistory:
        """Return the contacts of customers from `since` on, as columns that `decide` reads."""
        with self.connections.reading() as connection:
            rows = connection.execute(_CONTACTS, [json.dumps(list(customer_ids)), *[micros(since)] * 2])
            return ContactHistory.of_rows(_as_contacts(rows))

    def outcome_counts(self, offers: Iterable[str], *, before: datetime) -> Mapping[str, OutcomeCount]:
        """Return for each offer how many contacts there were, and how many were accepted, before a moment.

        An offer that was never made is there with zeros.
        """
        wanted = sorted(set(offers))
        with self.connections.reading() as connection:
            rows = connection.execute(_COUNTS, {"before": micros(before), "offers": json.dumps(wanted)}).fetchall()
        found = {offer: OutcomeCount(contacts, accepted) for offer, contacts, accepted in rows}
        return {offer: found.get(offer, OutcomeCount(0, 0)) for offer in wanted}

    def capacity_used(self, *, since: datetime, before: datetime) -> Mapping[str, int]:
        """Return how many offers went through each channel in ``[since, before)``."""
        with self.connections.reading() as connection:
            return self._usage.count(connection, since=micros(since), before=micros(before))


def _require(offers: Sequence[tuple[str]], offer: str) -> None:
    known = [name for (name,) in offers]
    if not known:
        raise _unknown_decision()
    if offer not in known:
        raise BadData(
            "ledger.unknown_offer",
            "the offer is not part of the decision",
            where="offer",
            hint=f"its offers: {', '.join(known)}",
        )


def _unknown_decision() -> BadData:
    # an unknown id is foreign text: it stays out of the message
    return BadData(
        "ledger.unknown_decision",
        "the decision is not in the ledger",
        where="decision_id",
        hint="send the decision_id of the answer to /v1/decide",
    )


def _as_contacts(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, Contact]]:
    """Yield a contact for each offer that reached the customer, and one without a time for each further response."""
    for _, group in groupby(rows, key=lambda row: (row[0], row[1], row[4])):
        same = list(group)
        customer, _, scope, decided, offer, family, channel, *_ = same[0]
        reached = [at for *_, outcome, at in same if outcome in REACHED]
        time = decided if scope == "batch" else min(reached, default=None)
        for *_, outcome, at in same:
            if time is not None or outcome is not None:
                yield customer, Contact(offer, family, channel, _moment(time), outcome, _moment(at))
            time = None


def _moment(stamp: int | None) -> datetime | None:
    return None if stamp is None else moment(stamp)


def _placeholders(count: int) -> str:
    return ", ".join("?" * count)


_DECISION = """
SELECT
    d.decision_id, d.customer_id, d.identity_version, d.decision_time, d.scope, d.channel, d.purpose, d.actor_role,
    d.control_group, d.selection_prob, d.no_action_reason, d.policy_version, d.model_versions, d.feature_time,
    d.consent_record, r.blocked
FROM decisions d
JOIN refusals r ON r.refusals_id = d.refusals_id
WHERE d.decision_id = ?
"""

_OFFERS_OF = "SELECT offer FROM interactions WHERE decision_id = ? ORDER BY rank"

_CONTACTS = """
SELECT w.key, d.decision_id, d.scope, d.decision_time, i.offer, i.offer_group, i.channel, o.outcome, o.outcome_time
FROM json_each(?) w
CROSS JOIN decisions d ON d.customer_id = w.value
CROSS JOIN interactions i ON i.decision_id = d.decision_id
LEFT JOIN outcomes o ON o.decision_id = i.decision_id AND o.offer = i.offer
WHERE i.rank IS NOT NULL
  AND (
    d.decision_time >= ?
    OR EXISTS (
        SELECT 1 FROM outcomes x WHERE x.decision_id = i.decision_id AND x.offer = i.offer AND x.outcome_time >= ?
    )
  )
ORDER BY w.key, d.decision_time, d.decision_id, i.offer, o.outcome_time, o.outcome_id
"""

_COUNTS = """
SELECT offer, COUNT(*), SUM(accepted)
FROM (
    SELECT
        i.offer,
        d.scope,
        COALESCE(MAX(o.outcome IN ('impression', 'accepted', 'rejected', 'maybe_later')), 0) AS reached,
        COALESCE(MAX(o.outcome = 'accepted'), 0) AS accepted
    FROM json_each(:offers) w
    JOIN interactions i ON i.offer = w.value
    JOIN decisions d ON d.decision_id = i.decision_id
    LEFT JOIN outcomes o ON o.decision_id = i.decision_id AND o.offer = i.offer AND o.outcome_time < :before
    WHERE d.decision_time < :before
    GROUP BY i.decision_id, i.offer
)
WHERE scope = 'batch' OR reached
GROUP BY offer
"""
