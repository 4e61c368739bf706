"""Train the declared models: labels → frame → fit → evaluate → gate → register → champion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import duckdb
import numpy as np

from features.base.clock import Clock
from features.base.database_engine import open_engine
from features.base.errors import UsageError
from features.base.progress import Progress
from features.base.workspace import Workspace
from features.base.workspace_lock import locked
from features.config.engine_settings import engine_resources
from features.config.loading import did_you_mean
from features.config.workspace_files import load_feeds
from features.consent.customer_data import by_purpose, open_customer_data
from features.snapshots.build_report import read_report
from features.store.repository import Store, open_store
from training.baselines.peers import Peer, aligned, prepare_peers
from training.dataset.frame import Frame, build_frame
from training.dataset.leaks.recompute_features import CompiledViews
from training.dataset.splits import Fold, check_split, split
from training.labels.build import build
from training.labels.label_settings import EventLabel, load_labels
from training.labels.labelled_rows import Labels
from training.labels.purchase_history import events_before, feed_times
from training.registry import promotion
from training.registry.bundle_export import export
from training.registry.champion_peer import champion_peer
from training.registry.champions import read_champions
from training.registry.mlflow_settings import load_mlflow
from training.registry.mlflow_sink import connect, log, require_experiment
from training.registry.recipe import Recipe
from training.registry.run_record import training_run
from training.registry.trained_models import TrainedModel, read_trained, trained_model, write_trained
from training.registry.training_task import TrainingTask
from training.validation.assessment import CHAMPION, assess
from training.validation.data_checks import CheckedData, DataCheckResult, check_data
from training.validation.gates import apply_gates


@dataclass(frozen=True)
class _Data:
    """What a model learns from: labels joined to features, the folds, the peers' scores of each, the data checks."""

    labels: Labels
    frame: Frame
    folds: Sequence[Fold]
    peers: Callable[[Fold], Sequence[Peer]]
    withheld_by: dict[str, dict[str, int]]
    checks: Sequence[DataCheckResult]
    champion_note: str


@locked("train")
def train(workspace: Workspace, models: Sequence[str], progress: Progress, *, clock: Clock) -> dict[str, TrainedModel]:
    """Train the named models (all when none is named), gate them, and make those that pass champion.

    A model that was trained before from the same data, settings and libraries is not trained again.

    Raises
    ------
    UsageError : a model is not declared
    BadData : there are no features yet, or too few labels
    BadConfiguration : a label or a feature does not exist, or MLflow's experiment was deleted
    """
    file, _ = load_labels(workspace)
    for name in models:
        if name not in file.models:
            raise UsageError("train.unknown_model", f"no model {name!r}", hint=did_you_mean(name, sorted(file.models)))
    feeds, _ = load_feeds(workspace)
    mlflow, _ = load_mlflow(workspace)
    report = read_report(workspace)
    tasks = [
        TrainingTask(name, file.models[name], file, feeds, mlflow, report, workspace)
        for name in models or list(file.models)
    ]
    trained = {task.name: read_trained(workspace, task.name, training_digest=task.digest) for task in tasks}
    if any(outcome is None for outcome in trained.values()):
        client = connect(mlflow, workspace)
        require_experiment(client, mlflow)  # before a minute of work that could not be logged
        with closing(open_store(workspace.root)) as store:
            for task in tasks:
                if trained[task.name] is None:
                    trained[task.name] = _train(task, store, client, progress, clock=clock)
    return {name: outcome for name, outcome in trained.items() if outcome is not None}


def _train(
    task: TrainingTask, store: Store, client: promotion.Client, progress: Progress, *, clock: Clock
) -> TrainedModel:
    progress.step(f"{task.name}: labels and features")
    with open_engine(folders=[task.workspace.state], resources=engine_resources(task.workspace)) as engine:
        data = _data(engine, task, store)
    if data.labels.waits:
        progress.step(f"{task.name}: {data.labels.waits}")
    progress.step(f"{task.name}: judging on held-out rows", total=len(data.folds))
    assessment = assess(task.kind, data.frame, data.folds, data.peers, fitting=task.fitting, advance=progress.advance)
    failed = tuple(str(check) for check in data.checks if check.outcome == "failed")
    evidence = replace(assessment.evidence, data_checks=failed, champion_note=data.champion_note)
    decision = apply_gates(evidence, task.mlflow.gates)
    progress.step(f"{task.name}: fitting on all rows")
    scorer = task.kind.fit(data.frame, task.fitting)
    recipe = Recipe.of(task.kind, task.fitting, data.frame)
    digest, folder = export(
        task.workspace,
        task.name,
        scorer,
        data.frame,
        data.labels,
        recipe=recipe,
        population=task.settings.population.where,
    )
    progress.step(f"{task.name}: logging to MLflow")
    number = promotion.find_version(client, task.mlflow, task.name, digest=digest)
    if number is None:
        run = training_run(
            task, data.frame, assessment, decision, data.checks, scorer, bundle=folder, bundle_digest=digest
        )
        run_id, source = log(run, experiment_id=require_experiment(client, task.mlflow))
        number = promotion.register(client, task.mlflow, task.name, source=source, run_id=run_id, tags=run.tags)
    champion = read_champions(task.workspace).get(task.name)
    if decision.verdict == "promote" and (champion is None or champion.digest != digest):
        reason = "passed every gate"
        promotion.promote(client, task.mlflow, task.workspace, task.name, version=number, reason=reason, at=clock())
    outcome = trained_model(number, digest, assessment, decision, data.frame, data.checks, data.withheld_by)
    write_trained(task.workspace, task.name, outcome, training_digest=task.digest)
    return outcome


def _data(engine: duckdb.DuckDBPyConnection, task: TrainingTask, store: Store) -> _Data:
    access = open_customer_data(
        engine, task.workspace, task.feeds.purposes, purpose=task.settings.purpose, as_of=task.report.as_of
    )
    limits = task.mlflow.gates.of_leaks
    labels = build(engine, task.settings, task.report.cutoffs, task.feeds)
    frame = build_frame(
        store,
        labels,
        task.report,
        task.settings,
        exclude=task.file.exclude,
        views=CompiledViews(task.workspace, task.report),
        limits=limits,
    )
    folds = split(frame, task.settings, task.file.validation, embargo=labels.closes_after)
    frame = check_split(frame, folds, task.settings, task.file.validation, limits)
    peers = prepare_peers(engine, task.kind.peers, task.settings.label, frame, seed=task.settings.seed)
    champion = champion_peer(task, frame, folds, embargo=labels.closes_after)

    def all_peers(fold: Fold) -> list[Peer]:
        own = [] if champion.scores is None else [Peer(CHAMPION, champion.scores(fold), is_probability=True)]
        return [*peers(fold), *own]

    checks = check_data(_checked(engine, task, frame, folds), off=task.mlflow.gates.off)
    return _Data(labels, frame, folds, all_peers, by_purpose(access.withheld), checks, champion.note)


def _checked(engine: duckdb.DuckDBPyConnection, task: TrainingTask, frame: Frame, folds: Sequence[Fold]) -> CheckedData:
    label, validation = task.settings.label, task.file.validation
    if not isinstance(label, EventLabel):
        return CheckedData(frame, folds, task.settings, validation)
    before = aligned(frame, events_before(engine, label.event, frame.moments), fill={"events": 0.0})
    counts = before["events"].to_numpy(dtype=np.float64)
    return CheckedData(frame, folds, task.settings, validation, counts, feed_times(engine, label.event))
