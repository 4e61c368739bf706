"""One customer to features, as a list of stages: snapshots as of every cutoff, and Feast, offline and online."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from features.base.clock import iso
from features.base.database_engine import open_engine
from features.base.generations import not_published
from features.base.progress import Progress
from features.base.stages import Artefacts, Pipeline, PipelineStage, open_artefacts, run_pipeline
from features.base.storage import digest_file, read_json
from features.base.workspace import Workspace
from features.base.workspace_lock import locked
from features.config.engine_settings import engine_resources
from features.config.workspace_files import load_feeds
from features.consent.customer_data import CustomerData
from features.identity.customer_tables import refuse_damaged_tables
from features.pipeline import feature_stages as stages
from features.pipeline.feature_stages import BuildRequest, FeatureStore, FittedViews, StreamedEvents, UnifiedTables
from features.snapshots.build_report import REPORT, UNIFIED_REPORT, FeaturesReport, as_json, load_report
from features.snapshots.incremental_build import VERSION
from features.store.repository import open_store
from features.streaming.compaction import compact_all
from features.streaming.state_digest import last_removal
from features.views.engines import ViewEngine, declared_engine
from features.views.fitted import as_json as fitted_as_json
from features.views.fitted import read_fitted
from features.views.recompute import ViewDeclarations

PIPELINE = Pipeline(
    read=[],
    build=[
        PipelineStage(stages.choose_cutoffs),
        PipelineStage(stages.fit_views),
        PipelineStage(stages.plan_views),
        PipelineStage(stages.refuse_type_changes),
        PipelineStage(stages.compute_snapshots, version=VERSION),
    ],
    commit=[PipelineStage(stages.report_build)],
    # At the end of every run: the registry or the online store may be damaged, or those of another machine.
    sync=[PipelineStage(stages.publish_features, "registering with Feast")],
    report=FeaturesReport,
    file=REPORT,
    write=as_json,
    load=load_report,
)


@locked("features")
def build_features(
    workspace: Workspace,
    progress: Progress,
    *,
    as_of: datetime | None = None,
    refit: bool = False,
    allow_type_change: bool = False,
) -> FeaturesReport:
    """Compute every view's snapshots, register them with Feast and fill the online store.

    A snapshot is reused while its view's definition, and what was known of its customers by its cutoff, are the same;
    where only a few customers' rows have changed, only those customers are computed. A damaged file is made again.

    Parameters
    ----------
    workspace : unified before
    progress : what shows how far it is
    as_of : the moment that counts as now; the next midnight (UTC) after the last known row if left out, so that
        the same data always give the same features
    refit : whether categories, words and topics that were chosen before are chosen anew
    allow_type_change : whether a feature may have another type than in the last build

    Raises
    ------
    BadData : the customers have not been unified, or have no rows
    BadConfiguration : a view names what is not there, or a purpose that is not declared
    StorageFailure : another command writes this workspace, or memory or disk ran out; the last good state stands
    """
    unified = workspace.unified / UNIFIED_REPORT
    if not unified.is_file():
        raise not_published("features.not_unified", workspace.state / "unified", "customers", "unify")
    feeds, _ = load_feeds(workspace)
    declared = stages.read_declarations(workspace, feeds)
    given = {
        ViewDeclarations: declared,
        BuildRequest: BuildRequest(as_of, allow_type_change),
        UnifiedTables: UnifiedTables(str(read_json(unified)["digest"])),
        FittedViews: FittedViews.of({} if refit else read_fitted(workspace.snapshots)),
        StreamedEvents: StreamedEvents(compact_all(workspace), tuple(last_removal(workspace))),
        FeatureStore: FeatureStore(lambda: open_store(workspace.root), workspace.state / "snapshots"),
        Progress: progress,
    }

    @contextmanager
    def customer_data() -> Iterator[CustomerData]:
        refuse_damaged_tables(workspace)
        with open_engine(folders=[workspace.state], resources=engine_resources(workspace)) as engine:
            yield CustomerData(engine, workspace, feeds.purposes, as_of=as_of)

    def inputs(artefacts: Artefacts) -> list[Any]:
        """Return digests of all that the snapshots are made of."""
        streamed, python = artefacts.get(StreamedEvents), declared.views.python
        return [
            artefacts.get(UnifiedTables).digest,
            [declared.views.model_dump(mode="json"), declared.feeds.model_dump(mode="json")],
            as_of and iso(as_of),
            digest_file(workspace.file(python)) if python else "",
            [streamed.last, *streamed.removals],
            fitted_as_json(artefacts.get(FittedViews).views),
        ]

    on_demand = {
        CustomerData: customer_data,
        ViewEngine: lambda: declared_engine(declared.views.snapshots, folder=workspace.state / ".spark"),
    }
    with open_artefacts(given, on_demand=on_demand) as artefacts:
        return run_pipeline(
            PIPELINE, workspace.state / "snapshots", artefacts, inputs=inputs, progress=progress, again=refit
        )
