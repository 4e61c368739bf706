"""A model's scores → probabilities that mean what they say, kept as a table of knots (no pickle)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from features.base.errors import BadData

Array = NDArray[np.float64]
Method = Literal["identity", "platt", "beta", "isotonic"]
METHODS: tuple[Method, ...] = ("identity", "platt", "beta", "isotonic")
EDGE = 40.0  # log-odds; beyond it a float64 probability is 0 or 1
MIN_GAIN = 2e-4  # nats per row that a more flexible method must win before it displaces a simpler one


@dataclass(frozen=True)
class Calibration:
    """A non-decreasing, piecewise linear map from raw to calibrated log-odds."""

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
        log_odds = np.interp(raw, self.raw, self.calibrated)
        return np.asarray(expit(log_odds), dtype=np.float64)

    def to_json(self) -> dict[str, Any]:
        return {"method": self.method, "raw": list(self.raw), "calibrated": list(self.calibrated)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Calibration:
        """Return the calibration that ``to_json`` described; BadData ``calibration.*`` where it is none."""
        method = next((known for known in METHODS if known == document.get("method")), None)
        try:
            raw, calibrated = (tuple(float(v) for v in document[key]) for key in ("raw", "calibrated"))
        except (KeyError, TypeError, ValueError) as error:
            raise BadData("calibration.table", "this does not describe a calibration") from error
        if method is None:
            raise BadData("calibration.method", f"a calibration is one of {', '.join(METHODS)}")
        return cls(method, raw, calibrated)


IDENTITY = Calibration("identity", (-EDGE, EDGE), (-EDGE, EDGE))


def fit(raw: Array, target: Array, *, fold: NDArray[np.int64], weight: Array | None = None) -> Calibration:
    """Choose and fit the calibration that predicts held-out rows best.

    Each method is fitted on all folds but one and judged on that one by log loss; a more flexible method
    must win by ``MIN_GAIN`` per row over the simpler ones, so that noise alone does not bend the scores.

    Parameters
    ----------
    raw : array of shape (rows,), log-odds from models that have not seen the row
    target : array of shape (rows,), 0 or 1
    fold : array of shape (rows,), which part held the row out; the same customer, the same part
    weight : array of shape (rows,), optional

    References
    ----------
    Platt (1999); Zadrozny and Elkan (2002); Kull, Silva Filho and Flach (2017).
    """
    weights = np.ones(len(raw)) if weight is None else weight
    best, best_loss = METHODS[0], np.inf
    for method in METHODS:
        losses = np.empty(len(raw))
        for part in np.unique(fold):
            seen, held = fold != part, fold == part
            map_ = fit_method(method, raw[seen], target[seen], weights[seen])
            losses[held] = _loss(np.interp(raw[held], map_.raw, map_.calibrated), target[held])
        loss = float(np.average(losses, weights=weights))
        if loss < best_loss - (MIN_GAIN if method != METHODS[0] else 0.0):
            best, best_loss = method, loss
    return fit_method(best, raw, target, weights)


def fit_method(method: Method, raw: Array, target: Array, weight: Array) -> Calibration:
    """Return one method's knots, fitted on all rows given."""
    raw = np.clip(raw, -EDGE + 1.0, EDGE - 1.0)
    match method:
        case "identity":
            return IDENTITY
        case "platt":
            slope, shift = _logistic(np.column_stack([raw]), target, weight)
            return _table(method, np.array([-EDGE, EDGE]), slope * np.array([-EDGE, EDGE]) + shift)
        case "beta":
            a, b, shift = _logistic(np.column_stack([log_expit(raw), -log_expit(-raw)]), target, weight)
            knots = np.concatenate([[-EDGE, -20.0], np.linspace(-12.0, 12.0, 193), [20.0, EDGE]])
            return _table(method, knots, a * log_expit(knots) - b * log_expit(-knots) + shift)
        case "isotonic":
            return _isotonic(raw, target, weight)


def _loss(log_odds: Array, target: Array) -> Array:
    return np.asarray(-target * log_expit(log_odds) - (1.0 - target) * log_expit(-log_odds), dtype=np.float64)


def _logistic(design: Array, target: Array, weight: Array) -> Array:
    """Return non-negative slopes (so that the order is kept) and the intercept, by maximum likelihood."""
    total = weight.sum()

    def objective(theta: Array) -> tuple[float, Array]:
        log_odds = design @ theta[:-1] + theta[-1]
        error = weight * (expit(log_odds) - target)
        gradient = np.append(design.T @ error, error.sum()) / total
        return float(weight @ _loss(log_odds, target) / total), gradient

    slopes = design.shape[1]
    bounds = [(1e-3, 100.0)] * slopes + [(-EDGE, EDGE)]
    found = minimize(objective, np.append(np.ones(slopes), 0.0), jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x, dtype=np.float64)


def _isotonic(raw: Array, target: Array, weight: Array) -> Calibration:
    """Pool adjacent violators; one knot at each pool's centre, so that ranks inside a pool survive."""
    order = np.argsort(raw, kind="stable")
    pools: list[tuple[float, float, float]] = []  # weight, weighted target, weighted raw
    for w, y, x in zip(weight[order].tolist(), target[order].tolist(), raw[order].tolist(), strict=True):
        pool = (w, w * y, w * x)
        while pools and pools[-1][1] * pool[0] >= pool[1] * pools[-1][0]:
            last = pools.pop()
            pool = (last[0] + pool[0], last[1] + pool[1], last[2] + pool[2])
        pools.append(pool)
    mass, hits, centre = np.array(pools).T
    prior = target @ weight / weight.sum()
    unit = weight.mean()  # one row's worth of prior keeps a pure pool off 0 and 1
    rate = np.maximum.accumulate((hits + prior * unit) / (mass + unit))
    x, y = centre / mass, np.log(rate) - np.log1p(-rate)
    distinct = np.append(True, np.diff(x) > 1e-9)
    x, y = x[distinct], y[distinct]
    # outside the rows seen, a step in raw log-odds is a step in calibrated ones
    return _table(
        "isotonic",
        np.concatenate([[-EDGE], x, [EDGE]]),
        np.concatenate([[y[0] - x[0] - EDGE], y, [y[-1] + EDGE - x[-1]]]),
    )


def _table(method: Method, raw: Array, calibrated: Array) -> Calibration:
    rising = np.maximum.accumulate(calibrated)
    return Calibration(method, tuple(raw.tolist()), tuple(rising.tolist()))
