"""Locks on file systems that lock otherwise or not at all, and the locks of a process that forks."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from features.base.database_engine import EngineResources, open_engine
from features.base.errors import StorageFailure
from features.base.generations import new_generation
from features.base.storage import atomic_file, write_json
from features.base.workspace import Workspace
from features.base.workspace_lock import workspace_lock
from features.streaming.event_log_sqlite import SqliteLog

FORKED = """
import os, pathlib, sys, time
from features.base.errors import StorageFailure
from features.base.storage import atomic_file
from features.base.workspace import Workspace
from features.base.workspace_lock import workspace_lock
folder = pathlib.Path(sys.argv[1])
with atomic_file(folder / "report.json"), workspace_lock(Workspace(folder), "train"):
    if os.fork() == 0:
        try:
            with workspace_lock(Workspace(folder), "child", wait_s=0):
                print("not refused", flush=True)
        except StorageFailure:
            print(os.getpid(), flush=True)
    time.sleep(600)
"""


READER = """
import os, pathlib, sys
from features.base.generations import current_generation, hold_generation, new_generation
from features.base.file_locks import lock_at_once
class Reader: pass
folder, file = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
with new_generation(folder) as part:
    (part / "table").touch()
reader = Reader()
hold_generation(reader, current_generation(folder))
if os.fork() == 0:
    taken = lock_at_once(file)
    del reader
    print(os.path.samestat(os.fstat(taken.fileno()), file.stat()), flush=True)
    os._exit(0)
os.wait()
"""


def write(folder: Path) -> None:
    write_json(folder / "report.json", {})


def publish(folder: Path) -> None:
    with new_generation(folder) as part:
        (part / "table").write_text("1", encoding="utf-8")


def take_workspace_lock(folder: Path) -> None:
    with workspace_lock(Workspace(folder), "unify"):
        pass


def become_worker(folder: Path) -> None:
    SqliteLog(folder).acquire_lease()


def spill(folder: Path) -> None:
    with open_engine(folders=[], resources=EngineResources(spill=folder)):
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EBADF, errno.EOPNOTSUPP])
@pytest.mark.parametrize("work", [write, publish, take_workspace_lock, become_worker, spill])
def test_a_file_system_without_locks_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Callable[[Path], None], code: int
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StorageFailure) as caught:
        work(tmp_path)
    assert caught.value.first.code == "storage.no_locks"
    assert "local disk" in caught.value.first.hint
    assert not list(tmp_path.glob(".*"))


def test_a_file_is_opened_for_writing_as_network_file_systems_require_of_an_exclusive_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def network_flock(handle: int, operation: int) -> None:
        read_only = fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        if read_only and not Path(f"/dev/fd/{handle}").is_dir():
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", network_flock)
    abandoned = tmp_path / ".report.json.000000000000.part"
    abandoned.touch()
    write(tmp_path)
    take_workspace_lock(tmp_path)
    assert not abandoned.exists()


def test_a_forked_process_holds_no_lock_and_frees_none(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FORKED, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        with pytest.raises(StorageFailure, match="nextbest train"), workspace_lock(Workspace(tmp_path), "unify"):
            pass
        process.kill()
        process.wait()
        with workspace_lock(Workspace(tmp_path), "unify", wait_s=0):
            pass
        with atomic_file(tmp_path / "report.json") as part:
            assert list(tmp_path.glob(".report.json.*.part")) == [part]
    finally:
        os.kill(child, signal.SIGKILL)
        process.kill()
        process.communicate()


def test_a_reader_that_a_forked_process_inherits_frees_no_lock_of_its_own(tmp_path: Path) -> None:
    """The number of the inherited file is that of the next one which the child opens."""
    file = tmp_path / "write.lock"
    file.touch()
    done = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path / "tables"), str(file)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\n"
