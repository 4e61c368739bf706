"""Everything that is wrong with the declared feeds and views of a workspace, found without changing anything."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing

from features.base.errors import BadConfiguration, BadData, Problem, Unreachable
from features.base.workspace import Workspace
from features.config.canonical import CANONICAL, Kind, attribute_name
from features.config.feed import Feed
from features.config.loading import Lines, read_document
from features.config.views_file import View
from features.config.workspace_files import VIEWS, load_feeds, load_views
from features.identity.customer_tables import Columns
from features.ingest.personal_columns import apart_attributes
from features.ingest.source import find
from features.ingest.staging import inspect
from features.views.python_features import load_functions, load_python
from features.views.view_checks import check_purposes, check_views

#: What every canonical table has, beside the columns of its kind.
_OF_EVERY_ROW = ("feed", "record_id", "event_time", "known_at")


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
    """Return all problems of a file of views that is invalid, with those of the columns that the views name.

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
    """Return a feed's own columns; before they are read, any of them may hold numbers."""
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
