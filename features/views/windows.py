"""Windowed aggregates as of every cutoff, as one Ibis expression: the same on DuckDB and on Spark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Any

import ibis

from features.base.duration import format_duration
from features.config.views_file import UNWINDOWED, Aggregate, View
from features.views.catalogue import ZERO_WHEN_EMPTY, aggregate_name
from features.views.measures import (
    EXACT,
    ROUNDED,
    Measure,
    aggregate_of,
    compared,
    measures_of,
    of_parts,
    rounded,
)
from features.views.tiles import distinct_tiles, rows_by_segment, tiles_of, visible_tiles

_KEYS = ("customer_id", "as_of")


@dataclass(frozen=True)
class Windows:
    """A view's windowed aggregates, as one expression and as the same in two steps.

    Parameters
    ----------
    whole : the features over the tables ``source``, ``cutoffs`` and ``entity_rows``
    tiles : tables by name over ``source`` and ``cutoffs``, the same for all cutoffs
    rest : the features over those tables, and ``cutoffs`` and ``entity_rows`` of some or all cutoffs
    key : text of all that it was compiled from; equal keys are equal windows, while the SQL differs by process
    """

    whole: Any
    tiles: Mapping[str, Any]
    rest: Any
    key: str = ""

    @cached_property
    def statement(self) -> str:
        """SQL of the whole, for DuckDB."""
        return str(ibis.to_sql(self.whole, dialect="duckdb"))

    @cached_property
    def steps(self) -> tuple[dict[str, str], str]:
        """SQL of the tiles, by name, and of the rest, for DuckDB."""
        tiles = {name: str(ibis.to_sql(table, dialect="duckdb")) for name, table in self.tiles.items()}
        return tiles, str(ibis.to_sql(self.rest, dialect="duckdb"))


@dataclass(frozen=True)
class _Declared:
    """A view that is hashed and compared by its JSON, for the cache."""

    key: str
    view: View = field(compare=False)


def windowed(
    name: str, view: View, *, categories: Sequence[str], numeric: Sequence[str], expiring: bool = False
) -> Windows:
    """Return the features of one view for every (customer, cutoff) of the entity rows.

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
    Windows over ``entity_rows`` (customer_id, as_of), ``cutoffs`` (as_of) and ``source`` (customer_id, event_time,
    known_at, ``place``: the order of rows of one moment, the aggregated columns, of those that `rounded_columns` names
    the same to the millionth, and ``category``), with ``customer_id``, ``as_of`` and one column a feature
    """
    declared = _Declared(view.model_dump_json(), view)
    return _windowed(name, declared, tuple(categories), tuple(numeric), expiring)


@lru_cache(maxsize=256)  # a large view takes a second to compile, and a process plans the same views repeatedly
def _windowed(
    name: str, declared: _Declared, categories: tuple[str, ...], numeric: tuple[str, ...], expiring: bool
) -> Windows:
    view = declared.view
    columns = [column for column in view.aggregates if column != "*"]
    types = {column: EXACT if column in numeric else "string" for column in columns}
    types |= {rounded(column): ROUNDED for column in rounded_columns(view)}
    times = {"event_time": "int64", "known_at": "int64"} | ({"known_until": "int64"} if expiring else {})
    source = ibis.table(
        {"customer_id": "string", **times, "place": "string", "category": "string", **types}, name="source"
    )
    cutoffs = ibis.table({"as_of": "int64"}, name="cutoffs")
    made = _tiles(view, source, cutoffs, by=["category"] if categories else [], expiring=expiring)
    held = {name: ibis.table(table.schema(), name=name) for name, table in made.items()}
    whole, rest = (_features(name, view, tables, source, cutoffs, categories) for tables in (made, held))
    return Windows(whole, made, rest, repr((name, declared.key, categories, numeric, expiring)))


def rounded_columns(view: View) -> list[str]:
    """Return the columns that the view needs rounded to the millionth too."""
    return [column for column, aggregates in view.aggregates.items() if "std" in aggregates]


def _tiles(view: View, source: Any, cutoffs: Any, *, by: list[str], expiring: bool) -> dict[str, Any]:
    """Return the tables of tiles by name: of all measures but distinct values, and of those of each column."""
    asked, spans = _measures(view), _spans(view)
    rows = rows_by_segment(source, cutoffs, spans=spans, all_history=any(measure.span is None for measure in asked))
    if expiring:
        rows = rows.rename(until="known_until")
    measures = [measure for measure in asked if measure.kind != "nunique"]
    tables = {"tiles": tiles_of(rows, measures, by=[*by, "until"] if expiring else by)}
    if not expiring:
        tables |= {
            f"newest_{number}": distinct_tiles(rows, column, by=by) for number, column in enumerate(_counted(view))
        }
    return tables


def _features(
    name: str, view: View, tables: Mapping[str, Any], source: Any, cutoffs: Any, categories: Sequence[str]
) -> Any:
    """Return the view's features over its tiles."""
    by = [*_KEYS, "category"] if categories else list(_KEYS)
    asked = _measures(view)
    reach = None if any(measure.span is None for measure in asked) else max(_spans(view))
    measures = [measure for measure in asked if measure.kind != "nunique"]
    long = _in_rings(visible_tiles(tables["tiles"], cutoffs, reach=reach), measures, _spans(view), by=by)
    for number, column in enumerate(_counted(view)):
        spans = [measure.span for measure in asked if measure.kind == "nunique" and measure.column == column]
        if f"newest_{number}" in tables:
            newest = visible_tiles(tables[f"newest_{number}"], cutoffs, reach=max(span or 0 for span in spans))
            counts = {
                Measure(column, "nunique", span).name: newest.newest.sum(where=newest.edge > newest.as_of - span).cast(
                    "int64"
                )
                for span in spans
            }
        else:
            newest = _rows_at(source, cutoffs)
            counts = {
                Measure(column, "nunique", span).name: newest[column].nunique(
                    where=newest.event_time > newest.as_of - span
                )
                for span in spans
            }
        long = long.left_join(newest.group_by(by).aggregate(**counts), by, rname="{name}__right")
        long = long.drop(*(key for key in long.columns if key.endswith("__right")))
    wide = _spread(long, name, view, categories) if categories else _renamed(long, name, view)
    entity_rows = ibis.table({"customer_id": "string", "as_of": "int64"}, name="entity_rows")
    outputs = [column for column in wide.columns if column not in _KEYS]
    keys = list(_KEYS) if view.of == "customer" else ["as_of"]
    joined = entity_rows.left_join(wide.select(*keys, *outputs), keys, rname="{name}__right")
    zero = {output for output, aggregate in _outputs(name, view, categories).items() if aggregate in ZERO_WHEN_EMPTY}
    return joined.select(
        "customer_id",
        "as_of",
        **{column: joined[column].fill_null(0) if column in zero else joined[column] for column in outputs},
    )


