"""``nextbest decide``: decide for every customer, publish the list."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from features.base.progress import Progress
from features.base.workspace import Workspace
from serving.batch.decide_job import decide_all
from serving.cli.options import AsJson, Folder, workspace_of
from serving.cli.step_report import StepReport
from serving.cli.terminal import Terminal


def decide(
    workspace: Folder = Path(),
    customers: Annotated[Path | None, typer.Option(help="File with one customer_id a line; all if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Decide for every customer, log it, and publish the list atomically."""
    terminal = Terminal(as_json=as_json)
    with terminal.progress() as progress:
        done = decide_step(workspace_of(workspace), progress, customers=customers)
    done.print(terminal, next_step="nextbest serve")


def decide_step(workspace: Workspace, progress: Progress, *, customers: Path | None = None) -> StepReport:
    """Run ``decide``."""
    done = decide_all(workspace, progress, customers=customers)
    none = sum(done.no_action.values())
    lines = [f"{done.decided} customers decided, {none} of them without an offer"]
    lines += [f"  {offer}: {count}" for offer, count in sorted(done.by_offer.items(), key=lambda pair: -pair[1])]
    lines += [f"  no action, {reason}: {count}" for reason, count in done.no_action.items()]
    lines += [f"  without {what}" for what in done.degraded]
    lines.append(f"published: {done.folder}")
    return StepReport(
        {
            "decided": done.decided,
            "by_offer": done.by_offer,
            "no_action": none,
            "published": str(done.folder),
            "no_action_reasons": done.no_action,
            "degraded": list(done.degraded),
        },
        "\n".join(lines),
    )
