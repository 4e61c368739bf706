"""``nextbest run``: all steps from feeds to decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from features.base.clock import Clock, system_clock
from features.base.progress import Progress
from features.base.workspace import Workspace
from serving.cli.decide_command import decide_step
from serving.cli.features_step import features_step
from serving.cli.options import AsJson, AsOf, Folder, moment_of, workspace_of
from serving.cli.step_report import StepReport
from serving.cli.terminal import Terminal
from serving.cli.train_command import train_step
from serving.cli.unify_command import unify_step


def run(workspace: Folder = Path(), as_of: AsOf = None, as_json: AsJson = False) -> None:
    """All steps from feeds to decisions; what is done already is not done again."""
    terminal = Terminal(as_json=as_json)
    with terminal.progress() as progress:
        done = run_all(workspace_of(workspace), progress, as_of=moment_of(as_of), clock=system_clock)
    done.print(terminal, next_step="nextbest serve")


def run_all(workspace: Workspace, progress: Progress, *, as_of: datetime | None, clock: Clock) -> StepReport:
    """Run every step from feeds to decisions; a step whose input has not changed is not done again."""
    steps: Mapping[str, Callable[[], StepReport]] = {
        "unify": lambda: unify_step(workspace, progress),
        "features": lambda: features_step(workspace, progress, as_of=as_of),
        "train": lambda: train_step(workspace, [], progress, clock=clock),
        "decide": lambda: decide_step(workspace, progress),
    }
    document: dict[str, Any] = {}
    texts = []
    for name, step in steps.items():
        began = perf_counter()
        done = step()
        seconds = round(perf_counter() - began, 2)
        document[name] = {**done.document, "seconds": seconds}
        texts.append(f"{name} ({seconds:.1f} s)\n{done.text}")
    return StepReport(document, "\n\n".join(texts))
