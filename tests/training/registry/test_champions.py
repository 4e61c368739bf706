"""Champions and their ledger, written by several processes at the same time."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from features.base.workspace import Workspace
from training.registry.champions import Champion, read_champions, read_deployments, set_champion

PROMOTE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from features.base.workspace import Workspace
from training.registry.champions import Champion, set_champion

root, process, times = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for number in range(times):
    own = Champion(f"model_{process}", number + 1, f"{number:064d}")
    shared = Champion("shared", 1000 * process + number, f"{process:064d}")
    for champion in (own, shared):
        set_champion(Workspace(root), champion, move="promote", reason="a test", at=datetime(2026, 7, 1, tzinfo=UTC))
"""
PROCESSES, TIMES = 3, 15


def test_promotions_of_several_processes_all_end_in_the_ledger_and_in_the_champions(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROMOTE, str(tmp_path), str(process), str(TIMES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for process in range(PROCESSES)
    ]
    for each in running:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in running:  # all go at once
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    for each in running:
        each.communicate(timeout=120)
        assert each.returncode == 0
    ledger = read_deployments(workspace)
    champions = read_champions(workspace)
    assert len(ledger) == PROCESSES * TIMES * 2
    assert {model: champions[model].version for model in champions} == {
        **{f"model_{process}": TIMES for process in range(PROCESSES)},
        "shared": [entry.version for entry in ledger if entry.model == "shared"][-1],
    }
    shared = [entry for entry in ledger if entry.model == "shared"]
    assert [entry.instead_of for entry in shared] == [None, *(entry.version for entry in shared[:-1])]


def test_a_promotion_killed_while_it_was_written_changes_nothing_and_the_next_one_is_whole(tmp_path: Path) -> None:
    workspace, at = Workspace(tmp_path), datetime(2026, 7, 1, tzinfo=UTC)
    first, second = Champion("churn", 1, "a" * 64), Champion("churn", 2, "b" * 64)
    set_champion(workspace, first, move="promote", reason="the first", at=at)
    ledger = workspace.models / "deployments.jsonl"
    whole = ledger.read_bytes()
    set_champion(workspace, second, move="promote", reason="the second", at=at)
    longer = ledger.read_bytes()
    for length in range(len(whole), len(longer)):
        ledger.write_bytes(longer[:length])
        assert read_champions(workspace) == {"churn": first}
        assert len(read_deployments(workspace)) == 1
    set_champion(workspace, second, move="promote", reason="the second", at=at)
    assert read_champions(workspace) == {"churn": second}
    assert ledger.read_bytes() == longer
