"""The bootstrap interval of a difference between two models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadData

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """A difference (or a number) with its percentile bootstrap interval."""

    difference: float
    low: float
    high: float


def difference(
    metric: Callable[[Rows, bool], float],
    *,
    customers: Sequence[Any] | NDArray[Any],
    rounds: int = 500,
    level: float = 0.95,
    seed: int,
) -> Interval:
    """Return the interval of ``metric(ours) - metric(theirs)`` when customers are resampled.

    Both models are judged on the same drawn customers, with all the rows of each: so rows of one customer
    stay together, and what is hard for both cancels out.

    Parameters
    ----------
    metric : given row numbers and whether to judge ours (True) or theirs (False), returns the metric.
        A draw in which it raises BadData (a single class, say) is drawn again.
    customers : the customer of each row
    rounds : draws
    level : coverage of the interval

    Raises
    ------
    BadData : ``bootstrap.draws`` if most draws cannot be judged

    Examples
    --------
    >>> y, ours, theirs = np.array([0, 1, 0, 1] * 9), np.arange(36.0), np.zeros(36)
    >>> from training.evaluate.ranking import auc
    >>> difference(lambda at, our: auc(y[at], (ours if our else theirs)[at]), customers=range(36), seed=1).low < 0.2
    True

    References
    ----------
    Efron and Tibshirani (1993), chapter 13; Field and Welsh (2007) on clusters.
    """
    if not 0 < level < 1:
        raise BadData("bootstrap.settings", "level lies in (0, 1)")

    def gap(rows: Rows) -> dict[str, float]:
        return {"gap": metric(rows, True) - metric(rows, False)}

    drawn = resample(gap, customers=customers, rounds=rounds, seed=seed)["gap"]
    everyone = gap(np.arange(len(np.asarray(customers))))["gap"]
    return percentile_interval(everyone, drawn, level=level)


def percentile_interval(value: float, drawn: NDArray[np.float64], *, level: float = 0.95) -> Interval:
    """Return a number with the interval that holds the middle share ``level`` of its draws.

    Examples
    --------
    >>> percentile_interval(2.5, np.arange(5.0), level=0.5)
    Interval(difference=2.5, low=1.0, high=3.0)
    """
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def resample(
    metrics: Callable[[Rows], Mapping[str, float]],
    *,
    customers: Sequence[Any] | NDArray[Any],
    rounds: int = 500,
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """Return what each of several numbers is when customers are resampled, all of them on the same draws.

    Parameters
    ----------
    metrics : given row numbers, returns the numbers by name. A draw in which it raises BadData (a single class, say) is
        drawn again.
    customers : the customer of each row; one who is drawn brings all their rows
    rounds : draws

    Returns
    -------
    by name an array of shape (rounds,)

    Raises
    ------
    BadData : ``bootstrap.draws`` if most draws cannot be judged

    Examples
    --------
    >>> values = np.array([1.0, 2.0, 3.0])
    >>> drawn = resample(lambda rows: {"mean": float(values[rows].mean())}, customers=["a", "a", "b"], rounds=4, seed=1)
    >>> drawn["mean"].shape
    (4,)
    """
    if rounds < 2:
        raise BadData("bootstrap.settings", "two rounds are needed at least")
    _, member = np.unique(np.asarray(customers), return_inverse=True)
    by_customer = np.argsort(member, kind="stable")
    size = np.bincount(member)
    start = np.cumsum(size) - size
    rng = np.random.default_rng(seed)
    found: list[Mapping[str, float]] = []
    for _ in range(2 * rounds):
        drawn = rng.integers(len(size), size=len(size))
        lengths = size[drawn]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        try:
            found.append(metrics(by_customer[np.repeat(start[drawn], lengths) + within]))
        except BadData:
            continue
        if len(found) == rounds:
            break
    if len(found) < rounds:
        raise BadData("bootstrap.draws", "too few customers of one label to draw from", hint="judge on more customers")
    return {name: np.array([each[name] for each in found]) for name in found[0]}
