"""A small append-only log of a sample of the feature vectors that were read online; no Feast."""

from __future__ import annotations

import json
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from features.base.clock import to_microseconds
from features.base.errors import BadData, StorageFailure
from features.base.sqlite import use_wal
from features.store.online_reader import OnlineRow
from features.store.online_records import Plain

NAME = "vectors.db"
WAITING = 1_000  # reads in the queue; more are dropped, and counted
_AT_ONCE = 500
_GATHER_S = 0.2
_BUSY_S = 5.0
_SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS vectors (
        number INTEGER PRIMARY KEY,
        at_us INTEGER NOT NULL,
        definition TEXT NOT NULL,
        customer TEXT NOT NULL,
        moments TEXT NOT NULL,
        stale TEXT NOT NULL,
        payload TEXT NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS by_moment ON vectors (at_us)",
    "CREATE TABLE IF NOT EXISTS dropped (one INTEGER PRIMARY KEY CHECK (one = 1), reads INTEGER NOT NULL)",
)


@dataclass(frozen=True)
class FeatureRead:
    """One customer's features as they were served.

    Parameters
    ----------
    at_us : when they were read, microseconds since 1970
    definition : digest of the feeds and views that were declared then
    moments : view → as of when its values hold, or None where it has no row of the customer
    stale : features that were past their ttl
    values : by feature
    """

    customer: str
    at_us: int
    definition: str
    moments: Mapping[str, int | None]
    stale: frozenset[str]
    values: Mapping[str, Plain]


