"""Locks of files and folders, which end with the process that took them; a process forked from it holds none."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from pathlib import Path

from features.base.errors import StorageFailure

_UNSUPPORTED = frozenset({errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


class OpenFile:
    """A file or folder that is opened to be locked; closed once, whoever closes it."""

    def __init__(self, number: int) -> None:
        self._number: int | None = number

    def fileno(self) -> int:
        """Return the number by which the system knows the open file."""
        if self._number is None:
            raise ValueError("the file is closed")
        return self._number

    def close(self) -> None:
        """Close the file, which releases its lock."""
        number, self._number = self._number, None
        _open.discard(self)
        if number is not None:
            os.close(number)


_open: set[OpenFile] = set()


def open_to_lock(path: Path, *, create: bool = False) -> OpenFile:
    """Open a file or folder that is to be locked, for `take_lock`.

    A file is opened for writing, without which network file systems refuse an exclusive lock.
    """
    access = os.O_RDONLY if path.is_dir() else os.O_RDWR
    handle = os.open(path, access | os.O_CREAT if create else access, 0o600)
    opened = OpenFile(handle)
    _open.add(opened)
    return opened


def take_lock(handle: OpenFile, path: Path, *, shared: bool = False, wait: bool = False) -> bool:
    """Lock what was opened; return whether that was possible, which with `wait` it is in the end.

    Raises
    ------
    StorageFailure : the file system has no locks
    """
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        raise StorageFailure(
            "storage.no_locks",
            f"the file system cannot lock files ({error.strerror}), so two commands could write at the same time",
            where=path.name,
            hint="keep the workspace's state/ on a local disk, or mount the network drive with locks (NFS version 4, "
            "without `nolock`)",
        ) from error
    return True


def lock_at_once(path: Path) -> OpenFile | None:
    """Lock a file or folder; return it opened, None where another process holds it or it is not there any more."""
    try:
        handle = open_to_lock(path)
    except FileNotFoundError:
        return None
    locked = False
    try:
        locked = take_lock(handle, path) and os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        pass
    finally:
        if not locked:
            handle.close()
    return handle if locked else None


def remove_unless_locked(path: Path) -> None:
    """Remove a file or folder that no process has locked."""
    handle = lock_at_once(path)
    if handle is not None:
        remove(path)
        handle.close()


def remove(path: Path) -> None:
    """Remove a file, or as much of a folder as can be removed; it may be gone already."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _close_all() -> None:
    """Close what a forked process has open from its parent: it would keep the locks when the parent ends."""
    for opened in list(_open):
        opened.close()


os.register_at_fork(after_in_child=_close_all)
