"""What the last training of each model found, as ``state/models/MODEL/trained.json`` holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from features.base.storage import read_json, write_json
from features.base.workspace import Workspace
from training.dataset.frame import Frame
from training.validation.assessment import Assessment
from training.validation.data_checks import DataCheckResult
from training.validation.gates import PromotionDecision
from training.validation.grade import grade


@dataclass(frozen=True)
class TrainedModel:
    """What became of one model.

    Parameters
    ----------
    version : in the registry
    digest : of the exported bundle
    metrics, peers : on held-out rows, the mean over the folds
    verdict : whether the gates let it become champion
    reasons : the rules that held it
    rules : every promotion rule's code, title, outcome and detail
    rows, positives : what it learnt from
    withheld_by : purpose → reason → customers whom it may not learn from
    excluded : why customers at a cutoff are not learnt from, and how many
    checks : every data check's code, title, outcome and detail
    intervals : headline metric → lower and upper end of its interval
    differences : peer → headline metric → ours minus the peer's, with both ends of the interval
    grade : A, B or C against the best simple rule, and why; empty where there is no such rule
    leaks : every check of the training frame's leak report
    """

    version: int
    digest: str
    metrics: dict[str, float]
    peers: dict[str, dict[str, float]]
    verdict: Literal["promote", "hold"]
    reasons: tuple[str, ...]
    rules: tuple[dict[str, str], ...]
    rows: int
    positives: int
    withheld_by: dict[str, dict[str, int]] = field(default_factory=dict)
    leaks: tuple[dict[str, Any], ...] = ()
    excluded: dict[str, int] = field(default_factory=dict)
    checks: tuple[dict[str, str], ...] = ()
    grade: dict[str, str] = field(default_factory=dict)
    intervals: dict[str, list[float]] = field(default_factory=dict)
    differences: dict[str, dict[str, list[float]]] = field(default_factory=dict)


def trained_model(
    version: int,
    digest: str,
    assessment: Assessment,
    decision: PromotionDecision,
    frame: Frame,
    checks: Sequence[DataCheckResult],
    withheld_by: dict[str, dict[str, int]],
) -> TrainedModel:
    """Return what became of a model as plain values."""
    graded = grade(assessment.evidence)
    return TrainedModel(
        version=version,
        digest=digest,
        metrics=dict(assessment.metrics),
        peers={name: dict(numbers) for name, numbers in assessment.peers.items()},
        verdict=decision.verdict,
        reasons=decision.reasons,
        rules=tuple(asdict(rule) for rule in decision.rules),
        rows=len(frame.rows),
        positives=int(np.nansum(frame.target)),
        withheld_by=withheld_by,
        leaks=tuple(frame.leaks.as_dicts()),
        excluded=dict(frame.excluded),
        checks=tuple(asdict(check) for check in checks),
        grade={} if graded is None else asdict(graded),
        intervals={name: [found.low, found.high] for name, found in assessment.intervals.items()},
        differences={
            peer: {name: [found.difference, found.low, found.high] for name, found in each.items()}
            for peer, each in assessment.differences.items()
        },
    )


def read_trained(workspace: Workspace, model: str, *, training_digest: str | None = None) -> TrainedModel | None:
    """Return what the last training of a model found; None where there was none.

    Parameters
    ----------
    training_digest : of what it must have been trained from; any when left out

    Examples
    --------
    >>> read_trained(Workspace(Path("an empty folder")), "churn") is None
    True
    """
    path = _path(workspace, model)
    if not path.is_file():
        return None
    document: Mapping[str, Any] = read_json(path)
    if training_digest is not None and document["digest"] != training_digest:
        return None
    outcome = document["trained"]
    return TrainedModel(**outcome | {name: tuple(outcome[name]) for name in ("reasons", "rules", "leaks", "checks")})


def write_trained(workspace: Workspace, model: str, outcome: TrainedModel, *, training_digest: str) -> None:
    """Write what a training found, with the digest of what it was trained from."""
    write_json(_path(workspace, model), {"digest": training_digest, "trained": asdict(outcome)})


def _path(workspace: Workspace, model: str) -> Path:
    return workspace.models / model / "trained.json"
