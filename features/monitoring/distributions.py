"""The distribution of one feature over customers, without any single customer's value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.base.charts import ChartBar, number
from features.base.masking import MIN_ROWS_PER_VALUE, MIN_ROWS_SHOWN
from features.quality.load_profile import ColumnStatistics

#: Bars of a histogram, and numbers that get a bar each where there are no more.
BARS, VALUES = 20, 12
#: Quantiles that a drift is counted in.
BINS = 10
QUANTILES = (0.05, 0.5, 0.95)
#: Values beyond these quantiles could be recognised: they are counted in the outermost bars.
_INNER = (0.01, 0.99)
#: Share of zeros from which on they would hide the rest of a histogram.
_MANY = 0.2
_REST, _RARE, _MISSING = "(other)", "(rare)", "(missing)"


@dataclass(frozen=True)
class Distribution:
    """One feature at one cutoff.

    Parameters
    ----------
    rows, filled : customers, and those with a value
    distinct : different values
    zero : share of the filled rows that are 0; None for text, and where hidden
    quantiles : 5 %, 50 % and 95 %; none where hidden
    bars : the values, in their order or the commonest first; none where hidden
    """

    rows: int
    filled: int
    distinct: int
    zero: float | None = None
    quantiles: tuple[float, ...] = ()
    bars: tuple[ChartBar, ...] = ()

    @property
    def missing(self) -> float:
        """The share of customers without a value.

        Examples
        --------
        >>> Distribution(rows=4, filled=3, distinct=2).missing
        0.25
        """
        return 1 - self.filled / self.rows if self.rows else 0.0


def distribution_of(column: pa.ChunkedArray, *, shown: bool) -> Distribution:
    """Return the distribution of a column.

    Of fewer than 50 filled rows only the counts are shown. A text is shown when five customers share it.

    Parameters
    ----------
    column : a feature at one cutoff, one row a customer
    shown : whether its values may be shown; not those derived from personal data

    Examples
    --------
    >>> distribution_of(pa.chunked_array([[1.0, 2.0, None, 5.0]]), shown=True).missing
    0.25
    """
    column = plain(column)
    known = column.drop_null()
    rows, filled = len(column), len(known)
    distinct = int(pc.count_distinct(known).as_py())
    if pa.types.is_string(column.type):
        return Distribution(
            rows, filled, distinct, bars=_categories(known) if shown and filled >= MIN_ROWS_SHOWN else ()
        )
    values = known.to_numpy().astype(np.float64)
    if filled < MIN_ROWS_SHOWN or not shown:
        return Distribution(rows, filled, distinct)
    return Distribution(
        rows,
        filled,
        distinct,
        zero=float((values == 0).mean()),
        quantiles=_quantiles(values),
        bars=_values(values) if distinct <= VALUES else _histogram(values),
    )


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as text or numbers, NaN and the infinite as missing.

    Examples
    --------
    >>> plain(pa.chunked_array([[1.5, float("nan")]])).to_pylist()
    [1.5, None]
    """
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
    if pa.types.is_integer(column.type):
        return column
    return column.cast(pa.string())


