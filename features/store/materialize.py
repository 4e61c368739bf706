"""Fill the online store from the snapshots, with a watermark a view, and compare the two; no Feast."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from features.base.clock import to_microseconds
from features.base.database_engine import EngineResources
from features.store.online_blocks import (
    Snapshot,
    Source,
    Watermark,
    has_snapshot,
    newest_snapshots,
    open_snapshot_records,
    put_watermark,
    read_watermark,
)
from features.store.online_differences import Kind, RecordChange, changes, repair_records
from features.store.online_records import OnlineRecords, Record

EXAMPLES = 10


@dataclass(frozen=True)
class Materialized:
    """What filling the online store did for one view.

    Parameters
    ----------
    cutoff : of the snapshot in the online store now; None when the view has none at or before the moment
    written : customers written, without those that were equal or newer already
    dropped : customers removed because the snapshot no longer holds them
    superseded : a newer cutoff was there already, so nothing was done
    customers : how many the snapshot holds
    """

    view: str
    cutoff: datetime | None
    written: int = 0
    dropped: int = 0
    superseded: bool = False
    customers: int = 0


@dataclass(frozen=True)
class Difference:
    """How one view of the online store differs from its snapshot.

    Parameters
    ----------
    cutoff : of the snapshot; None where there is none, or no such view
    counts : customers by kind
    examples : some of these customers, by kind
    """

    view: str
    cutoff: datetime | None
    counts: Mapping[Kind, int]
    examples: Mapping[Kind, tuple[str, ...]]

    @property
    def wrong(self) -> int:
        """Customers who differ, without those that are ahead, as they should be."""
        return sum(count for kind, count in self.counts.items() if kind != "ahead")


def materialize(
    records: OnlineRecords,
    sources: Sequence[Source],
    *,
    as_of: datetime,
    resources: EngineResources | None,
    last_event: int = 0,
) -> tuple[Materialized, ...]:
    """Fill the online store with each view's newest snapshot that was known at `as_of`.

    A view's watermark names its snapshot once all of it is there. A snapshot that was built again with other content
    is written again, though its cutoff is the same; one that was removed, since a later row was a mistake, is replaced
    by an earlier one. After a run that was killed, the next one skips what is equal. An older block never replaces a
    newer one.

    Parameters
    ----------
    sources : all views
    as_of : nothing later than this is written, whatever the files hold
    resources : what the engine may use
    last_event : the number of the last streamed event that the snapshots have seen
    """
    done: dict[str, Materialized] = {}
    due: list[Snapshot] = []
    found = newest_snapshots(sources, as_of=as_of, resources=resources, last_event=last_event)
    for source, snapshot in zip(sources, found, strict=True):
        if snapshot is None:
            done[source.view] = Materialized(source.view, None)
            continue
        layout = records.put_layout(source.layout)  # first: it creates a store that is not there
        held = read_watermark(records, source.view)
        if held is not None and held.cutoff_us > snapshot.cutoff_us and has_snapshot(source, cutoff_us=held.cutoff_us):
            done[source.view] = Materialized(source.view, snapshot.cutoff, superseded=True, customers=held.customers)
        elif held is not None and (held.cutoff_us, held.digest, held.layout) == (
            snapshot.cutoff_us,
            snapshot.digest,
            layout,
        ):
            done[source.view] = Materialized(source.view, snapshot.cutoff, customers=held.customers)
        else:
            due.append(snapshot)
    done |= {one.view: one for one in _fill(records, due, resources=resources)}
    return tuple(done[source.view] for source in sources)


def reconcile(
    records: OnlineRecords,
    sources: Sequence[Source],
    *,
    as_of: datetime,
    resources: EngineResources | None,
    repair: bool,
    now: datetime | None = None,
    last_event: int = 0,
) -> tuple[Difference, ...]:
    """Compare the whole online store with the snapshots; with `repair`, make it agree with them. See `materialize`.

    Parameters
    ----------
    now : the present moment; online values of a later moment, other than a snapshot's, are wrong

    Returns
    -------
    one for each view, and for each unknown view in the online store: how it differed (before the repair)
    """
    found = newest_snapshots(sources, as_of=as_of, resources=resources, last_event=last_event)
    snapshots = [snapshot for snapshot in found if snapshot is not None]
    cutoffs = {snapshot.view: snapshot.cutoff for snapshot in snapshots}
    counts: defaultdict[str, Counter[Kind]] = defaultdict(Counter)
    examples: defaultdict[str, defaultdict[Kind, list[str]]] = defaultdict(lambda: defaultdict(list))
    unknown_views: Counter[str] = Counter()
    online = _count_unknown(records.scan(), unknown_views, known={source.view for source in sources})
    for change in _differing(records, snapshots, online, resources=resources, repair=repair, now=now):
        for view, kind in change.kinds.items():
            counts[view][kind] += 1
            if len(examples[view][kind]) < EXAMPLES:
                examples[view][kind].append(change.customer)
    if repair and unknown_views:
        records.drop(sorted(unknown_views))
    differences = [
        Difference(
            source.view,
            cutoffs.get(source.view),
            dict(counts[source.view]),
            {kind: tuple(customers) for kind, customers in examples[source.view].items()},
        )
        for source in sources
    ]
    return (
        *differences,
        *(Difference(view, None, {"extra": held}, {}) for view, held in sorted(unknown_views.items())),
    )


def _fill(
    records: OnlineRecords, snapshots: Sequence[Snapshot], *, resources: EngineResources | None
) -> Iterator[Materialized]:
    if not snapshots:
        return
    written: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for change in _differing(records, snapshots, records.scan(), resources=resources, repair=True):
        written.update(change.write.keys())
        dropped.update(view for view, kind in change.kinds.items() if kind == "extra")
    for snapshot in snapshots:
        held = read_watermark(records, snapshot.view)
        yield Materialized(
            snapshot.view,
            snapshot.cutoff,
            written=written[snapshot.view],
            dropped=dropped[snapshot.view],
            customers=held.customers if held is not None else 0,
        )


def _differing(
    records: OnlineRecords,
    snapshots: Sequence[Snapshot],
    online: Iterator[tuple[str, Record]],
    *,
    resources: EngineResources | None,
    repair: bool,
    now: datetime | None = None,
) -> Iterator[RecordChange]:
    """Yield every customer who differs; with `repair`, after the repair, and set the watermarks at the end."""
    layouts = [records.put_layout(snapshot.source.layout) for snapshot in snapshots]
    latest_us = None if now is None else to_microseconds(now)
    gone = {snapshot.view: cutoff_us for snapshot in snapshots for cutoff_us in _gone(records, snapshot)}
    sizes: Counter[str] = Counter()
    with open_snapshot_records(list(zip(snapshots, layouts, strict=True)), resources=resources) as offline:
        found = changes(
            online,
            _counted(offline, sizes),
            cutoffs={snapshot.view: snapshot.cutoff_us for snapshot in snapshots},
            gone=gone,
            latest_us=latest_us,
        )
        yield from repair_records(records, found) if repair else found
    if repair:
        for snapshot, layout in zip(snapshots, layouts, strict=True):
            held = read_watermark(records, snapshot.view)
            # The watermark of a later snapshot stays, unless that was removed or is of a moment still to come.
            later = held is not None and snapshot.cutoff_us < held.cutoff_us <= (latest_us or held.cutoff_us)
            if later and snapshot.view not in gone:
                continue
            mark = Watermark(snapshot.cutoff_us, snapshot.digest, layout, sizes[snapshot.view])
            put_watermark(records, snapshot.view, mark)


def _gone(records: OnlineRecords, snapshot: Snapshot) -> Iterator[int]:
    """Yield the later cutoff of the online store, if that snapshot was removed."""
    held = read_watermark(records, snapshot.view)
    if held is None or held.cutoff_us <= snapshot.cutoff_us:
        return
    if not has_snapshot(snapshot.source, cutoff_us=held.cutoff_us):
        yield held.cutoff_us


def _counted(offline: Iterator[tuple[str, Record]], sizes: Counter[str]) -> Iterator[tuple[str, Record]]:
    for customer, record in offline:
        sizes.update(record.keys())
        yield customer, record


def _count_unknown(
    online: Iterator[tuple[str, Record]], unknown_views: Counter[str], *, known: Collection[str]
) -> Iterator[tuple[str, Record]]:
    """Yield the records, and count the customers of unknown views."""
    for customer, record in online:
        unknown_views.update(record.keys() - known)
        yield customer, record
