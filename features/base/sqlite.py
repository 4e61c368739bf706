"""SQLite files that several processes and threads use at once: write-ahead logging, a connection for each thread."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.base.file_locks import open_to_lock, take_lock

_RETRY_S = 0.02


def use_wal(connection: sqlite3.Connection, *, patience_s: float) -> None:
    """Switch the file to write-ahead logging, which stays with it.

    SQLite waits for a lock, except at this switch, where it says at once that the file is locked when several
    processes or threads make it at the same time (sqlite.org/wal.html, "Sometimes Queries Return SQLITE_BUSY In WAL
    Mode"): here they wait for each other.

    Raises
    ------
    sqlite3.OperationalError : when the file is still locked after `patience_s` seconds, or cannot be used
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_S)


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
    """Yield the connection in a transaction: all of it is written, or nothing.

    Examples
    --------
    >>> connection = sqlite3.connect(":memory:", isolation_level=None)
    >>> with transaction(connection):
    ...     _ = connection.execute("CREATE TABLE t (a)")
    >>> connection.in_transaction
    False
    """
    connection.execute(begin)
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back by itself when the disk is full
            connection.execute("ROLLBACK")
        raise


def file_id(path: Path) -> tuple[int, int] | None:
    """Return what distinguishes a file from any other that has its path later (device and inode); None if absent.

    An open connection keeps the inode of its file in use, so that no later file has the same one.

    Examples
    --------
    >>> file_id(folder / "absent") is None
    True
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


class ThreadConnection:
    """One thread's connection, closed when the thread ends; `usable` before each use.

    Parameters
    ----------
    path : the file
    mode : ``rwc`` creates the file where it is absent, ``rw`` does not
    wait_s : how long a statement waits for a lock
    """

    def __init__(self, path: Path, *, mode: str, wait_s: float) -> None:
        self._getpid = os.getpid  # an attribute, since the module is gone when the interpreter ends
        self._process = self._getpid()
        self._path = path
        if mode == "rwc":
            _create(path)
        before = file_id(path)
        self.sqlite = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=wait_s,
            isolation_level=None,
            # The garbage collector may close it from another thread; only its own thread ever uses it.
            check_same_thread=False,
        )
        self._file = before if before == file_id(path) else None

    @property
    def usable(self) -> bool:
        """Whether the connection belongs to this process, and its path still leads to the file that it opened.

        A forked child must not use or close it, for SQLite's locks belong to the process. A connection to a deleted
        or replaced file would read the values of the deleted file, and write where nobody reads.
        """
        return self._process == self._getpid() and self._file is not None and self._file == file_id(self._path)

    def __del__(self) -> None:
        if getattr(self, "sqlite", None) is not None and self._process == self._getpid():
            self.sqlite.close()


def _create(path: Path) -> None:
    """Create an empty file where none is, without the ``-wal`` and ``-shm`` that a deleted one left behind.

    While another process has the deleted file open, SQLite would take these for those of the file of the same name,
    and fail with "disk I/O error".
    """
    if path.exists():
        return
    folder = open_to_lock(path.parent)
    try:
        take_lock(folder, path.parent, wait=True)  # or it would remove what another process has just begun
        if not path.exists():
            for ending in ("-wal", "-shm"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
            path.touch()
    finally:
        folder.close()
