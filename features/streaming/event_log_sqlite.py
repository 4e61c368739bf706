"""The event log in a SQLite file: an append is on the disk before it returns; the worker holds a file lock."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from features.base.errors import StorageFailure
from features.base.file_locks import OpenFile, open_to_lock, take_lock
from features.base.sqlite import ThreadConnection, transaction, use_wal
from features.streaming.event import AcceptedEvent
from features.streaming.event_log import Appended, DeadLetter, Entry, Key, WorkerPosition, tombstone_of

BUSY_S = 10.0  # a reader never waits in WAL mode; a second writer waits this long
PART = 1000  # entries that are removed in one transaction, so that an append waits for no more
# The names of tables and columns are part of the stored format: `aside` holds the dead letters, `barred` the
# tombstones, `counted` the last entry that was removed, `place` the worker's position.
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
CREATE TABLE IF NOT EXISTS barred (
    key BLOB PRIMARY KEY
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counted (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL,
    known_us INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS place (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL,
    stamp TEXT NOT NULL
);
"""
_ADD = """
INSERT OR IGNORE INTO events (seq, feed, id, known_us, payload)
SELECT ?1, ?2, ?3, ?4, ?5
WHERE NOT EXISTS (SELECT 1 FROM barred WHERE key = ?6)
"""
_COUNT = """
INSERT OR REPLACE INTO counted (one, seq, known_us)
SELECT 1, seq, known_us FROM events
WHERE seq = (SELECT max(seq) FROM events) AND seq > (SELECT coalesce(max(seq), 0) FROM counted)
"""


class SqliteLog:
    """An `EventLog` in ``events.db`` of a folder.

    ``synchronous = FULL``: an accepted event survives a kill of the process, and a loss of power where the disk writes
    what it confirms. The worker's lease is a lock on ``worker.lock``, which ends with its process, however that ends.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "events.db"
        self._lock_path = folder / "worker.lock"
        self._lock: OpenFile | None = None
        self._local = threading.local()
        with self._explained():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = not self._path.exists()
            self._connection().executescript(_TABLES)
            if new:
                self._path.chmod(0o600)

    def append(
        self,
        events: Sequence[AcceptedEvent],
        dead_letters: Sequence[DeadLetter] = (),
        *,
        at_us: int,
        replayed: Sequence[str] = (),
    ) -> Appended:
        """See `EventLog`."""
        with self._writing() as sqlite:
            seq, last_us = _last(sqlite)
            accepted = 0
            for event in events:
                known_us = max(at_us, last_us + 1)
                row = [seq + 1, event.feed, event.id, known_us, event.to_json(), tombstone_of(event.feed, event.id)]
                if sqlite.execute(_ADD, row).rowcount:
                    accepted, seq, last_us = accepted + 1, seq + 1, known_us
            sqlite.executemany(
                "INSERT OR IGNORE INTO aside (key, reason, detail, payload, at_us) VALUES (?, ?, ?, ?, ?)",
                [(one.key, one.reason, one.detail, one.payload, one.at_us) for one in dead_letters],
            )
            sqlite.executemany("DELETE FROM aside WHERE key = ?", [(key,) for key in replayed])
        return Appended(accepted, len(events) - accepted)

    def read(self, *, after: int, limit: int) -> list[Entry]:
        """See `EventLog`."""
        with self._explained():
            rows = self._connection().execute(
                "SELECT seq, known_us, payload FROM events WHERE seq > ? ORDER BY seq LIMIT ?", [after, limit]
            )
            return [Entry(seq, known_us, AcceptedEvent.from_json(payload)) for seq, known_us, payload in rows]

    def remove(self, keys: Sequence[Key], *, dead_letters: Sequence[str] = (), tombstones: Sequence[Key] = ()) -> int:
        """See `EventLog`; a thousand at a time.

        Raises
        ------
        StorageFailure : other processes use the log all the time, so its write-ahead file still holds removed events
        """
        for start in range(0, len(tombstones), PART):
            digests = [(tombstone_of(*key),) for key in tombstones[start : start + PART]]
            with self._writing() as sqlite:
                sqlite.executemany("INSERT OR IGNORE INTO barred (key) VALUES (?)", digests)
        gone = 0
        for start in range(0, len(keys), PART):
            part = keys[start : start + PART]
            with self._writing() as sqlite:
                sqlite.execute(_COUNT)
                gone += sqlite.executemany("DELETE FROM events WHERE feed = ? AND id = ?", part).rowcount
        with self._writing() as sqlite:
            sqlite.executemany("DELETE FROM aside WHERE key = ?", [(key,) for key in dead_letters])
        with self._explained():
            (busy, *_) = self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StorageFailure(
                "streaming.log_busy",
                "events were removed, but the write-ahead file of the log, which other processes use, still holds them",
                where=f"state/streaming/{self._path.name}",
                hint="run the command again",
            )
        return gone

    def last(self) -> int:
        """See `EventLog`."""
        with self._explained():
            return _last(self._connection())[0]

    def dead_letters(self, reasons: Sequence[str] = ()) -> list[DeadLetter]:
        """See `EventLog`."""
        where = f"WHERE reason IN ({', '.join('?' * len(reasons))})" if reasons else ""
        with self._explained():
            rows = self._connection().execute(
                f"SELECT reason, detail, payload, at_us FROM aside {where} ORDER BY number", list(reasons)
            )
            return [DeadLetter(*row) for row in rows]

    def position(self) -> WorkerPosition:
        """See `EventLog`."""
        with self._explained():
            row = self._connection().execute("SELECT seq, stamp FROM place").fetchone()
        return WorkerPosition() if row is None else WorkerPosition(*row)

    def set_position(self, position: WorkerPosition) -> None:
        """See `EventLog`; the lock cannot be lost while the process lives."""
        with self._writing() as sqlite:
            sqlite.execute(
                "INSERT OR REPLACE INTO place (one, seq, stamp) VALUES (1, ?, ?)", [position.seq, position.digest]
            )

    def acquire_lease(self) -> bool:
        """See `EventLog`."""
        if self._lock is not None:
            return True
        with self._explained():
            handle = open_to_lock(self._lock_path, create=True)
        if take_lock(handle, self._lock_path):
            self._lock = handle
            return True
        handle.close()
        return False

    def release_lease(self) -> None:
        """See `EventLog`."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def close(self) -> None:
        """See `EventLog`; connections of other threads are closed when those end."""
        self.release_lease()
        self._local.__dict__.clear()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._explained(), transaction(self._connection()) as sqlite:
            yield sqlite

    def _connection(self) -> sqlite3.Connection:
        own: ThreadConnection | None = getattr(self._local, "connection", None)
        if own is None or not own.usable:  # a forked child opens its own
            own = self._local.connection = ThreadConnection(self._path, mode="rwc", wait_s=BUSY_S)
            use_wal(own.sqlite, patience_s=BUSY_S)
            own.sqlite.execute("PRAGMA synchronous = FULL")
            own.sqlite.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
        return own.sqlite

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageFailure(
                "streaming.log_unusable",
                f"the event log cannot be used ({type(error).__name__})",
                where=f"state/streaming/{self._path.name}",
                hint="check the free space and the permissions of the folder; nothing that was accepted is lost",
            ) from error


def _last(sqlite: sqlite3.Connection) -> tuple[int, int]:
    """Return number and known_us of the last entry that was ever appended."""
    there = sqlite.execute("SELECT seq, known_us FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    gone = sqlite.execute("SELECT seq, known_us FROM counted").fetchone()
    seq, known_us = max(there or (0, 0), gone or (0, 0))
    return int(seq), int(known_us)
