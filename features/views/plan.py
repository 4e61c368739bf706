"""Compile the declared views to SQL and Ibis expressions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import ibis

from features.base.database_engine import quoted
from features.base.duration import format_duration
from features.base.errors import BadConfiguration, BadData, Problem
from features.base.expressions.expression import parse
from features.config.canonical import equal_names
from features.config.feeds_file import FeedsFile
from features.config.loading import Lines
from features.config.views_file import CONSENT_VIEW, Aggregate, View, ViewsFile
from features.consent.status import status_select
from features.identity.customer_tables import Columns
from features.views.attributes import attributes_select, context_select, holdings_select, holdings_source
from features.views.catalogue import (
    DerivedColumn,
    Feature,
    attribute_features,
    consent_features,
    holding_features,
    windowed_features,
)
from features.views.fitted import FittedView
from features.views.lineage import Lineage
from features.views.measures import rounded
from features.views.python_features import ORDER, PythonFeature, check_python, python_features, python_select
from features.views.source_rows import cast, rows_for, source_select
from features.views.text_features import counts, lengths
from features.views.view_checks import named_columns, python_types
from features.views.windows import Windows, rounded_columns, windowed

_SQL = {"float64": "DOUBLE", "string": "VARCHAR"}


@dataclass(frozen=True)
class PlannedView:
    """A view, ready to be computed.

    Parameters
    ----------
    name : the view
    features : its columns, in order
    source : SQL of the table ``source`` that `select` reads, or None
    written : SQL of customer_id, as_of and the features for every row of ``entity_rows``; empty where `windows` has it
    expression : the Ibis expression of the same, where it is one; other engines compile it too
    shared : whether a customer's features depend on the rows of others
    windows : the same expression in two steps, where it is of windowed aggregates
    """

    name: str
    features: tuple[Feature, ...]
    source: str | None
    written: str
    expression: Any = None
    shared: bool = False
    windows: Windows | None = None

    @property
    def select(self) -> str:
        """SQL of customer_id, as_of and the features for every row of ``entity_rows``; compiled when first read."""
        return self.windows.statement if self.windows is not None else self.written


def plan_views(
    file: ViewsFile,
    lines: Lines,
    feeds: FeedsFile,
    *,
    columns: Columns,
    fitted: Mapping[str, FittedView],
    python: Mapping[str, PythonFeature] | None = None,
) -> list[PlannedView]:
    """Return every declared view, and the automatic view of consents, ready to be computed.

    Parameters
    ----------
    file, lines, feeds : what is declared; the views are ones that `refuse_invalid_views` accepts
    columns : of the canonical tables
    fitted : what the views learnt (see `fit_views`); of the last build, to compute what it computed
    python : the functions that views name

    Raises
    ------
    BadConfiguration : two features of a view would have one name
    BadData : a view has learnt nothing yet
    """
    functions = python or {}
    lineage = Lineage.of(feeds)
    planned = []
    for name, view in file.views.items():
        plan = _plan(name, view, feeds, columns, fitted, functions)
        planned.append(replace(plan, features=_traced(plan, view, lineage, file.purpose_of(name) or "")))
    problems = []
    for plan in planned:
        declared, learnt = file.views[plan.name], fitted.get(plan.name, FittedView(""))
        categories = [*(declared.categories or declared.items or learnt.categories), *declared.fields]
        problems += _same_names(plan, categories, lines.where(("views", plan.name)))
    if problems:
        raise BadConfiguration.of(problems)
    if feeds.purposes and "consents" in columns:
        features = lineage.traced(consent_features(feeds.purposes), "consents", purpose="")
        planned.append(PlannedView(CONSENT_VIEW, features, None, status_select(CONSENT_VIEW, feeds.purposes)))
    return planned


def _same_names(view: PlannedView, categories: Sequence[str], place: str) -> list[Problem]:
    """Return a problem for each name that two features of a view would share, such as of `T-Shirt` and `t shirt`."""
    problems = []
    alike = {name: " and ".join(map(repr, same)) for name, same in equal_names(categories)}
    for feature, times in Counter(feature.name for feature in view.features).items():
        if times > 1:
            which = next((same for name, same in alike.items() if feature.endswith(f"__{name}")), "two columns")
            message = f"view {view.name}: {which} would both be {feature}"
            hint = "give them different names in features/feeds.yaml (one name, if they are the same), or list "
            hint += "`categories`, `items` or `fields` without one"
            problems.append(Problem("view.same_name", message, place, hint))
    return problems


def _traced(planned: PlannedView, view: View, lineage: Lineage, purpose: str) -> tuple[Feature, ...]:
    """Return the features of a view with where they come from, whose they are and what for."""
    read = [view.by] if view.by else []
    read += parse(view.where).columns if view.where else []
    read += [f"customers.{view.place}"] if view.place else []
    return lineage.traced(planned.features, view.source, read=read, owner=view.owner, purpose=purpose)


def _plan(
    name: str,
    view: View,
    feeds: FeedsFile,
    columns: Columns,
    fitted: Mapping[str, FittedView],
    python: Mapping[str, PythonFeature],
) -> PlannedView:
    learnt = fitted.get(name, FittedView(""))
    where = parse(view.where).sql() if view.where else "true"
    if view.python:
        return _in_python(name, view, feeds, columns, [python[function] for function in view.python])
    if view.source == "holdings":
        items = view.items or learnt.categories
        features = tuple(holding_features(name, items, feeds.company.currency, ends=view.ends))
        source = holdings_source(feeds, where=where, ends=view.ends)
        return PlannedView(name, features, source, holdings_select(name, items, ends=view.ends))
    if view.source in ("customers", "context"):
        numeric = {field: columns[view.source][field] for field in view.fields}
        features = tuple(attribute_features(name, view.fields, numeric))
        if view.source == "customers":
            return PlannedView(name, features, None, attributes_select(name, view, feeds, numeric))
        facts = f"SELECT * FROM context WHERE {where}"
        return PlannedView(name, features, facts, context_select(name, view, feeds, numeric))
    return _windowed(name, view, feeds, columns, learnt)


def _windowed(name: str, view: View, feeds: FeedsFile, columns: Columns, learnt: FittedView) -> PlannedView:
    by = (view.categories or learnt.categories) if view.by else ()
    if view.by and not by:
        raise BadData(
            "view.no_category",
            f"view {name}: no row that it reads has a {view.by}, so there is no category to make a column of",
            where="features/views.yaml",
            hint="list `categories`, move `fit: {until: …}`, or leave the view out",
        )
    text = [*lengths(view.text.column), *counts(view.text.column, learnt)] if view.text else []
    derived = {column.name: column for column in text}
    full = view.model_copy(update={"aggregates": {**view.aggregates, **_counted(text)}})
    aggregated = [column for column in full.aggregates if column != "*"]
    numbers = [column for column in aggregated if column in derived or columns[view.source][column]]
    features = windowed_features(name, full, by, feeds.company.currency, numeric=numbers, derived=derived)
    rows = rows_for(view, feeds, named=named_columns(view))
    windows = windowed(name, full, categories=by, numeric=numbers, expiring=rows.expiring)
    sql = {
        column: f"CAST({derived[column].sql} AS DECIMAL(38, 9))"
        if column in derived
        else cast(column, numeric=column in numbers)
        for column in aggregated
    }
    sql |= {rounded(column): f"CAST({quoted(column)} AS DECIMAL(18, 6))" for column in rounded_columns(full)}
    source = source_select(view, rows, sql)
    return PlannedView(
        name,
        tuple(features),
        source,
        "",
        expression=windows.whole,
        shared=view.of == "company",
        windows=windows,
    )


def _counted(text: Sequence[DerivedColumn]) -> dict[str, list[Aggregate]]:
    """Return the words and topics of a view, each of which is counted in every window."""
    return {column.name: ["sum"] for column in text if column.counted}


def _in_python(
    name: str, view: View, feeds: FeedsFile, columns: Columns, functions: Sequence[PythonFeature]
) -> PlannedView:
    types = python_types(view.source, columns)
    read = {function.name: check_python(name, [function], types, file="")[1] for function in functions}
    used = frozenset[str]().union(*read.values()) & set(types)
    windows: dict[str, timedelta | None] = {format_duration(window): window for window in view.windows}
    rows = rows_for(view, feeds, named=[*named_columns(view), *used])
    times = [column for column in used if types[column] == "int64"]
    sql = {
        column: f"epoch_us({quoted(column)})" if column in times else f"CAST({quoted(column)} AS {_SQL[types[column]]})"
        for column in sorted(used - {ORDER})
    }
    happened = "held_from" if view.source == "holdings" else "event_time"
    if ORDER in used:
        sql[ORDER] = f"CAST(epoch_us({happened}) + {1 << 62} AS VARCHAR) || ' ' || feed || ' ' || record_id"
    sources = {function: {happened, *(read[function] & set(sql) - {ORDER})} for function in read}
    select = python_select(
        name,
        functions,
        {column: types[column] for column in sorted(used)},
        windows=windows or {"": None},
        hidden=times,
        expiring=rows.expiring,
    )
    return PlannedView(
        name,
        tuple(python_features(name, functions, list(windows), sources)),
        source_select(view, rows, sql),
        str(ibis.to_sql(select, dialect="duckdb")),
        select,
    )
