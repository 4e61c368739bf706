"""Windowed aggregates as of every cutoff, as one Ibis expression: the same on DuckDB and on Spark."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import ibis

from features.base.duration import format_duration
from features.transforms.catalogue import ZERO_WHEN_EMPTY, aggregate_name
from features.transforms.measures import EXACT, combined, measured, measures_of, part_of
from features.transforms.settings import UNWINDOWED, Aggregate, View

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
    ``place``: the order of rows of one moment, the aggregated columns, and ``category``), with ``customer_id``,
    ``as_of`` and one column a feature
    """
    columns = [column for column in view.aggregates if column != "*"]
    types = {column: EXACT if column in numeric else "string" for column in columns}
    times = {"event_time": "int64", "known_at": "int64"} | ({"known_until": "int64"} if expiring else {})
    source = ibis.table(
        {"customer_id": "string", **times, "place": "string", "category": "string", **types}, name="source"
    )
    spine = ibis.table({"customer_id": "string", "as_of": "int64"}, name="spine")
    cutoffs = ibis.table({"as_of": "int64"}, name="cutoffs")
    within = [source.event_time <= cutoffs.as_of, source.known_at <= cutoffs.as_of]
    asked = sorted({measure for aggregate in _asked(view) for measure in measures_of(*aggregate)})
    if all(measure.span is not None for measure in asked):
        within.append(source.event_time > cutoffs.as_of - max(measure.span or 0 for measure in asked))
    if expiring:
        within.append(source.known_until.isnull() | (source.known_until > cutoffs.as_of))
    seen = source.join(cutoffs, within)
    by = [*_KEYS, "category"] if categories else list(_KEYS)
    long = seen.group_by(by).aggregate(**{measure.name: measured(seen, measure) for measure in asked})
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


def _asked(view: View) -> list[tuple[str, Aggregate, int | None]]:
    """Return every column with an aggregate and the microseconds of a window, None for all history."""
    return [
        (column, aggregate, None if span is None else span // timedelta(microseconds=1))
        for column, aggregates in view.aggregates.items()
        for aggregate in aggregates
        for span in ([None] if aggregate in UNWINDOWED else view.windows)
    ]


def _named(view: View, name: str, category: str = "") -> dict[str, tuple[str, Aggregate, int | None]]:
    """Return the view's features of one category, and what each of them is."""
    return {
        aggregate_name(
            name,
            column,
            aggregate,
            "" if span is None else format_duration(timedelta(microseconds=span)),
            category,
        ): (column, aggregate, span)
        for column, aggregate, span in _asked(view)
    }


def _outputs(name: str, view: View, categories: Sequence[str]) -> dict[str, Aggregate]:
    return {
        output: aggregate
        for category in categories or [""]
        for output, (_, aggregate, _) in _named(view, name, category).items()
    }


def _renamed(long: Any, name: str, view: View) -> Any:
    return long.select(*_KEYS, **{output: combined(long, *what) for output, what in _named(view, name).items()})


def _spread(long: Any, name: str, view: View, categories: Sequence[str]) -> Any:
    """Turn one row a category into one column a category."""
    single = {output: what for output, what in _named(view, "").items() if what[1] != "share"}
    parts = {
        part.name: part
        for column, aggregate, span in _asked(view)
        if aggregate == "share"
        for part in [part_of(column, span)]
    }
    finished = long.select(
        *_KEYS, "category", *parts, **{output: combined(long, *what) for output, what in single.items()}
    )
    spread = {}
    for category in categories:
        its = finished.category == category
        for plain, (output, (column, aggregate, span)) in zip(
            _named(view, ""), _named(view, name, category).items(), strict=True
        ):
            if aggregate == "share":
                part = finished[part_of(column, span).name]
                whole = part.sum().cast("float64")
                spread[output] = part.max(where=its).fill_null(0).cast("float64") / whole.nullif(0)
            else:
                spread[output] = finished[plain].max(where=its)
    return finished.group_by(list(_KEYS)).aggregate(**spread)
