"""Another command that holds the lock of a workspace, as a test that is refused by it needs one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from features.base.workspace import Workspace
from features.base.workspace_lock import workspace_lock


@contextmanager
def other_command(workspace: Workspace, command: str = "features") -> Iterator[None]:
    """Hold the lock in another thread: a thread that holds it itself is never refused."""
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with workspace_lock(workspace, command):
            taken.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert taken.wait(10)
        yield
    finally:
        done.set()
        thread.join()
