"""The story's second half: one customer → features as of every cutoff → Feast, offline and online."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from features.base.progress import Progress
from features.base.storage import write_json
from features.base.workspace import Workspace
from features.base.workspace_lock import locked
from features.config.views_file import ViewsFile
from features.config.workspace_files import load_views
from features.pipeline.build_snapshots import build_snapshots
from features.snapshots.build_report import REPORT, FeaturesReport, as_json
from features.store.definitions import FeatureColumn, ServiceDefinition, SnapshotView
from features.store.repository import Store, open_store
from features.views.catalogue import Feature

#: The feature service that holds every feature.
EVERYTHING = "customer"


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
    StorageFailure : another command writes this workspace, or memory or disk ran out; the last good state stands
    """
    report = build_snapshots(workspace, progress, as_of=as_of, refit=refit, allow_type_change=allow_type_change)
    views, _ = load_views(workspace)
    progress.step("registering with Feast")
    return _publish(workspace, report, views, allow_type_change=allow_type_change)


def _tags(feature: Feature) -> tuple[tuple[str, str], ...]:
    """Return what Feast shows of a feature beside its name, type and description."""
    told = {
        "unit": feature.unit,
        "purpose": feature.purpose,
        "sources": ", ".join(feature.sources),
        "personal": ", ".join(feature.personal),
    }
    return tuple((name, text) for name, text in told.items() if text)


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
                    path=(workspace.snapshots / view.name).resolve(),
                    columns=tuple(FeatureColumn(f.name, f.type, f.description, _tags(f)) for f in view.features),
                    ttl=views.views[view.name].ttl if view.name in views.views else None,
                    owner=views.views[view.name].owner if view.name in views.views else "",
                )
                for view in report.views
            ],
            [ServiceDefinition(EVERYTHING, report.features)],
            allow_type_change=allow_type_change,
        )
        filled = store.materialize(as_of=report.as_of, through=report.last_event)
    finally:
        store.close()
    online = max((view.customers for view in filled), default=0)
    published = replace(report, online_customers=online)
    write_json(workspace.snapshots / REPORT, as_json(published))
    return published
