"""BG/NBD: the probability that a customer without a contract is still active, from three numbers each.

References
----------
Fader, Hardie and Lee (2005), "'Counting your customers' the easy way: an alternative to the Pareto/NBD
model", Marketing Science 24(2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, expit, gammaln, hyp2f1

from features.base.errors import BadData

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BgNbd:
    """Purchase rates are Gamma(r, alpha); after each purchase a customer drops out with a Beta(a, b) probability.

    ``alpha`` is in the unit of time that the customers' histories are in.
    """

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float

    def p_alive(self, frequency: Array, recency: Array, age: Array) -> Array:
        """Return the probability that each customer has not dropped out, shape (customers,).

        A customer who bought once only (``frequency`` 0) is alive by the model's definition.

        Examples
        --------
        >>> model = BgNbd(r=0.24, alpha=4.4, a=0.8, b=2.4, log_likelihood=0.0)
        >>> model.p_alive(np.array([2.0, 0.0]), np.array([30.0, 0.0]), np.array([39.0, 39.0])).round(2).tolist()
        [0.72, 1.0]
        """
        with np.errstate(over="ignore"):
            odds = self._log_dropout_odds(frequency, recency, age)
        return np.where(frequency > 0, expit(-odds), 1.0)

    def expected_purchases(self, frequency: Array, recency: Array, age: Array, *, ahead: float) -> Array:
        """Return the purchases expected in the next ``ahead`` units of time (equation 10).

        Where the equation has no finite value (regular buyers, such as payers of monthly bills, drive ``r`` and
        ``alpha`` beyond what it can be computed for, and ``a`` = 1 divides by zero), the expected rate stands in:
        ``p_alive * ahead * (r + frequency) / (alpha + age)``, without dropping out meanwhile.

        Examples
        --------
        >>> model = BgNbd(r=0.24, alpha=4.4, a=0.8, b=2.4, log_likelihood=0.0)
        >>> expected = model.expected_purchases(np.array([2.0]), np.array([30.0]), np.array([39.0]), ahead=39.0)
        >>> bool(0 < expected[0] < 2)
        True
        """
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        x = frequency
        alive = self.p_alive(frequency, recency, age)
        with np.errstate(all="ignore"):
            growth = ((alpha + age) / (alpha + age + ahead)) ** (r + x)
            shape = hyp2f1(r + x, b + x, a + b + x - 1, ahead / (alpha + age + ahead))
            exact = (a + b + x - 1) / (a - 1) * (1 - growth * shape) * alive
        rate = alive * ahead * (r + x) / (alpha + age)
        return np.where(np.isfinite(exact), exact, rate).astype(np.float64)

    def _log_dropout_odds(self, frequency: Array, recency: Array, age: Array) -> Array:
        x = np.maximum(frequency, 1.0)
        stretch = np.log(self.alpha + age) - np.log(self.alpha + recency)
        return np.asarray(np.log(self.a) - np.log(self.b + x - 1) + (self.r + x) * stretch, dtype=np.float64)


def fit(frequency: Array, recency: Array, age: Array) -> BgNbd:
    """Fit by maximum likelihood.

    Parameters
    ----------
    frequency : array of shape (customers,), repeat purchases: all but the first
    recency : array of shape (customers,), time of the last purchase, counted from the customer's first
    age : array of shape (customers,), time of the cutoff, counted from the customer's first purchase

    Raises
    ------
    BadData : ``bgnbd.values`` if a history is impossible, ``bgnbd.no_repeats``, ``bgnbd.diverged``
    """
    x, t, age_ = (np.asarray(values, dtype=np.float64) for values in (frequency, recency, age))
    possible = (x >= 0) & (t >= 0) & (t <= age_) & np.isfinite(age_) & ((x > 0) | (t == 0))
    if not (x.shape == t.shape == age_.shape) or not possible.all():
        raise BadData(
            "bgnbd.values",
            f"{int((~possible).sum())} histories are impossible: 0 ≤ recency ≤ age, and 0 without a repeat purchase",
        )
    if not (x > 0).any():
        raise BadData("bgnbd.no_repeats", "no customer bought twice", hint="use the recency rule instead")
    unit = float(age_.max())  # histories within (0, 1] keep the search well scaled, whatever the unit
    starts = ([0.0, -2.0, 0.0, 0.5], [-1.0, -3.0, -1.0, 1.0])
    runs = [
        minimize(
            _negative_log_likelihood, s, args=(x, t / unit, age_ / unit), method="L-BFGS-B", bounds=[(-12, 12)] * 4
        )
        for s in starts
    ]
    best = min(runs, key=lambda run: float(run.fun))
    if not np.isfinite(best.fun):
        raise BadData("bgnbd.diverged", "no parameters fit these histories", hint="use the recency rule instead")
    r, alpha, a, b = np.exp(best.x)
    likelihood = -float(best.fun) * len(x) - float(x.sum()) * np.log(unit)
    return BgNbd(float(r), float(alpha) * unit, float(a), float(b), float(likelihood))


def log_likelihood(model: BgNbd, frequency: Array, recency: Array, age: Array) -> Array:
    """Return each customer's log-likelihood under the model (equation 6), shape (customers,)."""
    return _log_likelihood(model.r, model.alpha, model.a, model.b, frequency, recency, age)


def _negative_log_likelihood(theta: Array, x: Array, t: Array, age: Array) -> float:
    r, alpha, a, b = np.exp(theta)
    return -float(_log_likelihood(r, alpha, a, b, x, t, age).mean())


def _log_likelihood(r: float, alpha: float, a: float, b: float, x: Array, t: Array, age: Array) -> Array:
    rate = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    alive = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + age)
    repeat = np.maximum(x, 1.0)
    dropped = betaln(a + 1, b + repeat - 1) - betaln(a, b) - (r + x) * np.log(alpha + t)
    return np.asarray(rate + np.where(x > 0, np.logaddexp(alive, dropped), alive), dtype=np.float64)
