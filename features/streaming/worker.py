"""The worker: takes what arrived, in order, and writes the features of those it is about into the online store.

A batch is recomputed as of one moment, the acceptance of its last event, and written before the worker's place moves. A
worker that is killed in between does the batch again, with the same result: what is computed depends on the log and the
last build alone, and a block never replaces one of a later moment. So every event has its effect exactly once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

from features.base.clock import Clock
from features.base.errors import StorageFailure
from features.base.workspace import Workspace
from features.identity.customer_directory import Directory, open_directory
from features.identity.streamed_events import read_segments
from features.store.online_records import Block, OnlineRecords, Plain, Record
from features.streaming.batch_features import BatchFeatures, ViewRows, open_batch_features
from features.streaming.compaction import compact
from features.streaming.event import to_us
from features.streaming.event_log import Entry, EventLog, LeaseLost, WorkerPosition
from features.streaming.generation_stamp import features_stamp
from features.streaming.intake import Intake, resolve

BATCH = 1000
PAUSE_S = 0.02  # between looks into a log that holds nothing new
SETTLE_EVERY = timedelta(seconds=5)
REPLAY_EVERY = timedelta(seconds=10)
ARRIVED_AT_MOST = 500_000  # events in memory; then they are read again from their segments, by customer
_LATER = ("future", "unknown_customer", "unknown_record")


@dataclass
class Followed:
    """What a worker did.

    Parameters
    ----------
    events : taken from the log; those taken again after a new build count again
    batches : in so many batches
    blocks : views' parts of customers' records that were written
    """

    events: int = 0
    batches: int = 0
    blocks: int = 0


class _Loaded:
    """All that is of one build: views with their history, who is who, and the layouts of the online store."""

    def __init__(self, workspace: Workspace, log: EventLog, records: OnlineRecords, *, stamp: str) -> None:
        self.stamp = stamp
        self._open = ExitStack()
        compact(workspace, log)
        self.through = read_segments(workspace.streaming).through
        self.directory: Directory = open_directory(workspace)
        self.features: BatchFeatures = self._open.enter_context(open_batch_features(workspace))
        self.as_of_us = to_us(self.features.report.as_of)
        self.layouts = {
            view.name: records.put_layout(tuple((feature.name, feature.type) for feature in view.features))
            for view in self.features.report.views
        }
        self.arrived = 0

    def remember(self, entries: list[Entry]) -> list[str]:
        """Add to the history what is not part of it yet; return the customers whom the entries are about, in order."""
        about = [(customer, entry) for entry in entries if (customer := resolve(entry.event, self.directory))]
        new = [(customer, entry) for customer, entry in about if entry.seq > self.through]
        self.features.history.add(new)
        self.arrived += len(new)
        self.through = max(self.through, entries[-1].seq)
        return sorted({customer for customer, _ in about})

    def close(self) -> None:
        self._open.close()


class Worker:
    """Follows one workspace's log; see `follow`.

    Parameters
    ----------
    workspace : whose features are built
    log, records : from where, and to where
    clock : the present moment
    """

    def __init__(self, workspace: Workspace, log: EventLog, records: OnlineRecords, *, clock: Clock) -> None:
        self._workspace, self._log, self._records, self._clock = workspace, log, records, clock
        self._intake = Intake(workspace, log)
        self._loaded: _Loaded | None = None
        self._settled_at = self._replayed_at = datetime.min.replace(tzinfo=clock().tzinfo)
        self.done = Followed()

    def step(self) -> int:
        """Take one batch to its end; return how many events it held.

        Raises
        ------
        LeaseLost : another worker has taken over
        """
        loaded, place = self._ready()
        entries = self._log.read(after=place.seq, limit=BATCH)
        self._tend(idle=not entries)
        if not entries:
            return 0
        customers = loaded.remember(entries)
        known_us, last = entries[-1].known_us, entries[-1].seq
        # A build may be as of a moment to come, such as tonight: then its readers are served that moment until then.
        as_of_us = max(known_us, loaded.as_of_us)
        created_us = as_of_us + (last if as_of_us > known_us else 0)
        found = loaded.features.compute(customers, as_of_us=as_of_us) if customers else []
        if not self._log.hold():
            raise LeaseLost
        blocks = _blocks(found, loaded.layouts, event_us=as_of_us, created_us=created_us)
        self.done.blocks += self._records.write(blocks.items())
        self._log.move(WorkerPosition(last, place.stamp))
        self.done.events += len(entries)
        self.done.batches += 1
        return len(entries)

    def end(self) -> None:
        """Settle what was taken, and forget what was loaded."""
        if self._loaded is not None:
            compact(self._workspace, self._log)
            self._loaded.close()
            self._loaded = None

    def _ready(self) -> tuple[_Loaded, WorkerPosition]:
        """Return what is loaded, anew after a build, and the place to go on from.

        A build has seen the events up to some number, and its snapshots may replace what was computed from later ones
        before: after it, those are taken again.
        """
        place, stamp = self._log.place(), features_stamp(self._workspace)
        loaded = self._loaded
        if loaded is None or loaded.stamp != stamp or loaded.arrived > ARRIVED_AT_MOST:
            loaded = self._load()
            self._intake.replay(at=self._clock(), reasons=_LATER)
        if place.stamp != loaded.stamp:
            place = WorkerPosition(min(place.seq, loaded.features.report.last_event), loaded.stamp)
            self._log.move(place)
        while loaded.through < place.seq:  # another worker has been at work since
            entries = self._log.read(after=loaded.through, limit=min(BATCH, place.seq - loaded.through))
            if entries:
                loaded.remember(entries)
            else:  # those up to there were taken out
                loaded.through = place.seq
        return loaded, place

    def _load(self) -> _Loaded:
        for _ in range(3):
            if self._loaded is not None:
                self._loaded.close()
                self._loaded = None
            stamp = features_stamp(self._workspace)
            loaded = _Loaded(self._workspace, self._log, self._records, stamp=stamp)
            self._loaded = loaded
            if features_stamp(self._workspace) == stamp:  # else it is partly of another build
                return loaded
        raise StorageFailure(
            "streaming.unsteady", "customers or features are built anew all the time", hint="let one build end"
        )

    def _tend(self, *, idle: bool) -> None:
        """Do from time to time what need not be done for each batch."""
        now = self._clock()
        if now - self._settled_at >= SETTLE_EVERY:
            compact(self._workspace, self._log)
            self._settled_at = now
        if idle and now - self._replayed_at >= REPLAY_EVERY:
            self._intake.replay(at=now, reasons=["future"])
            self._replayed_at = now


def follow(
    workspace: Workspace,
    log: EventLog,
    records: OnlineRecords,
    *,
    clock: Clock,
    pause: Callable[[float], None],
    until_empty: bool = False,
    waiting: Callable[[], None] = lambda: None,
    done: Followed | None = None,
) -> Followed:
    """Keep the online store up with the log, for ever or until nothing is left to take.

    Parameters
    ----------
    workspace, log, records, clock : see `Worker`
    pause : waits so many seconds; whatever it raises ends the work in good order
    until_empty : end when all is taken
    waiting : told when another worker is at work, which is waited for
    done : where what is done is counted as it is done

    Raises
    ------
    BadData : no features are built, or they are not those that are declared
    StorageFailure, Unreachable : a store cannot be used; what is in the log stays there
    """
    worker = Worker(workspace, log, records, clock=clock)
    worker.done = done or worker.done
    told = False
    try:
        while True:
            if not log.hold():
                if not told:
                    waiting()
                told = True
                pause(PAUSE_S * 5)
                continue
            try:
                if worker.step():
                    continue
            except LeaseLost:
                told = False
                continue
            if until_empty:
                return worker.done
            pause(PAUSE_S)
    finally:
        try:
            worker.end()
        finally:
            log.release()


def _blocks(found: list[ViewRows], layouts: dict[str, str], *, event_us: int, created_us: int) -> dict[str, Record]:
    blocks: dict[str, dict[str, Block]] = {}
    for part in found:
        layout = layouts[part.built.name]
        for customer, values in part.rows:
            block = Block(event_us, created_us, layout, tuple(map(_plain, values)))
            blocks.setdefault(customer, {})[part.built.name] = block
    return dict(sorted(blocks.items()))


def _plain(value: object) -> Plain:
    if value is None or isinstance(value, int | str):
        return value
    if isinstance(value, float):
        return None if value != value else value
    raise TypeError(type(value).__name__)
