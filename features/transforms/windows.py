"""Windowed aggregates as of every cutoff, as one Ibis expression: the same on DuckDB and on Spark."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import ibis

from features.base.duration import format_duration
from features.transforms.catalogue import ZERO_WHEN_EMPTY, aggregate_name
from features.transforms.settings import UNWINDOWED, Aggregate, View

#: Numbers are added as decimals: the same sum in whatever order the engine's threads meet the rows.
EXACT = "decimal(38, 9)"
_DAY = 86_400_000_000  # microseconds
_KEYS = ("customer_id", "as_of")


def windowed(
    name: str, view: View, *, categories: Sequence[str], numeric: Sequence[str], expiring: bool = False
) -> Any:
    """Return the features of one view for every (customer, cutoff) of the spine.

    A window is ``(as_of - window, as_of]`` on ``event_time``, over rows with ``known_at`` at or before ``as_of``. (Of a
    view that looks ``before`` that, the source's times are moved forward; of one of the whole company, its rows are all
    of one customer, whose features everybody gets.)
    Times are compared as whole microseconds since 1970, which every engine counts alike.

    Parameters
    ----------
    name, view : the view and its name
    categories : categories of ``by``, empty when the view has none
    numeric : aggregated columns that hold numbers
    expiring : whether a row of the source counts only while ``as_of`` is before its ``known_until`` (if it has one)

    Returns
    -------
    ibis Table over the tables ``spine`` (customer_id, as_of) and ``source`` (customer_id, event_time, known_at,
    the aggregated columns, and ``category``), with ``customer_id``, ``as_of`` and one column a feature
    """
    columns = [column for column in view.aggregates if column != "*"]
    types = {column: EXACT if column in numeric else "string" for column in columns}
    times = {"event_time": "int64", "known_at": "int64"} | ({"known_until": "int64"} if expiring else {})
    source = ibis.table({"customer_id": "string", **times, "category": "string", **types}, name="source")
    spine = ibis.table({"customer_id": "string", "as_of": "int64"}, name="spine")
    cutoffs = ibis.table({"as_of": "int64"}, name="cutoffs")
    within = [source.event_time <= cutoffs.as_of, source.known_at <= cutoffs.as_of]
    if not any(a in UNWINDOWED for aggregates in view.aggregates.values() for a in aggregates):
        within.append(source.event_time > cutoffs.as_of - _micros(max(view.windows)))
    if expiring:
        within.append(source.known_until.isnull() | (source.known_until > cutoffs.as_of))
    seen = source.join(cutoffs, within)
    by = [*_KEYS, "category"] if categories else list(_KEYS)
    long = seen.group_by(by).aggregate(
        **{
            aggregate_name("", column, aggregate, window): _aggregate(seen, column, aggregate, span)
            for column, aggregates in view.aggregates.items()
            for aggregate in aggregates
            for window, span in _spans(view, aggregate)
        }
    )
    wide = _spread(long, name, view, categories) if categories else _renamed(long, name, view)
    outputs = [column for column in wide.columns if column not in _KEYS]
    keys = list(_KEYS) if view.of == "customer" else ["as_of"]
    joined = spine.left_join(wide.select(*keys, *outputs), keys, rname="{name}__right")
    zero = {output for output, aggregate in _outputs(name, view, categories).items() if aggregate in ZERO_WHEN_EMPTY}
    return joined.select(
        "customer_id",
        "as_of",
        **{column: joined[column].fill_null(0) if column in zero else joined[column] for column in outputs},
    )


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _spans(view: View, aggregate: Aggregate) -> list[tuple[str, timedelta | None]]:
    if aggregate in UNWINDOWED:
        return [("", None)]
    return [(format_duration(window), window) for window in view.windows]


def _aggregate(seen: Any, column: str, aggregate: Aggregate, span: timedelta | None) -> Any:
    inside = None if span is None else seen.event_time > seen.as_of - _micros(span)
    match aggregate:
        case "count":
            return seen.count(where=inside)
        case "recency":
            return (seen.as_of.max() - seen.event_time.max()) / _DAY
        case "tenure":
            return (seen.as_of.max() - seen.event_time.min()) / _DAY
        case "sum":
            return seen[column].sum(where=inside).cast("float64")
        case "mean":
            return seen[column].mean(where=inside).cast("float64")
        case "min":
            return seen[column].min(where=inside).cast("float64")
        case "max":
            return seen[column].max(where=inside).cast("float64")
        case "nunique":
            return seen[column].nunique(where=inside)


def _outputs(name: str, view: View, categories: Sequence[str]) -> dict[str, Aggregate]:
    return {
        aggregate_name(name, column, aggregate, window, category): aggregate
        for category in categories or [""]
        for column, aggregates in view.aggregates.items()
        for aggregate in aggregates
        for window, _ in _spans(view, aggregate)
    }


def _renamed(long: Any, name: str, view: View) -> Any:
    return long.select(
        *_KEYS,
        **{output: long[f"__{output.removeprefix(f'{name}__')}"] for output in _outputs(name, view, ())},
    )


def _spread(long: Any, name: str, view: View, categories: Sequence[str]) -> Any:
    """Turn one row a category into one column a category."""
    return long.group_by(list(_KEYS)).aggregate(
        **{
            aggregate_name(name, column, aggregate, window, category): long[
                aggregate_name("", column, aggregate, window)
            ].max(where=long.category == category)
            for category in categories
            for column, aggregates in view.aggregates.items()
            for aggregate in aggregates
            for window, _ in _spans(view, aggregate)
        }
    )
