"""Categories of many levels as numbers: the share of positives that each level had (numpy only)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadData

if TYPE_CHECKING:
    from training.models.parts import Part

Array = NDArray[np.float64]
PRIOR_ROWS = 20.0  # a level's share is drawn towards that of all rows as if so many rows more had shown the latter


@dataclass(frozen=True)
class LevelShares:
    """The share of positives of each level of one column.

    Parameters
    ----------
    position : of the column in the matrix
    shares : by code; the last is that of a missing value
    """

    position: int
    shares: tuple[float, ...]


@dataclass(frozen=True)
class TargetStatistics:
    """Columns whose codes are replaced by shares; the others stay as they are.

    Examples
    --------
    >>> plans = TargetStatistics((LevelShares(0, (0.1, 0.4, 0.2)),))
    >>> plans.apply(np.array([[1.0, 7.0], [0.0, 8.0], [np.nan, 9.0]])).tolist()
    [[0.4, 7.0], [0.1, 8.0], [0.2, 9.0]]
    """

    columns: tuple[LevelShares, ...] = ()

    def apply(self, matrix: Array) -> Array:
        """Return the matrix with shares in place of codes."""
        if not self.columns:
            return matrix
        out = matrix.copy()
        for column in self.columns:
            out[:, column.position] = np.array(column.shares)[_codes(matrix, column.position, len(column.shares))]
        return out

    def to_json(self) -> list[dict[str, Any]]:
        return [{"position": column.position, "shares": list(column.shares)} for column in self.columns]

    @classmethod
    def from_json(cls, document: Sequence[Mapping[str, Any]]) -> TargetStatistics:
        """Return the statistics that ``to_json`` described.

        Raises
        ------
        BadData : ``statistics.document``
        """
        try:
            columns = tuple(LevelShares(int(d["position"]), tuple(float(s) for s in d["shares"])) for d in document)
        except (KeyError, TypeError, ValueError) as error:
            raise BadData("statistics.document", "this does not describe shares of levels") from error
        if any(c.position < 0 or not c.shares or not all(map(isfinite, c.shares)) for c in columns):
            raise BadData("statistics.document", "this does not describe shares of levels")
        return cls(columns)


NO_STATISTICS = TargetStatistics()


def fit(
    matrix: Array, target: Array, *, columns: Mapping[int, int], parts: Iterable[Part], weight: Array
) -> tuple[TargetStatistics, Array]:
    """Return the statistics of all rows, and the matrix to learn from.

    In that matrix a row's share comes from the rows that are learnt from while it is held out: its own outcome, and
    those of its customer, have no part in it. A row that is never held out has the share of all rows.

    Parameters
    ----------
    matrix : array of shape (rows, features), with codes
    columns : position of a column → its number of codes
    parts : which rows are held out in turn

    References
    ----------
    Micci-Barreca (2001), "A preprocessing scheme for high-cardinality categorical attributes".
    """
    if not columns:
        return NO_STATISTICS, matrix
    everyone = np.arange(len(target))
    seen = np.zeros(len(target), dtype=bool)
    out = matrix.copy()
    for part in parts:
        out[part.held] = _shares(matrix, target, columns, part.train, weight).apply(matrix[part.held])
        seen[part.held] = True
    mean = float(np.average(target, weights=weight))
    out[np.ix_(~seen, np.array(list(columns)))] = mean
    return _shares(matrix, target, columns, everyone, weight), out


def _shares(
    matrix: Array, target: Array, columns: Mapping[int, int], rows: NDArray[np.int64], weight: Array
) -> TargetStatistics:
    mean = float(np.average(target[rows], weights=weight[rows]))
    found = []
    for position, codes in columns.items():
        code = _codes(matrix[rows], position, codes + 1)
        mass = np.bincount(code, weights=weight[rows], minlength=codes + 1)
        hits = np.bincount(code, weights=weight[rows] * target[rows], minlength=codes + 1)
        found.append(LevelShares(position, tuple(((hits + PRIOR_ROWS * mean) / (mass + PRIOR_ROWS)).tolist())))
    return TargetStatistics(tuple(found))


def _codes(matrix: Array, position: int, codes: int) -> NDArray[np.int64]:
    return np.nan_to_num(matrix[:, position], nan=codes - 1).astype(np.int64)
