"""`nextbest run` again and again: done twice it does nothing anew, killed anywhere it ends with the same bytes."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from features.base.workspace import Workspace
from serving.batch.published_list import CSV, PARQUET
from tests.repetitions import repetitions
from tests.serving.forking import Forking
from tests.tiny import write_tiny

#: What `run` says when it begins a step; each is killed a moment after it said so.
STEPS = (
    "reading feeds",
    "resolving customers",
    "computing features",
    "registering with Feast",
    "churn: labels and features",
    "churn: judging on held-out rows",
    "churn: logging to MLflow",
    "reading features",
    "deciding for",
    "publishing",
)
#: Those at which a run that has nothing to learn anew still stops; killed over and over.
LATE = ("reading features", "deciding for", "publishing")
KILLS = repetitions(len(STEPS) + 1, fuzz=60)
DEADLINE_S = 600.0


@pytest.fixture(scope="module")
def forking() -> Iterator[Forking]:
    with Forking() as server:
        yield server


@pytest.fixture(scope="module")
def undisturbed(forking: Forking, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = write_tiny(tmp_path_factory.mktemp("undisturbed"))
    run(forking, workspace)
    return workspace


def run(forking: Forking, workspace: Workspace) -> dict[str, dict[str, object]]:
    log = workspace.root / "run.txt"
    log.unlink(missing_ok=True)
    forking.start(["run", "--json", "--workspace", str(workspace.root)], log=log)
    assert forking.wait() == 0, log.read_text()
    answer: dict[str, dict[str, object]] = json.loads(log.read_text().splitlines()[-1])
    return answer


def published(workspace: Workspace) -> dict[str, bytes]:
    folder = workspace.published / "decisions"
    return {name: (folder / name).read_bytes() for name in (PARQUET, CSV)}


def decisions_in_ledger(workspace: Workspace) -> list[tuple[str, str]]:
    """Return (decision, offer) of everything that the ledger holds, as often as it does."""
    select = "select decision_id, offer from decisions left join interactions using (decision_id) order by 1, 2"
    with closing(sqlite3.connect(workspace.ledger)) as ledger:
        return ledger.execute(select).fetchall()


def killed_after(forking: Forking, workspace: Workspace, *, step: str, delay: float) -> bool:
    """Start a run and kill it `delay` seconds after it began `step`; say whether it was still running."""
    log = workspace.root / "killed.txt"
    log.unlink(missing_ok=True)
    process = forking.start(["run", "--workspace", str(workspace.root)], log=log)
    end = time.monotonic() + DEADLINE_S
    while f"· {step}" not in (said := log.read_text()):
        assert time.monotonic() < end, f"{step!r} was not reached in time:\n{said}"
        if "next:" in said or "✗" in said:
            break
        time.sleep(0.005)
    time.sleep(delay)
    with suppress(ProcessLookupError):  # it may have ended by then
        os.kill(process, signal.SIGKILL)
    return forking.wait() == -signal.SIGKILL


class Reader(threading.Thread):
    """Reads the published list over and over, as another system would, and notes what was not whole."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(daemon=True)
        self._folder = workspace.published / "decisions"
        self._done = threading.Event()
        self.whole, self.absent, self.broken = 0, 0, list[str]()

    def run(self) -> None:
        while not self._done.is_set():
            self._look()
            time.sleep(0.002)

    def stop(self) -> None:
        """End the thread, and look once more: on a busy machine it may not have had its turn since the last run."""
        self._done.set()
        self.join()
        self._look()

    def _look(self) -> None:
        if not self._folder.exists():
            self.absent += 1
            return
        try:
            manifest = json.loads((self._folder / "manifest.json").read_text())
            parquet, rows = (self._folder / PARQUET).read_bytes(), (self._folder / CSV).read_bytes().count(b"\n") - 1
        except (OSError, ValueError) as error:
            self.broken.append(repr(error))
            return
        if hashlib.sha256(parquet).hexdigest() != manifest["sha256"] or rows != manifest["rows"]:
            self.broken.append("the files and the manifest differ")
        self.whole += 1


@pytest.mark.slow
def test_a_second_run_publishes_the_same_bytes_and_learns_nothing_anew(
    forking: Forking, undisturbed: Workspace
) -> None:
    before, ledger = published(undisturbed), decisions_in_ledger(undisturbed)
    folders = (undisturbed.staged, undisturbed.unified, undisturbed.models)
    files = {path: path.stat().st_mtime_ns for folder in folders for path in folder.rglob("*") if path.is_file()}
    answer = run(forking, undisturbed)
    assert published(undisturbed) == before
    assert decisions_in_ledger(undisturbed) == ledger
    assert {path: path.stat().st_mtime_ns for path in files} == files, "something was made again"
    assert answer["decide"]["decided"] == len({decision for decision, _ in ledger})


@pytest.mark.slow
@pytest.mark.fuzz
def test_killed_anywhere_and_run_again_it_ends_with_the_same_bytes(
    forking: Forking, undisturbed: Workspace, tmp_path: Path
) -> None:
    workspace, chance = write_tiny(tmp_path / "killed"), random.Random(20260701)
    reader = Reader(workspace)
    reader.start()
    longest, kills = 0.25, 0
    for step in itertools.islice(itertools.chain(STEPS, itertools.cycle(LATE)), 20 * KILLS):
        if killed_after(forking, workspace, step=step, delay=chance.uniform(0, longest)):
            kills += 1
        else:
            longest /= 2  # this machine is quicker than that
        if kills == KILLS:
            break
    run(forking, workspace)
    reader.stop()
    assert kills == KILLS, f"only {kills} runs were killed before they ended"
    assert published(workspace) == published(undisturbed)
    assert decisions_in_ledger(workspace) == decisions_in_ledger(undisturbed)
    assert len(set(decisions_in_ledger(workspace))) == len(decisions_in_ledger(workspace))
    assert reader.broken == []
    assert reader.absent
    assert reader.whole
