"""How well scores rank positives above negatives: AUC, average precision, lift, gain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score

from features.base.errors import BadData
from training.evaluate.array_checks import Array, target_and_score


def auc(target: ArrayLike, score: ArrayLike) -> float:
    """Return the probability that a random positive scores above a random negative; a tie counts half.

    Parameters
    ----------
    target : array of shape (rows,), 0 or 1
    score : array of shape (rows,), higher is likelier

    Examples
    --------
    >>> auc([0, 1, 0, 1], [0.1, 0.4, 0.4, 0.9])
    0.875

    References
    ----------
    Hanley and McNeil (1982).
    """
    y, s = target_and_score(target, score)
    return float(roc_auc_score(y, s if np.isfinite(s).all() else rankdata(s)))


def auc_of_counts(positives: ArrayLike, negatives: ArrayLike) -> float:
    """Return the AUC of rows that were counted by score; it equals scikit-learn's of the rows one by one.

    Parameters
    ----------
    positives, negatives : shape (scores,), how many rows of each label have each score, from the lowest score up

    Examples
    --------
    >>> auc_of_counts([0, 1, 3], [4, 1, 1])
    0.875
    """
    hits, misses = np.asarray(positives, dtype=np.float64), np.asarray(negatives, dtype=np.float64)
    return float(hits @ (np.cumsum(misses) - misses / 2) / (hits.sum() * misses.sum()))


def average_precision(target: ArrayLike, score: ArrayLike) -> float:
    """Return the precision averaged over the positives, from the top down; ties are taken together.

    Examples
    --------
    >>> round(average_precision([0, 1, 0, 1], [0.1, 0.4, 0.3, 0.9]), 4)
    1.0
    """
    y, s = target_and_score(target, score)
    return float(average_precision_score(y, s if np.isfinite(s).all() else rankdata(s)))


def lift(target: ArrayLike, score: ArrayLike, *, share: float = 0.10) -> float:
    """Return how many times more positives the top ``share`` of scores holds than a random pick of that size.

    The top is ``ceil(share · rows)`` rows; rows tied at its edge count by their average.

    Examples
    --------
    >>> lift([1, 0, 0, 0], [0.9, 0.4, 0.3, 0.1], share=0.25)
    4.0
    """
    if not 0 < share <= 1:
        raise BadData("metric.share", f"a share lies in (0, 1], not {share}")
    y, s = target_and_score(target, score)
    size = int(np.ceil(share * len(y) - 1e-9))
    taken, hits = _cumulative(y, s)
    found = np.interp(size, np.append(0.0, taken), np.append(0.0, hits))
    return float(found / size / y.mean())


@dataclass(frozen=True)
class GainCurve:
    """The share of all positives found (``found``) when the top ``share`` of the scores is approached."""

    share: Array
    found: Array


def gain_curve(target: ArrayLike, score: ArrayLike, *, points: int = 101) -> GainCurve:
    """Return the cumulative gain at evenly spaced shares from 0 to 1.

    Examples
    --------
    >>> gain_curve([1, 0, 1, 0], [4, 3, 2, 1], points=5).found.tolist()
    [0.0, 0.5, 0.5, 1.0, 1.0]
    """
    y, s = target_and_score(target, score)
    taken, hits = _cumulative(y, s)
    share = np.linspace(0.0, 1.0, points)
    found = np.interp(share * len(y), np.append(0.0, taken), np.append(0.0, hits)) / y.sum()
    return GainCurve(share, found)


def single_feature_aucs(matrix: NDArray[np.float64], target: ArrayLike, *, categorical: tuple[int, ...] = ()) -> Array:
    """Return what each feature alone would reach as a score, in [0.5, 1]: a value near 1 suggests a leak.

    A number is taken in its better direction. A category is scored by its share of positives. Missing values
    form a group of their own, placed at whichever end is better. A constant is 0.5.

    Parameters
    ----------
    matrix : array of shape (rows, features), NaN for missing
    categorical : positions of the features that are codes

    Examples
    --------
    >>> features = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    >>> single_feature_aucs(features, [0, 0, 1]).tolist()
    [1.0, 0.5]
    """
    y, _ = target_and_score(target, np.zeros(len(matrix)))
    out = np.empty(matrix.shape[1])
    for at in range(matrix.shape[1]):
        values = matrix[:, at]
        if at in categorical:
            _, code = np.unique(np.nan_to_num(values, nan=-1.0), return_inverse=True)
            out[at] = auc(y, (np.bincount(code, weights=y) / np.bincount(code))[code])
        else:
            ends = (auc(y, np.nan_to_num(values, nan=end)) for end in (-np.inf, np.inf))
            out[at] = max(max(reached, 1 - reached) for reached in ends)
    return out


def _cumulative(target: Array, score: Array) -> tuple[Array, Array]:
    """Return rows taken and positives among them, after each distinct score from the top down."""
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order]) != 0), len(score) - 1)
    return (ends + 1).astype(np.float64), np.cumsum(target[order])[ends]
