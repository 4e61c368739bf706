"""What is logged of a training run, as a value; `mlflow_sink` writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version as library
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from features.base.clock import iso
from training.dataset.frame import Frame
from training.models.fitted_model import FittedModel
from training.registry import run_plots
from training.registry.training_task import TrainingTask
from training.validation.assessment import Assessment
from training.validation.data_checks import DataCheckResult
from training.validation.gates import PromotionDecision

#: The tag of a run and of a registered version that names its bundle.
BUNDLE_DIGEST = "bundle_digest"


@dataclass(frozen=True)
class TrainingRun:
    """One run.

    Parameters
    ----------
    name : of the model
    parameters : settings that decided it
    metrics : numbers, ours by name and the peers' as ``PEER.metric``
    tags : versions of data and code, the verdict
    figures : plots by file name
    documents : JSON documents by file name
    booster : LightGBM's Booster
    bundle : the exported folder, logged as an artifact
    """

    name: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    figures: Mapping[str, Figure]
    documents: Mapping[str, Any]
    booster: Any
    bundle: Path


def training_run(
    task: TrainingTask,
    frame: Frame,
    assessment: Assessment,
    decision: PromotionDecision,
    checks: Sequence[DataCheckResult],
    scorer: FittedModel,
    *,
    bundle: Path,
    bundle_digest: str,
) -> TrainingRun:
    """Return what is logged of one training.

    Parameters
    ----------
    task : what was trained
    frame, assessment, decision, checks, scorer, bundle : what the training's steps gave
    bundle_digest : of the bundle; versions are found again by it
    """
    name, settings, fitting = task.name, task.settings, task.fitting
    names = scorer.inputs
    figures = {"importance.png": run_plots.importance(names, scorer.trees.gain(), title=f"{name}: importance")}
    if assessment.reliability is not None:
        figures["calibration.png"] = run_plots.calibration(assessment.reliability, title=f"{name}: calibration")
    if assessment.curves:
        figures["lift.png"] = run_plots.lift(assessment.curves, title=f"{name}: lift")
    peers = {f"{peer}.{metric}": value for peer, row in assessment.peers.items() for metric, value in row.items()}
    return TrainingRun(
        name=name,
        parameters={
            **{key: str(value) for key, value in fitting.boosting.model_dump().items()},
            "label": str(settings.label.kind),
            "rows": str(len(frame.rows)),
            "features": str(len(names)),
            "seed": str(settings.seed),
        },
        metrics={**assessment.metrics, **peers},
        tags={
            BUNDLE_DIGEST: bundle_digest,
            "training_digest": task.digest,
            "features_digest": task.report.digest,
            "features_as_of": iso(task.report.as_of),
            "code_version": library("nextbest"),
            "verdict": decision.verdict,
        },
        figures=figures,
        documents={
            "gates.json": [asdict(rule) for rule in decision.rules],
            "leaks.json": frame.leaks.as_dicts(),
            "label.json": settings.model_dump(mode="json"),
            "data_checks.json": [asdict(check) for check in checks],
            "intervals.json": {
                "ours": {name: asdict(found) for name, found in assessment.intervals.items()},
                "minus_peer": {
                    peer: {name: asdict(found) for name, found in each.items()}
                    for peer, each in assessment.differences.items()
                },
            },
            "excluded.json": dict(frame.excluded),
        },
        booster=scorer.trees.booster,
        bundle=bundle,
    )
