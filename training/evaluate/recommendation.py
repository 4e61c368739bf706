"""How well each customer's candidates are ordered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.base.errors import BadData
from training.evaluate.array_checks import Array, matrices


@dataclass(frozen=True)
class PerCustomer:
    """A metric of each customer who took something, and how many could not be judged."""

    value: Array
    """shape (judged customers,), in the order of the rows"""
    judged: NDArray[np.bool_]
    """shape (customers,): who had a relevant candidate at all"""

    @property
    def mean(self) -> float:
        """Return the mean over judged customers.

        Examples
        --------
        >>> hit([[0.9, 0.1], [0.2, 0.8]], [[1, 0], [1, 0]], k=1).mean
        0.5
        """
        return float(self.value.mean())

    @property
    def excluded(self) -> int:
        """Return how many customers took nothing: no order of candidates could have been right.

        Examples
        --------
        >>> hit([[0.9, 0.1], [0.2, 0.8]], [[1, 0], [0, 0]], k=1).excluded
        1
        """
        return int((~self.judged).sum())


def hit(score: ArrayLike, relevant: ArrayLike, *, k: int) -> PerCustomer:
    """Return 1 where any of the top ``k`` candidates was taken, else 0.

    Parameters
    ----------
    score : array of shape (customers, candidates), higher is better; -inf for what may not be offered.
        Tied candidates keep the order of the columns.
    relevant : array of shape (customers, candidates), 1 taken, 0 not

    Raises
    ------
    BadData : ``metric.k``, ``metric.no_positive`` if nobody took anything, ``metric.*``

    Examples
    --------
    >>> hit([[0.9, 0.5, 0.1]], [[0, 1, 0]], k=2).value.tolist()
    [1.0]
    """
    ordered, judged = _ordered(score, relevant, k)
    return PerCustomer(np.asarray(ordered[:, :k].any(axis=1), dtype=np.float64), judged)


def recall(score: ArrayLike, relevant: ArrayLike, *, k: int) -> PerCustomer:
    """Return the share of what a customer took that the top ``k`` holds; see `hit`.

    Examples
    --------
    >>> recall([[0.9, 0.5, 0.1]], [[0, 1, 1]], k=2).value.tolist()
    [0.5]
    """
    ordered, judged = _ordered(score, relevant, k)
    return PerCustomer(np.divide(ordered[:, :k].sum(axis=1), ordered.sum(axis=1)), judged)


def ndcg(score: ArrayLike, relevant: ArrayLike, *, k: int) -> PerCustomer:
    """Return the discounted gain of the top ``k`` over the best possible; see `hit`.

    Examples
    --------
    >>> ndcg([[0.9, 0.5, 0.1]], [[0, 1, 0]], k=2).value.round(4).tolist()
    [0.6309]

    References
    ----------
    Järvelin and Kekäläinen (2002), binary gains, log2 discount.
    """
    ordered, judged = _ordered(score, relevant, k)
    discount = 1.0 / np.log2(np.arange(2, ordered.shape[1] + 2))
    top = min(k, ordered.shape[1])
    best = np.cumsum(discount)[np.minimum(ordered.sum(axis=1), top) - 1]
    return PerCustomer(ordered[:, :top] @ discount[:top] / best, judged)


def reciprocal_rank(score: ArrayLike, relevant: ArrayLike) -> PerCustomer:
    """Return 1 / the rank of the first candidate taken; its mean is MRR; see `hit`.

    Examples
    --------
    >>> reciprocal_rank([[0.9, 0.5, 0.1]], [[0, 1, 0]]).value.tolist()
    [0.5]
    """
    ordered, judged = _ordered(score, relevant, 1)
    return PerCustomer(1.0 / (ordered.argmax(axis=1) + 1.0), judged)


def _ordered(score: ArrayLike, relevant: ArrayLike, k: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return relevance from the best scored candidate down, for judged customers, and who they are."""
    if k < 1:
        raise BadData("metric.k", f"the top {k} holds nothing: k is 1 at least")
    scores, taken = matrices(score, relevant)
    judged = np.asarray(taken.any(axis=1), dtype=np.bool_)
    if not judged.any():
        raise BadData(
            "metric.no_positive",
            f"none of {len(taken)} customers took any candidate",
            hint="judge on a longer period or more customers",
        )
    order = np.argsort(-scores[judged], axis=1, kind="stable")
    return np.take_along_axis(taken[judged], order, axis=1), judged
