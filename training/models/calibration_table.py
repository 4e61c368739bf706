"""A calibration as a table of knots: what a bundle stores and a server scores with (numpy and scipy only)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from features.base.errors import BadData

Array = NDArray[np.float64]
Method = Literal["identity", "temperature", "platt", "beta", "isotonic"]
METHODS: tuple[Method, ...] = ("identity", "temperature", "platt", "beta", "isotonic")
EDGE = 40.0  # log-odds; beyond it a float64 probability is 0 or 1


@dataclass(frozen=True)
class CalibrationTable:
    """A non-decreasing, piecewise linear map from raw to calibrated log-odds.

    Parameters
    ----------
    method : how it was fitted
    raw : the knots' raw log-odds, rising
    calibrated : the calibrated log-odds at the knots, never falling

    Examples
    --------
    >>> halved = CalibrationTable("platt", raw=(-40.0, 40.0), calibrated=(-20.0, 20.0))
    >>> halved.apply(np.array([0.0, 2.0])).round(3).tolist()
    [0.5, 0.731]
    """

    method: Method
    raw: tuple[float, ...]
    calibrated: tuple[float, ...]

    def __post_init__(self) -> None:
        pairs = (self.raw, self.calibrated)
        if len(self.raw) != len(self.calibrated) or len(self.raw) < 2 or not all(map(isfinite, (*pairs[0], *pairs[1]))):
            raise BadData("calibration.table", "a calibration needs two finite knots at least, in pairs")
        if any(b <= a for a, b in pairwise(self.raw)) or any(b < a for a, b in pairwise(self.calibrated)):
            raise BadData("calibration.table", "the knots of a calibration must rise")

    def apply(self, raw: Array) -> Array:
        """Return calibrated probabilities of raw log-odds, any shape."""
        return np.asarray(expit(self.log_odds(raw)), dtype=np.float64)

    def log_odds(self, raw: Array) -> Array:
        """Return calibrated log-odds of raw ones, any shape."""
        return np.asarray(np.interp(raw, self.raw, self.calibrated), dtype=np.float64)

    def to_json(self) -> dict[str, Any]:
        """Return the table as a JSON document."""
        return {"method": self.method, "raw": list(self.raw), "calibrated": list(self.calibrated)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> CalibrationTable:
        """Return the table that ``to_json`` described.

        Raises
        ------
        BadData : ``calibration.table``, ``calibration.method``

        Examples
        --------
        >>> CalibrationTable.from_json(IDENTITY.to_json()) == IDENTITY
        True
        """
        method = next((known for known in METHODS if known == document.get("method")), None)
        try:
            raw, calibrated = (tuple(float(v) for v in document[key]) for key in ("raw", "calibrated"))
        except (KeyError, TypeError, ValueError) as error:
            raise BadData("calibration.table", "this does not describe a calibration") from error
        if method is None:
            raise BadData("calibration.method", f"a calibration is one of {', '.join(METHODS)}")
        return cls(method, raw, calibrated)


IDENTITY = CalibrationTable("identity", (-EDGE, EDGE), (-EDGE, EDGE))
