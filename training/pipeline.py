"""The story: labels → frame → fit → evaluate → gate → register → champion."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from importlib.metadata import version as library
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.base.clock import Clock, iso
from features.base.engine import open_engine
from features.base.errors import UsageError
from features.base.progress import Progress
from features.base.storage import digest_of, read_json, write_json
from features.base.workspace import Workspace
from features.base.workspace_lock import locked
from features.config.engine_settings import engine_resources
from features.config.feeds_file import FeedsFile
from features.config.loading import did_you_mean
from features.config.workspace_files import load_feeds
from features.consent.customer_data import by_purpose, open_customer_data
from features.snapshots.build_report import FeaturesReport, read_report
from features.store.repository import Store, open_store
from training.baselines.peers import Past, Peer, aligned, binary_peers, ranking_peers
from training.dataset.frame import Frame, build_frame
from training.dataset.leaks.leak_report import Examined, examine_sides
from training.dataset.leaks.recompute_features import CompiledViews
from training.dataset.splits import Fold, by_customer, by_time, recency_weights
from training.labels.build import Labels, build
from training.labels.label_settings import Acquisition, Inactivity, LabelsFile, ModelSettings, Recorded, load_labels
from training.labels.purchase_history import purchase_history, taken_before
from training.models import classifier, ranker
from training.models.booster import BoosterSettings
from training.models.classifier import Classifier
from training.models.golden_rows import synthetic_rows
from training.models.ranker import Ranker
from training.registry import bundle as bundles
from training.registry import promotion, run_plots
from training.registry.bundle import About, Bundle
from training.registry.champions import bundle_folder, read_champions
from training.registry.mlflow_settings import MlflowFile, load_mlflow
from training.registry.mlflow_sink import connect, log, require_experiment
from training.registry.run_record import TrainingRun
from training.validation.assessment import Assessment, assess_binary, assess_ranking
from training.validation.gates import Judgement, judge

#: Raised when this module would train another model from the same input.
VERSION = 5
DAY = timedelta(days=1)
LIBRARIES = ("lightgbm", "numpy", "scikit-learn", "nextbest")

Verdict = Literal["promote", "hold"]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Trained:
    """What became of one model.

    Parameters
    ----------
    version : in the registry
    digest : of the exported bundle
    metrics, peers : on held-out rows, the mean over the folds
    verdict : whether the gates let it become champion
    reasons : the rules that held it
    rules : every rule's answer
    leaks : every answer of the training frame's leak report
    rows, positives : what it learnt from
    withheld_by : purpose → reason → customers whom it may not learn from
    """

    version: int
    digest: str
    metrics: dict[str, float]
    peers: dict[str, dict[str, float]]
    verdict: Verdict
    reasons: tuple[str, ...]
    rules: tuple[dict[str, str], ...]
    rows: int
    positives: int
    withheld_by: dict[str, dict[str, int]] = field(default_factory=dict)
    leaks: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class _Task:
    """One model's training, with all that it reads."""

    name: str
    settings: ModelSettings
    file: LabelsFile
    feeds: FeedsFile
    report: FeaturesReport
    workspace: Workspace
    digest: str

    @property
    def boosting(self) -> BoosterSettings:
        base = ranker.DEFAULTS if isinstance(self.settings.label, Acquisition) else classifier.DEFAULTS
        return base.model_copy(update={"min_positives": self.settings.min_positives})

    @property
    def remembered(self) -> Path:
        return self.workspace.models / self.name / "trained.json"


@locked("train")
def train(workspace: Workspace, models: Sequence[str], progress: Progress, *, clock: Clock) -> dict[str, Trained]:
    """Train the named models (all when none is named), gate them, and make those that pass champion.

    What was trained before from the same data, settings and libraries is not trained again.

    Raises
    ------
    UsageError : a model is not declared
    BadData : there are no features yet, or too few labels
    BadConfiguration : a label or a feature is not there
    """
    file, _ = load_labels(workspace)
    for name in models:
        if name not in file.models:
            raise UsageError("train.unknown_model", f"no model {name!r}", hint=did_you_mean(name, sorted(file.models)))
    feeds, _ = load_feeds(workspace)
    mlflow, _ = load_mlflow(workspace)
    report = read_report(workspace)
    trained: dict[str, Trained] = {}
    store: Store | None = None
    client: promotion.Client | None = None
    try:
        for name in models or list(file.models):
            task = _task(name, file, feeds, report, mlflow, workspace)
            if (before := _remembered(task)) is not None:
                trained[name] = before
                continue
            client = client or connect(mlflow, workspace)
            require_experiment(client, mlflow)  # before a minute of work that could not be logged
            store = store or open_store(workspace.root)
            trained[name] = _train(task, store, client, mlflow, progress, clock=clock)
    finally:
        if store is not None:
            store.close()
    return trained


