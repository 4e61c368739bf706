"""Logistic regression with bounds on its coefficients, which scikit-learn's has not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

Array = NDArray[np.float64]


def log_losses(log_odds: Array, target: Array) -> Array:
    """Return the log loss of each row, in nats.

    Examples
    --------
    >>> log_losses(np.array([0.0, 0.0]), np.array([0.0, 1.0])).round(4).tolist()
    [0.6931, 0.6931]
    """
    return np.asarray(-target * log_expit(log_odds) - (1.0 - target) * log_expit(-log_odds), dtype=np.float64)


def fit_logistic(
    design: Array,
    target: Array,
    weight: Array,
    *,
    low: Array,
    high: Array,
    penalty: float = 0.0,
    start: Array | None = None,
) -> Array:
    """Return the coefficients and, last, the intercept, by penalized maximum likelihood.

    Parameters
    ----------
    design : array of shape (rows, columns)
    target : array of shape (rows,), 0 or 1
    weight : array of shape (rows,), positive
    low, high : arrays of shape (columns + 1,), the bounds of each coefficient and of the intercept
    penalty : half of it times each squared coefficient is added to the summed loss; the intercept is free
    start : where the search begins

    Examples
    --------
    >>> side, answer = np.repeat([0.0, 1.0], 50), np.tile([1.0, 0.0, 0.0, 0.0, 0.0], 20)
    >>> free = np.full(2, np.inf)
    >>> fit_logistic(side[:, None], answer, np.ones(100), low=-free, high=free).round(3).tolist()
    [0.0, -1.386]
    """
    total = weight.sum()

    def objective(theta: Array) -> tuple[float, Array]:
        log_odds = design @ theta[:-1] + theta[-1]
        error = weight * (expit(log_odds) - target)
        loss = weight @ log_losses(log_odds, target) + penalty / 2 * theta[:-1] @ theta[:-1]
        gradient = np.append(design.T @ error + penalty * theta[:-1], error.sum())
        return float(loss / total), gradient / total

    begin = np.zeros(design.shape[1] + 1) if start is None else start
    bounds = np.column_stack([low, high])
    found = minimize(objective, np.clip(begin, low, high), jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x, dtype=np.float64)
