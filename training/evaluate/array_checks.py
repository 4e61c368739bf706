"""Checks of a metric's arrays: shape, missing values, labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.base.errors import BadData

Array = NDArray[np.float64]


def target_and_score(target: ArrayLike, score: ArrayLike, *, both_labels: bool = True) -> tuple[Array, Array]:
    """Return both as float64 arrays of shape (rows,).

    Raises
    ------
    BadData : ``metric.shape``, ``metric.empty``, ``metric.missing``, ``metric.labels``, ``metric.one_class``

    Examples
    --------
    >>> target_and_score([0, 1], [0.2, 0.8])
    (array([0., 1.]), array([0.2, 0.8]))
    >>> target_and_score([1, 1], [0.2, 0.8])
    Traceback (most recent call last):
    ...
    features.base.errors.BadData: all 2 labels are 1: this metric needs both [metric.one_class]
      → judge on a longer period or more customers
    """
    y, s = np.asarray(target, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if y.ndim != 1 or y.shape != s.shape:
        raise BadData("metric.shape", f"labels of shape {y.shape} and scores of shape {s.shape}: one of each per row")
    if not len(y):
        raise BadData("metric.empty", "there is no row to judge on", hint="is the evaluation period too recent?")
    if np.isnan(s).any():
        raise BadData("metric.missing", f"{int(np.isnan(s).sum())} of {len(s)} scores are missing")
    wrong = int((~np.isin(y, (0.0, 1.0))).sum())
    if wrong:
        raise BadData("metric.labels", f"{wrong} labels are neither 0 nor 1")
    if both_labels and (y.all() or not y.any()):
        raise BadData(
            "metric.one_class",
            f"all {len(y)} labels are {int(y[0])}: this metric needs both",
            hint="judge on a longer period or more customers",
        )
    return y, s


def probabilities(target: ArrayLike, probability: ArrayLike) -> tuple[Array, Array]:
    """Return both as `target_and_score` does; ``metric.range`` if a probability is outside [0, 1].

    Examples
    --------
    >>> probabilities([0, 1], [0.2, 0.8])
    (array([0., 1.]), array([0.2, 0.8]))
    """
    y, p = target_and_score(target, probability, both_labels=False)
    if (p < 0).any() or (p > 1).any():
        raise BadData("metric.range", "a probability lies outside [0, 1]", hint="give calibrated scores, not log-odds")
    return y, p


def matrices(score: ArrayLike, relevant: ArrayLike) -> tuple[Array, NDArray[Any]]:
    """Return a score matrix and a relevance matrix of equal shape (customers, candidates).

    Examples
    --------
    >>> score, relevant = matrices([[0.9, 0.1]], [[1, 0]])
    >>> relevant
    array([[ True, False]])
    """
    s, r = np.asarray(score, dtype=np.float64), np.asarray(relevant)
    if s.ndim != 2 or s.shape != r.shape or not s.size:
        raise BadData("metric.shape", f"scores of shape {s.shape} and relevance of shape {r.shape}")
    if np.isnan(s).any():
        raise BadData("metric.missing", f"{int(np.isnan(s).sum())} scores are missing", hint="-inf ranks a pair last")
    r = np.asarray(r, dtype=np.float64)
    if not np.isin(r, (0.0, 1.0)).all():
        raise BadData("metric.labels", "relevance is 0 or 1")
    return s, r.astype(bool)
