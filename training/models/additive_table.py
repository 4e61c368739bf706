"""A sum of one curve for each feature, as a bundle stores it and a server scores with it (numpy only)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadData

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One feature's part in the log-odds: straight between knots, level beyond them.

    A category has a knot at each code.

    Parameters
    ----------
    position : of the feature in the matrix
    knots : values of the feature, rising
    parts : log-odds at the knots
    missing : log-odds where the feature is missing
    """

    position: int
    knots: tuple[float, ...]
    parts: tuple[float, ...]
    missing: float

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in pairwise(self.knots))
        finite = all(map(isfinite, (*self.knots, *self.parts, self.missing)))
        if self.position < 0 or not self.knots or len(self.knots) != len(self.parts) or not rising or not finite:
            raise BadData("additive.curve", "a curve needs finite parts at rising knots")

    def of(self, values: Array) -> Array:
        """Return the log-odds of each value.

        Examples
        --------
        >>> Curve(0, knots=(0.0, 10.0), parts=(1.0, 0.0), missing=0.2).of(np.array([5.0, 99.0, np.nan])).tolist()
        [0.5, 0.0, 0.2]
        """
        return np.where(np.isnan(values), self.missing, np.interp(values, self.knots, self.parts))


@dataclass(frozen=True)
class AdditiveTable:
    """A logistic regression on curves: the log-odds are ``base`` plus the curves' parts.

    Parameters
    ----------
    base : the mean log-odds of the training rows; each curve's mean part is 0
    curves : of the features that have a part
    share : of this table in a blend with trees, within (0, 1]
    """

    base: float
    curves: tuple[Curve, ...]
    share: float = 1.0

    def raw(self, matrix: Array) -> Array:
        """Return log-odds, shape (rows,)."""
        total = np.full(len(matrix), self.base)
        for curve in self.curves:
            total += curve.of(matrix[:, curve.position])
        return total

    def contributions(self, matrix: Array) -> Array:
        """Return each feature's part in the log-odds, shape (rows, features + 1); the last is the base."""
        out = np.zeros((len(matrix), matrix.shape[1] + 1))
        out[:, -1] = self.base
        for curve in self.curves:
            out[:, curve.position] = curve.of(matrix[:, curve.position])
        return out

    def to_json(self) -> dict[str, Any]:
        curves = [
            {"position": c.position, "knots": list(c.knots), "parts": list(c.parts), "missing": c.missing}
            for c in self.curves
        ]
        return {"base": self.base, "share": self.share, "curves": curves}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> AdditiveTable:
        """Return the table that ``to_json`` described.

        Raises
        ------
        BadData : ``additive.document``, ``additive.curve``

        Examples
        --------
        >>> table = AdditiveTable(0.5, (Curve(0, (0.0, 1.0), (-1.0, 1.0), 0.0),), share=0.4)
        >>> AdditiveTable.from_json(table.to_json()) == table
        True
        """
        try:
            curves = tuple(
                Curve(int(c["position"]), _floats(c["knots"]), _floats(c["parts"]), float(c["missing"]))
                for c in document["curves"]
            )
            base, share = float(document["base"]), float(document["share"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadData("additive.document", "this does not describe a sum of curves") from error
        if not isfinite(base) or not 0 < share <= 1:
            raise BadData("additive.document", "the base is finite and the share lies in (0, 1]")
        return cls(base, curves, share)


def _floats(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
