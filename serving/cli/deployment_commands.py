"""``nextbest promote`` and ``rollback``: which version of a model decides."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from features.base.clock import system_clock
from features.base.workspace import Workspace
from serving.cli.options import AsJson, Folder, workspace_of
from serving.cli.step_report import StepReport
from serving.cli.terminal import Terminal
from training.registry.champions import Deployment
from training.registry.mlflow_settings import load_mlflow
from training.registry.mlflow_sink import connect
from training.registry.promotion import promote as promote_version
from training.registry.promotion import roll_back


def promote(
    model: Annotated[str, typer.Argument(help="The model.")],
    version: Annotated[int | None, typer.Option(help="The version; the latest if left out.")] = None,
    reason: Annotated[str, typer.Option(help="Why; recorded in the ledger.")] = "promoted by hand",
    workspace: Folder = Path(),
    as_json: AsJson = False,
) -> None:
    """Make a version the champion, with a ledger entry."""
    terminal = Terminal(as_json=as_json)
    done = promote_step(workspace_of(workspace), model, version=version, reason=reason, at=system_clock())
    done.print(terminal, next_step="nextbest decide")


def rollback(
    model: Annotated[str, typer.Argument(help="The model.")],
    reason: Annotated[str, typer.Option(help="Why; recorded in the ledger.")] = "rolled back by hand",
    workspace: Folder = Path(),
    as_json: AsJson = False,
) -> None:
    """Make the version before the present one the champion again, with a ledger entry."""
    terminal = Terminal(as_json=as_json)
    done = rollback_step(workspace_of(workspace), model, reason=reason, at=system_clock())
    done.print(terminal, next_step="nextbest decide")


def promote_step(workspace: Workspace, model: str, *, version: int | None, reason: str, at: datetime) -> StepReport:
    """Run ``promote``."""
    settings, _ = load_mlflow(workspace)
    client = connect(settings, workspace)
    return _deployment_report(
        promote_version(client, settings, workspace, model, version=version, reason=reason, at=at)
    )


def rollback_step(workspace: Workspace, model: str, *, reason: str, at: datetime) -> StepReport:
    """Run ``rollback``."""
    settings, _ = load_mlflow(workspace)
    client = connect(settings, workspace)
    return _deployment_report(roll_back(client, settings, workspace, model, reason=reason, at=at))


def _deployment_report(entry: Deployment) -> StepReport:
    before = f"instead of version {entry.instead_of}" if entry.instead_of else "the first champion"
    return StepReport(
        {
            "model": entry.model,
            "version": entry.version,
            "move": entry.move,
            "instead_of": entry.instead_of,
            "reason": entry.reason,
        },
        f"{entry.model} version {entry.version} decides now, {before}",
    )
