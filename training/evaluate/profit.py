"""The profit of a churn ranking when the best share of customers is contacted: EMPC and EMPB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta as beta_distribution
from sklearn.metrics import roc_curve

from features.base.errors import BadData
from training.evaluate.array_checks import Array, target_and_score


def _check_acceptance(alpha: float, beta: float) -> None:
    if not min(alpha, beta) > 0:
        raise BadData("metric.campaign", "alpha and beta of the acceptance probability are positive")


@dataclass(frozen=True)
class Campaign:
    """What a retention campaign costs and saves; the defaults are those of Verbraken et al. (2013).

    The probability that a leaving customer accepts the offer and stays is unknown: Beta(``alpha``, ``beta``),
    with mean 0.3 by default.

    Parameters
    ----------
    clv : lifetime value of a customer who stays, in the company's currency
    incentive_cost : cost of the offer, when it is accepted
    contact_cost : cost of the contact
    alpha, beta : of the distribution of the acceptance probability
    """

    clv: float = 200.0
    incentive_cost: float = 10.0
    contact_cost: float = 1.0
    alpha: float = 6.0
    beta: float = 14.0

    def __post_init__(self) -> None:
        _check_acceptance(self.alpha, self.beta)
        if not self.clv > self.incentive_cost >= 0 or not self.contact_cost >= 0:
            raise BadData(
                "metric.campaign",
                "costs are not negative, and a kept customer must be worth more than the offer costs",
            )


@dataclass(frozen=True)
class MaximumProfit:
    """The maximum profit per customer of the base, and the share of customers that it approaches."""

    profit: float
    share: float


DEFAULTS = Campaign()


def empc(target: ArrayLike, score: ArrayLike, *, campaign: Campaign = DEFAULTS) -> MaximumProfit:
    """Return the expected maximum profit measure for customer churn (EMPC).

    A customer approached costs the contact; a leaving one accepts with probability gamma, costs the offer and is
    worth ``clv``; a staying one accepts always and costs the offer. For each gamma the best cut is taken (a corner
    of the ROC curve's convex hull), and the profit is averaged over gamma in closed form. It equals the
    ``empc_score`` of empulse 0.13.

    Parameters
    ----------
    target : array of shape (rows,), 1 for customers who leave
    score : array of shape (rows,), higher is likelier to leave

    Returns
    -------
    profit in the currency of ``clv`` per customer of the base; never below 0 (approaching nobody)

    Examples
    --------
    >>> found = empc([1, 0, 0, 0], [0.9, 0.2, 0.1, 0.1])
    >>> round(found.profit, 2), round(found.share, 2)
    (14.0, 0.25)
    >>> round(empc([1, 0, 0, 0], [0.9, 0.2, 0.1, 0.1], campaign=Campaign(clv=500)).profit, 2)
    36.5

    References
    ----------
    Verbraken, Verbeke and Baesens (2013), "A novel profit maximizing metric for measuring classification
    performance of customer churn prediction models", IEEE TKDE 25(5).
    """
    y, s = target_and_score(target, score)
    leavers = float(y.mean())
    stayers = 1.0 - leavers
    delta, phi = campaign.incentive_cost / campaign.clv, campaign.contact_cost / campaign.clv
    hit, false = roc_hull(y, s)
    # the probability of acceptance from which the next corner of the hull pays, in [0, 1] and rising
    with np.errstate(divide="ignore"):
        turns = (phi + (delta + phi) * stayers * np.diff(false) / (leavers * np.diff(hit))) / (1 - delta)
    edges = np.concatenate([[0.0], np.clip(turns, 0.0, 1.0), [1.0]])
    accepts = beta_distribution(campaign.alpha, campaign.beta)
    mass = np.diff(accepts.cdf(edges))
    mean = campaign.alpha / (campaign.alpha + campaign.beta)
    gamma = mean * np.diff(beta_distribution(campaign.alpha + 1, campaign.beta).cdf(edges))  # ∫ γ h(γ) dγ
    saved = leavers * hit * ((1 - delta) * gamma - phi * mass)
    wasted = stayers * false * (delta + phi) * mass
    share = ((leavers * hit + stayers * false) * mass).sum()
    return MaximumProfit(float(campaign.clv * (saved - wasted).sum()), float(share))


def empb(
    target: ArrayLike,
    score: ArrayLike,
    *,
    clv: ArrayLike,
    incentive_fraction: float = 0.05,
    contact_cost: float = 15.0,
    alpha: float = 6.0,
    beta: float = 14.0,
) -> MaximumProfit:
    """Return the expected maximum profit measure for business customers (EMPB): each customer has a value.

    As `empc`, but the offer costs a fraction of the customer's lifetime value, and the best cut is taken for the
    mean probability of acceptance. Customers of equal score are approached together. It equals the ``empb_score``
    of empulse 0.13.

    Parameters
    ----------
    target : array of shape (rows,), 1 for customers who leave
    score : array of shape (rows,), higher is likelier to leave
    clv : array of shape (rows,), lifetime value of each customer, in the company's currency
    incentive_fraction : cost of the offer, as a fraction of ``clv``
    contact_cost : cost of the contact
    alpha, beta : of the Beta distribution of the acceptance probability

    Raises
    ------
    BadData : ``metric.campaign``, ``metric.clv``

    Examples
    --------
    >>> round(empb([1, 0, 0, 0], [0.9, 0.2, 0.1, 0.1], clv=[1000, 200, 300, 400]).profit, 2)
    67.5

    References
    ----------
    Janssens, Bogaert, Bagué and Van den Poel (2022), "B2Boost: instance-dependent profit-driven modelling of B2B
    churn", Annals of Operations Research.
    """
    y, s = target_and_score(target, score)
    value = np.asarray(clv, dtype=np.float64)
    if value.shape != y.shape or not (np.isfinite(value).all() and (value >= 0).all()):
        raise BadData("metric.clv", "a lifetime value is finite, not negative, and one per row")
    _check_acceptance(alpha, beta)
    if not 0 <= incentive_fraction < 1 or not contact_cost >= 0:
        raise BadData("metric.campaign", "costs are not negative, and the offer costs less than the customer is worth")
    kept = alpha / (alpha + beta) * (1 - incentive_fraction) * value
    earned = np.where(y == 1, kept, -incentive_fraction * value) - contact_cost
    order = np.argsort(-s, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(s[order]) != 0), len(s) - 1)
    profit = np.append(0.0, np.cumsum(earned[order])[ends])
    best = int(profit.argmax())
    return MaximumProfit(float(profit[best] / len(y)), float(np.append(0, ends + 1)[best] / len(y)))


def roc_hull(target: Array, score: Array) -> tuple[Array, Array]:
    """Return the corners of the ROC curve's upper convex hull from (0, 0) to (1, 1): hit rate, false alarm rate.

    Examples
    --------
    >>> hit, false_alarm = roc_hull(np.array([1.0, 0.0, 1.0, 0.0]), np.array([4.0, 3.0, 2.0, 1.0]))
    >>> hit.tolist(), false_alarm.tolist()
    ([0.0, 0.5, 1.0, 1.0], [0.0, 0.0, 0.5, 1.0])
    """
    falses, hits, _ = roc_curve(target, score, drop_intermediate=True)
    corners: list[tuple[float, float]] = []
    for x, y in zip(falses.tolist(), hits.tolist(), strict=True):
        while len(corners) > 1 and _not_below(corners[-2], corners[-1], (x, y)):
            corners.pop()
        corners.append((x, y))
    false, hit = np.array(corners).T
    return hit, false


def _not_below(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> bool:
    """Return whether ``last`` lies on or above the line from ``first`` through ``middle``."""
    run, rise = middle[0] - first[0], middle[1] - first[1]
    return run * (last[1] - first[1]) >= rise * (last[0] - first[0])
