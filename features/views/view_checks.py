"""Compare what the declared views name with the columns that exist, and report all problems at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from features.base.errors import BadConfiguration, Problem
from features.base.expressions.expression import parse
from features.config.canonical import CANONICAL, PERSONAL_FIELDS, Kind
from features.config.feeds_file import FeedsFile
from features.config.loading import Lines, did_you_mean
from features.config.views_file import OF_NUMBERS, View, ViewsFile
from features.identity.customer_tables import Columns
from features.ingest.personal_columns import apart_attributes
from features.views.python_features import ORDER, PythonFeature, check_python
from features.views.text_features import lengths


def check_views(
    views: Mapping[str, View],
    lines: Lines,
    columns: Columns,
    *,
    personal: Collection[str] = (),
    unseen: Collection[str] = (),
    python: Mapping[str, PythonFeature] | None = None,
    file: str = "",
    unread: bool = False,
) -> list[Problem]:
    """Return a problem for each column or table that a view names and no feed provides.

    Parameters
    ----------
    views, lines : the views, and their lines in the file
    columns : of the canonical tables
    personal : attributes of customers that identify a person
    unseen : feeds whose files cannot be read; their columns are not checked
    python, file : the functions that views may name, and their file; None to leave them unchecked
    unread : whether the data were not read, so that an attribute may hold numbers, texts or times
    """
    problems: list[Problem] = []
    for name, view in views.items():
        place = lines.where(("views", name))
        if view.source not in columns:
            problems.append(
                Problem("view.no_source", f"view {name}: no feed maps to {view.source}", place, "add such a feed")
            )
            continue
        try:
            named = named_columns(view, place)
        except BadConfiguration as error:
            problems += error.problems
            continue
        known = columns[view.source]
        problems += [
            Problem("view.unknown_column", f"view {name}: {view.source} has no column {column!r}", place, hint)
            for column in named
            if column not in known and column.split(".")[0] not in unseen and not _of_items(column, view, columns)
            for hint in [did_you_mean(column, _like(column, {**known, **derived_columns(view)}, columns))]
        ]
        customers = columns.get("customers", {})
        if view.place is not None and (view.place in PERSONAL_FIELDS or view.place in personal):
            hint = "name a coarser column that customers keep, such as `place: crm.district`"
            message = f"view {name}: place: {view.place} identifies a person"
            problems.append(Problem("view.personal", message, place, hint))
        elif view.place is not None and view.place not in customers and view.place.split(".")[0] not in unseen:
            near = did_you_mean(view.place, sorted(customers))
            problems.append(
                Problem("view.unknown_column", f"view {name}: customers has no column {view.place!r}", place, near)
            )
        problems += _unfit(name, view, place, {**known, **derived_columns(view)}, personal, unread=unread)
        if python is not None and not unseen:
            problems += _unfit_python(name, view, place, columns, python, file, unread=unread)
    return problems


def refuse_invalid_views(
    file: ViewsFile, lines: Lines, feeds: FeedsFile, columns: Columns, python: Mapping[str, PythonFeature]
) -> None:
    """Refuse views that do not fit the columns; see `check_views`.

    Raises
    ------
    BadConfiguration : with every column that is unknown or of the wrong type, and every undeclared purpose
    """
    personal = apart_attributes(feeds)
    problems = check_views(file.views, lines, columns, personal=personal, python=python, file=file.python or "")
    problems += check_purposes(file.purpose, file.views, lines, feeds.purposes)
    if problems:
        raise BadConfiguration.of(problems)


def check_purposes(
    purpose: str | None, views: Mapping[str, View], lines: Lines, purposes: Collection[str] | None
) -> list[Problem]:
    """Return a problem for each purpose that is not declared.

    Parameters
    ----------
    purpose : of all views that name none
    views, lines : the views, and their lines in the file
    purposes : those that are declared; None where they are not known
    """
    if purposes is None:
        return []
    wanted: dict[tuple[str, ...], str | None] = {("purpose",): purpose}
    wanted |= {("views", name, "purpose"): view.purpose for name, view in views.items()}
    return [
        Problem(
            "purpose.undeclared",
            f"the purpose {name!r} is not declared in features/feeds.yaml",
            lines.where(path),
            did_you_mean(name, sorted(purposes)),
        )
        for path, name in wanted.items()
        if name is not None and name not in purposes
    ]


def derived_columns(view: View) -> dict[str, bool]:
    """Return the columns derived from texts that a view may aggregate; all are numbers."""
    return {column.name: True for column in lengths(view.text.column)} if view.text else {}


def python_types(kind: Kind, columns: Columns) -> dict[str, str]:
    """Return the columns that a function in Python may read of a table's rows, and the Ibis type of each."""
    ours = ("customer_id", "event_time", "known_at", "held_from")
    times = {field for field, type_ in CANONICAL[kind].fields.items() if type_ == "time"}
    read = {
        column: "int64" if column in times else "float64" if numeric else "string"
        for column, numeric in columns[kind].items()
        if column not in ours
    }
    return {**read, ORDER: "string"}


