"""What windowed aggregates are computed from: sums, counts, extremes, and how each aggregate follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import ibis

from features.base.clock import DAY_US
from features.config.views_file import Aggregate

#: Numbers are added as decimals: the same sum in whatever order the engine's threads meet the rows.
EXACT = "decimal(38, 9)"
#: For deviations numbers count to the millionth, so that their squares are exact too.
ROUNDED = "decimal(18, 6)"
#: One factor of a product is wider, so that DuckDB multiplies with 38 digits, and Spark has digits left for it.
_WIDER = "decimal(19, 6)"

Kind = Literal[
    "rows", "filled", "sum", "min", "max", "nunique", "rounded", "squares", "first", "last", "earliest", "latest"
]


@dataclass(frozen=True, order=True)
class Measure:
    """One number (or value) of the rows in a window.

    Parameters
    ----------
    column : what it is of; ``"*"`` for the rows themselves
    kind : what it is
    span : how long the window is, in microseconds; None for all history
    """

    column: str
    kind: Kind
    span: int | None

    @property
    def name(self) -> str:
        """A column's name that no feature has."""
        return f"{self.kind} {self.column}{'' if self.span is None else f' {self.span}'}"

    @property
    def of_tile(self) -> Measure:
        """The same of a tile, which lies in a window or does not."""
        return Measure(self.column, self.kind, None)


def rounded(column: str) -> str:
    """Return the name of a column with the same numbers to the millionth.

    Examples
    --------
    >>> rounded("amount")
    'amount rounded'
    """
    return f"{column} rounded"


def measures_of(column: str, aggregate: Aggregate, span: int | None, longest: int) -> list[Measure]:
    """Return the measures from which `aggregate_of` computes an aggregate.

    The last value is looked up in the longest window, for every window that reaches back to it.
    """
    match aggregate:
        case "count":
            return [Measure(column, "rows", span)]
        case "recency":
            return [Measure(column, "latest", span)]
        case "tenure":
            return [Measure(column, "earliest", span)]
        case "mean":
            return [Measure(column, "sum", span), Measure(column, "filled", span)]
        case "std":
            kinds: tuple[Kind, ...] = ("filled", "rounded", "squares")
            return [Measure(column, kind, span) for kind in kinds]
        case "trend":
            return [compared(column, span), compared(column, 2 * (span or 0))]
        case "share":
            return [compared(column, span)]
        case "last":
            return [Measure(column, "last", longest)]
        case "sum" | "min" | "max" | "nunique" | "first":
            return [Measure(column, aggregate, span)]


def compared(column: str, span: int | None) -> Measure:
    """Return what trends and shares compare: rows, or a column's sum."""
    return Measure(column, "rows" if column == "*" else "sum", span)


def of_rows(rows: Any, measure: Measure) -> Any:
    """Return a measure of the rows of a tile; counts are floats, which every engine adds to a float."""
    match measure.kind:
        case "rows":
            return rows.count().cast("float64")
        case "earliest":
            return rows.event_time.min()
        case "latest":
            return rows.event_time.max()
    value = rows[measure.column]
    match measure.kind:
        case "filled":
            return value.count().cast("float64")
        case "rounded":
            return rows[rounded(measure.column)].sum()
        case "squares":
            near = rows[rounded(measure.column)]
            return (near * near.cast(_WIDER)).sum()
        case "first" | "last":
            dated = ibis.struct({"time": rows.event_time, "place": rows.place, "value": value})
            there = value.notnull()
            return dated.min(where=there) if measure.kind == "first" else dated.max(where=there)
        case "min":
            return value.min()
        case "max":
            return value.max()
        case _:
            return value.sum()


def of_parts(parts: Any, measure: Measure, *, where: Any = None) -> Any:
    """Return a measure over a table of parts, each of which holds it for some of the rows."""
    part = parts[measure.of_tile.name]
    match measure.kind:
        case "min" | "earliest" | "first":
            return part.min(where=where)
        case "max" | "latest" | "last":
            return part.max(where=where)
        case _:
            return part.sum(where=where)


def aggregate_of(long: Any, column: str, aggregate: Aggregate, span: int | None, longest: int) -> Any:
    """Return an aggregate over a table that holds its measures."""
    found = [long[measure.name] for measure in measures_of(column, aggregate, span, longest)]
    match aggregate:
        case "recency" | "tenure":
            return (long.as_of - found[0]) / DAY_US
        case "sum" | "min" | "max":
            return found[0].cast("float64")
        case "mean":
            return found[0].cast("float64") / found[1].nullif(0)
        case "std":
            return _deviation(*found)
        case "trend":
            return _change(*(part.fill_null(0).cast("float64") for part in found))
        case "first" | "last":
            value = found[0]["value"]
            value = value.cast("float64") if value.type().is_decimal() else value
            return ibis.ifelse(found[0]["time"] > long.as_of - (span or 0), value, ibis.null(value.type()))
        case _:
            return found[0]


def _change(this: Any, both: Any) -> Any:
    before = both - this
    return (this - before) / (this.abs() + before.abs()).nullif(0)


def _deviation(filled: Any, total: Any, squares: Any) -> Any:
    """Return the sample's standard deviation, by sums around a number near the mean that lose no digit.

    What is squared and added are decimals. Their types are such that DuckDB multiplies with 38 digits (one factor has
    more than 18) and Spark keeps all of them (no product would have more than 38).
    """
    some = filled.nullif(0)
    near = (total.cast("float64") / some).cast("decimal(17, 6)")
    moved = (filled.cast("decimal(11, 0)") * near.cast("decimal(25, 6)")).cast("decimal(20, 6)")
    rest = (total.cast("decimal(20, 6)") - moved).cast(_WIDER)
    once = (near * rest).cast("decimal(37, 12)")
    around = _narrowed(squares.cast("decimal(37, 12)") - (moved * near).cast("decimal(37, 12)"))
    spread = (_narrowed(around - once) - once).cast("float64")
    rest = rest.cast("float64")
    variance = (spread - rest * rest / some) / (filled - 1).nullif(0)
    return ibis.ifelse(variance < 0, 0.0, variance).sqrt()


def _narrowed(difference: Any) -> Any:
    """Return a difference with one digit less than Spark gives it; Ibis would leave out a cast to what it infers."""
    return difference.cast("decimal(38, 12)").cast("decimal(37, 12)")
