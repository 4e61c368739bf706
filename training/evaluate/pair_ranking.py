"""How well scored pairs of customers and items are ordered, where most items are no candidate of a customer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadData
from training.evaluate.array_checks import Array

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class PairRanking:
    """Means over the customers who took something, and how many they are."""

    hit: float
    recall: float
    ndcg: float
    customers: int


def rank_pairs(customer: Rows, score: Array, relevant: NDArray[np.bool_], *, total: Rows, k: int) -> PairRanking:
    """Return hit, recall and NDCG at ``k`` of each customer's pairs.

    Parameters
    ----------
    customer, score, relevant : arrays of shape (pairs,); the customer as a number from 0
    total : array of shape (customers,), how many items each customer took, those without a pair among them
    k : length of the list

    Raises
    ------
    BadData : ``metric.k``, ``metric.no_positive`` if nobody took anything

    Examples
    --------
    >>> pairs = np.array([0, 0, 1]), np.array([0.9, 0.1, 0.5]), np.array([False, True, True])
    >>> rank_pairs(*pairs, total=np.array([1, 2]), k=1)
    PairRanking(hit=0.5, recall=0.25, ndcg=0.5, customers=2)

    References
    ----------
    Järvelin and Kekäläinen (2002), binary gains, log2 discount.
    """
    if k < 1:
        raise BadData("metric.k", f"the top {k} holds nothing: k is 1 at least")
    judged = total > 0
    if not judged.any():
        raise BadData("metric.no_positive", "no customer took anything", hint="judge on a longer period")
    order = np.lexsort((-score, customer))
    sorted_customer = customer[order]
    first = np.searchsorted(sorted_customer, sorted_customer, side="left")
    rank = np.arange(len(order)) - first
    gains = relevant[order] & (rank < k)
    hits = np.bincount(sorted_customer, weights=gains, minlength=len(total))
    dcg = np.bincount(sorted_customer, weights=gains / np.log2(rank + 2.0), minlength=len(total))
    ideal = np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))[np.minimum(np.maximum(total, 1), k) - 1]
    return PairRanking(
        hit=float((hits > 0)[judged].mean()),
        recall=float((hits[judged] / total[judged]).mean()),
        ndcg=float((dcg / ideal)[judged].mean()),
        customers=int(judged.sum()),
    )
