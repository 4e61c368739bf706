"""Snapshots of every view at every cutoff, made again only where something that they rest on has changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from features.base.clock import as_utc, iso
from features.base.database_engine import open_engine
from features.base.errors import BadConfiguration, NextbestError, Problem
from features.base.generations import new_generation, not_published, remove_earlier
from features.base.progress import Progress
from features.base.storage import digest_file, digest_of, read_done, read_json, write_json
from features.base.workspace import Workspace
from features.config.engine_settings import engine_resources
from features.config.feeds_file import FeedsFile
from features.config.loading import Lines
from features.config.views_file import ViewsFile
from features.config.workspace_files import load_feeds, load_views
from features.consent.customer_data import CustomerData, Withheld, by_purpose, open_customer_data
from features.identity.customer_tables import numbered_feeds, refuse_damaged_tables
from features.identity.data_time import known_span
from features.ingest.personal_columns import apart_attributes
from features.snapshots.build_report import REPORT, UNIFIED_REPORT, BuiltView, FeaturesReport, as_json, read_report
from features.snapshots.incremental_build import VERSION, IncrementalBuild
from features.snapshots.snapshot_manifest import read_manifest
from features.streaming.compaction import compact_all
from features.streaming.generation_stamp import removal_stamp
from features.views.attributes import unread_ends
from features.views.compute import cutoffs_between
from features.views.declaration_check import faults_of_views
from features.views.engines import declared_engine
from features.views.fitted import as_json as as_json_fitted
from features.views.fitted import read_fitted, write_fitted
from features.views.fitting import learn_views, middle
from features.views.plan import PlannedView, plan_views
from features.views.python_features import load_functions
from features.views.source_rows import refuse_unbound
from features.views.view_checks import refuse_invalid_views


def build_snapshots(
    workspace: Workspace,
    progress: Progress,
    *,
    as_of: datetime | None = None,
    refit: bool = False,
    allow_type_change: bool = False,
) -> FeaturesReport:
    """Make the snapshots of all views be those of the present tables, and return what they are.

    A snapshot is kept while its view's definition, and what was known of its customers by its cutoff, are the same; of
    one that a few customers' rows have changed for, only those customers are computed. A file whose bytes are not those
    that were written is made again. See `build_features`.
    """
    unified = workspace.unified / UNIFIED_REPORT
    if not unified.is_file():
        raise not_published("features.not_unified", workspace.state / "unified", "customers", "unify")
    feeds, _ = load_feeds(workspace)
    views, lines = _load_views(workspace, feeds)
    python = load_functions(workspace, views)
    fitted = {} if refit else read_fitted(workspace.fitted)
    settled = compact_all(workspace)
    declared = [
        VERSION,
        read_json(unified)["digest"],
        views.model_dump(mode="json"),
        feeds.model_dump(mode="json"),
        as_of and iso(as_of),
        digest_file(workspace.file(views.python)) if views.python else "",
        *([settled] if settled else []),
        *removal_stamp(workspace),
    ]
    kept = read_manifest(workspace.snapshots)
    intact = kept.intact(workspace.snapshots)
    done = digest_of([*declared, as_json_fitted(fitted)])
    whole = intact == kept.there(workspace.snapshots)
    if not refit and whole and read_done(workspace.snapshots / REPORT, done) is not None:
        remove_earlier(workspace.state / "snapshots")
        return read_report(workspace)
    refuse_damaged_tables(workspace)
    with (
        open_engine(folders=[workspace.state], resources=engine_resources(workspace)) as engine,
        declared_engine(views.snapshots, folder=workspace.state / ".spark") as rows_of_view,
    ):
        purpose = views.purpose if views.purpose in feeds.purposes else None  # what is not declared is refused below
        data = CustomerData(engine, workspace, feeds.purposes, as_of=as_of)
        access = data.allow(purpose=purpose)
        moment = as_utc(as_of) if as_of else access.moment
        cutoffs = cutoffs_between(known_span(engine, access.columns)[0], moment, views.snapshots)
        refuse_invalid_views(views, lines, feeds, access.columns, python)
        refuse_unbound(engine, views.views, lines, feeds)
        until = views.fit.until or middle(cutoffs)
        learnt = learn_views(engine, data, views, feeds, until=until, kept=fitted)
        fitted = {name: view.fitted for name, view in learnt.items()}
        planned = plan_views(views, lines, feeds, columns=access.columns, fitted=fitted, python=python)
        if not allow_type_change:
            _refuse_type_changes(workspace, planned)
        progress.step("computing features", total=len(planned))
        withheld: set[Withheld] = set()
        unread: dict[str, int] = {}
        with new_generation(workspace.state / "snapshots") as part:
            incremental = IncrementalBuild(
                old=workspace.snapshots,
                new=part,
                before=kept,
                intact=intact,
                cutoffs=cutoffs,
                every=views.snapshots.every,
                numbered=numbered_feeds(feeds),
                rows_of_view=rows_of_view,
            )
            for purpose in sorted({views.purpose_of(view.name) or "" for view in planned}):
                access = data.allow(purpose=purpose or None)
                withheld.update(access.withheld)
                incremental.detect_changes(engine, access.columns, purpose)
                for view in planned:
                    if (views.purpose_of(view.name) or "") == purpose:
                        if view.name in views.views:
                            unread[view.name] = unread_ends(engine, view.name, views.views[view.name], feeds)
                        incremental.build_view(engine, access.columns, view, purpose)
                        progress.advance()
            report = FeaturesReport(
                views=tuple(
                    BuiltView(view.name, view.features, incremental.rows(view.name), unseen, unread.get(view.name, 0))
                    for view in planned
                    for unseen in [learnt[view.name].unseen if view.name in learnt else 0]
                ),
                as_of=moment,
                cutoffs=tuple(cutoffs),
                online_customers=0,
                digest=digest_of([*declared, as_json_fitted(fitted)]),
                withheld_by=by_purpose(withheld),
                last_event=settled,
                unified=read_json(unified)["digest"],
            )
            incremental.write_manifest()
            write_json(part / REPORT, as_json(report))
            write_fitted(workspace.fitted, fitted)
    return report


def _load_views(workspace: Workspace, feeds: FeedsFile) -> tuple[ViewsFile, Lines]:
    """Read the views; where they cannot be read, say also which of the columns they name are not there."""
    try:
        return load_views(workspace)
    except BadConfiguration as error:
        with open_engine(folders=[workspace.state], resources=engine_resources(workspace)) as engine:
            columns = open_customer_data(engine, workspace, feeds.purposes, purpose=None).columns
        raise BadConfiguration.of(
            faults_of_views(workspace, error, columns, feeds.purposes, personal=apart_attributes(feeds))
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
