"""Gamma-gamma: what a customer spends per purchase on average, from the mean of a few purchases.

References
----------
Fader, Hardie and Lee (2005), "RFM and CLV: using iso-value curves for customer base analysis"; Fader and Hardie
(2013), "The gamma-gamma model of monetary value".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln

from features.base.errors import BadData

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GammaGamma:
    """A purchase is Gamma(p, nu), and nu differs between customers as Gamma(q, v)."""

    p: float
    q: float
    v: float

    def expected_spend(self, purchases: Array, mean: Array) -> Array:
        """Return the expected amount per purchase of each customer; of the population where there is no purchase.

        Examples
        --------
        >>> model = GammaGamma(p=6.25, q=3.74, v=15.44)
        >>> model.expected_spend(np.array([0.0, 4.0]), np.array([0.0, 100.0])).round(1).tolist()
        [35.2, 93.6]
        """
        weight = self.p * purchases / (self.p * purchases + self.q - 1)
        population = self.p * self.v / (self.q - 1)
        return np.asarray(weight * mean + (1 - weight) * population, dtype=np.float64)


def fit(purchases: Array, mean: Array) -> GammaGamma:
    """Fit by maximum likelihood on customers with a purchase.

    Parameters
    ----------
    purchases : array of shape (customers,), number of purchases that the mean is of
    mean : array of shape (customers,), mean amount, above 0 where there is a purchase

    Raises
    ------
    BadData : ``gammagamma.values``

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> nu = rng.gamma(4.0, 1 / 15.0, size=2000)
    >>> means = rng.gamma(6.0 * 5, 1 / nu) / 5
    >>> model = fit(np.full(2000, 5.0), means)
    >>> round(float(model.expected_spend(np.zeros(1), np.zeros(1))[0] / means.mean()), 1)
    1.0
    """
    kept = purchases > 0
    x, m = np.asarray(purchases, dtype=np.float64)[kept], np.asarray(mean, dtype=np.float64)[kept]
    if not len(x) or not (np.isfinite(m).all() and (m > 0).all()):
        raise BadData("gammagamma.values", "mean amounts must be above 0, and one customer must have bought")
    unit = float(m.mean())

    def loss(theta: Array) -> float:
        p, q, v = np.exp(theta[0]), 1 + np.exp(theta[1]), np.exp(theta[2])
        likelihood = (
            gammaln(p * x + q) - gammaln(p * x) - gammaln(q) + q * np.log(v)
            + (p * x - 1) * np.log(m / unit) + p * x * np.log(x) - (p * x + q) * np.log(x * m / unit + v)
        )  # fmt: skip
        return -float(likelihood.mean())

    found = minimize(loss, np.array([0.5, 0.5, 0.0]), method="L-BFGS-B", bounds=[(-6, 8)] * 3)
    p, q, v = np.exp(found.x[0]), 1 + np.exp(found.x[1]), np.exp(found.x[2])
    return GammaGamma(float(p), float(q), float(v) * unit)
