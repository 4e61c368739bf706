"""How well predicted amounts fit what customers spent: error, order, deciles, coverage of intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import spearmanr

from features.base.errors import BadData
from training.evaluate.array_checks import Array


def rmse(actual: ArrayLike, predicted: ArrayLike) -> float:
    """Return the root of the mean squared error, in the unit of the amounts.

    Raises
    ------
    BadData : ``metric.shape``, ``metric.empty``, ``metric.missing``

    Examples
    --------
    >>> rmse([0, 4], [3, 0])
    3.5355339059327378
    """
    y, p = _amounts(actual, predicted)
    return float(np.sqrt(np.mean((y - p) ** 2)))


def rank_correlation(actual: ArrayLike, predicted: ArrayLike) -> float:
    """Return Spearman's rank correlation; 0 if all predictions or all amounts are equal.

    Examples
    --------
    >>> rank_correlation([1, 5, 9], [10, 30, 20])
    0.5
    """
    y, p = _amounts(actual, predicted)
    if np.ptp(y) == 0 or np.ptp(p) == 0:
        return 0.0
    return float(spearmanr(y, p).statistic)


def normalised_gini(actual: ArrayLike, predicted: ArrayLike) -> float:
    """Return the Gini coefficient of the amounts in order of prediction, over that in their own order.

    1 is the right order, 0 a random one. Customers of equal prediction share their amounts equally, so that the
    order of the rows does not matter.

    Raises
    ------
    BadData : ``metric.amounts`` if an amount is below 0 or all are equal

    Examples
    --------
    >>> normalised_gini([0, 10, 90], [1, 2, 3]), normalised_gini([0, 10, 90], [5, 5, 5])
    (1.0, 0.0)

    References
    ----------
    Frees, Meyers and Cummings (2011), "Summarizing insurance scores using a Gini index".
    """
    y, p = _amounts(actual, predicted)
    if (y < 0).any() or np.ptp(y) == 0:
        raise BadData(
            "metric.amounts",
            "amounts must not be below 0, nor all equal",
            hint="take returns off the purchases first, and judge on more customers",
        )
    return round(_gini(y, p) / _gini(y, y), 12)


@dataclass(frozen=True)
class DecileTable:
    """Tenths of the customers by prediction, from the best down.

    Parameters
    ----------
    customers : number of customers in each
    predicted, actual : mean amounts
    share : part of all that was spent
    """

    customers: NDArray[np.int64]
    predicted: Array
    actual: Array
    share: Array


def decile_table(actual: ArrayLike, predicted: ArrayLike, *, groups: int = 10) -> DecileTable:
    """Return mean predicted and actual amounts of the tenths of the customers by prediction.

    Raises
    ------
    BadData : ``metric.bins`` if there are fewer customers than groups

    Examples
    --------
    >>> found = decile_table([1, 2, 30, 40], [1, 2, 3, 4], groups=2)
    >>> found.predicted.tolist(), found.actual.tolist()
    ([3.5, 1.5], [35.0, 1.5])
    """
    y, p = _amounts(actual, predicted)
    if not 1 <= groups <= len(y):
        raise BadData("metric.bins", f"{len(y)} customers in {groups} groups")
    parts = np.array_split(np.argsort(-p, kind="stable"), groups)
    total = float(y.sum())
    return DecileTable(
        np.array([len(part) for part in parts]),
        np.array([p[part].mean() for part in parts]),
        np.array([y[part].mean() for part in parts]),
        np.array([y[part].sum() / total if total else 0.0 for part in parts]),
    )


def coverage(actual: ArrayLike, low: ArrayLike, high: ArrayLike) -> float:
    """Return the share of amounts that lie within their interval, its ends included.

    Raises
    ------
    BadData : ``metric.interval`` if a low end is above its high one

    Examples
    --------
    >>> coverage([1, 5], [0, 6], [2, 7])
    0.5
    """
    y, lower = _amounts(actual, low)
    _, upper = _amounts(actual, high)
    if (lower > upper).any():
        raise BadData("metric.interval", f"{int((lower > upper).sum())} intervals end before they begin")
    return float(((lower <= y) & (y <= upper)).mean())


def _amounts(actual: ArrayLike, predicted: ArrayLike) -> tuple[Array, Array]:
    y, p = np.asarray(actual, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if y.ndim != 1 or y.shape != p.shape:
        raise BadData("metric.shape", f"amounts of shape {y.shape} and predictions of shape {p.shape}: one of each")
    if not len(y):
        raise BadData("metric.empty", "there is no customer to judge on")
    if not (np.isfinite(y).all() and np.isfinite(p).all()):
        raise BadData("metric.missing", "an amount or a prediction is missing or infinite")
    return y, p


def _gini(amounts: Array, order: Array) -> float:
    """Return the area between the concentration curve and the diagonal; ties are one step."""
    at = np.argsort(-order, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(order[at])), len(at) - 1)
    share = np.append(0.0, np.cumsum(amounts[at])[ends]) / amounts.sum()
    rows = np.append(0.0, ends + 1.0) / len(at)
    return float(np.trapezoid(share, rows)) - 0.5
