"""Log loss, Brier score, reliability curve and expected calibration error of probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn import metrics

from features.base.errors import BadData
from training.evaluate.array_checks import Array, probabilities

SMALLEST = 1e-15  # a certain and wrong probability costs 34.5 nats, not infinitely many


def log_loss(target: ArrayLike, probability: ArrayLike) -> float:
    """Return the mean negative log-likelihood, in nats.

    Examples
    --------
    >>> round(log_loss([1, 0], [0.8, 0.2]), 4)
    0.2231
    """
    y, p = probabilities(target, probability)
    return float(metrics.log_loss(y, np.clip(p, SMALLEST, 1 - SMALLEST), labels=[0, 1]))


def brier(target: ArrayLike, probability: ArrayLike) -> float:
    """Return the mean squared error of the probabilities. Brier (1950).

    Examples
    --------
    >>> round(brier([1, 0], [0.8, 0.2]), 4)
    0.04
    """
    y, p = probabilities(target, probability)
    return float(metrics.mean_squared_error(y, p))


@dataclass(frozen=True)
class Reliability:
    """Per bin of the predicted probability, from low to high: mean prediction, observed share, number of rows."""

    predicted: Array
    observed: Array
    rows: Array


def reliability(target: ArrayLike, probability: ArrayLike, *, bins: int = 10) -> Reliability:
    """Return the reliability curve over bins of (nearly) equal numbers of rows; equal probabilities share one.

    Raises
    ------
    BadData : ``metric.bins`` if there are no bins, ``metric.*`` as everywhere

    Examples
    --------
    >>> curve = reliability([0, 0, 0, 1, 1, 1], [0.1, 0.1, 0.1, 0.8, 0.8, 0.8], bins=2)
    >>> curve.observed.tolist(), curve.rows.tolist()
    ([0.0, 1.0], [3.0, 3.0])
    """
    if bins < 1:
        raise BadData("metric.bins", f"{bins} bins: one at least")
    y, p = probabilities(target, probability)
    order = np.argsort(p, kind="stable")
    sorted_p = p[order]
    wanted = np.linspace(0, len(p), min(bins, len(p)) + 1).round().astype(np.int64)[:-1]
    starts = np.unique(np.searchsorted(sorted_p, sorted_p[wanted], side="left"))  # never cut through a tie
    rows = np.diff(np.append(starts, len(p))).astype(np.float64)
    return Reliability(np.add.reduceat(sorted_p, starts) / rows, np.add.reduceat(y[order], starts) / rows, rows)


def ece(target: ArrayLike, probability: ArrayLike, *, bins: int = 10) -> float:
    """Return the expected calibration error: the mean gap between predicted and observed share, over equal-mass bins.

    Examples
    --------
    >>> round(ece([0, 0, 0, 1, 1, 1], [0.1, 0.1, 0.1, 0.8, 0.8, 0.8], bins=2), 4)
    0.15

    References
    ----------
    Naeini, Cooper and Hauskrecht (2015); equal-mass bins as in Nixon et al. (2019).
    """
    curve = reliability(target, probability, bins=bins)
    return float(np.average(np.abs(curve.predicted - curve.observed), weights=curve.rows))
