"""Pooled connections to one SQLite file, one writer at a time; errors that say what to do."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy.pool import QueuePool

from features.base.errors import StorageFailure
from features.base.sqlite import file_id, transaction, use_wal

IDLE_CONNECTIONS = 8


class ConnectionPool:
    """Lends connections to threads; the writers of this process take turns, other processes are waited for.

    SQLite's own wait for a lock polls with growing pauses, in which other writers overtake: under eight threads half of
    the time to decide went there. A lock of this process hands over at once.

    Parameters
    ----------
    path : the database file; its folder is created where it is missing
    patience_s : seconds that a writer waits for another
    script : creates the tables in a new file; must be repeatable, and set ``user_version``
    version : the ``user_version`` of a file with these tables
    """

    def __init__(self, path: Path, *, patience_s: float, script: str, version: int) -> None:
        self._path = path
        self._patience_s = patience_s
        self._script, self._version = script, version
        self._writer = threading.Lock()
        self._pool = QueuePool(
            cast("Any", self._open), pool_size=IDLE_CONNECTIONS, max_overflow=-1, reset_on_return=None, use_lifo=True
        )
        with self.failures():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with self._lent():
                    pass
            except (sqlite3.Error, StorageFailure):
                self.close()
                raise

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._pool.dispose()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection in a read transaction: one consistent state of the ledger."""
        with self._lent() as connection, transaction(connection, "BEGIN DEFERRED"):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection in a write transaction: all of it is written, or nothing."""
        if not self._writer.acquire(timeout=self._patience_s):
            raise self._busy("another thread is writing")
        try:
            with self._lent() as connection, transaction(connection):
                yield connection
        finally:
            self._writer.release()

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turn errors of SQLite and of the file system into `StorageFailure`."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise self._busy(str(error)) from error
            raise StorageFailure(
                "ledger.unavailable",
                f"the ledger cannot be used ({error})",
                where=self._path.name,
                hint="check free space and permissions",
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

    def _busy(self, why: str) -> StorageFailure:
        return StorageFailure(
            "ledger.busy",
            f"the ledger cannot be written ({why})",
            where=self._path.name,
            hint="wait for the other writer and try again",
        )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found > self._version:
            raise StorageFailure(
                "ledger.version",
                f"the file has version {found}, this program reads version {self._version}",
                where=self._path.name,
                hint="use the newer program that wrote it",
            )
        if found < self._version:
            use_wal(connection, patience_s=self._patience_s)
            connection.executescript(self._script)

    @contextmanager
    def _lent(self) -> Iterator[sqlite3.Connection]:
        with self.failures():
            lent = self._pool.connect()
            while lent.info.get("file") != file_id(self._path):
                if "file" not in lent.info:  # just opened, and so of the file that is there now
                    self._prepare(cast("sqlite3.Connection", lent.dbapi_connection))
                    lent.info["file"] = file_id(self._path)
                else:  # the file was deleted, or replaced by a copy: what is written here would be lost
                    lent.invalidate()
                    lent = self._pool.connect()
            try:
                yield cast("sqlite3.Connection", lent.dbapi_connection)
            finally:
                lent.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=self._patience_s, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        connection.execute("PRAGMA synchronous = FULL")  # a decision that was answered survives a power cut
        connection.execute("PRAGMA recursive_triggers = ON")
        connection.execute("PRAGMA cache_size = -65536")
        return connection