def _task(
    name: str,
    file: LabelsFile,
    feeds: FeedsFile,
    report: FeaturesReport,
    mlflow: MlflowFile,
    workspace: Workspace,
) -> _Task:
    settings = file.models[name]
    digest = digest_of(
        [
            VERSION,
            report.digest,
            settings.model_dump(mode="json"),
            file.validation.model_dump(mode="json"),
            file.exclude,
            mlflow.model_dump(mode="json"),
            {package: library(package) for package in LIBRARIES},
        ]
    )
    return _Task(name, settings, file, feeds, report, workspace, digest)


def _remembered(task: _Task) -> Trained | None:
    if not task.remembered.is_file():
        return None
    document: Mapping[str, Any] = read_json(task.remembered)
    if document["digest"] != task.digest:
        return None
    outcome = document["trained"]
    return Trained(**outcome | {name: tuple(outcome[name]) for name in ("reasons", "rules", "leaks")})


def _train(
    task: _Task, store: Store, client: promotion.Client, mlflow: MlflowFile, progress: Progress, *, clock: Clock
) -> Trained:
    progress.step(f"{task.name}: labels and features")
    with open_engine(folders=[task.workspace.state], resources=engine_resources(task.workspace)) as engine:
        access = open_customer_data(
            engine, task.workspace, task.feeds.purposes, purpose=task.settings.purpose, as_of=task.report.as_of
        )
        labels = build(engine, task.settings, task.report.cutoffs, task.feeds)
        frame = build_frame(
            store,
            labels,
            task.report,
            task.settings,
            exclude=task.file.exclude,
            views=CompiledViews(task.workspace, task.report),
            limits=mlflow.gates.of_leaks,
        )
        folds = _folds(task, frame, labels)
        frame = _split_examined(task, frame, folds, mlflow)
        peers_of = _peers(engine, task, frame)
    progress.step(f"{task.name}: judging on held-out rows", total=len(folds))
    assessment = _assess(task, frame, folds, peers_of, labels, progress)
    judgement = judge(assessment.evidence, mlflow.gates)
    progress.step(f"{task.name}: fitting on all rows")
    scorer = _fit(task, frame)
    digest, folder = _export(task, scorer, frame, labels)
    progress.step(f"{task.name}: logging to MLflow")
    number = promotion.find_version(client, mlflow, task.name, digest=digest)
    if number is None:
        run = _run(task, frame, assessment, judgement, scorer, digest, folder)
        run_id, source = log(run, experiment_id=require_experiment(client, mlflow))
        number = promotion.register(client, mlflow, task.name, source=source, run_id=run_id, tags=run.tags)
    champion = read_champions(task.workspace).get(task.name)
    if judgement.verdict == "promote" and (champion is None or champion.digest != digest):
        promotion.promote(
            client, mlflow, task.workspace, task.name, version=number, reason="passed every gate", at=clock()
        )
    outcome = Trained(
        version=number,
        digest=digest,
        metrics=dict(assessment.metrics),
        peers={name: dict(numbers) for name, numbers in assessment.peers.items()},
        verdict=judgement.verdict,
        reasons=judgement.reasons,
        rules=tuple(asdict(rule) for rule in judgement.rules),
        rows=len(frame.rows),
        positives=int(frame.target.sum()),
        withheld_by=by_purpose(access.withheld),
        leaks=tuple(frame.leaks.as_dicts()),
    )
    write_json(task.remembered, {"digest": task.digest, "trained": asdict(outcome)})
    return outcome


def _folds(task: _Task, frame: Frame, labels: Labels) -> list[Fold]:
    if isinstance(task.settings.label, Recorded):
        return by_customer(frame, parts=task.file.validation.folds, seed=task.settings.seed)
    return by_time(frame, parts=task.file.validation.folds, embargo=labels.closes_after)


def _split_examined(task: _Task, frame: Frame, folds: Sequence[Fold], mlflow: MlflowFile) -> Frame:
    """Return the frame, its leak report told of a split that promises to keep customers apart."""
    if not isinstance(task.settings.label, Recorded):
        return frame
    split = Examined(rows=frame.rows, features=frame.features, sides=[(fold.train, fold.test) for fold in folds])
    return replace(frame, leaks=frame.leaks.answered(examine_sides(split, mlflow.gates.of_leaks)))


def _peers(engine: duckdb.DuckDBPyConnection, task: _Task, frame: Frame) -> Callable[[Fold], Sequence[Peer]]:
    cutoffs = [moment.to_pydatetime() for moment in pd.DatetimeIndex(frame.rows["as_of"].unique())]
    match task.settings.label:
        case Acquisition() as label:
            counts = taken_before(engine, label, cutoffs, frame.candidates)
            before = aligned(frame, counts, fill=dict.fromkeys(frame.candidates, 0.0))
            matrix = before[list(frame.candidates)].to_numpy(dtype=np.float64)
            return lambda fold: ranking_peers(frame, fold, matrix)
        case Inactivity() as label:
            past = Past(purchase_history(engine, label.event, cutoffs), ahead=(label.gap + label.horizon) / DAY)
            return lambda fold: binary_peers(frame, fold, past, seed=task.settings.seed)
        case _:
            return lambda fold: binary_peers(frame, fold, None, seed=task.settings.seed)


