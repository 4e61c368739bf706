"""One feature in full: its meaning, where it comes from, how fresh it is and its values today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import numpy as np

from features.base.clock import iso
from features.base.duration import format_duration
from features.base.errors import BadConfiguration, UsageError
from features.base.expressions.expression import parse
from features.base.progress import Progress
from features.base.workspace import Workspace
from features.config.canonical import Kind, attribute_name
from features.config.feed import Feed
from features.config.feeds_file import FeedsFile
from features.config.loading import did_you_mean
from features.config.views_file import View
from features.config.workspace_files import load_feeds, load_views
from features.monitoring.distributions import as_dict
from features.monitoring.feature_profile import FeatureProfile, Profile, profile_features
from features.quality.load_history import last_accepted
from features.snapshots.build_report import BuiltView, FeaturesReport
from features.views.catalogue import Feature

#: Columns that every view reads.
TIMES = ("event_time", "known_at")
_LONGEST = 60  # letters of an expression


@dataclass(frozen=True)
class Origin:
    """One canonical column that a feature reads, and the feeds that fill it.

    Parameters
    ----------
    column : of a canonical table, such as ``events.amount``
    feeds : feed → the expression over its columns that gives the column
    """

    column: str
    feeds: Mapping[str, str]


@dataclass(frozen=True)
class FeatureDescription:
    """One feature in full.

    Parameters
    ----------
    feature : what it is
    place : where its view is declared; empty for the view of consents
    view : its view as declared; None for consents
    origins : the columns that it reads, and the feeds that fill them
    newest : the last moment of a row, by feed
    as_of, reference : the last cutoff, and the one that drift is measured against
    profile : its values
    """

    feature: Feature
    place: str
    view: View | None
    origins: tuple[Origin, ...]
    newest: Mapping[str, str]
    as_of: datetime
    reference: datetime
    profile: FeatureProfile

    @property
    def rule(self) -> str:
        """The rule of the view, as it is declared."""
        if self.view is None:
            return "the latest known statement on the purpose"
        parts = [f"from {self.view.source}"]
        if self.view.where:
            parts.append(f"where {self.view.where}")
        if self.view.by:
            parts.append(f"by {self.view.by}")
        if self.view.of == "company":
            parts.append("of all customers together")
        if self.view.before:
            parts.append(f"ending {format_duration(self.view.before)} before the cutoff")
        return ", ".join(parts)

    @property
    def ttl(self) -> timedelta | None:
        return None if self.view is None else self.view.ttl

    def as_dict(self) -> dict[str, Any]:
        """Return the description as JSON."""
        return {
            **asdict(self.feature),
            "declared": self.place,
            "rule": self.rule,
            "origins": {origin.column: dict(origin.feeds) for origin in self.origins},
            "freshness": {
                "as_of": iso(self.as_of),
                "stale_after": None if self.ttl is None else format_duration(self.ttl),
                "feeds": dict(self.newest),
            },
            **as_dict(self.profile.now),
            "reference": iso(self.reference),
            "drift": self.profile.drift[-1],
            "remarks": list(self.profile.remarks),
        }


def find_feature(report: FeaturesReport, name: str) -> tuple[BuiltView, Feature]:
    """Return a feature and its view.

    Raises
    ------
    UsageError : there is no such feature; the nearest one is named
    """
    for view in report.views:
        for feature in view.features:
            if feature.name == name:
                return view, feature
    hint = did_you_mean(name, list(report.features)) or "`nextbest features list` names all"
    raise UsageError("features.unknown_feature", f"there is no feature {name!r}", hint=hint)


def describe(workspace: Workspace, report: FeaturesReport, name: str, progress: Progress) -> FeatureDescription:
    """Return the description of a feature.

    Raises
    ------
    UsageError : there is no such feature; the nearest one is named
    """
    built, feature = find_feature(report, name)
    whole: Profile = profile_features(workspace, report, progress, only=name)
    feeds, _ = load_feeds(workspace)
    views, lines = load_views(workspace)
    view = views.views.get(built.name)
    origins = tuple(_origins(feature, feeds, view))
    named = sorted({feed for origin in origins for feed in origin.feeds})
    known = {feed: last_accepted(workspace.quality, feed) for feed in named}
    return FeatureDescription(
        feature=feature,
        place=lines.where(("views", built.name)) if view is not None else "",
        view=view,
        origins=origins,
        newest={feed: load.profile.newest for feed, load in known.items() if load is not None},
        as_of=whole.as_of,
        reference=whole.reference,
        profile=whole.views[0].features[0],
    )


def _origins(feature: Feature, feeds: FeedsFile, view: View | None) -> Iterator[Origin]:
    for source in feature.sources:
        table, _, column = source.partition(".")
        if column in TIMES:
            continue
        members = {name: feed for name, feed in feeds.feeds.items() if feed.kind == cast(Kind, table)}
        owner = column.partition(".")[0]
        if owner in members:  # a feed's own column, kept under its name
            yield Origin(source, {owner: _own_column(members[owner], owner, column, feature.origins)})
            continue
        filled = {
            name: text
            for name, feed in members.items()
            if (text := _expression(feed, column))
            and _may_give(feed, view if table == (view and view.source) else None)
        }
        yield Origin(source, filled)


def _own_column(feed: Feed, name: str, column: str, origins: Sequence[str]) -> str:
    """Return the feed's own name of the column that is stored as ``feed.column``."""
    known = [own for own in feed.fields.values() if attribute_name(name, own) == column]
    return known[0] if known else next((o for o in origins if o == column), column).partition(".")[2]


def _expression(feed: Feed, column: str) -> str:
    text = repr(feed.event) if column == "event" and feed.event is not None else feed.fields.get(column) or ""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _may_give(feed: Feed, view: View | None) -> bool:
    """Return whether a view may read rows of a feed; not if the feed's only type of event is another one."""
    if feed.event is None or view is None or not view.where:
        return True
    where = parse(view.where)
    row = {name: np.array([feed.event if name == "event" else None], dtype=object) for name in where.columns}
    try:
        held = where.require_evaluable().evaluate(row, rows=1)
    except BadConfiguration:  # the type of event alone does not decide it
        return True
    return bool(held.is_true()[0] or not held.valid[0])
