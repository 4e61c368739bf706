"""What the built features hold, as plain values: spread today, missing and drift over the cutoffs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from features.base.clock import as_utc, iso
from features.base.database_engine import EngineResources
from features.base.errors import UsageError
from features.base.masking import MIN_ROWS_SHOWN
from features.base.progress import Progress
from features.base.workspace import Workspace
from features.config.engine_settings import engine_resources
from features.config.views_file import ViewsFile
from features.config.workspace_files import load_views
from features.monitoring.distributions import Distribution, as_dict, bins_of, counted, distribution_of
from features.quality.load_profile import shift
from features.snapshots.build_report import BuiltView, FeaturesReport
from features.store.snapshot_files import rows_at_each
from features.views.catalogue import Feature

#: Greatest number of cutoffs of the drift, evenly spaced.
CUTOFFS = 13
#: Population stability index above which a feature has moved, and above which it has shifted.
MOVED, SHIFTED = 0.1, 0.25
#: Greatest number of values in memory at once.
AT_ONCE = 40_000_000
#: Share of missing customers above which a feature needs attention.
NEARLY_MISSING = 0.95


@dataclass(frozen=True)
class FeatureProfile:
    """One feature.

    Parameters
    ----------
    feature : what it is
    now : its values at the last cutoff
    missing : share of customers without a value, at each cutoff
    drift : population stability index against the reference, at each cutoff; None of fewer than 50 customers, and
        where everybody has the same value
    constant : whether all customers have had the same value at every cutoff
    """

    feature: Feature
    now: Distribution
    missing: tuple[float, ...]
    drift: tuple[float | None, ...]
    constant: bool = False

    @property
    def moved(self) -> float:
        """How far the feature is from the reference today; 0 where nobody can say."""
        return self.drift[-1] or 0.0

    @property
    def remarks(self) -> tuple[str, ...]:
        """What asks for attention; most often nothing."""
        found = []
        if self.moved > SHIFTED:
            found.append("its values have shifted")
        if self.now.rows and self.now.missing > NEARLY_MISSING:
            found.append(f"missing for more than {NEARLY_MISSING:.0%} of the customers")
        if self.constant:
            found.append("one and the same value at every cutoff")
        return tuple(found)


@dataclass(frozen=True)
class ViewProfile:
    """One view, with its features in order.

    Parameters
    ----------
    name, features : the view
    source : the canonical table that it is made from; empty for the view of consents
    description, owner, purpose : as declared, or empty
    """

    name: str
    features: tuple[FeatureProfile, ...]
    source: str = ""
    description: str = ""
    owner: str = ""
    purpose: str = ""


@dataclass(frozen=True)
class Profile:
    """Every feature of a workspace.

    Parameters
    ----------
    as_of : the last cutoff
    cutoffs : those that were looked at, oldest first
    reference : the one that drift is held against
    customers : at the last cutoff
    views : in declared order
    """

    as_of: datetime
    cutoffs: tuple[datetime, ...]
    reference: datetime
    customers: int
    views: tuple[ViewProfile, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "as_of": iso(self.as_of),
            "cutoffs": [iso(cutoff) for cutoff in self.cutoffs],
            "reference": iso(self.reference),
            "customers": self.customers,
            "features": {each.feature.name: _as_dict(each) for view in self.views for each in view.features},
        }


def _as_dict(found: FeatureProfile) -> dict[str, Any]:
    return {
        **asdict(found.feature),
        **as_dict(found.now),
        "missing_by_cutoff": [round(share, 6) for share in found.missing],
        "drift_by_cutoff": [None if index is None else round(index, 6) for index in found.drift],
        "remarks": list(found.remarks),
    }


def chosen_cutoffs(cutoffs: Sequence[datetime], reference: datetime | None) -> tuple[tuple[datetime, ...], datetime]:
    """Return the cutoffs to look at, and the one that drift is held against: the middle one when none is asked.

    Raises
    ------
    UsageError : no cutoff lies at or before the reference that was asked for
    """
    if reference is None:
        against = cutoffs[(len(cutoffs) - 1) // 2]
    else:
        before = [cutoff for cutoff in cutoffs if cutoff <= as_utc(reference)]
        if not before:
            raise UsageError(
                "profile.reference",
                f"there are no features as of {iso(reference)}",
                where="--reference",
                hint=f"the first cutoff is {iso(cutoffs[0])}",
            )
        against = before[-1]
    step = (len(cutoffs) - 1) / max(min(CUTOFFS, len(cutoffs)) - 1, 1)
    even = {cutoffs[round(at * step)] for at in range(min(CUTOFFS, len(cutoffs)))}
    return tuple(sorted(even | {against, cutoffs[-1]})), against


def profile_features(
    workspace: Workspace,
    report: FeaturesReport,
    progress: Progress,
    *,
    reference: datetime | None = None,
    only: str | None = None,
) -> Profile:
    """Return the distribution of the built features, how many values are missing, and how they drift.

    Parameters
    ----------
    workspace, report : what was built
    progress : of the work
    reference : the moment that drift is measured against; the middle cutoff if left out
    only : one feature; all when left out
    """
    cutoffs, against = chosen_cutoffs(report.cutoffs, reference)
    views = [view for view in report.views if only is None or any(f.name == only for f in view.features)]
    progress.step("reading features", total=len(views))
    profiles = []
    for view in views:
        features = [feature for feature in view.features if only in (None, feature.name)]
        at_once = max(1, AT_ONCE * len(report.cutoffs) // max(view.rows * len(cutoffs), 1))
        profiles.append(
            _of_view(
                snapshots_of(workspace, view),
                features,
                cutoffs,
                against,
                at_once=at_once,
                resources=engine_resources(workspace),
            )
        )
        progress.advance()
    declared, _ = load_views(workspace)
    found = tuple(_view(declared, view.name, each) for view, each in zip(views, profiles, strict=True))
    customers = max((each.now.rows for view in found for each in view.features), default=0)
    return Profile(report.as_of, cutoffs, against, customers, found)


def _view(declared: ViewsFile, name: str, features: tuple[FeatureProfile, ...]) -> ViewProfile:
    purpose = declared.purpose_of(name) or ""
    if name not in declared.views:
        return ViewProfile(name, features, purpose=purpose)
    view = declared.views[name]
    return ViewProfile(name, features, view.source, view.description, view.owner, purpose)


def snapshots_of(workspace: Workspace, view: BuiltView) -> Path:
    """Return the path of a view's snapshots: one file, or a folder with a file a cutoff."""
    folder = workspace.snapshots / view.name
    return folder if folder.is_dir() else folder.with_suffix(".parquet")


