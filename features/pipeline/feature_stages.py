"""The stages from one customer to features: each a function from artefacts to an artefact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from features.base.clock import as_utc
from features.base.database_engine import open_engine
from features.base.errors import BadConfiguration, NextbestError, Problem
from features.base.generations import current_generation
from features.base.progress import Progress
from features.base.stages import ContentDigest, NewGeneration
from features.base.workspace import Workspace
from features.config.engine_settings import engine_resources
from features.config.feeds_file import FeedsFile
from features.consent.customer_data import CustomerData, Withheld, by_purpose, open_customer_data
from features.identity.customer_tables import numbered_feeds
from features.identity.data_time import known_span
from features.ingest.personal_columns import apart_attributes
from features.snapshots.build_report import BuiltView, FeaturesReport, load_report
from features.snapshots.incremental_build import IncrementalBuild, SnapshotInputs
from features.store.definitions import FeatureColumn, ServiceDefinition, SnapshotView
from features.store.repository import Store
from features.views.attributes import unread_ends
from features.views.catalogue import Feature
from features.views.compute import cutoffs_between
from features.views.declaration_check import faults_of_views
from features.views.engines import ViewEngine
from features.views.fitted import FittedView, write_fitted
from features.views.fitting import FittingResult, learn_views, middle
from features.views.plan import PlannedView
from features.views.recompute import ViewDeclarations
from features.views.source_rows import refuse_unbound

#: The feature service that holds every feature.
EVERYTHING = "customer"


@dataclass(frozen=True)
class BuildRequest:
    """What one run is asked for; see `features.pipeline.build_features.build_features`."""

    as_of: datetime | None
    allow_type_change: bool


@dataclass(frozen=True)
class UnifiedTables:
    """The digest of the canonical tables that the features are computed from."""

    digest: str


@dataclass(frozen=True)
class StreamedEvents:
    """The number of the last streamed event among the canonical rows, 0 for none, and which were removed last."""

    last: int
    removals: tuple[str, ...]


@dataclass(frozen=True)
class FeatureStore:
    """How Feast's store is opened, and the folder of the generations of snapshots."""

    open: Callable[[], Store]
    snapshots: Path


@dataclass(frozen=True)
class FittedViews:
    """What the views learnt: in the last build, or in this one once they are fitted."""

    results: Mapping[str, FittingResult]

    @classmethod
    def of(cls, fitted: Mapping[str, FittedView]) -> FittedViews:
        """Return what was learnt in the last build."""
        return cls({name: FittingResult(view) for name, view in fitted.items()})

    @property
    def views(self) -> dict[str, FittedView]:
        """What each view learnt."""
        return {name: result.fitted for name, result in self.results.items()}


@dataclass(frozen=True)
class SnapshotCutoffs:
    """The moment that counts as now, and all cutoffs, oldest first; the last is that moment."""

    as_of: datetime
    moments: tuple[datetime, ...]


@dataclass(frozen=True)
class FeaturePlan:
    """Every view, ready to be computed."""

    views: tuple[PlannedView, ...]


@dataclass(frozen=True)
class ComputedSnapshots:
    """What was computed.

    Parameters
    ----------
    rows : of each view, in all its snapshots
    unread : of each view, values of ``ends`` that are no times
    withheld : customers who are left out, by purpose and reason
    """

    rows: Mapping[str, int]
    unread: Mapping[str, int]
    withheld: frozenset[Withheld]


def read_declarations(workspace: Workspace, feeds: FeedsFile) -> ViewDeclarations:
    """Read the views; where they cannot be read, report also which of the columns they name are not there."""
    try:
        return ViewDeclarations.load(workspace)
    except BadConfiguration as error:
        with open_engine(folders=[workspace.state], resources=engine_resources(workspace)) as engine:
            columns = open_customer_data(engine, workspace, feeds.purposes, purpose=None).columns
        raise BadConfiguration.of(
            faults_of_views(workspace, error, columns, feeds.purposes, personal=apart_attributes(feeds))
        ) from None


def choose_cutoffs(declared: ViewDeclarations, data: CustomerData, request: BuildRequest) -> SnapshotCutoffs:
    """Check the views against the tables, and choose the moments that snapshots are made for."""
    purpose = declared.views.purpose
    access = data.allow(purpose=purpose if purpose in declared.feeds.purposes else None)  # the check refuses others
    moment = as_utc(request.as_of) if request.as_of else access.moment
    first, _ = known_span(data.engine, access.columns)
    cutoffs = cutoffs_between(first, moment, declared.views.snapshots)
    declared.check(access.columns)
    refuse_unbound(data.engine, declared.views.views, declared.lines, declared.feeds)
    return SnapshotCutoffs(moment, tuple(cutoffs))


def fit_views(
    declared: ViewDeclarations, data: CustomerData, cutoffs: SnapshotCutoffs, known: FittedViews, new: NewGeneration
) -> FittedViews:
    """Choose categories, words and topics where that was not done yet, or the declaration has changed."""
    until = declared.views.fit.until or middle(cutoffs.moments)
    results = learn_views(data.engine, data, declared.views, declared.feeds, until=until, kept=known.views)
    fitted = FittedViews(results)
    write_fitted(new.folder, fitted.views)
    return fitted