def named_columns(view: View, place: str = "") -> list[str]:
    """Return the columns that a view names."""
    derived = derived_columns(view)
    named = [column for column in view.aggregates if column != "*" and column not in derived] + list(view.fields)
    named += [view.text.column] if view.text else []
    named += [view.ends] if view.ends else []
    if view.by:
        named.append(view.by)
    if view.where:
        named += sorted(parse(view.where, where=place).columns)
    return named


def _like(column: str, known: Mapping[str, bool], columns: Columns) -> list[str]:
    """Return the names that the column may be a misspelling of."""
    items = columns.get("items", {}) if column.startswith("items.") else {}
    return sorted([*known, *(f"items.{field}" for field in items)])


def _of_items(column: str, view: View, columns: Columns) -> bool:
    return column == view.by and column.startswith("items.") and column[6:] in columns.get("items", {})


def _unfit(
    name: str, view: View, place: str, known: Mapping[str, bool], personal: Collection[str], *, unread: bool
) -> list[Problem]:
    numbers = {column for column, numeric in known.items() if numeric and not (unread and "." in column)}
    problems = [
        Problem("view.personal", f"view {name}: {field} identifies a person", place, "a feature may not")
        for field in view.fields
        if view.source == "customers" and (field in PERSONAL_FIELDS or field in personal)
    ]
    if view.source == "holdings" and view.where and "held_to" in parse(view.where, where=place).columns:
        hint = (
            "leave it out: holdings that have ended by a cutoff are left out anyway, and later ends are not known yet"
        )
        problems.append(Problem("view.future", f"view {name}: where reads held_to, a future end", place, hint))
    if view.ends and (view.ends == "held_to" or view.ends in numbers):
        fault = "is a future end, unknown at the cutoff" if view.ends == "held_to" else "holds numbers, not times"
        hint = "name the column that says until when the contract was agreed"
        code = "view.future" if view.ends == "held_to" else "view.not_a_time"
        problems.append(Problem(code, f"view {name}: ends: {view.ends} {fault}", place, hint))
    if view.text and view.text.column in numbers:
        message = f"view {name}: text: {view.text.column} holds numbers"
        problems.append(Problem("view.not_text", message, place, "name a column of texts"))
    for column, aggregates in view.aggregates.items():
        sums = [a for a in aggregates if a in OF_NUMBERS and column != "*"]
        if sums and column in known and not known[column]:
            problems.append(
                Problem(
                    "view.not_a_number",
                    f"view {name}: {sums[0]} of {column}, which is text",
                    place,
                    "use nunique, first or last",
                )
            )
    return problems


def _unfit_python(
    name: str,
    view: View,
    place: str,
    columns: Columns,
    python: Mapping[str, PythonFeature],
    file: str,
    *,
    unread: bool,
) -> list[Problem]:
    problems = [
        Problem(
            "view.unknown_function",
            f"view {name}: {file} declares no feature {function!r}",
            place,
            did_you_mean(function, sorted(python)),
        )
        for function in view.python
        if function not in python
    ]
    functions = [python[function] for function in view.python if function in python]
    types = python_types(view.source, columns)
    texts = {column: "string" if unread and "." in column else kind for column, kind in types.items()}
    for function in functions:  # an attribute that was not read may hold either
        found = check_python(name, [function], types, file=file)[0]
        problems += found if found and check_python(name, [function], texts, file=file)[0] else []
    return problems