def _of_view(
    path: Path,
    features: Sequence[Feature],
    cutoffs: Sequence[datetime],
    against: datetime,
    *,
    at_once: int,
    resources: EngineResources,
) -> tuple[FeatureProfile, ...]:
    reference = list(cutoffs).index(against)
    found: list[FeatureProfile] = []
    for start in range(0, len(features), at_once):
        some = features[start : start + at_once]
        tables = rows_at_each(path, [feature.name for feature in some], cutoffs=cutoffs, resources=resources)
        found += [
            _of_feature(feature, [tables[cutoff].column(feature.name) for cutoff in cutoffs], reference)
            for feature in some
        ]
    return tuple(found)


def _of_feature(feature: Feature, columns: Sequence[pa.ChunkedArray], reference: int) -> FeatureProfile:
    by = bins_of(columns[reference])
    then = counted(columns[reference], by)
    each = [counted(column, by) for column in columns]
    alike = [pc.count_distinct(column).as_py() <= 1 for column in columns]
    enough = [len(column) >= MIN_ROWS_SHOWN and not same for column, same in zip(columns, alike, strict=True)]
    known = pa.chunked_array([chunk for column in columns for chunk in column.chunks], columns[-1].type)
    return FeatureProfile(
        feature=feature,
        now=distribution_of(columns[-1], shown=not feature.personal),
        missing=tuple(
            1 - now.filled / len(column) if len(column) else 0.0 for now, column in zip(each, columns, strict=True)
        ),
        drift=tuple(
            shift(then, now) if fit and enough[reference] else None for now, fit in zip(each, enough, strict=True)
        ),
        constant=all(alike) and pc.count_distinct(known).as_py() == 1,
    )
