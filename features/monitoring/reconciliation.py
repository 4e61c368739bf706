"""Whether snapshots, registry and online store agree, and the repair of the online store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

from features.base.errors import BadData, Problem
from features.base.manifest import Manifest
from features.base.workspace import Workspace
from features.base.workspace_lock import workspace_lock
from features.snapshots.build_report import FeaturesReport, read_report
from features.snapshots.incremental_build import name_of
from features.store.materialize import Difference
from features.store.online_records import Layout
from features.store.repository import open_store

_REBUILD = "`nextbest features` makes it again"
_BUILD = "`nextbest features` registers what was built last, and fills the online store"


@dataclass(frozen=True)
class ReconciliationReport:
    """How the online store differed from the snapshots.

    Parameters
    ----------
    found : one for each view, before the repair
    left : the same after it; as found, where nothing was repaired
    """

    found: tuple[Difference, ...]
    left: tuple[Difference, ...]

    @property
    def wrong(self) -> int:
        """Customers' views that differed."""
        return sum(view.wrong for view in self.found)

    @property
    def still_wrong(self) -> int:
        """Customers' views that differ now."""
        return sum(view.wrong for view in self.left)


def reconcile(workspace: Workspace, *, repair: bool, now: datetime) -> ReconciliationReport:
    """Compare the whole online store with the snapshots of the last build, and make it agree with them.

    Parameters
    ----------
    repair : False to compare only
    now : the present moment; no online value but the last snapshot's may be of a later one

    Raises
    ------
    BadData : nothing is built, the registry holds other views or features than were built, or a snapshot's file is
        not the one that the build wrote
    StorageFailure : another command writes this workspace
    """
    with workspace_lock(workspace, "features reconcile") if repair else nullcontext():
        return _reconciled(workspace, repair=repair, now=now)


def _reconciled(workspace: Workspace, *, repair: bool, now: datetime) -> ReconciliationReport:
    report = read_report(workspace)
    store = open_store(workspace.root)
    try:
        problems = [*_unregistered(report, store.layouts()), *_changed_files(workspace, report)]
        if problems:
            raise BadData.of(problems)
        found = store.reconcile(as_of=report.as_of, now=now, last_event=report.last_event, repair=repair)
        wrong = any(view.wrong for view in found)
        left = found
        if repair and wrong:
            left = store.reconcile(as_of=report.as_of, now=now, last_event=report.last_event, repair=False)
    finally:
        store.close()
    return ReconciliationReport(found, left)


def _unregistered(report: FeaturesReport, registered: Mapping[str, Layout]) -> Iterator[Problem]:
    built: dict[str, Layout] = {
        view.name: tuple((feature.name, feature.type) for feature in view.features) for view in report.views
    }
    for name, layout in built.items():
        if name not in registered:
            yield Problem("store.view_unregistered", "the view was built and is not registered", name, _BUILD)
        elif registered[name] != layout:
            message = f"{len(registered[name])} features are registered, other than the {len(layout)} that were built"
            yield Problem("store.view_otherwise", message, name, _BUILD)
    for name in sorted(registered.keys() - built.keys()):
        yield Problem("store.view_not_built", "the view is registered and was not built", name, _BUILD)


def _changed_files(workspace: Workspace, report: FeaturesReport) -> Iterator[Problem]:
    """Yield a problem for each last snapshot whose file is not the one that the build wrote."""
    names = [name_of(view.name, report.as_of) for view in report.views]
    generation = workspace.snapshots
    intact = Manifest.read(generation).intact(generation, names)
    for name in names:
        if name not in intact:
            yield Problem("store.snapshot_otherwise", "the file is not the one that was built", name, _REBUILD)
