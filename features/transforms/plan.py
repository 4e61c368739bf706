"""Compile the declared views against the columns that are there; say everything that does not fit at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import ibis

from features.base.config import Lines, did_you_mean
from features.base.engine import literal, quoted
from features.base.errors import BadConfiguration, Problem
from features.base.expression import parse
from features.consent.standing import standing_select
from features.declaration.canonical import PERSONAL_FIELDS, Kind
from features.declaration.file import FeedsFile
from features.feeds.personal import apart_attributes
from features.transforms.attributes import attributes_select, context_select, holdings_select
from features.transforms.catalogue import (
    CONSENT_VIEW,
    Feature,
    attribute_features,
    consent_features,
    holding_features,
    windowed_features,
)
from features.transforms.settings import OF_NUMBERS, View, ViewsFile
from features.transforms.windows import windowed
from features.unify.tables import Columns

#: Known categories of a column of a table (``items.group`` included), sorted.
Categories = Callable[[Kind, str, str], list[str]]


@dataclass(frozen=True)
class PlannedView:
    """A view, ready to be computed.

    Parameters
    ----------
    name : the view
    features : its columns, in order
    source : SQL of the table ``source`` that `select` reads, or None
    select : SQL of customer_id, as_of and the features for every row of ``spine``
    expression : the Ibis expression that `select` is compiled from, where it is one; other engines compile it too
    """

    name: str
    features: tuple[Feature, ...]
    source: str | None
    select: str
    expression: Any = None


def check_views(
    file: ViewsFile, lines: Lines, columns: Columns, *, personal: Collection[str] = (), unseen: Collection[str] = ()
) -> list[Problem]:
    """Return a problem for each column or table that a view names and the feeds do not give.

    Parameters
    ----------
    file, lines : the views, and where they stand
    columns : of the canonical tables
    personal : attributes of customers that identify a person
    unseen : feeds whose files cannot be read; what a view says about their columns is believed
    """
    problems: list[Problem] = []
    for name, view in file.views.items():
        place = lines.where(("views", name))
        if view.source not in columns:
            problems.append(
                Problem("view.no_source", f"view {name}: no feed maps to {view.source}", place, "add such a feed")
            )
            continue
        try:
            named = _named(view, place)
        except BadConfiguration as error:
            problems += error.problems
            continue
        known = columns[view.source]
        problems += [
            Problem("view.unknown_column", f"view {name}: {view.source} has no column {column!r}", place, hint)
            for column in named
            if column not in known and column.split(".")[0] not in unseen and not _of_items(column, view, columns)
            for hint in [did_you_mean(column, _like(column, known, columns))]
        ]
        if view.place is not None and view.place not in columns["customers"] and view.place.split(".")[0] not in unseen:
            near = did_you_mean(view.place, sorted(columns["customers"]))
            problems.append(
                Problem("view.unknown_column", f"view {name}: customers has no column {view.place!r}", place, near)
            )
        problems += _unfit(name, view, place, known, personal)
    return problems


def plan_views(
    file: ViewsFile, lines: Lines, feeds: FeedsFile, *, columns: Columns, categories: Categories
) -> list[PlannedView]:
    """Return every declared view, and the automatic view of consents, ready to be computed.

    Raises
    ------
    BadConfiguration : with every column that is unknown or of the wrong type
    """
    problems = check_views(file, lines, columns, personal=apart_attributes(feeds))
    if problems:
        raise BadConfiguration.of(problems)
    planned = [_plan(name, view, feeds, columns, categories) for name, view in file.views.items()]
    problems = [problem for view in planned for problem in _same_names(view, lines.where(("views", view.name)))]
    if problems:
        raise BadConfiguration.of(problems)
    if feeds.purposes and "consents" in columns:
        features = tuple(consent_features(feeds.purposes))
        planned.append(PlannedView(CONSENT_VIEW, features, None, standing_select(CONSENT_VIEW, feeds.purposes)))
    return planned


def _same_names(view: PlannedView, place: str) -> list[Problem]:
    """Return a problem for each name that two features of a view would share, such as of `T-Shirt` and `t shirt`."""
    return [
        Problem(
            "view.same_name",
            f"view {view.name}: two categories, items or fields would both be {name}",
            place,
            "give them one spelling in features/feeds.yaml, or list `categories`, `items` or `fields` without one",
        )
        for name, times in Counter(feature.name for feature in view.features).items()
        if times > 1
    ]


def _plan(name: str, view: View, feeds: FeedsFile, columns: Columns, categories: Categories) -> PlannedView:
    currency = feeds.company.currency
    where = parse(view.where).sql() if view.where else "true"
    if view.source == "holdings":
        items = view.items or categories("holdings", "item", where)
        return PlannedView(
            name, tuple(holding_features(name, items, currency)), None, holdings_select(name, items, where=where)
        )
    if view.source in ("customers", "context"):
        numeric = {field: columns[view.source][field] for field in view.fields}
        select = (
            attributes_select(name, view, feeds, numeric)
            if view.source == "customers"
            else context_select(name, view, feeds, numeric)
        )
        return PlannedView(name, tuple(attribute_features(name, view.fields, numeric)), None, select)
    by = (view.categories or categories(view.source, view.by, where)) if view.by else []
    aggregated = [column for column in view.aggregates if column != "*"]
    numbers = [column for column in aggregated if columns[view.source][column]]
    features = tuple(windowed_features(name, view, by, currency, numeric=numbers))
    expiring = view.source == "interactions" and not {"outcome", "outcome_time"}.isdisjoint(_named(view, ""))
    select = windowed(name, view, categories=by, numeric=numbers, expiring=expiring)
    table = _outcomes_as_known() if expiring else _with_item(view, feeds)
    source = _source(view, table, where, aggregated, numbers, expiring=expiring)
    return PlannedView(name, features, source, str(ibis.to_sql(select, dialect="duckdb")), select)


def _source(view: View, table: str, where: str, aggregated: list[str], numbers: list[str], *, expiring: bool) -> str:
    columns = [
        f"CAST({quoted(column)} AS {'DECIMAL(38, 9)' if column in numbers else 'VARCHAR'}) AS {quoted(column)}"
        for column in aggregated
    ]
    category = f"CAST({quoted(view.by)} AS VARCHAR)" if view.by else "CAST(NULL AS VARCHAR)"
    later = view.before // timedelta(microseconds=1)  # a row counts so much later than it happened
    names = ["event_time", "known_at", *(["known_until"] if expiring else [])]
    times = [f"epoch_us({name}) + {later} AS {name}" for name in names]
    customer = "customer_id" if view.of == "customer" else "'' AS customer_id"
    place = "feed || ' ' || record_id AS place"  # no feed's name holds a space, so it sorts as the two of them do
    listed = ", ".join([customer, *times, place, f"{category} AS category", *columns])
    return f"SELECT {listed} FROM {table} WHERE {where}"


def _with_item(view: View, feeds: FeedsFile) -> str:
    """Return the table that a view reads, with the column of ``items`` that it goes by.

    An item's first known word counts, and an event is seen under it only once both are known: no later catalogue
    changes what was true. A catalogue without any time is taken to have been known always.
    """
    if not view.by or not view.by.startswith("items."):
        return view.source
    field = quoted(view.by.removeprefix("items."))
    items = {name: feed for name, feed in feeds.feeds.items() if feed.kind == "items"}
    dated = {name for name, feed in items.items() if feed.event_time or feed.updated_at or feed.known_at}
    undated = [literal(name) for name in items if name not in dated]
    always = f"CASE WHEN feed IN ({', '.join(undated)}) THEN TIMESTAMPTZ '1900-01-01 00:00:00+00' ELSE known_at END"
    since = always if undated else "known_at"
    return f"""(
        SELECT e.* REPLACE (greatest(e.known_at, i.since) AS known_at), i.value AS {quoted(view.by)}
        FROM {view.source} e
        LEFT JOIN (
            SELECT item, arg_min({field}, ({since}, feed, record_id)) AS value, min({since}) AS since
            FROM items WHERE {field} IS NOT NULL GROUP BY item
        ) i USING (item)
    )"""


def _outcomes_as_known() -> str:
    """Return the interactions twice: without their outcome until it came, and with it from then on.

    An outcome without a time is never shown, since nobody can say from when on it was known.
    """
    return """(
        SELECT * REPLACE (CAST(NULL AS VARCHAR) AS outcome, CAST(NULL AS TIMESTAMPTZ) AS outcome_time),
               outcome_time AS known_until
        FROM interactions
        UNION ALL BY NAME
        SELECT * REPLACE (greatest(known_at, outcome_time) AS known_at), CAST(NULL AS TIMESTAMPTZ) AS known_until
        FROM interactions WHERE outcome_time IS NOT NULL
    )"""


def _named(view: View, place: str) -> list[str]:
    """Return the columns that a view names."""
    named = [column for column in view.aggregates if column != "*"] + list(view.fields)
    if view.by:
        named.append(view.by)
    if view.where:
        named += sorted(parse(view.where, where=place).columns)
    return named


def _like(column: str, known: Mapping[str, bool], columns: Columns) -> list[str]:
    """Return the names among which the one that was meant may be."""
    items = columns.get("items", {}) if column.startswith("items.") else {}
    return sorted([*known, *(f"items.{field}" for field in items)])


def _of_items(column: str, view: View, columns: Columns) -> bool:
    return column == view.by and column.startswith("items.") and column[6:] in columns.get("items", {})


def _unfit(name: str, view: View, place: str, known: Mapping[str, bool], personal: Collection[str]) -> list[Problem]:
    problems = [
        Problem("view.personal", f"view {name}: {field} identifies a person", place, "a feature may not")
        for field in view.fields
        if view.source == "customers" and (field in PERSONAL_FIELDS or field in personal)
    ]
    if view.source == "holdings" and view.where and "held_to" in parse(view.where, where=place).columns:
        hint = "leave it out: what has ended by a cutoff is left out anyway, and what ends later is not known yet"
        problems.append(Problem("view.future", f"view {name}: where reads held_to, an end to come", place, hint))
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
