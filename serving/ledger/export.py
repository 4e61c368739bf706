"""Exports of the ledger: Parquet, pdstools' interaction history, Open Bandit Pipeline's feedback."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.base.storage import atomic_file
from serving.decisioning.reason_codes import Blocked
from serving.ledger.ledger import DecisionLedger
from serving.ledger.rows import Row, decode_blocked, interaction_id

_TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("interaction_id", pa.string()),
        ("decision_id", pa.string()),
        ("customer_id", pa.string()),
        ("identity_version", pa.string()),
        ("decision_time", _TIME),
        ("channel", pa.string()),
        ("purpose", pa.string()),
        ("actor_role", pa.string()),
        ("offer", pa.string()),
        ("group", pa.string()),
        ("stage", pa.string()),
        ("rank", pa.int16()),
        ("propensity", pa.float64()),
        ("value", pa.float64()),
        ("context_weight", pa.float64()),
        ("lever", pa.float64()),
        ("priority", pa.float64()),
        ("selection_prob", pa.float64()),
        ("control_group", pa.bool_()),
        ("policy_version", pa.string()),
        ("model_versions", pa.string()),
        ("feature_time", _TIME),
        ("consent_record", pa.string()),
        ("outcome", pa.string()),
        ("outcome_time", _TIME),
        ("outcome_value", pa.float64()),
        ("override_reason", pa.string()),
    ]
)
"""The exported columns. `stage` is ``offered``, ``no_action``, or the stage that blocked the offer."""

CHUNK = 50_000


def export_parquet(ledger: DecisionLedger, path: Path, *, blocked: bool = True) -> int:
    """Write the ledger as one Parquet file, atomically, and return its number of rows.

    Parameters
    ----------
    path : the file to write
    blocked : whether the offers that were not made are rows too (without numbers)

    Notes
    -----
    An interaction with several outcomes carries the last one that is more than an impression.
    """
    written = 0
    with (
        atomic_file(path) as part,
        pq.ParquetWriter(part, SCHEMA, compression="zstd", write_page_checksum=True) as writer,
        ledger.connections.reading() as connection,
    ):
        for rows in _chunks(_rows(connection.execute(_EXPORT), blocked=blocked)):
            writer.write_table(_table(rows, SCHEMA))
            written += len(rows)
    return written


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _rows(found: Iterable[Row], *, blocked: bool) -> Iterator[Row]:
    present = None
    decoded: dict[str, tuple[Blocked, ...]] = {}
    for *row, refusals in found:
        if blocked and row[1] != present:
            present = row[1]
            if refusals not in decoded:
                decoded[refusals] = decode_blocked(refusals)
            for refusal in decoded[refusals]:
                nothing = (None,) * 7
                yield (
                    interaction_id(row[1], refusal.offer),
                    *row[1:8],
                    refusal.offer,
                    None,
                    str(refusal.stage),
                    *nothing,
                    *row[18:23],
                    *(None,) * 4,
                )
        yield tuple(row)


def pdstools_table(ledger: DecisionLedger) -> pa.Table:
    """Return the offers made as the interaction history that Pega's pdstools reads, one row per outcome.

    An offer without any outcome yet has the outcome ``Pending`` at the moment of decision.

    References
    ----------
    pegasystems/pega-datascientist-tools, pdstools/ih/Schema.py.
    """
    with ledger.connections.reading() as connection:
        return _table(connection.execute(_PDSTOOLS).fetchall(), PDSTOOLS)


def _table(rows: list[Row], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [_array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(column: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_boolean(kind):  # SQLite keeps 0 and 1
        return pa.array([bool(value) for value in column], type=kind)
    return pa.array(column, type=kind)


PDSTOOLS = pa.schema(
    [
        ("InteractionID", pa.string()),
        ("SubjectID", pa.string()),
        ("Outcome", pa.string()),
        ("OutcomeTime", _TIME),
        ("DecisionTime", _TIME),
        ("Channel", pa.string()),
        ("Direction", pa.string()),
        ("Issue", pa.string()),
        ("Group", pa.string()),
        ("Name", pa.string()),
        ("Rank", pa.int16()),
        ("Propensity", pa.float64()),
        ("Priority", pa.float64()),
        ("Value", pa.float64()),
        ("OutcomeValue", pa.float64()),
    ]
)


@dataclass(frozen=True)
class BanditFeedback:
    """Logged feedback as Open Bandit Pipeline reads it: one round for each offer that reached a customer.

    Attributes
    ----------
    context : shape (n_rounds, d)
    action : shape (n_rounds,), places in `action_names`
    reward : shape (n_rounds,), 1 where the offer was accepted
    pscore : shape (n_rounds,), the probability with which the policy made the offer
    position : shape (n_rounds,), 0 is the first
    decision_ids : shape (n_rounds,)

    References
    ----------
    Saito et al. (2021), Open Bandit Dataset and Pipeline.
    """

    action_names: tuple[str, ...]
    context: NDArray[np.float64]
    action: NDArray[np.int64]
    reward: NDArray[np.float64]
    pscore: NDArray[np.float64]
    position: NDArray[np.int64]
    decision_ids: tuple[str, ...]

    @property
    def n_rounds(self) -> int:
        return len(self.action)

    @property
    def n_actions(self) -> int:
        return len(self.action_names)

    def as_dict(self) -> dict[str, Any]:
        """Return the dictionary that Open Bandit Pipeline's estimators take."""
        return {
            "n_rounds": self.n_rounds,
            "n_actions": self.n_actions,
            "context": self.context,
            "action": self.action,
            "reward": self.reward,
            "pscore": self.pscore,
            "position": self.position,
        }


