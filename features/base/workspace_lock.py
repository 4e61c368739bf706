"""One lock a workspace: a command that writes its state holds it, and any other waits shortly or is refused."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from features.base.clock import Clock, iso, system_clock
from features.base.errors import StorageFailure
from features.base.file_locks import OpenFile, open_to_lock, take_lock
from features.base.workspace import Workspace

#: How long a command waits for another one to end, in seconds, before it is refused.
WAIT_S = 2.0
_PAUSE_S = 0.05
_INFO_BYTES = 4096
P = ParamSpec("P")
T = TypeVar("T")
_this_thread = threading.local()
os.register_at_fork(after_in_child=lambda: _this_thread.__dict__.clear())  # a forked process holds no lock


@dataclass(frozen=True)
class LockHolder:
    """The process that holds a lock.

    Parameters
    ----------
    pid, host : the process, as its own machine or container numbers it
    command : what it does, such as ``unify``
    since : when it took the lock, ISO 8601 in UTC

    Examples
    --------
    >>> print(LockHolder(pid=12, host="batch-1", command="unify", since="2026-07-01T02:00:00Z"))
    `nextbest unify` (process 12 on batch-1, since 2026-07-01T02:00:00Z)
    """

    pid: int
    host: str
    command: str
    since: str

    def __str__(self) -> str:
        return f"`nextbest {self.command}` (process {self.pid} on {self.host}, since {self.since})"


@contextmanager
def workspace_lock(
    workspace: Workspace, command: str, *, wait_s: float = WAIT_S, clock: Clock = system_clock
) -> Iterator[None]:
    """Hold the lock of a workspace while its state is written.

    Parameters
    ----------
    workspace : whose state is written
    command : the command that writes, for the message to others
    wait_s : how many seconds to wait for another holder
    clock : the present moment

    Raises
    ------
    StorageFailure : another process or thread holds the lock and did not release it in time
    """
    with file_lock(workspace.state / "workspace.lock", command, wait_s=wait_s, clock=clock):
        yield


@contextmanager
def file_lock(path: Path, command: str, *, wait_s: float = WAIT_S, clock: Clock = system_clock) -> Iterator[None]:
    """Hold the exclusive lock of a file; a thread that holds it already goes on at once.

    The operating system releases the lock when its holder ends, however it ends. So the lock also holds between
    containers that share the folder, where a process id names another process in each.

    Parameters
    ----------
    path : the file; it is created, stays, and holds who took the lock last
    command, wait_s, clock : see `workspace_lock`

    Raises
    ------
    StorageFailure : see `workspace_lock`
    """
    path = path.resolve()
    held: set[Path] = _this_thread.__dict__.setdefault("held", set())
    if path in held:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open_to_lock(path, create=True)
    except OSError as error:
        raise StorageFailure(
            "storage.unwritable",
            f"the lock file cannot be written ({error.strerror or type(error).__name__})",
            where=path.name,
            hint="check the free space and the permissions of the folder",
        ) from error
    try:
        _acquire(handle, path, wait_s=wait_s)
        _write_holder(handle, LockHolder(os.getpid(), socket.gethostname(), command, iso(clock())))
        held.add(path)
        yield
    finally:
        held.discard(path)
        handle.close()


def locked(command: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function that writes the workspace it is given: it runs with `workspace_lock` held."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            (workspace,) = (value for value in (*args, *kwargs.values()) if isinstance(value, Workspace))
            with workspace_lock(workspace, command):
                return function(*args, **kwargs)

        return run

    return decorate


def _acquire(handle: OpenFile, path: Path, *, wait_s: float) -> None:
    until = time.monotonic() + wait_s
    while not take_lock(handle, path):
        if time.monotonic() >= until:
            raise StorageFailure(
                "workspace.busy",
                f"{_read_holder(handle) or 'another process'} is writing this workspace; nothing was changed",
                where=path.name,
                hint="run the command again when that one has ended",
            )
        time.sleep(_PAUSE_S)


def _write_holder(handle: OpenFile, holder: LockHolder) -> None:
    with suppress(OSError):  # on a full disk the lock holds all the same, and a refusal names no holder
        os.ftruncate(handle.fileno(), 0)
        os.pwrite(handle.fileno(), json.dumps(asdict(holder)).encode(), 0)


def _read_holder(handle: OpenFile) -> LockHolder | None:
    try:
        return LockHolder(**json.loads(os.pread(handle.fileno(), _INFO_BYTES, 0)))
    except (OSError, ValueError, TypeError):
        return None
