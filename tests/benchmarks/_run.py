"""Runs `nextbest` from nothing in a folder of its own, and says how long it took and how much memory it held."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.base.workspace import Workspace
from features.identity.keyed_digest import store_key

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("NEXTBEST_DATA", REPOSITORY.parent / "shared" / "data"))
NEXTBEST = str(Path(sys.executable).with_name("nextbest"))
_WRITTEN = "../../../../shared/data"  # how the workspaces under tests name the folder of real data


@dataclass(frozen=True)
class Ran:
    """What a command answered, its wall time in seconds and its peak memory in GB."""

    answer: dict[str, Any]
    seconds: float
    peak_gb: float


def copy_workspace(name: str, folder: Path) -> Path:
    """Copy a workspace under tests, without its state, so that it finds the real data from elsewhere.

    Its customers get the same ids in every run, and so the same order and the same figures.
    """
    source = REPOSITORY / "tests" / "workspaces" / name
    target = folder / name
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("state"))
    feeds = target / "features" / "feeds.yaml"
    feeds.write_text(feeds.read_text(encoding="utf-8").replace(_WRITTEN, str(DATA)), encoding="utf-8")
    store_key(Workspace(target).identity_key, "the same ids in every run of the benchmarks")
    return target


def run(*arguments: str) -> Ran:
    """Run one command with ``--json`` and measure it; a failure ends the benchmark."""
    began = time.perf_counter()
    process = subprocess.Popen([NEXTBEST, *arguments, "--json"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"nextbest {' '.join(arguments)} failed: {text}")
    scale = 1e9 if sys.platform == "darwin" else 1e6  # bytes there, kilobytes elsewhere
    return Ran(json.loads(text), seconds, usage.ru_maxrss / scale)


def table(title: str, rows: dict[str, dict[str, float]], columns: tuple[str, ...]) -> None:
    """Print one line for each model or peer."""
    print(f"{title:28}" + "".join(f"{column:>14}" for column in columns))
    for name, numbers in rows.items():
        print(f"{name:28}" + "".join(f"{numbers[c]:14.4f}" if c in numbers else f"{'-':>14}" for c in columns))


def closing(short: list[str]) -> int:
    """Name what falls short, and return the exit code."""
    for line in short:
        print(f"falls short: {line}", file=sys.stderr)
    return 1 if short else 0