def _assess(
    task: _Task,
    frame: Frame,
    folds: Sequence[Fold],
    peers_of: Callable[[Fold], Sequence[Peer]],
    labels: Labels,
    progress: Progress,
) -> Assessment:
    assess = assess_ranking if frame.candidates else assess_binary
    return assess(
        frame,
        folds,
        peers_of,
        settings=task.boosting,
        half_life=task.settings.cutoffs.half_life,
        champion=_champion(task, frame, folds, labels),
        seed=task.settings.seed,
        advance=progress.advance,
    )


def _champion(task: _Task, frame: Frame, folds: Sequence[Fold], labels: Labels) -> Callable[[Frame], Array] | None:
    """Return the present champion's scores, unless it learnt from the very rows that it would be judged by."""
    champion = read_champions(task.workspace).get(task.name)
    if champion is None or isinstance(task.settings.label, Recorded):
        return None
    bundle = bundles.load(champion.folder(task.workspace), expected_digest=champion.digest)
    learnt = max(datetime.fromisoformat(cutoff) for cutoff in bundle.about.cutoffs)
    tested = min(pd.Timestamp(frame.cutoffs[fold.test].min(), tz="UTC") for fold in folds)
    same = bundle.candidates == frame.candidates and set(bundle.features) <= set(frame.features.columns)
    if not same or learnt + labels.closes_after > tested:
        return None
    return lambda rows: bundle.score(rows.features, threads=task.boosting.num_threads)


def _fit(task: _Task, frame: Frame) -> Classifier | Ranker:
    weight = recency_weights(frame, half_life=task.settings.cutoffs.half_life)
    if frame.candidates:
        return ranker.fit(
            frame.features,
            frame.target,
            candidates=frame.candidates,
            weight=weight,
            groups=frame.customers,
            settings=task.boosting,
            seed=task.settings.seed,
        )
    return classifier.fit(
        frame.features,
        frame.target,
        weight=weight,
        groups=frame.customers,
        settings=task.boosting,
        seed=task.settings.seed,
    )


def _export(task: _Task, scorer: Classifier | Ranker, frame: Frame, labels: Labels) -> tuple[str, Path]:
    """Write the bundle under its own digest; the same model is not written twice."""
    about = About(
        model=task.name,
        label=labels.description,
        cutoffs=tuple(iso(moment.to_pydatetime()) for moment in pd.DatetimeIndex(frame.rows["as_of"].unique())),
        libraries={package: library(package) for package in LIBRARIES},
    )
    rows = synthetic_rows(scorer.encoding, scorer.encoding.matrix(frame.features))
    part = task.workspace.models / task.name / ".part"
    shutil.rmtree(part, ignore_errors=True)
    digest = bundles.write(Bundle.of(scorer, about=about, rows=rows), part)
    folder = bundle_folder(task.workspace, task.name, digest)
    if folder.is_dir():
        shutil.rmtree(part)
    else:
        part.rename(folder)
    return digest, folder


def _run(
    task: _Task,
    frame: Frame,
    assessment: Assessment,
    judgement: Judgement,
    scorer: Classifier | Ranker,
    digest: str,
    folder: Path,
) -> TrainingRun:
    names = scorer.pairs.encoding.names if isinstance(scorer, Ranker) else scorer.encoding.names
    figures = {"importance.png": run_plots.importance(names, scorer.trees.gain(), title=f"{task.name}: importance")}
    if assessment.reliability is not None:
        figures["calibration.png"] = run_plots.calibration(assessment.reliability, title=f"{task.name}: calibration")
    if assessment.curves:
        figures["lift.png"] = run_plots.lift(assessment.curves, title=f"{task.name}: lift")
    theirs = {f"{peer}.{name}": value for peer, row in assessment.peers.items() for name, value in row.items()}
    return TrainingRun(
        name=task.name,
        parameters={
            **{key: str(value) for key, value in task.boosting.model_dump().items()},
            "label": str(task.settings.label.kind),
            "rows": str(len(frame.rows)),
            "features": str(len(names)),
            "seed": str(task.settings.seed),
        },
        metrics={**assessment.metrics, **theirs},
        tags={
            promotion.DIGEST: digest,
            "training_digest": task.digest,
            "features_digest": task.report.digest,
            "features_as_of": iso(task.report.as_of),
            "code_version": library("nextbest"),
            "verdict": judgement.verdict,
        },
        figures=figures,
        documents={
            "gates.json": [asdict(rule) for rule in judgement.rules],
            "leaks.json": frame.leaks.as_dicts(),
            "label.json": task.settings.model_dump(mode="json"),
        },
        booster=scorer.trees.booster,
        bundle=folder,
    )
