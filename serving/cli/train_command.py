"""``nextbest train``: labels → frame → fit → evaluate → gate → register."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from features.base.clock import Clock, system_clock
from features.base.progress import Progress
from features.base.workspace import Workspace
from serving.cli.options import AsJson, Folder, workspace_of
from serving.cli.step_report import StepReport, withheld_lines
from serving.cli.terminal import Terminal
from training.labels.labelled_rows import EXCLUSIONS
from training.pipeline import train as train_models
from training.registry.trained_models import TrainedModel

_SHOWN = ("auc", "lift_10", "hit_5", "ndcg_5", "hit_5_again", "hit_5_new", "log_loss", "ece")


def train(
    models: Annotated[list[str] | None, typer.Argument(help="Models to train; all when none is named.")] = None,
    workspace: Folder = Path(),
    as_json: AsJson = False,
) -> None:
    """Labels → frame → fit → evaluate → gate → register; metrics and verdicts."""
    terminal = Terminal(as_json=as_json)
    with terminal.progress() as progress:
        done = train_step(workspace_of(workspace), models or [], progress, clock=system_clock)
    done.print(terminal, next_step="nextbest decide")


def train_step(workspace: Workspace, models: Sequence[str], progress: Progress, *, clock: Clock) -> StepReport:
    """Run ``train``."""

    def lines(name: str, model: TrainedModel) -> list[str]:
        main = [key for key in _SHOWN if key in model.metrics]
        width = max(len(peer) for peer in ["nextbest", *model.peers])
        rows = [("nextbest", model.metrics), *sorted(model.peers.items())]
        return [
            f"{name} version {model.version}: {model.verdict} ({model.rows} rows, {model.positives} positives)",
            *(f"  {why}" for why in model.reasons),
            *(f"  grade {model.grade['letter']}: {model.grade['detail']}" for _ in model.grade.keys() & {"letter"}),
            *(
                f"  {check['outcome']}: {check['code']} {check['title']}: {check['detail']}"
                for check in model.checks
                if check["outcome"] in ("failed", "tip")
            ),
            *withheld_lines(model.withheld_by),
            *(f"  not learnt from: {rows} rows, {EXCLUSIONS[why]}" for why, rows in model.excluded.items()),
            *(
                f"  95% interval: {key} {low:.4f} to {high:.4f}"
                for key, (low, high) in model.intervals.items()
                if key in main
            ),
            f"  {'':{width}}  " + "  ".join(f"{key:>8}" for key in main),
            *(
                f"  {peer:{width}}  "
                + "  ".join(
                    f"{numbers[key]:{max(8, len(key))}.4f}" if key in numbers else " " * max(8, len(key))
                    for key in main
                )
                for peer, numbers in rows
            ),
        ]

    trained = train_models(workspace, models, progress, clock=clock)
    return StepReport(
        {
            "models": {
                name: {
                    "version": model.version,
                    "metrics": model.metrics,
                    "peers": model.peers,
                    "verdict": model.verdict,
                    "reasons": list(model.reasons),
                    "leaks": list(model.leaks),
                    "withheld_by": model.withheld_by,
                    "excluded": model.excluded,
                    "checks": list(model.checks),
                    "grade": model.grade,
                    "intervals": model.intervals,
                    "differences": model.differences,
                }
                for name, model in trained.items()
            }
        },
        "\n".join(line for name, model in trained.items() for line in lines(name, model)),
    )
