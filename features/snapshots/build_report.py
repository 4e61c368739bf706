"""The report of the last build of the features; Feast is not needed to read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from features.base.clock import iso
from features.base.errors import StorageFailure
from features.base.generations import not_published
from features.base.storage import read_json
from features.base.workspace import Workspace
from features.views.catalogue import Feature

REPORT = "features.json"
#: The file of the report of `features.pipeline.unify.unify`, beside the canonical tables.
UNIFIED_REPORT = "unified.json"


@dataclass(frozen=True)
class BuiltView:
    """One view's snapshots.

    Parameters
    ----------
    name : the view
    features : its columns
    rows : customers times cutoffs
    unseen : rows of categories that were not known when the columns were chosen; they are counted in no column
    unread : values of ``ends`` that are no times; they count as missing
    """

    name: str
    features: tuple[Feature, ...]
    rows: int
    unseen: int = 0
    unread: int = 0


@dataclass(frozen=True)
class FeaturesReport:
    """What was built.

    Parameters
    ----------
    views : every view, in declared order
    as_of : the present moment of the data; the last cutoff
    cutoffs : all cutoffs, oldest first
    online_customers : customers that can be read online
    digest : equal digests mean equal snapshots
    withheld_by : purpose → reason → customers who are left out of the views that serve it
    last_event : the number of the last streamed event that was seen; 0 for none
    unified : the digest of the unification that it rests on
    """

    views: tuple[BuiltView, ...]
    as_of: datetime
    cutoffs: tuple[datetime, ...]
    online_customers: int
    digest: str
    withheld_by: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    last_event: int = 0
    unified: str = ""

    @property
    def features(self) -> tuple[str, ...]:
        """The names of all features, in order."""
        return tuple(feature.name for view in self.views for feature in view.features)


def read_report(workspace: Workspace) -> FeaturesReport:
    """Return what the last build wrote.

    Raises
    ------
    BadData : nothing has been built yet
    StorageFailure : what was written is damaged
    """
    generation = workspace.snapshots
    if not (generation / REPORT).is_file():
        raise not_published("features.not_built", workspace.state / "snapshots", "features", "features")
    return load_report(generation)


def load_report(generation: Path) -> FeaturesReport:
    """Return the report of a generation of snapshots.

    Raises
    ------
    StorageFailure : it is not there, or damaged
    """
    try:
        return _report(read_json(generation / REPORT))
    except (KeyError, TypeError, AttributeError, ValueError):
        raise StorageFailure(
            "features.report_damaged",
            "the report of the last build is not one",
            where=f"state/snapshots/{REPORT}",
            hint="run `nextbest features`, which writes it again",
        ) from None


def _report(document: Mapping[str, Any]) -> FeaturesReport:
    return FeaturesReport(
        views=tuple(
            BuiltView(
                view["name"],
                tuple(_feature(feature) for feature in view["features"]),
                view["rows"],
                view.get("unseen", 0),
                view.get("unread", 0),
            )
            for view in document["views"]
        ),
        as_of=datetime.fromisoformat(document["as_of"]),
        cutoffs=tuple(datetime.fromisoformat(cutoff) for cutoff in document["cutoffs"]),
        online_customers=document["online_customers"],
        digest=document["digest"],
        withheld_by=document.get("withheld_by", {}),  # a build of before purposes counted nobody
        last_event=document.get("last_event", 0),  # nor were there streamed events
        unified=document.get("unified", ""),
    )


def as_json(report: FeaturesReport) -> dict[str, Any]:
    cutoffs = [iso(cutoff) for cutoff in report.cutoffs]
    return {**asdict(report), "as_of": iso(report.as_of), "cutoffs": cutoffs}


def _feature(document: Mapping[str, Any]) -> Feature:
    """Return a feature as it was written; one of an earlier version has fewer fields."""
    fields: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in document.items()}
    return Feature(**fields)
