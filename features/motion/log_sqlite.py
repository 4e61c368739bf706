"""The event log in a SQLite file: an append is on the disk before it returns; the lock of a file names the worker."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from features.base.errors import StorageFailure
from features.base.sqlite import ThreadConnection, transaction, use_wal
from features.motion.event import Accepted
from features.motion.log import Appended, Aside, Entry, Place

BUSY_S = 10.0  # a reader never waits in WAL mode; a second writer waits this long
_TABLES = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY,
    feed TEXT NOT NULL,
    id TEXT NOT NULL,
    known_us INTEGER NOT NULL,
    payload TEXT NOT NULL,
    UNIQUE (feed, id)
);
CREATE TABLE IF NOT EXISTS aside (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    payload TEXT NOT NULL,
    at_us INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS place (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL,
    stamp TEXT NOT NULL
);
"""


class SqliteLog:
    """An `EventLog` in ``events.db`` of a folder.

    ``synchronous = FULL``: an accepted event survives a kill of the process, and a loss of power where the disk keeps
    its word. The worker's lease is a lock on ``worker.lock``, which ends with its process, however that ends.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "events.db"
        self._lock_path = folder / "worker.lock"
        self._lock: int | None = None
        self._local = threading.local()
        with self._explained():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = not self._path.exists()
            self._connection().executescript(_TABLES)
            if new:
                self._path.chmod(0o600)

    def append(
        self, events: Sequence[Accepted], aside: Sequence[Aside] = (), *, at_us: int, replayed: Sequence[str] = ()
    ) -> Appended:
        """See `EventLog`."""
        with self._writing() as sqlite:
            row = sqlite.execute("SELECT known_us FROM events ORDER BY seq DESC LIMIT 1").fetchone()
            last_us = 0 if row is None else row[0]
            accepted = 0
            for event in events:
                known_us = max(at_us, last_us + 1)
                if sqlite.execute(
                    "INSERT OR IGNORE INTO events (feed, id, known_us, payload) VALUES (?, ?, ?, ?)",
                    [event.feed, event.id, known_us, event.to_json()],
                ).rowcount:
                    accepted, last_us = accepted + 1, known_us
            sqlite.executemany(
                "INSERT OR IGNORE INTO aside (key, reason, detail, payload, at_us) VALUES (?, ?, ?, ?, ?)",
                [(one.key, one.reason, one.detail, one.payload, one.at_us) for one in aside],
            )
            sqlite.executemany("DELETE FROM aside WHERE key = ?", [(key,) for key in replayed])
        return Appended(accepted, len(events) - accepted)

    def read(self, *, after: int, limit: int) -> list[Entry]:
        """See `EventLog`."""
        with self._explained():
            rows = self._connection().execute(
                "SELECT seq, known_us, payload FROM events WHERE seq > ? ORDER BY seq LIMIT ?", [after, limit]
            )
            return [Entry(seq, known_us, Accepted.from_json(payload)) for seq, known_us, payload in rows]

    def last(self) -> int:
        """See `EventLog`."""
        with self._explained():
            (seq,) = self._connection().execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()
        return int(seq)

    def aside(self, reasons: Sequence[str] = ()) -> list[Aside]:
        """See `EventLog`."""
        marks = f"WHERE reason IN ({', '.join('?' * len(reasons))})" if reasons else ""
        with self._explained():
            rows = self._connection().execute(
                f"SELECT reason, detail, payload, at_us FROM aside {marks} ORDER BY number", list(reasons)
            )
            return [Aside(*row) for row in rows]

    def place(self) -> Place:
        """See `EventLog`."""
        with self._explained():
            row = self._connection().execute("SELECT seq, stamp FROM place").fetchone()
        return Place() if row is None else Place(*row)

    def move(self, place: Place) -> None:
        """See `EventLog`; the lock cannot be lost while the process lives."""
        with self._writing() as sqlite:
            sqlite.execute("INSERT OR REPLACE INTO place (one, seq, stamp) VALUES (1, ?, ?)", [place.seq, place.stamp])

    def hold(self) -> bool:
        """See `EventLog`."""
        if self._lock is not None:
            return True
        with self._explained():
            handle = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return False
        self._lock = handle
        return True

    def release(self) -> None:
        """See `EventLog`."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def close(self) -> None:
        """See `EventLog`; connections of other threads are closed when those end."""
        self.release()
        self._local.__dict__.clear()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._explained(), transaction(self._connection()) as sqlite:
            yield sqlite

    def _connection(self) -> sqlite3.Connection:
        held: ThreadConnection | None = getattr(self._local, "connection", None)
        if held is None or not held.usable:  # a forked child opens its own
            held = self._local.connection = ThreadConnection(self._path, mode="rwc", wait_s=BUSY_S)
            use_wal(held.sqlite, patience_s=BUSY_S)
            held.sqlite.execute("PRAGMA synchronous = FULL")
        return held.sqlite

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageFailure(
                "motion.log_unusable",
                f"the event log cannot be used ({type(error).__name__})",
                where=f"state/motion/{self._path.name}",
                hint="check the free space and the permissions of the folder; nothing that was accepted is lost",
            ) from error