def _in_rings(visible: Any, measures: Sequence[Measure], spans: Sequence[int], *, by: Sequence[str]) -> Any:
    """Return the measures of all windows, from those of the rings between a window and the next longer one."""
    inside = [(visible.edge > visible.as_of - span, place) for place, span in enumerate(spans)]
    ring = ibis.cases(*inside, else_=len(spans)) if spans else ibis.literal(0)
    visible = visible.mutate(ring=ring)
    each = {measure.of_tile.name: measure.of_tile for measure in measures}
    rings = visible.group_by([*by, "ring"]).aggregate(
        shown=visible.count(), **{name: of_parts(visible, measure) for name, measure in each.items()}
    )
    found = {
        measure.name: of_parts(
            rings, measure, where=None if measure.span is None else rings.ring <= spans.index(measure.span)
        )
        for measure in measures
    }
    counts = {
        measure.name: found[measure.name].cast("int64") for measure in measures if measure.kind in ("rows", "filled")
    }
    return rings.group_by(by).aggregate(shown=rings.shown.sum(), **(found | counts))


def _rows_at(source: Any, cutoffs: Any) -> Any:
    """Return the rows that are known at each cutoff, where a row may expire."""
    known = [source.event_time <= cutoffs.as_of, source.known_at <= cutoffs.as_of]
    return source.join(cutoffs, [*known, source.known_until.isnull() | (source.known_until > cutoffs.as_of)])


def _longest(view: View) -> int:
    return max((window // timedelta(microseconds=1) for window in view.windows), default=0)


def _measures(view: View) -> list[Measure]:
    """Return the measures of the view's aggregates, each once."""
    asked = {measure for aggregate in _asked(view) for measure in measures_of(*aggregate, _longest(view))}
    return sorted(asked, key=lambda measure: (measure.column, measure.kind, measure.span or 0))


def _spans(view: View) -> list[int]:
    return sorted({measure.span for measure in _measures(view) if measure.span is not None})


def _counted(view: View) -> list[str]:
    """Return the columns whose distinct values are counted."""
    return [column for column, aggregates in view.aggregates.items() if "nunique" in aggregates]


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
    return long.select(
        *_KEYS, **{output: aggregate_of(long, *what, _longest(view)) for output, what in _named(view, name).items()}
    )


def _spread(long: Any, name: str, view: View, categories: Sequence[str]) -> Any:
    """Turn one row a category into one column a category."""
    single = {output: what for output, what in _named(view, "").items() if what[1] != "share"}
    parts = {
        part.name: part
        for column, aggregate, span in _asked(view)
        if aggregate == "share"
        for part in [compared(column, span)]
    }
    finished = long.select(
        *_KEYS,
        "category",
        *parts,
        **{output: aggregate_of(long, *what, _longest(view)) for output, what in single.items()},
    )
    spread = {}
    for category in categories:
        its = finished.category == category
        for plain, (output, (column, aggregate, span)) in zip(
            _named(view, ""), _named(view, name, category).items(), strict=True
        ):
            if aggregate == "share":
                part = finished[compared(column, span).name]
                whole = part.sum().cast("float64")
                spread[output] = part.max(where=its).fill_null(0).cast("float64") / whole.nullif(0)
            else:
                spread[output] = finished[plain].max(where=its)
    return finished.group_by(list(_KEYS)).aggregate(**spread)
