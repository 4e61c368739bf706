"""What a workspace declares about feeds and features, read and checked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing

from features.base.duration import format_duration
from features.base.errors import BadConfiguration, BadData, Problem, Unreachable
from features.base.storage import digest_file, digest_of
from features.base.workspace import Workspace
from features.config.canonical import CANONICAL, Kind, attribute_name
from features.config.feed import Feed
from features.config.feeds_file import FeedsFile
from features.config.loading import Lines, load, read_document
from features.config.views_file import View, ViewsFile
from features.identity.customer_tables import Columns
from features.ingest.personal_columns import apart_attributes
from features.ingest.source import find
from features.ingest.staging import inspect
from features.views.catalogue import attribute_feature, consent_features, feature_name, windowed_features
from features.views.fitted import as_json, read_fitted
from features.views.python_features import PythonFeature, load_python
from features.views.view_checks import check_purposes, check_views

FEEDS = "features/feeds.yaml"
VIEWS = "features/views.yaml"
#: What every canonical table has, beside the columns of its kind.
_OF_EVERY_ROW = ("feed", "record_id", "event_time", "known_at")


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
    personal: frozenset[str] = frozenset()
    unseen: set[str] = set()
    purposes: Collection[str] | None = None
    try:
        feeds, lines = load_feeds(workspace)
        columns, personal, purposes = {}, apart_attributes(feeds), feeds.purposes
        for name, feed in feeds.feeds.items():
            known = columns.setdefault(feed.kind, dict.fromkeys(_OF_EVERY_ROW, False))
            known |= {field: kind == "number" for field, kind in CANONICAL[feed.kind].fields.items()}
            try:
                with closing(find(name, feed, workspace.root)) as source:
                    found, kept = inspect(name, feed, source, named_by=feeds.named_by_others(name))
            except (BadData, BadConfiguration, Unreachable) as error:
                problems += [_placed(problem, lines, name) for problem in error.problems]
                unseen.add(name)
                continue
            problems += [_placed(problem, lines, name) for problem in found]
            known |= _attributes(name, feed, kept)
    except BadConfiguration as error:
        problems += error.problems
    try:
        views, view_lines = load_views(workspace)
        python = load_functions(workspace, views)
        if columns is not None:
            problems += check_views(
                views.views,
                view_lines,
                columns,
                personal=personal,
                unseen=unseen,
                python=python,
                file=views.python or "",
                unread=True,
            )
            problems += check_purposes(views.purpose, views.views, view_lines, purposes)
    except BadConfiguration as error:
        problems += faults_of_views(
            workspace, error, columns or {}, purposes, personal=personal, unseen=unseen, unread=True
        )
    return problems


def load_functions(workspace: Workspace, views: ViewsFile) -> dict[str, PythonFeature]:
    """Return the features that the workspace declares in Python, by the functions' names.

    Raises
    ------
    BadConfiguration : the file is not there, or cannot be run
    """
    return load_python(workspace.file(views.python), name=views.python) if views.python else {}


def definition_of(workspace: Workspace) -> str:
    """Return a digest of what the features mean: of what is declared about them, and of what was chosen for them.

    Features of another definition cannot be compared, though they have the same names.
    """
    feeds, _ = load_feeds(workspace)
    views, _ = load_views(workspace)
    chosen = {name: learnt for name, learnt in read_fitted(workspace.fitted).items() if name in views.views}
    return digest_of(
        [
            feeds.model_dump(mode="json"),
            views.model_dump(mode="json", exclude={"snapshots"}),  # for which moments is no part of what they mean
            as_json({name: learnt for name, learnt in chosen.items() if views.views[name].is_fitted}),
            digest_file(workspace.file(views.python)) if views.python else "",
        ]
    )[:16]


def faults_of_views(
    workspace: Workspace,
    error: BadConfiguration,
    columns: Columns,
    purposes: Collection[str] | None,
    *,
    personal: Collection[str] = (),
    unseen: Collection[str] = (),
    unread: bool = False,
) -> list[Problem]:
    """Return what is wrong with a file of views that cannot be read as one: also what they name that there is not.

    Parameters
    ----------
    workspace : whose file it is
    error : why it cannot be read
    columns, personal, unseen, unread : see `check_views`
    purposes : those that are declared; None where that cannot be read
    """
    try:
        document, lines = read_document(workspace.file(VIEWS), name=VIEWS)
    except BadConfiguration:
        return list(error.problems)
    if not isinstance(document, dict):
        return list(error.problems)
    problems, python = list(error.problems), None
    declared, file = document.get("views"), document.get("python")
    sketches = {str(name): View.sketched(view) for name, view in declared.items()} if isinstance(declared, dict) else {}
    views = {name: view for name, view in sketches.items() if view is not None}
    if isinstance(file, str):
        try:
            python = load_python(workspace.file(file), name=file)
        except BadConfiguration as fault:
            problems += [problem for problem in fault.problems if problem not in problems]
    problems += check_views(
        {name: view for name, view in views.items() if view.source in columns},
        lines,
        columns,
        personal=personal,
        unseen=unseen,
        python=python,
        file=file if isinstance(file, str) else "",
        unread=unread,
    )
    purpose = document.get("purpose")
    return problems + check_purposes(purpose if isinstance(purpose, str) else None, views, lines, purposes)


def _attributes(name: str, feed: Feed, kept: Sequence[str]) -> dict[str, bool]:
    """Return a feed's own columns; what they hold is not known before they are read, so all may be numbers."""
    hidden = set(() if feed.kind == "customers" else feed.pii)
    link = feed.link(name)
    if link is not None and feed.kind != "customers":
        hidden.add(link[2])
    return {attribute_name(name, column): True for column in kept if column not in hidden}


def _placed(problem: Problem, lines: Lines, name: str) -> Problem:
    """Return a feed's problem with the line of ``features/feeds.yaml`` that it is about."""
    inner: Sequence[str] = problem.where.removeprefix(f"feeds.{name}").removeprefix(".").split(".")
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
    recorded = any(feed.kind == "consents" for feed in feeds.feeds.values())
    names: set[str] = {feature.name for feature in consent_features(feeds.purposes if recorded else {})}
    prefixes = []
    for name, view in views.views.items():
        if (view.source == "holdings" and not view.python) or view.by is not None:
            prefixes.append(f"{name}__")
        elif view.python:
            windows = [format_duration(window) for window in view.windows] or [""]
            names |= {feature_name(name, function, window) for function in view.python for window in windows}
        elif view.source in ("customers", "context"):
            names |= {attribute_feature(name, field) for field in view.fields}
        else:
            names |= {feature.name for feature in windowed_features(name, view, (), feeds.company.currency)}
            if view.text is not None and view.text.is_fitted:
                prefixes.append(f"{name}__")
    return names, tuple(prefixes)
