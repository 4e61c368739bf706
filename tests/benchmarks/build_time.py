"""How long `nextbest run` takes on the demo's feeds, and how much memory it holds, beside the same of an older commit.

Run it from the repository root: ``python -m tests.benchmarks.build_time``. The older commit is checked out into a
temporary folder, which is removed afterwards; or name a checkout of it with ``NEXTBEST_OLD_CHECKOUT``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks._run import REPOSITORY, Ran, closing, table

OLD_COMMIT = "285bb56"
MOST_TIME, MOST_MEMORY = 0.8, 0.8
CUSTOMERS, SEED = 4_000, 7
STEPS = ("unify", "features", "train", "decide")
SIMULATE = """
import sys
from pathlib import Path
from features.base.progress import Silent
from features.base.workspace import Workspace
from serving import demo
workspace = Workspace(Path(sys.argv[1]))
demo._configure(workspace)
demo._simulate(workspace, Silent(), customers=int(sys.argv[2]), seed=int(sys.argv[3]))
"""
RUN = """
import sys
sys.argv = ["nextbest", "run", "--workspace", sys.argv[1], "--json"]
try:
    from serving.cli.main import main
except ImportError:
    from serving.cli import main
main()
"""


@contextmanager
def old_checkout() -> Iterator[Path]:
    """Yield a folder with the older commit."""
    if named := os.environ.get("NEXTBEST_OLD_CHECKOUT"):
        yield Path(named)
        return
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder) / "old"
        git = ["git", "-C", str(REPOSITORY), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(checkout), OLD_COMMIT], check=True)
        try:
            yield checkout
        finally:
            subprocess.run([*git, "remove", "--force", str(checkout)], check=True)


def measured(checkout: Path) -> Ran:
    """Simulate the company, and measure a run from its feeds to decisions with the code of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    with tempfile.TemporaryDirectory() as workspace:
        command = [sys.executable, "-c", SIMULATE, workspace, str(CUSTOMERS), str(SEED)]
        subprocess.run(command, check=True, env=environment, cwd=workspace)
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, workspace], env=environment, cwd=workspace, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.stdout.close()
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"nextbest run failed with the code of {checkout}: {text}")
    answer, _ = json.JSONDecoder().raw_decode(text[text.index("{") :])  # the older commit prints progress bars, too
    return Ran(answer, seconds, usage.ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6))


def main() -> int:
    with old_checkout() as checkout:
        old = measured(checkout)
    new = measured(REPOSITORY)
    times, memory = new.seconds / old.seconds, new.peak_gb / old.peak_gb
    rows = {
        name: {**{step: ran.answer[step]["seconds"] for step in STEPS}, "all": ran.seconds, "peak GB": ran.peak_gb}
        for name, ran in ((f"commit {OLD_COMMIT}", old), ("nextbest", new))
    }
    rows["ratio"] = {column: rows["nextbest"][column] / value for column, value in rows[f"commit {OLD_COMMIT}"].items()}
    table("run, from feeds to decisions", rows, (*STEPS, "all", "peak GB"))
    short = []
    if times > MOST_TIME:
        short.append(f"all: {times:.2f}× the time of {OLD_COMMIT}, the bar is {MOST_TIME}×")
    if memory > MOST_MEMORY:
        short.append(f"peak GB: {memory:.2f}× the memory of {OLD_COMMIT}, the bar is {MOST_MEMORY}×")
    return closing(short)


if __name__ == "__main__":
    sys.exit(main())
