"""Fit the calibration of a model's scores, and choose the method that predicts held-out rows best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from sklearn.isotonic import IsotonicRegression

from training.models.calibration_table import EDGE, IDENTITY, METHODS, CalibrationTable, Method

Array = NDArray[np.float64]
MIN_GAIN = 2e-4  # nats per row that a more flexible method must win before it displaces a simpler one


def fit(raw: Array, target: Array, *, fold: NDArray[np.int64], weight: Array | None = None) -> CalibrationTable:
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


def fit_method(method: Method, raw: Array, target: Array, weight: Array) -> CalibrationTable:
    """Return one method's knots, fitted on all rows given.

    Examples
    --------
    >>> raw, target = np.repeat([-1.0, 1.0], 50), np.tile([1.0, 0.0, 0.0, 0.0, 0.0], 20)
    >>> table = fit_method("isotonic", raw, target, np.ones(100))
    >>> table.apply(raw[:1]).round(3).tolist()
    [0.2]
    """
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


def _isotonic(raw: Array, target: Array, weight: Array) -> CalibrationTable:
    """Fit scikit-learn's isotonic regression; one knot at each pool's centre, so that ranks inside a pool survive.

    A pool's rate is drawn towards the mean of all rows by one row, which keeps a pure pool off 0 and 1.
    """
    fitted = IsotonicRegression().fit_transform(raw, target, sample_weight=weight)
    _, pool = np.unique(fitted, return_inverse=True)
    mass, hits, centre = (np.bincount(pool, weights=values) for values in (weight, weight * target, weight * raw))
    unit, mean = weight.mean(), target @ weight / weight.sum()
    rate = np.maximum.accumulate((hits + mean * unit) / (mass + unit))
    x, y = centre / mass, np.log(rate) - np.log1p(-rate)
    distinct = np.append(True, np.diff(x) > 1e-9)
    x, y = x[distinct], y[distinct]
    # the outer halves of the end pools rise as the curve beside them does, so that each pool's mean stays its rate
    low, high = (min(1.0, rise) for rise in (np.diff(y) / np.diff(x))[[0, -1]]) if len(x) > 1 else (0.0, 0.0)
    if x[0] - raw.min() > 1e-9:
        x, y = np.append(raw.min(), x), np.append(y[0] - low * (x[0] - raw.min()), y)
    if raw.max() - x[-1] > 1e-9:
        x, y = np.append(x, raw.max()), np.append(y, y[-1] + high * (raw.max() - x[-1]))
    # outside the rows seen, a step in raw log-odds is a step in calibrated ones
    return _table(
        "isotonic",
        np.concatenate([[-EDGE], x, [EDGE]]),
        np.concatenate([[y[0] - x[0] - EDGE], y, [y[-1] + EDGE - x[-1]]]),
    )


def _table(method: Method, raw: Array, calibrated: Array) -> CalibrationTable:
    rising = np.maximum.accumulate(calibrated)
    return CalibrationTable(method, tuple(raw.tolist()), tuple(rising.tolist()))