def bandit_feedback(
    ledger: DecisionLedger, *, context: Mapping[str, NDArray[np.float64]] | None = None
) -> BanditFeedback:
    """Return the offers that reached a customer as bandit feedback.

    Parameters
    ----------
    context : vector of features by decision id, all of one length; decisions without one are left out. Without it
        the context is the channel, one column for each channel by name

    Notes
    -----
    What counts as reaching the customer is what counts as a contact (see `Ledger`).
    """
    with ledger.connections.reading() as connection:
        rows = connection.execute(_BANDIT).fetchall()
    if context is not None:
        rows = [row for row in rows if row[0] in context]
    names = tuple(sorted({row[1] for row in rows}))
    number = {name: place for place, name in enumerate(names)}
    return BanditFeedback(
        action_names=names,
        context=_channels([row[2] for row in rows]) if context is None else _stack([context[row[0]] for row in rows]),
        action=np.array([number[row[1]] for row in rows], dtype=np.int64),
        reward=np.array([row[3] for row in rows], dtype=np.float64),
        pscore=np.array([row[4] for row in rows], dtype=np.float64),
        position=np.array([row[5] - 1 for row in rows], dtype=np.int64),
        decision_ids=tuple(row[0] for row in rows),
    )


def _channels(channels: list[str]) -> NDArray[np.float64]:
    names = np.array(sorted(set(channels)), dtype=object)
    return np.asarray(np.array(channels, dtype=object)[:, None] == names[None, :], dtype=np.float64)


def _stack(vectors: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.vstack(vectors).astype(np.float64) if vectors else np.empty((0, 0))


_EXPORT = """
WITH last AS (
    SELECT
        decision_id, offer, outcome, outcome_time, outcome_value, reason,
        ROW_NUMBER() OVER (
            PARTITION BY decision_id, offer ORDER BY outcome = 'impression', outcome_time DESC, outcome_id
        ) AS place
    FROM outcomes
)
SELECT
    i.decision_id || '/' || i.offer, d.decision_id, d.customer_id, d.identity_version, d.decision_time,
    COALESCE(i.channel, d.channel), COALESCE(i.purpose, d.purpose), d.actor_role,
    i.offer, i.offer_group, CASE WHEN i.rank IS NULL THEN 'no_action' ELSE 'offered' END,
    i.rank, i.propensity, i.value, i.context_weight, i.lever, i.priority, i.selection_prob,
    d.control_group <> 0, d.policy_version, d.model_versions, d.feature_time, d.consent_record,
    o.outcome, o.outcome_time, o.outcome_value, o.reason,
    r.blocked
FROM decisions d
JOIN refusals r ON r.refusals_id = d.refusals_id
JOIN interactions i ON i.decision_id = d.decision_id
LEFT JOIN last o ON o.decision_id = i.decision_id AND o.offer = i.offer AND o.place = 1
ORDER BY d.decision_time, d.decision_id, i.rank
"""

_PDSTOOLS = """
SELECT
    i.decision_id || '/' || i.offer, d.customer_id,
    CASE o.outcome
        WHEN 'impression' THEN 'Impression' WHEN 'accepted' THEN 'Accepted' WHEN 'rejected' THEN 'Rejected'
        WHEN 'maybe_later' THEN 'Maybe Later' WHEN 'overridden' THEN 'Overridden' ELSE 'Pending'
    END,
    COALESCE(o.outcome_time, d.decision_time), d.decision_time,
    i.channel, CASE d.scope WHEN 'batch' THEN 'Outbound' ELSE 'Inbound' END,
    i.purpose, i.offer_group, i.offer, i.rank, i.propensity, i.priority, i.value, o.outcome_value
FROM decisions d
JOIN interactions i ON i.decision_id = d.decision_id
LEFT JOIN outcomes o ON o.decision_id = i.decision_id AND o.offer = i.offer
WHERE i.rank IS NOT NULL
ORDER BY d.decision_time, d.decision_id, i.rank, o.outcome_time, o.outcome_id
"""

_BANDIT = """
SELECT
    d.decision_id, i.offer, i.channel, COALESCE(MAX(o.outcome = 'accepted'), 0), i.selection_prob, i.rank
FROM decisions d
JOIN interactions i ON i.decision_id = d.decision_id
LEFT JOIN outcomes o ON o.decision_id = i.decision_id AND o.offer = i.offer
WHERE i.rank IS NOT NULL
GROUP BY i.decision_id, i.offer
HAVING d.scope = 'batch' OR MAX(o.outcome IN ('impression', 'accepted', 'rejected', 'maybe_later'))
ORDER BY d.decision_time, d.decision_id, i.rank
"""
