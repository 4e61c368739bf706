"""Feeds to one customer, as a list of stages, with quality checked and consents counted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, replace
from typing import Any

import duckdb

from features.base.database_engine import EngineResources, open_engine
from features.base.errors import UsageError
from features.base.progress import Progress
from features.base.stages import Artefacts, Pipeline, PipelineStage, open_artefacts, run_pipeline
from features.base.workspace import Workspace
from features.base.workspace_lock import locked
from features.config.engine_settings import engine_resources
from features.config.feeds_file import FeedsFile
from features.config.loading import did_you_mean
from features.config.workspace_files import load_feeds
from features.consent.consent_ledger import consent_digest
from features.identity.judgements import Judgements, read_judgements
from features.identity.ledger_files import ledger_digest
from features.ingest.pending_loads import load_folders
from features.ingest.removed_versions import count_removals
from features.pipeline import unify_stages as stages
from features.pipeline.unify_artefacts import LastingState, QualityReport, StagedFeeds, UnifyRequest
from features.pipeline.unify_report import UnifyReport, load_report, quality_report_digest, report_quality
from features.quality.load_history import is_accepted
from features.snapshots.build_report import UNIFIED_REPORT

PIPELINE = Pipeline(
    read=[PipelineStage(stages.read_feeds)],
    build=[
        PipelineStage(stages.check_loads, "checking the loads"),
        PipelineStage(stages.link_loads),
        PipelineStage(stages.read_ids),
        PipelineStage(stages.match_records, "matching records"),
        PipelineStage(stages.assign_ids),
        PipelineStage(stages.write_canonical_tables, "writing the canonical tables", version=3),
        PipelineStage(stages.write_consents),
        PipelineStage(stages.write_golden, "choosing the golden values", version=2),
        PipelineStage(stages.check_quality),
    ],
    # Last of all, and before the tables are published: a run that is refused changes no id, and one that is killed
    # here finds the ledgers as it left them, and makes the tables that belong to them.
    commit=[
        PipelineStage(stages.enter_consents),
        PipelineStage(stages.enter_ids),
        PipelineStage(stages.accept_loads),
        PipelineStage(stages.count_customers),
    ],
    after=[
        PipelineStage(stages.remember_loads),
        PipelineStage(stages.write_quality_report, "writing the quality report"),
    ],
    report=UnifyReport,
    file=UNIFIED_REPORT,
    write=asdict,
    load=load_report,
)


@locked("unify")
def unify(
    workspace: Workspace,
    progress: Progress,
    *,
    accept: Collection[str] = (),
    replay: Collection[str] = (),
    refit: bool = False,
) -> UnifyReport:
    """Read every feed, check it, resolve its records to customers and publish the canonical tables.

    What has not changed since the last run is not done again. A load that is refused leaves the last good one standing.

    Parameters
    ----------
    workspace, progress : the workspace, and what shows how far it is
    accept, replay, refit : see `UnifyRequest`

    Raises
    ------
    BadData, BadConfiguration : a feed cannot be used, or does not fit its declaration
    UsageError : a feed to accept or to replay is not declared
    StorageFailure : another command writes this workspace, or memory or disk ran out; the last good state stands
    """
    file, _ = load_feeds(workspace)
    for name in (*accept, *replay):
        if name not in file.feeds:
            hint = did_you_mean(name, sorted(file.feeds))
            raise UsageError("unify.unknown_feed", f"there is no feed {name!r}", hint=hint)
    resources = engine_resources(workspace)
    given = {
        FeedsFile: file,
        Judgements: read_judgements(file.identity, workspace.root),
        UnifyRequest: UnifyRequest(frozenset(accept), frozenset(replay), refit),
        LastingState: _lasting_state(workspace),
        EngineResources: resources,
        QualityReport: QualityReport(lambda report: report_quality(workspace, report)),
        Progress: progress,
    }
    engine = {duckdb.DuckDBPyConnection: lambda: open_engine(folders=[workspace.state], resources=resources)}
    with open_artefacts(given, on_demand=engine) as artefacts:
        report = run_pipeline(
            PIPELINE,
            workspace.state / "unified",
            artefacts,
            inputs=_inputs,
            upkeep=lambda artefacts: [*_upkeep(artefacts), quality_report_digest(workspace.published / "quality")],
            progress=progress,
            again=refit,
        )
        return replace(report, feeds=stages.applied(artefacts.get(StagedFeeds)))


def _inputs(artefacts: Artefacts) -> list[Any]:
    """Return digests of all that the canonical tables are made of."""
    state, declared = artefacts.get(LastingState), artefacts.get(Judgements)
    return [
        artefacts.get(FeedsFile).model_dump(mode="json"),
        {name: feed.digest for name, feed in artefacts.get(StagedFeeds).feeds.items()},
        {name: count_removals(state.accepted / name) for name in artefacts.get(StagedFeeds).feeds},
        [list(pair) for pair in (*declared.always, *declared.never, *declared.labels)],
        ledger_digest(state.identity),
        consent_digest(state.consent),
    ]


def _upkeep(artefacts: Artefacts) -> list[Any]:
    """Return whether every load has taken its place and is remembered; a run that was killed may have left some."""
    state, staged = artefacts.get(LastingState), artefacts.get(StagedFeeds).feeds
    where = load_folders(staged, accepted=state.accepted, arriving=state.arriving)
    return [
        (name, where[name].parent == state.accepted, is_accepted(state.history, name, feed.digest))
        for name, feed in sorted(staged.items())
    ]


def _lasting_state(workspace: Workspace) -> LastingState:
    return LastingState(
        root=workspace.root,
        accepted=workspace.staged,
        arriving=workspace.arriving,
        history=workspace.quality,
        identity=workspace.identity,
        identity_key=workspace.identity_key,
        consent=workspace.consent,
        pseudonym_key=workspace.pseudonym_key,
    )
