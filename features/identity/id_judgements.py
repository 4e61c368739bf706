"""Judgements about ids: two records are always or never one customer; a merge was a mistake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from features.base.errors import UsageError
from features.identity.id_ledger import ASSIGNMENTS, JUDGEMENTS, IdLedger

Record = tuple[str, str]
Verdict = Literal["always", "never"]


def judge(
    ledger: IdLedger, verdict: Verdict, one: Record, other: Record, *, by: str, reason: str, at: datetime
) -> IdLedger:
    """Enter a judgement about two records (feed, key); it counts from the next run on.

    Raises
    ------
    UsageError : a record is not known, or both are the same one
    """
    at = max(at, ledger.at)
    if one == other:
        raise UsageError("identity.same_record", "both are the same record", hint="name two records as FEED:KEY")
    held = [_holder(ledger, record, place) for record, place in ((one, "the first"), (other, "the second"))]
    event: dict[str, object] = {"kind": "judged", "customer_id": held[0], "cause": f"{verdict}: {reason}"}
    event |= {"into": held[1]} if held[1] != held[0] else {}
    return IdLedger(
        assignments=ledger.assignments,
        events=ledger.entered([event], at=at),
        judgements=_judged(ledger, verdict, [(one, other)], by=by, reason=reason, at=at),
    )


def undo(ledger: IdLedger, number: int, *, by: str, reason: str, at: datetime) -> IdLedger:
    """Undo a merge: the id that was lost is given back to its records, and they are judged never one with the others.

    The judgements are between the records of both sides at the time of the merge, so that the undo survives the next
    run. Records that came later go where the evidence takes them, at the next run.

    Parameters
    ----------
    ledger : what is known
    number : the event of the merge
    by, reason : who undoes it, and why
    at : when

    Raises
    ------
    UsageError : there is no such merge, or nothing of it to undo
    """
    at = max(at, ledger.at)
    event = ledger.event(number)
    if event is None or event.kind != "merged" or event.into is None:
        what = "there is no such event" if event is None else f"event e{number} is not a merge but {event.kind}"
        raise UsageError("identity.not_a_merge", what, hint="`nextbest identity history CUSTOMER` shows the merges")
    if ledger.undone(number):
        raise UsageError("identity.undone_already", f"the merge e{number} was undone before", hint="nothing to do")
    lost = _moved(ledger, event.customer_id, event.into, event.at)
    others = _had(ledger, event.into, event.at) - lost
    now = _present(ledger)
    lost, others = lost & now.keys(), others & now.keys()
    together = {now[record] for record in lost} & {now[record] for record in others}
    if not together:
        raise UsageError(
            "identity.nothing_to_undo",
            f"no records that e{number} brought together are still one customer",
            hint="`nextbest identity history CUSTOMER` shows what happened since",
        )
    back = {record for record in lost if now[record] in together}
    pairs = [(one, other) for one in sorted(lost) for other in sorted(others)]
    events: list[dict[str, object]] = [
        {"kind": "undone", "customer_id": name, "into": event.customer_id, "cause": reason, "about": number}
        for name in sorted(together)
    ]
    return IdLedger(
        assignments=_given_back(ledger, back, event.customer_id, at=at),
        events=ledger.entered(events, at=at),
        judgements=_judged(ledger, "never", pairs, by=by, reason=f"e{number} undone: {reason}", at=at),
    )


def enter_never(
    ledger: IdLedger, pairs: Sequence[tuple[Record, Record]], *, by: str, reason: str, at: datetime
) -> IdLedger:
    """Return the ledger with pairs of records that are never one customer; the ledger itself where there are none."""
    if not pairs:
        return ledger
    judgements = _judged(ledger, "never", pairs, by=by, reason=reason, at=at)
    return IdLedger(assignments=ledger.assignments, events=ledger.events, judgements=judgements)


def _holder(ledger: IdLedger, record: Record, place: str) -> str:
    rows = ledger.open()
    here = pc.and_(pc.equal(rows["feed"], record[0]), pc.equal(rows["record_id"], record[1]))
    found = rows.filter(here)["customer_id"].to_pylist()
    if not found:
        raise UsageError(
            "identity.unknown_record",
            f"{place} record is not known",
            hint="write FEED:KEY of a record that the last `nextbest unify` has read",
        )
    return str(found[0])


def _records(rows: pa.Table) -> list[Record]:
    return list(zip(rows["feed"].to_pylist(), rows["record_id"].to_pylist(), strict=True))


def _moved(ledger: IdLedger, source: str, target: str, at: datetime) -> set[Record]:
    """Return the records that went from one id straight to another at this moment."""
    table = ledger.assignments
    ids = pa.array([source, target], pa.string())
    rows = table.filter(pc.is_in(table["customer_id"], ids))
    ended, found = set(), set()
    for record, row in zip(_records(rows), rows.to_pylist(), strict=True):
        if row["customer_id"] == source and row["to_at"] == at:
            ended.add(record)
        elif row["customer_id"] == target and row["from_at"] == at and record in ended:
            found.add(record)
    return found


def _had(ledger: IdLedger, customer_id: str, at: datetime) -> set[Record]:
    """Return the records that an id held just after this moment."""
    table = ledger.assignments
    rows = table.filter(pc.equal(table["customer_id"], customer_id))
    moment = pa.scalar(at, ASSIGNMENTS.field("from_at").type)
    held = pc.and_(
        pc.less_equal(rows["from_at"], moment),
        pc.or_kleene(pc.is_null(rows["to_at"]), pc.greater(rows["to_at"], moment)),
    )
    return set(_records(rows.filter(held)))


def _present(ledger: IdLedger) -> dict[Record, str]:
    rows = ledger.open()
    return dict(zip(_records(rows), rows["customer_id"].to_pylist(), strict=True))


def _given_back(ledger: IdLedger, records: set[Record], customer_id: str, *, at: datetime) -> pa.Table:
    table = ledger.assignments
    moment = pa.scalar(at, ASSIGNMENTS.field("to_at").type)
    open_rows = pc.is_null(table["to_at"])
    ending = [
        is_open and record in records for is_open, record in zip(open_rows.to_pylist(), _records(table), strict=True)
    ]
    to_at = pc.if_else(pa.array(ending), moment, table["to_at"])
    closed = table.set_column(table.schema.get_field_index("to_at"), ASSIGNMENTS.field("to_at"), to_at)
    rows = [
        {"feed": feed, "record_id": record, "customer_id": customer_id, "from_at": at, "to_at": None}
        for feed, record in sorted(records)
    ]
    return pa.concat_tables([closed, pa.Table.from_pylist(rows, schema=ASSIGNMENTS)])


def _judged(
    ledger: IdLedger,
    verdict: Verdict,
    pairs: Sequence[tuple[Record, Record]],
    *,
    by: str,
    reason: str,
    at: datetime,
) -> pa.Table:
    rows = [
        {
            "verdict": verdict,
            "feed": one[0],
            "record_id": one[1],
            "other_feed": other[0],
            "other_record": other[1],
            "by": by,
            "reason": reason,
            "at": at,
        }
        for one, other in pairs
    ]
    return pa.concat_tables([ledger.judgements, pa.Table.from_pylist(rows, schema=JUDGEMENTS)])