def plan_views(declared: ViewDeclarations, data: CustomerData, fitted: FittedViews) -> FeaturePlan:
    """Compile the views."""
    return FeaturePlan(tuple(declared.plan(data.columns, fitted.views)))


def refuse_type_changes(request: BuildRequest, plan: FeaturePlan, new: NewGeneration) -> None:
    """Refuse to build a feature of another type than the last build's, before anything is computed."""
    if request.allow_type_change:
        return
    try:
        known = {feature.name: feature.type for view in load_report(new.before).views for feature in view.features}
    except NextbestError:  # nothing was built yet, or it cannot be read: the registry is compared at the end
        return
    problems = [
        Problem(
            "store.type_change",
            f"the feature {feature.name} was {known[feature.name]} and is now {feature.type}",
            f"view {feature.view}",
            "mend what its feed delivers, give it a new name, or allow it with `nextbest features "
            "--allow-type-change` and train again what reads it",
        )
        for view in plan.views
        for feature in view.features
        if known.get(feature.name, feature.type) != feature.type
    ]
    if problems:
        raise BadConfiguration.of(problems)


def compute_snapshots(
    declared: ViewDeclarations,
    data: CustomerData,
    cutoffs: SnapshotCutoffs,
    plan: FeaturePlan,
    engine: ViewEngine,
    new: NewGeneration,
    progress: Progress,
) -> ComputedSnapshots:
    """Reuse, patch or compute the snapshots of every view."""
    progress.step("computing features", total=len(plan.views))
    build = IncrementalBuild(
        old=new.before,
        new=new.folder,
        before=SnapshotInputs.read(new.before),
        intact=new.manifest.intact(new.before),
        cutoffs=cutoffs.moments,
        every=declared.views.snapshots.every,
        numbered=numbered_feeds(declared.feeds),
        rows_of_view=engine.rows,
    )
    withheld: set[Withheld] = set()
    unread: dict[str, int] = {}
    for purpose, views in declared.by_purpose(plan.views):
        access = data.allow(purpose=purpose)
        withheld.update(access.withheld)
        build.detect_changes(data.engine, access.columns, purpose or "")
        for view in views:
            if view.name in declared.views.views:
                unread[view.name] = unread_ends(data.engine, view.name, declared.views.views[view.name], declared.feeds)
            build.build_view(data.engine, access.columns, view, purpose or "")
            progress.advance()
    build.write_inputs()
    return ComputedSnapshots({view.name: build.rows(view.name) for view in plan.views}, unread, frozenset(withheld))


def report_build(
    plan: FeaturePlan,
    fitted: FittedViews,
    cutoffs: SnapshotCutoffs,
    computed: ComputedSnapshots,
    streamed: StreamedEvents,
    unified: UnifiedTables,
    digest: ContentDigest,
) -> FeaturesReport:
    """Return what was built."""
    unseen = {name: result.unseen for name, result in fitted.results.items()}
    return FeaturesReport(
        views=tuple(
            BuiltView(
                view.name,
                view.features,
                computed.rows[view.name],
                unseen.get(view.name, 0),
                computed.unread.get(view.name, 0),
            )
            for view in plan.views
        ),
        as_of=cutoffs.as_of,
        cutoffs=cutoffs.moments,
        online_customers=0,
        digest=digest.value,
        withheld_by=by_purpose(computed.withheld),
        last_event=streamed.last,
        unified=unified.digest,
    )


def publish_features(
    declared: ViewDeclarations, request: BuildRequest, report: FeaturesReport, feature_store: FeatureStore
) -> FeaturesReport:
    """Make the registry hold exactly these views, and the online store the last cutoff; count who is online."""
    folder, views = current_generation(feature_store.snapshots), declared.views.views
    store = feature_store.open()
    try:
        store.apply(
            [
                SnapshotView(
                    name=view.name,
                    path=(folder / view.name).resolve(),
                    columns=tuple(FeatureColumn(f.name, f.type, f.description, _tags(f)) for f in view.features),
                    ttl=views[view.name].ttl if view.name in views else None,
                    owner=views[view.name].owner if view.name in views else "",
                )
                for view in report.views
            ],
            [ServiceDefinition(EVERYTHING, report.features)],
            allow_type_change=request.allow_type_change,
        )
        filled = store.materialize(as_of=report.as_of, last_event=report.last_event)
    finally:
        store.close()
    return replace(report, online_customers=max((view.customers for view in filled), default=0))


def _tags(feature: Feature) -> tuple[tuple[str, str], ...]:
    """Return what Feast shows of a feature beside its name, type and description."""
    tags = {
        "unit": feature.unit,
        "purpose": feature.purpose,
        "sources": ", ".join(feature.sources),
        "personal": ", ".join(feature.personal),
    }
    return tuple((name, text) for name, text in tags.items() if text)
