"""Connections to one SQLite file, lent to any thread; errors that say what to do."""

from __future__ import annotations

import queue
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from features.base.errors import StorageFailure
from features.base.sqlite import transaction, use_wal


class Connections:
    """Lends connections: a thread has one to itself while it uses it, and processes wait for each other.

    Parameters
    ----------
    path : the database file; its folder is made when it is not there
    patience_s : how long a writer waits for another
    script : makes the tables in a file that has none; must be repeatable, and set ``user_version``
    version : the ``user_version`` of a file that has them
    """

    def __init__(self, path: Path, *, patience_s: float, script: str, version: int) -> None:
        self._path = path
        self._patience_s = patience_s
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        with self.failures():
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = self._open()
            try:
                self._prepare(connection, script, version)
            except (sqlite3.Error, StorageFailure):
                connection.close()
                raise
            self._idle.put(connection)

    def close(self) -> None:
        """Close the connections that are not in use."""
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection that sees the ledger as it is at this moment."""
        with self._lent() as connection, transaction(connection, "BEGIN DEFERRED"):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection in a transaction: all of it is written, or nothing."""
        with self._lent() as connection, transaction(connection):
            yield connection

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turn what SQLite and the file system raise into errors of ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            busy = "locked" in str(error) or "busy" in str(error)
            raise StorageFailure(
                "ledger.busy" if busy else "ledger.unavailable",
                f"the ledger cannot be used ({error})",
                where=self._path.name,
                hint="wait for the other writer and try again" if busy else "check free space and permissions",
            ) from error
        except sqlite3.DatabaseError as error:
            raise StorageFailure(
                "ledger.damaged",
                f"the ledger cannot be read ({error})",
                where=self._path.name,
                hint="restore the file from a copy",
            ) from error
        except OSError as error:
            raise StorageFailure(
                "ledger.unavailable",
                f"the ledger cannot be used ({error.strerror or type(error).__name__})",
                where=self._path.name,
                hint="check free space and permissions",
            ) from error

    def _prepare(self, connection: sqlite3.Connection, script: str, version: int) -> None:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found > version:
            raise StorageFailure(
                "ledger.version",
                f"the file has version {found}, this program knows {version}",
                where=self._path.name,
                hint="use the newer program that wrote it",
            )
        if found < version:
            use_wal(connection, patience_s=self._patience_s)
            connection.executescript(script)

    @contextmanager
    def _lent(self) -> Iterator[sqlite3.Connection]:
        with self.failures():
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                connection = self._open()
            try:
                yield connection
            finally:
                self._idle.put(connection)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=self._patience_s, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        connection.execute("PRAGMA synchronous = FULL")  # a decision that was answered survives a power cut
        connection.execute("PRAGMA recursive_triggers = ON")
        connection.execute("PRAGMA cache_size = -65536")
        return connection
