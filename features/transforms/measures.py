"""What windowed aggregates are computed from: sums, counts, extremes, and how each aggregate follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import ibis

from features.transforms.settings import Aggregate

#: Numbers are added as decimals: the same sum in whatever order the engine's threads meet the rows.
EXACT = "decimal(38, 9)"
#: For deviations numbers count to the millionth, so that their squares are exact too.
ROUNDED = "decimal(18, 6)"
#: One factor of a product is wider, so that DuckDB multiplies with 38 digits, and Spark has digits left for it.
_WIDER = "decimal(19, 6)"
_DAY = 86_400_000_000  # microseconds

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
        return f"{self.kind} {self.column} {'' if self.span is None else self.span}"


def measures_of(column: str, aggregate: Aggregate, span: int | None) -> list[Measure]:
    """Return the measures from which `combined` makes an aggregate."""
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
            return [part_of(column, span), part_of(column, 2 * (span or 0))]
        case "share":
            return [part_of(column, span)]
        case "sum" | "min" | "max" | "nunique" | "first" | "last":
            return [Measure(column, aggregate, span)]


def part_of(column: str, span: int | None) -> Measure:
    """Return what trends and shares compare: rows, or a column's sum."""
    return Measure(column, "rows" if column == "*" else "sum", span)


def measured(seen: Any, measure: Measure) -> Any:
    """Return a measure over ``seen``: rows with ``as_of``, ``event_time``, ``place`` and the columns."""
    inside = None if measure.span is None else seen.event_time > seen.as_of - measure.span
    match measure.kind:
        case "rows":
            return seen.count(where=inside)
        case "earliest":
            return seen.event_time.min()
        case "latest":
            return seen.event_time.max()
    value = seen[measure.column]
    match measure.kind:
        case "filled":
            return value.count(where=inside)
        case "rounded":
            return value.cast(ROUNDED).sum(where=inside)
        case "squares":
            return (value.cast(ROUNDED) * value.cast(_WIDER)).sum(where=inside)
        case "first" | "last":
            there = value.notnull() if inside is None else value.notnull() & inside
            dated = ibis.struct({"time": seen.event_time, "place": seen.place, "value": value})
            return dated.min(where=there) if measure.kind == "first" else dated.max(where=there)
        case "sum":
            return value.sum(where=inside)
        case "min":
            return value.min(where=inside)
        case "max":
            return value.max(where=inside)
        case "nunique":
            return value.nunique(where=inside)


def combined(long: Any, column: str, aggregate: Aggregate, span: int | None) -> Any:
    """Return an aggregate over a table that holds its measures."""
    found = [long[measure.name] for measure in measures_of(column, aggregate, span)]
    match aggregate:
        case "recency" | "tenure":
            return (long.as_of - found[0]) / _DAY
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
            return value.cast("float64") if value.type().is_decimal() else value
        case _:
            return found[0]


def _change(this: Any, both: Any) -> Any:
    before = both - this
    return (this - before) / (this.abs() + before.abs()).nullif(0)


def _deviation(filled: Any, total: Any, squares: Any) -> Any:
    """Return the sample's standard deviation, by sums around a number near the mean that lose no digit.

    What is squared and added are decimals; types are narrowed where Spark would otherwise drop digits.
    """
    some = filled.nullif(0)
    near = (total.cast("float64") / some).cast("decimal(17, 6)")
    moved = (filled.cast(_WIDER) * near).cast("decimal(20, 6)")
    rest = (total.cast("decimal(20, 6)") - moved).cast(_WIDER)
    twice = (near * rest).cast("decimal(36, 12)") * ibis.literal(2).cast("decimal(1, 0)")
    around = squares.cast("decimal(37, 12)") - (moved * near).cast("decimal(37, 12)")
    around = around.cast("decimal(38, 12)").cast("decimal(37, 12)")  # Ibis would leave out a cast to what it infers
    spread = (around - twice.cast("decimal(37, 12)")).cast("float64")
    rest = rest.cast("float64")
    variance = (spread - rest * rest / some) / (filled - 1).nullif(0)
    return ibis.ifelse(variance < 0, 0.0, variance).sqrt()