class FeatureReadLog:
    """Writes a sample of the online reads in a thread of its own, so that no reader waits or fails.

    Parameters
    ----------
    folder : of the log; readable by its owner alone
    definition : digest of the feeds and views as declared
    sample : share of the customers' reads that is written, 0 to 1
    keep : how long a vector stays in the log
    rng : returns a random number from 0 to 1 for each read
    waiting : greatest length of the queue
    """

    def __init__(
        self,
        folder: Path,
        *,
        definition: str,
        sample: float,
        keep: timedelta,
        rng: Callable[[], float],
        waiting: int = WAITING,
    ) -> None:
        self._path = folder / NAME
        self._definition, self._sample, self._keep, self._rng = definition, sample, keep, rng
        self._queue: queue.Queue[tuple[OnlineRow, datetime] | None] = queue.Queue(waiting)
        self._lock = threading.Lock()
        self._writer: threading.Thread | None = None
        self.dropped = self._reported_drops = 0

    def add(self, rows: Sequence[OnlineRow], *, at: datetime) -> None:
        """Queue a sample of these rows, read at this moment, and return at once.

        A row without values, because the store could not be read, is left out.
        """
        for row in rows:
            if row.unread or self._sample <= 0 or self._rng() >= self._sample:
                continue
            try:
                self._queue.put_nowait((row, at))
            except queue.Full:
                self.dropped += 1
                continue
            self._begin()

    def close(self) -> None:
        """Wait until what was queued is written, and end the thread; a later row starts another."""
        with self._lock:
            if self._writer is not None:
                self._queue.put(None)
                self._writer.join()
                self._writer = None

    def _begin(self) -> None:
        if self._writer is None:
            with self._lock:
                if self._writer is None:
                    self._writer = threading.Thread(target=self._write_all, name="vectors", daemon=True)
                    self._writer.start()

    def _write_all(self) -> None:
        ended = False
        while not ended:
            taken = self._take()
            ended = None in taken
            reads = [read for read in taken if read is not None]
            lost = self.dropped - self._reported_drops
            try:
                if reads or lost:
                    self._write(reads, lost=lost)
            except (OSError, sqlite3.Error):
                self.dropped += len(reads)
            else:
                self._reported_drops += lost

    def _take(self) -> list[tuple[OnlineRow, datetime] | None]:
        """Return what was queued within a moment, so that it is written in one transaction."""
        taken = [self._queue.get()]
        until = time.monotonic() + _GATHER_S
        while taken[-1] is not None and len(taken) < _AT_ONCE:
            try:
                taken.append(self._queue.get(timeout=max(until - time.monotonic(), 0)))
            except queue.Empty:
                break
        return taken

    def _write(self, taken: Sequence[tuple[OnlineRow, datetime]], *, lost: int) -> None:
        rows = [_written(row, at, self._definition) for row, at in taken]
        newest = max((to_microseconds(at) for _, at in taken), default=0)
        sqlite = _connect(self._path)
        try:
            with sqlite:
                sqlite.executemany(
                    """
                    INSERT INTO vectors (at_us, definition, customer, moments, stale, payload)
                    VALUES (?, ?, ?, ?, ?, ?)
                    """,
                    rows,
                )
                sqlite.execute(
                    "DELETE FROM vectors WHERE at_us < ?", [newest - self._keep // timedelta(microseconds=1)]
                )
                sqlite.execute(
                    "INSERT INTO dropped VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET reads = reads + ?1", [lost]
                )
        finally:
            sqlite.close()


@dataclass(frozen=True)
class LoggedReads:
    """The newest reads of a log.

    Parameters
    ----------
    vectors : the newest, newest first
    dropped : sampled reads that could not be written
    """

    vectors: tuple[FeatureRead, ...]
    dropped: int


def read_vectors(folder: Path, *, newest: int) -> LoggedReads:
    """Return the newest vectors of a log.

    Raises
    ------
    BadData : nothing was ever logged
    StorageFailure : the log cannot be read
    """
    path = folder / NAME
    if not path.is_file():
        raise BadData(
            "consistency.no_log",
            "no served features were logged yet",
            hint="set `served: {sample: 0.1}` in serving/roles.yaml, and let the service answer for a while",
        )
    with _opened(path) as sqlite:
        vectors = tuple(map(_read, _newest(sqlite, newest)))
        dropped = sqlite.execute("SELECT coalesce(sum(reads), 0) FROM dropped").fetchone()[0]
    return LoggedReads(vectors, int(dropped))


def forget(folder: Path, customer: str) -> int:
    """Remove exactly this customer from a log; return how many vectors went.

    Raises
    ------
    StorageFailure : the log cannot be used
    """
    path = folder / NAME
    if not path.is_file():
        return 0
    with _opened(path) as sqlite:
        with sqlite:
            gone = sqlite.execute("DELETE FROM vectors WHERE customer = ?", [customer]).rowcount
        sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the write-ahead log holds the rows too
    return gone


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        sqlite = _connect(path)
        try:
            yield sqlite
        finally:
            sqlite.close()
    except (sqlite3.Error, ValueError) as error:
        raise StorageFailure(
            "consistency.log_unreadable",
            f"the log of served features cannot be used ({type(error).__name__})",
            where=path.name,
            hint="remove the file; the service creates another",
        ) from None


def _connect(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    sqlite = sqlite3.connect(path, timeout=_BUSY_S)
    use_wal(sqlite, patience_s=_BUSY_S)
    sqlite.execute("PRAGMA synchronous = NORMAL")
    sqlite.execute("PRAGMA secure_delete = ON")
    for statement in _SCHEMA:
        sqlite.execute(statement)
    return sqlite


def _newest(sqlite: sqlite3.Connection, number: int) -> Iterator[tuple[str, int, str, str, str, str]]:
    return sqlite.execute(
        """
        SELECT customer, at_us, definition, moments, stale, payload
        FROM vectors
        ORDER BY at_us DESC, number DESC
        LIMIT ?
        """,
        [number],
    )


def _written(row: OnlineRow, at: datetime, definition: str) -> tuple[int, str, str, str, str, str]:
    moments = {view: None if moment is None else to_microseconds(moment) for view, moment in row.event_times.items()}
    stale = [feature for feature, status in row.status.items() if status == "stale"]
    values = {feature: _plain(value) for feature, value in row.values.items()}
    return to_microseconds(at), definition, row.customer_id, _text(moments), _text(stale), _text(values)


def _text(part: object) -> str:
    return json.dumps(part, ensure_ascii=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    return to_microseconds(value) // 1_000_000 if isinstance(value, datetime) else value


def _read(row: tuple[str, int, str, str, str, str]) -> FeatureRead:
    customer, at_us, definition, moments, stale, payload = row
    return FeatureRead(
        customer, at_us, definition, json.loads(moments), frozenset(json.loads(stale)), json.loads(payload)
    )
