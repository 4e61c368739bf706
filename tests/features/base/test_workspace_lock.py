"""One command at a time writes a workspace; the others hear who does, and a holder that dies frees it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.base.errors import StorageFailure
from features.base.progress import Silent
from features.base.workspace import Workspace
from features.base.workspace_lock import locked, workspace_lock
from features.pipeline.unify import unify
from tests.features.other_command import other_command
from tests.features.tiny import company, lines

HOLDER = """
import pathlib, sys, time
from features.base.workspace import Workspace
from features.base.workspace_lock import workspace_lock
with workspace_lock(Workspace(pathlib.Path(sys.argv[1])), "train"):
    print("held", flush=True)
    time.sleep(600)
"""


def refusal(workspace: Workspace) -> StorageFailure:
    with pytest.raises(StorageFailure) as caught, workspace_lock(workspace, "unify", wait_s=0):
        pass
    return caught.value


def test_another_process_is_named_with_what_it_does_and_since_when_and_when_killed_it_holds_nothing(
    tmp_path: Path,
) -> None:
    workspace = Workspace(tmp_path)
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        refused = refusal(workspace)
        assert (refused.exit_code, refused.first.code) == (74, "workspace.busy")
        assert f"`nextbest train` (process {process.pid} on {socket.gethostname()}, since " in refused.first.message
        assert refused.first.hint
    finally:
        process.kill()
        process.communicate()
    with workspace_lock(workspace, "unify", wait_s=0):
        pass


def test_unify_is_refused_while_another_command_writes_and_changes_nothing(tmp_path: Path) -> None:
    feeds = "feeds: {crm: {source: crm.csv, kind: customers, key: id, updated_at: at, timezone: UTC}}\n"
    workspace = company(tmp_path, feeds=feeds, files={"crm.csv": lines("id,at", ["1,2026-01-01"])})
    with other_command(workspace, "train"), pytest.raises(StorageFailure, match="nextbest train"):
        unify(workspace, Silent())
    assert not workspace.staged.exists()
    assert unify(workspace, Silent()).customers == 1


def test_a_short_wait_is_enough_where_the_other_command_ends(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with other_command(workspace):
        assert "features" in refusal(workspace).first.message
    with workspace_lock(workspace, "unify", wait_s=5):
        pass


def test_a_step_within_a_command_goes_on_and_the_lock_is_held_until_the_command_ends(tmp_path: Path) -> None:
    workspace, held = Workspace(tmp_path), []

    @locked("promote")
    def step(name: str, *, workspace: Workspace) -> str:
        with workspace_lock(workspace, "anything"):
            held.append(name)
        return name

    with workspace_lock(workspace, "train", clock=lambda: datetime(2026, 7, 1, tzinfo=UTC)):
        assert step("one", workspace=workspace) == "one"
        with ThreadPoolExecutor(1) as elsewhere:
            message = elsewhere.submit(refusal, workspace).result().first.message
        assert f"`nextbest train` (process {os.getpid()} on " in message
        assert "since 2026-07-01T00:00:00Z" in message
    assert held == ["one"]


def test_a_folder_that_cannot_be_written_is_a_failure_of_storage(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("", encoding="utf-8")
    assert refusal(Workspace(tmp_path)).first.code == "storage.unwritable"
