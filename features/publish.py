"""The story's second half: one customer → features as of every cutoff → Feast, offline and online."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from features.base.clock import as_utc, iso
from features.base.config import Lines
from features.base.engine import open_engine
from features.base.errors import BadConfiguration, BadData, NextbestError, Problem
from features.base.progress import Progress
from features.base.storage import atomic_folder, digest_file, digest_of, read_done, read_json, write_json
from features.base.workspace import Workspace
from features.built import REPORT, BuiltView, FeaturesReport, as_json, read_report
from features.consent.access import Withheld, by_purpose, open_customer_data
from features.declaration.file import FeedsFile
from features.declared import faults_of_views, load_feeds, load_functions, load_views
from features.feeds.personal import apart_attributes
from features.motion.settle import settle_all
from features.one_customer import REPORT as UNIFY_REPORT
from features.store.definitions import FeatureColumn, ServiceDefinition, SnapshotView
from features.store.repository import Store, open_store
from features.transforms.engines import declared_engine
from features.transforms.fitted import as_json as as_json_fitted
from features.transforms.fitted import read_fitted, write_fitted
from features.transforms.fitting import learn_views, middle
from features.transforms.plan import PlannedView, plan_views, refuse_unfit
from features.transforms.settings import ViewsFile
from features.transforms.snapshots import compute, cutoffs_between, make_spine
from features.unify.present import known_span

#: Raised when this module would write other bytes for the same input.
VERSION = 4
#: The feature service that holds every feature.
EVERYTHING = "customer"


def build_features(
    workspace: Workspace,
    progress: Progress,
    *,
    as_of: datetime | None = None,
    refit: bool = False,
    allow_type_change: bool = False,
) -> FeaturesReport:
    """Compute every view's snapshots, register them with Feast and fill the online store.

    Parameters
    ----------
    workspace : unified before
    progress : told what is being done
    as_of : the moment that counts as now; the next midnight (UTC) after the last known row if left out, so that
        the same data always give the same features
    refit : whether categories, words and topics that were chosen before are chosen anew
    allow_type_change : whether a feature may have another type than in the last build

    Raises
    ------
    BadData : the customers have not been unified, or have no rows
    BadConfiguration : a view names what is not there, or a purpose that is not declared
    """
    unified = workspace.unified / UNIFY_REPORT
    if not unified.is_file():
        raise BadData("features.not_unified", "there are no customers yet", hint="run `nextbest unify` first")
    feeds, _ = load_feeds(workspace)
    views, lines = _load_views(workspace, feeds)
    python = load_functions(workspace, views)
    kept = {} if refit else read_fitted(workspace.fitted)
    settled = settle_all(workspace)
    declared = [
        VERSION,
        read_json(unified)["digest"],
        views.model_dump(mode="json"),
        feeds.model_dump(mode="json"),
        as_of and iso(as_of),
        digest_file(workspace.file(views.python)) if views.python else "",
        *([settled] if settled else []),
    ]
    if not refit and read_done(workspace.snapshots / REPORT, digest_of([*declared, as_json_fitted(kept)])) is not None:
        report = read_report(workspace)
    else:
        with (
            open_engine(folders=[workspace.state], scratch=workspace.state / ".scratch") as engine,
            declared_engine(views.snapshots, folder=workspace.state / ".spark") as rows_of_view,
        ):
            access = open_customer_data(engine, workspace, feeds.purposes, purpose=views.purpose, as_of=as_of)
            columns = access.columns

            first, _ = known_span(engine, columns)
            moment = as_utc(as_of) if as_of else access.moment
            cutoffs = cutoffs_between(first, moment, views.snapshots)
            refuse_unfit(views, lines, feeds, columns, python)
            until = views.fit.until or middle(cutoffs)
            learnt = learn_views(engine, workspace, views, feeds, until=until, kept=kept, as_of=as_of)
            fitted = {name: view.fitted for name, view in learnt.items()}
            planned = plan_views(views, lines, feeds, columns=columns, fitted=fitted, python=python)
            if not allow_type_change:
                _refuse_type_changes(workspace, planned)
            progress.step("computing features", total=len(planned))
            built: dict[str, BuiltView] = {}
            withheld: set[Withheld] = set()
            with atomic_folder(workspace.snapshots) as part:
                for purpose in sorted({views.purpose_of(view.name) or "" for view in planned}):
                    access = open_customer_data(engine, workspace, feeds.purposes, purpose=purpose or None, as_of=as_of)
                    withheld.update(access.withheld)
                    make_spine(engine, access.columns, cutoffs)
                    for view in planned:
                        if (views.purpose_of(view.name) or "") == purpose:
                            rows = compute(engine, view, part / f"{view.name}.parquet", rows_of_view=rows_of_view)
                            unseen = learnt[view.name].unseen if view.name in learnt else 0
                            built[view.name] = BuiltView(view.name, view.features, rows, unseen)
                            progress.advance()
                report = FeaturesReport(
                    views=tuple(built[view.name] for view in planned),
                    as_of=moment,
                    cutoffs=tuple(cutoffs),
                    online_customers=0,
                    digest=digest_of([*declared, as_json_fitted(fitted)]),
                    withheld_by=by_purpose(withheld),
                    motion=settled,
                )
                write_json(part / REPORT, as_json(report))
                write_fitted(workspace.fitted, fitted)
    progress.step("registering with Feast")
    return _publish(workspace, report, views, allow_type_change=allow_type_change)


def _load_views(workspace: Workspace, feeds: FeedsFile) -> tuple[ViewsFile, Lines]:
    """Read the views; where they cannot be read, say also which of the columns they name are not there."""
    try:
        return load_views(workspace)
    except BadConfiguration as error:
        with open_engine(folders=[workspace.state]) as engine:
            columns = open_customer_data(engine, workspace, feeds.purposes, purpose=None).columns
        raise BadConfiguration.of(
            faults_of_views(workspace, error, columns, personal=apart_attributes(feeds))
        ) from None


def _refuse_type_changes(workspace: Workspace, planned: Sequence[PlannedView]) -> None:
    """Refuse to build a feature of another type than the last build's, before anything is computed."""
    try:
        known = {feature.name: feature.type for view in read_report(workspace).views for feature in view.features}
    except NextbestError:  # nothing was built yet, or it cannot be read: the registry is asked at the end
        return
    problems = [
        Problem(
            "store.type_change",
            f"the feature {feature.name} was {known[feature.name]} and is now {feature.type}",
            f"view {feature.view}",
            "mend what its feed delivers, give it a new name, or allow it with `nextbest features "
            "--allow-type-change` and train again what reads it",
        )
        for view in planned
        for feature in view.features
        if known.get(feature.name, feature.type) != feature.type
    ]
    if problems:
        raise BadConfiguration.of(problems)


def _publish(
    workspace: Workspace, report: FeaturesReport, views: ViewsFile, *, allow_type_change: bool
) -> FeaturesReport:
    """Make the registry hold exactly these views, and the online store the last cutoff."""
    store: Store = open_store(workspace.root)
    try:
        store.apply(
            [
                SnapshotView(
                    name=view.name,
                    path=(workspace.snapshots / f"{view.name}.parquet").resolve(),
                    columns=tuple(FeatureColumn(f.name, f.type, f.description) for f in view.features),
                    ttl=views.views[view.name].ttl if view.name in views.views else None,
                    owner=views.views[view.name].owner if view.name in views.views else "",
                )
                for view in report.views
            ],
            [ServiceDefinition(EVERYTHING, report.features)],
            allow_type_change=allow_type_change,
        )
        filled = store.materialize(as_of=report.as_of)
    finally:
        store.close()
    online = max((view.customers for view in filled), default=0)
    published = replace(report, online_customers=online)
    write_json(workspace.snapshots / REPORT, as_json(published))
    return published
