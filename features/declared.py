"""What a workspace declares about feeds and features, read and checked."""

from __future__ import annotations

from collections.abc import Sequence

from features.base.config import Lines, load
from features.base.errors import BadConfiguration, BadData, Problem
from features.base.workspace import Workspace
from features.feeds.canonical import CANONICAL, Kind, attribute_name
from features.feeds.settings import FeedsFile
from features.feeds.source import find
from features.feeds.stage import inspect
from features.transforms.catalogue import attribute_feature, consent_features, windowed_features
from features.transforms.plan import check_views
from features.transforms.settings import ViewsFile

FEEDS = "features/feeds.yaml"
VIEWS = "features/views.yaml"


def load_feeds(workspace: Workspace) -> tuple[FeedsFile, Lines]:
    """Read ``features/feeds.yaml``."""
    return load(workspace.file(FEEDS), FeedsFile, name=FEEDS)


def load_views(workspace: Workspace) -> tuple[ViewsFile, Lines]:
    """Read ``features/views.yaml``."""
    return load(workspace.file(VIEWS), ViewsFile, name=VIEWS)


def check(workspace: Workspace) -> list[Problem]:
    """Return everything that is wrong with the feeds, their mapping and the views; change nothing."""
    problems: list[Problem] = []
    columns: dict[Kind, dict[str, bool]] | None = None
    try:
        feeds, lines = load_feeds(workspace)
        columns = {}
        for name, feed in feeds.feeds.items():
            found = inspect(name, feed, root=workspace.root)
            problems += [_placed(problem, lines, name) for problem in found]
            known = columns.setdefault(feed.kind, {})
            known |= {field: kind == "number" for field, kind in CANONICAL[feed.kind].fields.items()}
            known |= _attributes(name, feeds, workspace)
    except BadConfiguration as error:
        problems += error.problems
    try:
        views, view_lines = load_views(workspace)
        if columns is not None:
            problems += check_views(views, view_lines, columns)
    except BadConfiguration as error:
        problems += error.problems
    return problems


def _attributes(name: str, feeds: FeedsFile, workspace: Workspace) -> dict[str, bool]:
    """Return a feed's own columns; what they hold is not known before they are read, so all may be numbers."""
    feed = feeds.feeds[name]
    try:
        source = find(name, feed, workspace.root)
    except (BadData, BadConfiguration):
        return {}
    return {attribute_name(name, column): True for column in source.columns if column not in feed.drop}


def _placed(problem: Problem, lines: Lines, name: str) -> Problem:
    """Return a feed's problem with the line of ``features/feeds.yaml`` that it is about."""
    inner: Sequence[str] = problem.where.removeprefix(f"feeds.{name}").strip(".").split(".")
    where = lines.where(["feeds", name, *inner])
    return Problem(problem.code, f"feed {name}: {problem.message}", where, problem.hint)


def declared_features(workspace: Workspace) -> tuple[set[str], tuple[str, ...]]:
    """Return the names of the features that the files declare, and the prefixes of those that the data will name.

    A view by category, or of holdings, has one feature a category or item; which ones is only known from the data.

    Raises
    ------
    BadConfiguration : a file cannot be read as what it should be
    """
    feeds, _ = load_feeds(workspace)
    views, _ = load_views(workspace)
    names: set[str] = {feature.name for feature in consent_features(feeds.purposes)}
    prefixes = []
    for name, view in views.views.items():
        if view.source == "holdings" or view.by is not None:
            prefixes.append(f"{name}__")
        elif view.source in ("customers", "context"):
            names |= {attribute_feature(name, field) for field in view.fields}
        else:
            names |= {feature.name for feature in windowed_features(name, view, (), feeds.company.currency)}
    return names, tuple(prefixes)
