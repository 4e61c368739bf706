"""The story's second half: one customer → features as of every cutoff → Feast, offline and online."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from features.base.clock import as_utc, iso
from features.base.engine import open_engine
from features.base.errors import BadData
from features.base.progress import Progress
from features.base.storage import atomic_folder, digest_of, read_done, read_json, write_json
from features.base.workspace import Workspace
from features.built import REPORT, BuiltView, FeaturesReport, as_json, read_report
from features.consent.access import Withheld, by_purpose, open_customer_data
from features.declaration.canonical import Kind
from features.declared import load_feeds, load_views
from features.one_customer import REPORT as UNIFY_REPORT
from features.store.definitions import FeatureColumn, ServiceDefinition, SnapshotView
from features.store.repository import Store, open_store
from features.transforms.engines import declared_engine
from features.transforms.plan import plan_views
from features.transforms.settings import ViewsFile
from features.transforms.snapshots import categories_in, compute, cutoffs_between, make_spine
from features.unify.present import known_span

#: Raised when this module would write other bytes for the same input.
VERSION = 3
#: The feature service that holds every feature.
EVERYTHING = "customer"


def build_features(workspace: Workspace, progress: Progress, *, as_of: datetime | None = None) -> FeaturesReport:
    """Compute every view's snapshots, register them with Feast and fill the online store.

    Parameters
    ----------
    workspace : unified before
    progress : told what is being done
    as_of : the moment that counts as now; the next midnight (UTC) after the last known row if left out, so that
        the same data always give the same features

    Raises
    ------
    BadData : the customers have not been unified, or have no rows
    BadConfiguration : a view names what is not there, or a purpose that is not declared
    """
    unified = workspace.unified / UNIFY_REPORT
    if not unified.is_file():
        raise BadData("features.not_unified", "there are no customers yet", hint="run `nextbest unify` first")
    feeds, _ = load_feeds(workspace)
    views, lines = load_views(workspace)
    digest = digest_of(
        [
            VERSION,
            read_json(unified)["digest"],
            views.model_dump(mode="json"),
            feeds.model_dump(mode="json"),
            as_of and iso(as_of),
        ]
    )
    if read_done(workspace.snapshots / REPORT, digest) is not None:
        report = read_report(workspace)
    else:
        with (
            open_engine(folders=[workspace.state], scratch=workspace.state / ".scratch") as engine,
            declared_engine(views.snapshots, folder=workspace.state / ".spark") as rows_of_view,
        ):
            access = open_customer_data(engine, workspace, feeds.purposes, purpose=views.purpose, as_of=as_of)
            columns = access.columns

            def categories(kind: Kind, column: str, where: str) -> list[str]:
                return categories_in(engine, kind, column, where)

            planned = plan_views(views, lines, feeds, columns=columns, categories=categories)
            first, _ = known_span(engine, columns)
            moment = as_utc(as_of) if as_of else access.moment
            cutoffs = cutoffs_between(first, moment, views.snapshots)
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
                            built[view.name] = BuiltView(view.name, view.features, rows)
                            progress.advance()
                report = FeaturesReport(
                    views=tuple(built[view.name] for view in planned),
                    as_of=moment,
                    cutoffs=tuple(cutoffs),
                    online_customers=0,
                    digest=digest,
                    withheld_by=by_purpose(withheld),
                )
                write_json(part / REPORT, as_json(report))
    progress.step("registering with Feast")
    return _publish(workspace, report, views)


def _publish(workspace: Workspace, report: FeaturesReport, views: ViewsFile) -> FeaturesReport:
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
        )
        filled = store.materialize(as_of=report.as_of)
    finally:
        store.close()
    online = max((view.customers for view in filled), default=0)
    published = replace(report, online_customers=online)
    write_json(workspace.snapshots / REPORT, as_json(published))
    return published
