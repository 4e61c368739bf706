"""``nextbest unify``: feeds → one customer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from features.base.progress import Progress
from features.base.workspace import Workspace
from features.pipeline.unify import unify as unify_feeds
from features.pipeline.unify_report import UnifyReport
from serving.cli.options import AsJson, Folder, workspace_of
from serving.cli.step_report import StepReport, withheld_lines
from serving.cli.terminal import Terminal


def unify(
    workspace: Folder = Path(),
    accept: Annotated[list[str] | None, typer.Option(help="A feed whose refused load is meant; may repeat.")] = None,
    refit: Annotated[bool, typer.Option("--refit", help="Learn the weights of identity anew.")] = False,
    as_json: AsJson = False,
) -> None:
    """Feeds → one customer; identity, quality and consent report."""
    terminal = Terminal(as_json=as_json)
    with terminal.progress() as progress:
        done = unify_step(workspace_of(workspace), progress, accept=accept or [], refit=refit)
    done.print(terminal, next_step="nextbest features")


def unify_step(
    workspace: Workspace, progress: Progress, *, accept: Sequence[str] = (), refit: bool = False
) -> StepReport:
    """Run ``unify``."""
    return _unify_report(unify_feeds(workspace, progress, accept=accept, refit=refit))


def _unify_report(report: UnifyReport) -> StepReport:
    odd = [check for check in report.checks if check.outcome in ("failed", "repaired")]
    lines = [
        f"{report.records} records are {report.customers} customers; "
        f"{report.quarantined} rows quarantined, {report.withheld} customers without every consent"
    ]
    same = [name for name, state in report.feeds.items() if state == "already applied"]
    lines += [f"  already applied, and not read again: {', '.join(same)}"] if same else []
    lines += withheld_lines(report.withheld_by)
    lines += [f"  {check.code} {check.feed or 'all feeds'}: {check.outcome}, {check.detail}" for check in odd]
    return StepReport(
        {
            "records": report.records,
            "customers": report.customers,
            "quarantined": report.quarantined,
            "withheld": report.withheld,
            "withheld_by": report.withheld_by,
            "checks": [check.as_dict() for check in report.checks],
            "feeds": dict(report.feeds),
        },
        "\n".join(lines),
    )
