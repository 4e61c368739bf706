"""Small partitions and ledgers that the tests of the id ledger write down in a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from features.identity.id_changes import apply
from features.identity.id_ledger import IdLedger

KEY = b"k" * 32
START = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def partition(groups: Iterable[Sequence[int]]) -> pa.Table:
    """Return the partition in which record n, known since day n, is with the others of its group."""
    rows = [(record, place) for place, group in enumerate(groups) for record in group]
    return pa.table(
        {
            "feed": pa.array(["crm"] * len(rows), pa.string()),
            "record_id": pa.array([str(record) for record, _ in rows], pa.string()),
            "known_at": pa.array([day(record) for record, _ in rows], pa.timestamp("us", "UTC")),
            "group": pa.array([place for _, place in rows], pa.int64()),
        }
    )


def after(
    ledger: IdLedger, groups: Iterable[Sequence[int]], at: float = 0, evidence: pa.Table | None = None
) -> IdLedger:
    return apply(ledger, partition(groups), at=day(at), key=KEY, evidence=evidence)


def history(*days: Iterable[Sequence[int]]) -> IdLedger:
    """Return the ledger after these partitions, one a day."""
    ledger = IdLedger.empty()
    for number, groups in enumerate(days):
        ledger = after(ledger, groups, number)
    return ledger


def holders(ledger: IdLedger) -> dict[int, str]:
    """Return the present id of every record."""
    rows = ledger.open().to_pylist()
    return {int(row["record_id"]): row["customer_id"] for row in rows}


def kinds(ledger: IdLedger, since: int = 0) -> list[tuple[str, str, str | None]]:
    """Return (kind, customer, into) of the events after the first `since`."""
    return [(row["kind"], row["customer_id"], row["into"]) for row in ledger.events.slice(since).to_pylist()]
