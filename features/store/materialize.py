"""Snapshots → the online store, with a watermark of its own; and both held against each other; no Feast."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from features.base.database_engine import EngineResources
from features.store.online_blocks import (
    Snapshot,
    Source,
    Watermark,
    is_there,
    newest,
    open_records,
    put_watermark,
    read_watermark,
)
from features.store.online_differences import Kind, RecordChange, changes, mend
from features.store.online_records import OnlineRecords, Record
from features.store.payload import to_microseconds

EXAMPLES = 10


@dataclass(frozen=True)
class Materialized:
    """What filling the online store did for one view.

    Parameters
    ----------
    cutoff : the snapshot that lies online now; None when the view has none at or before the moment
    written : customers written (those that were equal or newer already are kept, and not counted)
    dropped : customers removed because the snapshot no longer holds them
    superseded : a newer cutoff lay there already, so nothing was done
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
        """Customers who differ; those that are ahead are as they should be."""
        return sum(count for kind, count in self.counts.items() if kind != "ahead")


def materialize(
    records: OnlineRecords,
    sources: Sequence[Source],
    *,
    as_of: datetime,
    resources: EngineResources | None,
    through: int = 0,
) -> tuple[Materialized, ...]:
    """Fill the online store with each view's newest snapshot that was known at `as_of`.

    A watermark a view says which snapshot lies there once all of it does. A snapshot that was built again with other
    content is written again, though its cutoff is the same; one that lies there is left alone; one that is no more,
    since a later row was a mistake, gives way to an earlier one. Killed half-way, the next run finds what was written
    equal and goes on from there. A newer block is never replaced by an older one.

    Parameters
    ----------
    sources : all views
    as_of : nothing later than this is written, whatever the files hold
    resources : what the engine may use
    through : the number of the last streamed event that the snapshots have seen
    """
    done: dict[str, Materialized] = {}
    due: list[Snapshot] = []
    for source in sources:
        snapshot = newest(source, as_of=as_of, through=through)
        if snapshot is None:
            done[source.view] = Materialized(source.view, None)
            continue
        layout = records.put_layout(source.layout)  # first: it makes a store that is not there
        held = read_watermark(records, source.view)
        if held is not None and held.cutoff_us > snapshot.cutoff_us and is_there(source, cutoff_us=held.cutoff_us):
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
    mending: bool,
    now: datetime | None = None,
    through: int = 0,
) -> tuple[Difference, ...]:
    """Hold the whole online store against the snapshots; with `mending`, make it as they say. See `materialize`.

    Parameters
    ----------
    now : the present moment; what lies online of a later one, and is no snapshot, is wrong

    Returns
    -------
    one for each view, and for each that lies online and is none of ours: how it differed (before it was mended)
    """
    found = [newest(source, as_of=as_of, through=through) for source in sources]
    snapshots = [snapshot for snapshot in found if snapshot is not None]
    cutoffs = {snapshot.view: snapshot.cutoff for snapshot in snapshots}
    counts: defaultdict[str, Counter[Kind]] = defaultdict(Counter)
    examples: defaultdict[str, defaultdict[Kind, list[str]]] = defaultdict(lambda: defaultdict(list))
    strangers: Counter[str] = Counter()
    online = _watched(records.scan(), strangers, known={source.view for source in sources})
    for change in _differing(records, snapshots, online, resources=resources, mending=mending, now=now):
        for view, kind in change.kinds.items():
            counts[view][kind] += 1
            if len(examples[view][kind]) < EXAMPLES:
                examples[view][kind].append(change.customer)
    if mending and strangers:
        records.drop(sorted(strangers))
    told = [
        Difference(
            source.view,
            cutoffs.get(source.view),
            dict(counts[source.view]),
            {kind: tuple(customers) for kind, customers in examples[source.view].items()},
        )
        for source in sources
    ]
    return (*told, *(Difference(view, None, {"extra": held}, {}) for view, held in sorted(strangers.items())))


def _fill(
    records: OnlineRecords, snapshots: Sequence[Snapshot], *, resources: EngineResources | None
) -> Iterator[Materialized]:
    if not snapshots:
        return
    written: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for change in _differing(records, snapshots, records.scan(), resources=resources, mending=True):
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
    mending: bool,
    now: datetime | None = None,
) -> Iterator[RecordChange]:
    """Yield every customer who differs; with `mending`, mended, and the watermarks set once all are."""
    layouts = [records.put_layout(snapshot.source.layout) for snapshot in snapshots]
    latest_us = None if now is None else to_microseconds(now)
    gone = {snapshot.view: cutoff_us for snapshot in snapshots for cutoff_us in _gone(records, snapshot)}
    sizes: Counter[str] = Counter()
    with open_records(list(zip(snapshots, layouts, strict=True)), resources=resources) as offline:
        found = changes(
            online,
            _counted(offline, sizes),
            cutoffs={snapshot.view: snapshot.cutoff_us for snapshot in snapshots},
            gone=gone,
            latest_us=latest_us,
        )
        yield from mend(records, found) if mending else found
    if mending:
        for snapshot, layout in zip(snapshots, layouts, strict=True):
            held = read_watermark(records, snapshot.view)
            # A mark of a later snapshot stays, unless that is no more or was of a moment to come, and was taken out.
            later = held is not None and snapshot.cutoff_us < held.cutoff_us <= (latest_us or held.cutoff_us)
            if later and snapshot.view not in gone:
                continue
            mark = Watermark(snapshot.cutoff_us, snapshot.digest, layout, sizes[snapshot.view])
            put_watermark(records, snapshot.view, mark)


def _gone(records: OnlineRecords, snapshot: Snapshot) -> Iterator[int]:
    """Yield the later cutoff that lies online, if there is no such snapshot any more."""
    held = read_watermark(records, snapshot.view)
    if held is None or held.cutoff_us <= snapshot.cutoff_us:
        return
    if not is_there(snapshot.source, cutoff_us=held.cutoff_us):
        yield held.cutoff_us


def _counted(offline: Iterator[tuple[str, Record]], sizes: Counter[str]) -> Iterator[tuple[str, Record]]:
    for customer, record in offline:
        sizes.update(record.keys())
        yield customer, record


def _watched(
    online: Iterator[tuple[str, Record]], strangers: Counter[str], *, known: Collection[str]
) -> Iterator[tuple[str, Record]]:
    """Count the customers of views that are none of ours, as they pass."""
    for customer, record in online:
        strangers.update(record.keys() - known)
        yield customer, record
