"""Made-up rows that check whether a stored model still scores as it did.

Every number is a quantile of its column rounded to two digits, every category one of the levels that the
encoding names anyway, and each column walks through its values at a pace of its own: so a row combines
values that never stood together, and no exact value of a person survives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.models.feature_encoding import Column, Encoding, Matrix

ROWS = 16
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class SyntheticRows:
    """Feature name → values, as `Encoding.matrix` takes them."""

    columns: dict[str, list[float | str | None]]


def synthetic_rows(encoding: Encoding, matrix: Matrix, *, rows: int = ROWS) -> SyntheticRows:
    """Return made-up rows; the last misses every value.

    Parameters
    ----------
    matrix : array of shape (training rows, features), made by ``encoding.matrix``

    Examples
    --------
    >>> encoding = Encoding((Column("age", "numeric"),))
    >>> synthetic_rows(encoding, np.array([[20.0], [30.0], [40.0]]), rows=4).columns
    {'age': [21.0, 25.0, 30.0, None]}
    """
    return SyntheticRows(
        {
            column.name: _walk(_values(column, matrix[:, at]), at=at, rows=rows)
            for at, column in enumerate(encoding.columns)
        }
    )


def _values(column: Column, numbers: Matrix) -> list[float | str | None]:
    if column.kind == "categorical":
        return [*column.levels, "a level never met", None]
    known = numbers[~np.isnan(numbers)]
    if not len(known):
        return [0.0, None]
    return [*(float(f"{q:.2g}") for q in np.quantile(known, QUANTILES)), None]


def _walk(values: list[float | str | None], *, at: int, rows: int) -> list[float | str | None]:
    pace = 1 + at % max(1, len(values) - 1)
    return [values[(at + row * pace) % len(values)] for row in range(rows - 1)] + [None]
