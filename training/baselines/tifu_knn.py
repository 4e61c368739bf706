"""TIFU-kNN: what customers buy again, by how often and how lately, mixed with what similar customers buy.

References
----------
Hu, He, Gao and Zhang (2020), "Modeling personalized item frequency information for next-basket recommendation".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class TifuSettings:
    """The paper's parameters: decay within a group of baskets and between groups, groups, neighbours, own share."""

    within: float = 0.9
    between: float = 0.7
    groups: int = 7
    neighbours: int = 300
    own: float = 0.7


DEFAULTS = TifuSettings()


def vectors(
    customer: Rows, basket: Rows, item: Rows, *, customers: int, items: int, settings: TifuSettings = DEFAULTS
) -> sparse.csr_matrix:
    """Return how often and lately each customer bought each item, decayed, shape (customers, items).

    Parameters
    ----------
    customer, basket, item : one entry per item in a basket; baskets of a customer are numbered from 0

    Examples
    --------
    >>> found = vectors(np.array([0, 0]), np.array([0, 1]), np.array([0, 1]), customers=1, items=2)
    >>> found.toarray().round(2).tolist()
    [[0.35, 0.5]]
    """
    count = np.zeros(customers, dtype=np.int64)
    np.maximum.at(count, customer, basket + 1)
    own = count[customer]
    groups = np.minimum(settings.groups, own)
    size = np.ceil(own / groups).astype(np.int64)
    back = own - 1 - basket  # baskets after this one
    group, place = back // size, back % size
    used = np.ceil(own / size)
    filled = np.minimum(size, own - group * size)  # the earliest group may be smaller
    weight = settings.within**place / filled * settings.between**group / used
    return sparse.csr_matrix((weight, (customer, item)), shape=(customers, items))


@dataclass(frozen=True)
class TifuKnn:
    """The vectors of known customers, among whom neighbours are found."""

    known: sparse.csr_matrix
    settings: TifuSettings = DEFAULTS

    def scores(self, own: sparse.csr_matrix, *, skip_self: bool = False) -> sparse.csr_matrix:
        """Return each customer's score of each item, shape (customers, items).

        Parameters
        ----------
        own : vectors of the customers to score
        skip_self : whether the nearest known customer is the customer itself
        """
        wanted = min(self.settings.neighbours + skip_self, self.known.shape[0])
        near = NearestNeighbors(n_neighbors=wanted, algorithm="brute").fit(self.known)
        at = near.kneighbors(own, return_distance=False)[:, int(skip_self and wanted > 1) :]
        rows = np.repeat(np.arange(len(at)), at.shape[1])
        mean = sparse.csr_matrix(
            (np.full(at.size, 1 / at.shape[1]), (rows, at.ravel())), shape=(len(at), self.known.shape[0])
        )
        return sparse.csr_matrix(self.settings.own * own + (1 - self.settings.own) * (mean @ self.known))
