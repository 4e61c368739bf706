"""The work of ``nextbest features``: every snapshot, Feast's registry, the online store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from features.base.clock import iso
from features.base.errors import NextbestError
from features.base.progress import Progress
from features.base.workspace import Workspace
from features.pipeline.build_features import build_features
from features.snapshots.build_report import read_report
from serving.cli.step_report import StepReport, withheld_lines


def features_step(
    workspace: Workspace,
    progress: Progress,
    *,
    as_of: datetime | None = None,
    refit: bool = False,
    allow_type_change: bool = False,
) -> StepReport:
    """Run ``features``."""
    before = _built_as_of(workspace)
    report = build_features(workspace, progress, as_of=as_of, refit=refit, allow_type_change=allow_type_change)
    views = {view.name: {"columns": len(view.features), "rows": view.rows} for view in report.views}
    unseen = {view.name: view.unseen for view in report.views if view.unseen}
    unread = {view.name: view.unread for view in report.views if view.unread}
    columns = sum(len(view.features) for view in report.views)
    summary = (
        f"{columns} features in {len(views)} views as of {len(report.cutoffs)} cutoffs, the last {iso(report.as_of)}; "
        f"{report.online_customers} customers online"
    )
    return StepReport(
        {
            "views": views,
            "as_of": iso(report.as_of),
            "as_of_before": before and iso(before),
            "online_customers": report.online_customers,
            "withheld_by": report.withheld_by,
            "unseen": unseen,
            "unread": unread,
        },
        "\n".join(
            [
                summary,
                *earlier_lines(before, report.as_of),
                *unseen_lines(unseen),
                *unread_lines(unread),
                *withheld_lines(report.withheld_by),
            ]
        ),
    )


def _built_as_of(workspace: Workspace) -> datetime | None:
    """Return the moment of the last build; None where there is none that can be read."""
    try:
        return read_report(workspace).as_of
    except NextbestError:
        return None


def earlier_lines(before: datetime | None, now: datetime) -> list[str]:
    """Return a line where features are of an earlier moment than they were.

    Examples
    --------
    >>> earlier_lines(None, datetime(2026, 7, 1))
    []
    """
    if before is None or before <= now:
        return []
    return [f"  they were as of {iso(before)}: the online store went back, too; `nextbest features` brings it forward"]


def unseen_lines(unseen: Mapping[str, int]) -> list[str]:
    """Return a line for each view with rows of categories that came after its columns were chosen.

    Examples
    --------
    >>> unseen_lines({})
    []
    """
    return [
        f"  {view}: {rows} rows of categories that were not there when its columns were chosen; "
        "`nextbest features --refit` chooses again"
        for view, rows in unseen.items()
    ]


def unread_lines(unread: Mapping[str, int]) -> list[str]:
    """Return a line for each view with ends of contracts that cannot be read.

    Examples
    --------
    >>> unread_lines({"contracts": 3})
    ['  contracts: 3 values of `ends` are no times, and count as none']
    """
    return [f"  {view}: {values} values of `ends` are no times, and count as none" for view, values in unread.items()]
