"""The worker: reads events in order, and writes the features of their customers into the online store.

A batch is computed as of one moment, the acceptance of its last event, and written before the worker's position moves.
A worker that is killed in between repeats the batch with the same result: it depends only on the log and the last
build, and a block never replaces one of a later moment. So every event has its effect exactly once.
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
from features.streaming.intake import Intake, resolve
from features.streaming.state_digest import features_digest

BATCH = 1000
PAUSE_S = 0.02  # before a log without new events is read again
COMPACT_EVERY = timedelta(seconds=5)
REPLAY_EVERY = timedelta(seconds=10)
MAX_STREAMED = 500_000  # events in memory; then all rows are loaded anew, with the events from their segments
_LATER = ("future", "unknown_customer", "unknown_record")


@dataclass
class Followed:
    """What a worker did.

    Parameters
    ----------
    events : read from the log; those that are repeated after a new build count again
    batches : in so many batches
    blocks : views' parts of customers' records that were written
    """

    events: int = 0
    batches: int = 0
    blocks: int = 0


class _Loaded:
    """What belongs to one build: views with their rows, who ids and records are, layouts of the online store."""

    def __init__(self, workspace: Workspace, log: EventLog, records: OnlineRecords, *, digest: str) -> None:
        self.digest = digest
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
        self.streamed = 0

    def add(self, entries: list[Entry]) -> list[str]:
        """Add the entries that are not loaded yet; return the customers whom the entries are about, in order."""
        about = [(customer, entry) for entry in entries if (customer := resolve(entry.event, self.directory))]
        new = [(customer, entry) for customer, entry in about if entry.seq > self.through]
        self.features.history.add(new)
        self.streamed += len(new)
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
        self._compacted_at = self._replayed_at = datetime.min.replace(tzinfo=clock().tzinfo)
        self.done = Followed()

    def step(self) -> int:
        """Compute and write one batch; return its number of events.

        Raises
        ------
        LeaseLost : another worker has taken over
        """
        loaded, position = self._ready()
        entries = self._log.read(after=position.seq, limit=BATCH)
        self._do_periodic_work(idle=not entries)
        if not entries:
            return 0
        customers = loaded.add(entries)
        known_us, last = entries[-1].known_us, entries[-1].seq
        # A build may be as of a later moment, such as tonight: then features are as of that moment until it has come.
        as_of_us = max(known_us, loaded.as_of_us)
        created_us = as_of_us + (last if as_of_us > known_us else 0)
        found = loaded.features.compute(customers, as_of_us=as_of_us) if customers else []
        if not self._log.acquire_lease():
            raise LeaseLost
        blocks = _blocks(found, loaded.layouts, event_us=as_of_us, created_us=created_us)
        self.done.blocks += self._records.write(blocks.items())
        self._log.set_position(WorkerPosition(last, position.digest))
        self.done.events += len(entries)
        self.done.batches += 1
        return len(entries)

    def end(self) -> None:
        """Compact the log, and close what was loaded."""
        if self._loaded is not None:
            compact(self._workspace, self._log)
            self._loaded.close()
            self._loaded = None

    def _ready(self) -> tuple[_Loaded, WorkerPosition]:
        """Return what is loaded, anew after a build, and the position to continue from.

        A build has seen the events up to some number, and its snapshots may replace features that were computed from
        later events: those events are repeated after it.
        """
        position, digest = self._log.position(), features_digest(self._workspace)
        loaded = self._loaded
        if loaded is None or loaded.digest != digest or loaded.streamed > MAX_STREAMED:
            loaded = self._load()
            self._intake.replay(at=self._clock(), reasons=_LATER)
        if position.digest != loaded.digest:
            position = WorkerPosition(min(position.seq, loaded.features.report.last_event), loaded.digest)
            self._log.set_position(position)
        while loaded.through < position.seq:  # another worker has computed those
            entries = self._log.read(after=loaded.through, limit=min(BATCH, position.seq - loaded.through))
            if entries:
                loaded.add(entries)
            else:  # those up to there were removed
                loaded.through = position.seq
        return loaded, position

    def _load(self) -> _Loaded:
        for _ in range(3):
            if self._loaded is not None:
                self._loaded.close()
                self._loaded = None
            digest = features_digest(self._workspace)
            loaded = _Loaded(self._workspace, self._log, self._records, digest=digest)
            self._loaded = loaded
            if features_digest(self._workspace) == digest:  # else it is partly of another build
                return loaded
        raise StorageFailure(
            "streaming.unsteady",
            "customers or features changed while they were loaded, three times",
            hint="wait until no other command builds them",
        )

    def _do_periodic_work(self, *, idle: bool) -> None:
        """Compact the log and accept dead letters, from time to time."""
        now = self._clock()
        if now - self._compacted_at >= COMPACT_EVERY:
            compact(self._workspace, self._log)
            self._compacted_at = now
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
    """Keep the online store up to date with the log, for ever or until no event is left.

    Parameters
    ----------
    workspace, log, records, clock : see `Worker`
    pause : waits so many seconds; an exception of it ends the work in good order
    until_empty : end when no event is left
    waiting : called when another worker holds the lease, until which this one waits
    done : what was done so far; counted here

    Raises
    ------
    BadData : no features are built, or they are not those that are declared
    StorageFailure, Unreachable : a store cannot be used; events stay in the log
    """
    worker = Worker(workspace, log, records, clock=clock)
    worker.done = done or worker.done
    reported = False
    try:
        while True:
            if not log.acquire_lease():
                if not reported:
                    waiting()
                reported = True
                pause(PAUSE_S * 5)
                continue
            try:
                if worker.step():
                    continue
            except LeaseLost:
                reported = False
                continue
            if until_empty:
                return worker.done
            pause(PAUSE_S)
    finally:
        try:
            worker.end()
        finally:
            log.release_lease()


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
