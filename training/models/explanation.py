"""Why a customer scores as they do: the features that moved the log-odds most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.models.feature_encoding import Encoding, Matrix

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FeatureContribution:
    """One feature's part in one score."""

    feature: str
    value: float | str | None
    """A number, a level's name, or None where the feature is missing."""
    contribution: float
    """In log-odds; the contributions of all features and the base add up to the raw score."""

    @property
    def direction(self) -> Literal["raises", "lowers"]:
        return "raises" if self.contribution > 0 else "lowers"


def reasons(
    contributions: Array, matrix: Matrix, encoding: Encoding, *, top: int = 3
) -> tuple[tuple[FeatureContribution, ...], ...]:
    """Return, per row, the ``top`` features by absolute contribution, strongest first.

    Parameters
    ----------
    contributions : array of shape (rows, features + 1), from `Trees.contributions`; the base is ignored
    matrix : array of shape (rows, features), the numbers that were scored

    Returns
    -------
    tuple of rows; a row has fewer than ``top`` reasons where fewer features moved its score

    Examples
    --------
    >>> from training.models.feature_encoding import Column
    >>> encoding = Encoding((Column("age", "numeric"), Column("spend", "numeric")))
    >>> (row,) = reasons(np.array([[0.1, -0.7, 0.2]]), np.array([[30.0, 5.0]]), encoding, top=1)
    >>> row[0].feature, row[0].value, row[0].direction
    ('spend', 5.0, 'lowers')
    """
    moved = contributions[:, :-1]
    order = np.argsort(-np.abs(moved), axis=1, kind="stable")[:, :top]
    return tuple(
        tuple(
            FeatureContribution(
                encoding.columns[at].name, encoding.columns[at].decode(matrix[row, at]), float(moved[row, at])
            )
            for at in best
            if moved[row, at] != 0.0
        )
        for row, best in enumerate(order)
    )
