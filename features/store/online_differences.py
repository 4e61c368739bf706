"""How the online store differs from the snapshots, customer by customer, and its repair; no Feast."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from typing import Literal

from features.store.online_records import Block, OnlineRecords, Record

Kind = Literal["missing", "extra", "older", "different", "gone", "future", "ahead"]
"""How a customer differs; features/store/README.md explains each kind."""
CUSTOMERS_AT_ONCE = 2_000


@dataclass(frozen=True)
class RecordChange:
    """What has to change in one customer's record to agree with the snapshots.

    Parameters
    ----------
    kinds : view → how it differs
    write : the blocks to write, all in one step
    discard : view → the moment up to which its block is taken away
    """

    customer: str
    kinds: Mapping[str, Kind]
    write: Record
    discard: Mapping[str, int]


def changes(
    online: Iterator[tuple[str, Record]],
    offline: Iterator[tuple[str, Record]],
    *,
    cutoffs: Mapping[str, int],
    gone: Mapping[str, int],
    latest_us: int | None = None,
) -> Iterator[RecordChange]:
    """Yield every customer whose record differs.

    Parameters
    ----------
    online, offline : both ordered by customer, each once
    cutoffs : the views to look at, each with its snapshot's cutoff in microseconds
    gone : of a view whose snapshot of a later cutoff was removed, that cutoff
    latest_us : the present moment, where one is given; nothing but a snapshot may be of a later one
    """
    for customer, held, wanted in _side_by_side(online, offline):
        kinds: dict[str, Kind] = {}
        discard: dict[str, int] = {}
        for view, cutoff_us in cutoffs.items():
            have, want = held.get(view), wanted.get(view)
            kind = _kind(have, want, cutoff_us, gone.get(view), latest_us)
            if kind is None:
                continue
            kinds[view] = kind
            if kind == "extra":
                discard[view] = cutoff_us
            elif kind in ("different", "gone", "future") and have is not None and _moments(have) > _moments(want):
                discard[view] = have.event_us  # a newer block could not be overwritten
        if kinds:
            right = {view for view, kind in kinds.items() if kind not in ("extra", "ahead")}
            write = {view: block for view, block in wanted.items() if view in right}
            yield RecordChange(customer, kinds, write, discard)


def repair_records(records: OnlineRecords, found: Iterable[RecordChange]) -> Iterator[RecordChange]:
    """Make the records agree with the snapshots, some customers at a time; yield each change after it was made.

    Each customer's blocks are written in one step. A block that became newer in the meantime stays.
    """
    waiting = iter(found)
    while chunk := list(islice(waiting, CUSTOMERS_AT_ONCE)):
        gone: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
        for change in chunk:
            for view, moment in change.discard.items():
                gone[view, moment].append(change.customer)
        for (view, moment), customers in gone.items():
            records.discard(view, customers, not_after_us=moment)
        records.write((change.customer, change.write) for change in chunk if change.write)
        yield from chunk


def _kind(
    have: Block | None, want: Block | None, cutoff_us: int, gone_us: int | None, latest_us: int | None
) -> Kind | None:
    if have is not None and have.event_us == gone_us:
        return "gone"
    if have is not None and latest_us is not None and have.event_us > max(cutoff_us, latest_us):
        return "future"
    if want is None:
        return None if have is None else "ahead" if have.event_us > cutoff_us else "extra"
    if have is None:
        return "missing"
    if have.event_us < want.event_us:
        return "older"
    if have.layout != want.layout:
        return "different"
    if have.event_us == want.event_us and have.values == want.values:
        return None
    return "ahead" if _moments(have) > _moments(want) else "different"


def _moments(block: Block | None) -> tuple[int, int]:
    """Return the times by which a write decides which block is newer."""
    return (0, 0) if block is None else (block.event_us, block.created_us)


def _side_by_side(
    online: Iterator[tuple[str, Record]], offline: Iterator[tuple[str, Record]]
) -> Iterator[tuple[str, Record, Record]]:
    here = ((customer, "online", record) for customer, record in online)
    there = ((customer, "offline", record) for customer, record in offline)
    for customer, sides in groupby(heapq.merge(here, there, key=itemgetter(0)), key=itemgetter(0)):
        records = {side: record for _, side, record in sides}
        yield customer, records.get("online", {}), records.get("offline", {})