def _quantiles(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Return the quantiles; those of whole numbers are whole."""
    method: Literal["inverted_cdf", "linear"] = "inverted_cdf" if bool((values == np.round(values)).all()) else "linear"
    return tuple(float(value) for value in np.quantile(values, QUANTILES, method=method))


def _categories(known: pa.ChunkedArray) -> tuple[ChartBar, ...]:
    counted = sorted(
        ((str(pair["values"]), int(pair["counts"])) for pair in pc.value_counts(known).to_pylist()),
        key=lambda pair: (-pair[1], pair[0]),
    )
    common = [(value, count) for value, count in counted if count >= MIN_ROWS_PER_VALUE]
    if not common:
        return ()
    shown, rest = common[:VALUES], sum(count for _, count in common[VALUES:])
    rare = sum(count for _, count in counted if count < MIN_ROWS_PER_VALUE)
    whole = [*shown, *([(_REST, rest)] if rest else []), *([(_RARE, rare)] if rare else [])]
    return tuple(ChartBar(label, count / len(known)) for label, count in whole)


def _values(values: NDArray[np.float64]) -> tuple[ChartBar, ...]:
    found, counts = np.unique(values, return_counts=True)
    common = [(value, count) for value, count in zip(found, counts, strict=True) if count >= MIN_ROWS_PER_VALUE]
    if not common:
        return ()
    rare = len(values) - sum(int(count) for _, count in common)
    shown = [ChartBar(number(value), float(count / len(values))) for value, count in common]
    return (*shown, *([ChartBar(_RARE, rare / len(values))] if rare else []))


def _histogram(values: NDArray[np.float64]) -> tuple[ChartBar, ...]:
    """Return bars of equal width; where many values are 0, those have a bar of their own."""
    at_zero = values == 0
    apart = bool(at_zero.mean() > _MANY) and not bool(at_zero.all())
    rest = values[~at_zero] if apart else values
    low, high = (float(edge) for edge in np.quantile(rest, _INNER))
    if bool((rest == np.round(rest)).all()):
        width = max(1.0, float(np.ceil((np.round(high) - np.round(low) + 1) / BARS)))
        edges = np.arange(np.round(low), np.round(high) + width + 0.5, width) - 0.5
        labels = [_whole(start + 0.5, start + width - 0.5) for start in edges[:-1]]
    else:
        edges = np.linspace(low, high if high > low else low + 1.0, BARS + 1)
        labels = [f"{number(a)} to {number(b)}" for a, b in pairwise(edges)]
    counts, _ = np.histogram(np.clip(rest, edges[0], edges[-1]), edges)
    bars = [ChartBar(label, float(count / len(values))) for label, count in zip(labels, counts, strict=True)]
    below = int((edges[1:] <= 0).sum()) if apart else 0
    return (*bars[:below], *([ChartBar("0", float(at_zero.mean()))] if apart else []), *bars[below:])


def _whole(first: float, last: float) -> str:
    return number(first) if first == last else f"{number(first)} to {number(last)}"


def bins_of(column: pa.ChunkedArray) -> Sequence[float] | Sequence[str]:
    """Return the bins that a column is counted in: quantiles of numbers, or the commonest texts.

    Examples
    --------
    >>> list(bins_of(pa.chunked_array([["b", "a", "b"]])))
    ['b', 'a']
    """
    known = plain(column).drop_null()
    if pa.types.is_string(known.type):
        counted = sorted(pc.value_counts(known).to_pylist(), key=lambda pair: (-pair["counts"], pair["values"]))
        return [str(pair["values"]) for pair in counted[:VALUES]]
    values = known.to_numpy().astype(np.float64)
    if not len(values):
        return []
    return [float(edge) for edge in np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))]


def counted(column: pa.ChunkedArray, by: Sequence[float] | Sequence[str]) -> ColumnStatistics:
    """Return a column counted in bins, the missing in one of their own.

    Examples
    --------
    >>> column = pa.chunked_array([["b", "a", "b", None]])
    >>> counted(column, bins_of(column)).counts
    {'b': 2, 'a': 1, '(other)': 0, '(missing)': 1}
    """
    column = plain(column)
    known = column.drop_null()
    counts: dict[str, int]
    edges: tuple[float, ...] = ()
    if pa.types.is_string(column.type):
        named = {str(pair["values"]): int(pair["counts"]) for pair in pc.value_counts(known).to_pylist()}
        counts = {str(label): named.get(str(label), 0) for label in by}
        counts[_REST] = len(known) - sum(counts.values())
    else:
        edges = tuple(float(edge) for edge in by)
        places = np.searchsorted(np.asarray(edges), known.to_numpy().astype(np.float64), side="left")
        counts = {str(at): int(n) for at, n in enumerate(np.bincount(places, minlength=len(edges) + 1))}
    counts[_MISSING] = len(column) - len(known)
    return ColumnStatistics(filled=len(known), constant=False, commonest=0.0, edges=edges, counts=counts)


def as_dict(found: Distribution) -> Mapping[str, object]:
    """Return a distribution as JSON."""
    quantiles = dict(zip(("p5", "p50", "p95"), found.quantiles, strict=False))
    return {
        "rows": found.rows,
        "filled": found.filled,
        "missing": round(found.missing, 6),
        "distinct": found.distinct,
        "zero": None if found.zero is None else round(found.zero, 6),
        "quantiles": quantiles,
        "bars": [{"label": bar.label, "share": round(bar.share, 6)} for bar in found.bars],
    }
