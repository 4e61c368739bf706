"""The profit of a churn ranking when the best share of customers is contacted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta as beta_distribution

from features.base.errors import BadData
from training.evaluate.array_checks import Array, target_and_score


@dataclass(frozen=True)
class Campaign:
    """What a retention campaign costs and saves.

    The probability ``gamma`` that a leaving customer accepts the offer and stays is unknown:
    Beta(``alpha``, ``beta``), with mean 0.3 by default.
    """

    alpha: float = 6.0
    beta: float = 14.0
    clv: float = 200.0
    """Value of a customer who stays, in the company's currency."""
    d: float = 10.0
    """Cost of the offer, when it is accepted."""
    f: float = 1.0
    """Cost of the contact."""


@dataclass(frozen=True)
class MaximumProfit:
    """The expected maximum profit per customer of the base, and the share of customers that it approaches."""

    profit: float
    share: float


DEFAULTS = Campaign()


def empc(target: ArrayLike, score: ArrayLike, *, campaign: Campaign = DEFAULTS) -> MaximumProfit:
    """Return the expected maximum profit measure for customer churn (EMPC).

    A customer approached costs ``f``; a leaving one accepts with probability gamma, costs ``d`` and is worth
    ``clv``; a staying one accepts always and costs ``d``. For each gamma the best cut is taken (a corner of
    the ROC curve's convex hull), and the profit is averaged over gamma in closed form.

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

    References
    ----------
    Verbraken, Verbeke and Baesens (2013), "A novel profit maximizing metric for measuring classification
    performance of customer churn prediction models", IEEE TKDE 25(5).
    """
    if campaign.clv <= campaign.d or min(campaign.alpha, campaign.beta, campaign.clv) <= 0:
        raise BadData("metric.campaign", "a kept customer must be worth more than the offer costs")
    if campaign.d < 0 or campaign.f < 0:
        raise BadData("metric.campaign", "costs are not negative")
    y, s = target_and_score(target, score)
    leavers = float(y.mean())
    stayers = 1.0 - leavers
    delta, phi = campaign.d / campaign.clv, campaign.f / campaign.clv
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


def roc_hull(target: Array, score: Array) -> tuple[Array, Array]:
    """Return the corners of the ROC curve's upper convex hull from (0, 0) to (1, 1): hit rate, false alarm rate.

    Examples
    --------
    >>> hit, false_alarm = roc_hull(np.array([1.0, 0.0, 1.0, 0.0]), np.array([4.0, 3.0, 2.0, 1.0]))
    >>> hit.tolist(), false_alarm.tolist()
    ([0.0, 0.5, 1.0, 1.0], [0.0, 0.0, 0.5, 1.0])
    """
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order]) != 0), len(score) - 1)
    hits = np.append(0.0, np.cumsum(target[order])[ends]) / target.sum()
    falses = np.append(0.0, np.cumsum(1 - target[order])[ends]) / (1 - target).sum()
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
