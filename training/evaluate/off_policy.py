"""What a policy would have earned, estimated from the log of another one: IPS, SNIPS, DM, DR, switch-DR.

References
----------
Horvitz and Thompson (1952), IPS; Swaminathan and Joachims (2015), SNIPS; Dudík, Langford and Li (2011), DM and DR;
Wang, Agarwal and Dudík (2017), switch-DR; Kish (1965), effective sample size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.base.errors import BadData
from training.evaluate.array_checks import Array

ESTIMATORS = ("ips", "snips", "dm", "dr", "switch_dr")
FEW_EFFECTIVE = 0.1  # of the logged decisions
HEAVY_SHARE = 0.05  # of all weight
FEW_REWARDS = 30


@dataclass(frozen=True)
class LoggedDecisions:
    """What a policy did and what came of it, beside what another policy would have done.

    Parameters
    ----------
    reward : array of shape (decisions,)
    action : array of shape (decisions,), number of the action taken
    propensity : array of shape (decisions,), probability with which it was taken
    target : array of shape (decisions, actions), the other policy's probability of each action
    expected : array of shape (decisions, actions), reward expected of each action, from models that did not see
        the decision; None where there is no such model
    """

    reward: Array
    action: NDArray[np.int64]
    propensity: Array
    target: Array
    expected: Array | None = None

    @property
    def weight(self) -> Array:
        """Return target over logged probability of the action taken, shape (decisions,)."""
        return np.asarray(self.target[np.arange(len(self.action)), self.action] / self.propensity, dtype=np.float64)


@dataclass(frozen=True)
class PolicyEstimate:
    """A policy's mean reward with its bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PolicyOverlap:
    """How much of the log speaks about the other policy.

    Parameters
    ----------
    effective : effective number of decisions, ``sum(w)² / sum(w²)``
    mean_weight : 1 on average where propensities are right and the log covers the policy
    largest_weight : of one decision
    warnings : what makes the estimates doubtful, in words
    """

    effective: float
    mean_weight: float
    largest_weight: float
    warnings: tuple[str, ...]


def logged_decisions(
    reward: ArrayLike, action: ArrayLike, propensity: ArrayLike, target: ArrayLike, expected: ArrayLike | None = None
) -> LoggedDecisions:
    """Return checked arrays.

    Raises
    ------
    BadData : ``log.shape``, ``log.empty``, ``log.action``, ``log.propensity``, ``log.reward``, ``log.target``,
        ``log.expected``

    Examples
    --------
    >>> logged_decisions([1, 0], [0, 1], [0.5, 0.5], [[0.8, 0.2], [0.8, 0.2]]).weight.tolist()
    [1.6, 0.4]
    """
    r, p, pi = (np.asarray(values, dtype=np.float64) for values in (reward, propensity, target))
    a = np.asarray(action)
    if r.ndim != 1 or not r.shape == a.shape == p.shape or pi.ndim != 2 or len(pi) != len(r):
        raise BadData(
            "log.shape",
            f"rewards {r.shape}, actions {a.shape}, propensities {p.shape}, target policy {pi.shape}: a row each",
        )
    if not len(r):
        raise BadData("log.empty", "the log holds no decision")
    if a.dtype.kind not in "iu" or (a < 0).any() or (a >= pi.shape[1]).any():
        raise BadData("log.action", f"actions must be whole numbers from 0 to {pi.shape[1] - 1}")
    if not np.isfinite(r).all():
        raise BadData("log.reward", f"{int((~np.isfinite(r)).sum())} rewards are missing or infinite")
    if not ((p > 0) & (p <= 1)).all():
        raise BadData(
            "log.propensity",
            f"{int((~((p > 0) & (p <= 1))).sum())} of {len(p)} logged propensities are not within 0 and 1",
            hint="log the probability of each decision when it is made; it cannot be had afterwards",
        )
    if not ((pi >= 0).all() and np.allclose(pi.sum(axis=1), 1, atol=1e-6)):
        raise BadData("log.target", "each row of the target policy must be probabilities that sum to 1")
    q = None if expected is None else np.asarray(expected, dtype=np.float64)
    if q is not None and (q.shape != pi.shape or not np.isfinite(q).all()):
        raise BadData("log.expected", f"expected rewards of shape {q.shape} for a target policy of shape {pi.shape}")
    return LoggedDecisions(r, a.astype(np.int64), p, pi, q)


def ips(log: LoggedDecisions, *, clip: float = np.inf) -> float:
    """Return the mean reward weighted by target over logged propensity, each weight ``clip`` at most.

    Examples
    --------
    >>> ips(logged_decisions([1, 0], [0, 1], [0.5, 0.5], [[0.8, 0.2], [0.8, 0.2]]))
    0.8
    """
    return float(_terms(log, "ips", clip=clip, switch=np.inf)[0].mean())


def snips(log: LoggedDecisions, *, clip: float = np.inf) -> float:
    """Return the weighted mean reward, divided by the sum of the weights: less variance, a small bias.

    Raises
    ------
    BadData : ``log.overlap`` if no logged action has any probability under the target policy

    Examples
    --------
    >>> snips(logged_decisions([1, 0], [0, 0], [0.5, 0.5], [[0.8, 0.2], [0.2, 0.8]]))
    0.8
    """
    return _value(*_terms(log, "snips", clip=clip, switch=np.inf))


def dm(log: LoggedDecisions) -> float:
    """Return the mean of what the reward model expects under the target policy.

    Raises
    ------
    BadData : ``log.expected`` if there is no reward model

    Examples
    --------
    >>> dm(logged_decisions([1, 0], [0, 1], [0.5, 0.5], [[1, 0], [1, 0]], [[0.6, 0.1], [0.8, 0.1]])).__round__(6)
    0.7
    """
    return float(_terms(log, "dm", clip=np.inf, switch=np.inf)[0].mean())


def dr(log: LoggedDecisions, *, clip: float = np.inf) -> float:
    """Return the doubly robust estimate: `dm`, corrected by the weighted residuals of what was logged.

    Examples
    --------
    >>> dr(logged_decisions([1, 0], [0, 1], [0.5, 0.5], [[1, 0], [1, 0]], [[0.6, 0.1], [0.8, 0.1]])).__round__(6)
    1.1
    """
    return float(_terms(log, "dr", clip=clip, switch=np.inf)[0].mean())


def switch_dr(log: LoggedDecisions, *, switch: float = 10.0) -> float:
    """Return `dr` that trusts the reward model alone where a weight is above ``switch``.

    Examples
    --------
    >>> log = logged_decisions([1, 0], [0, 1], [0.5, 0.5], [[1, 0], [1, 0]], [[0.6, 0.1], [0.8, 0.1]])
    >>> switch_dr(log, switch=1.5).__round__(6)
    0.7
    """
    return float(_terms(log, "switch_dr", clip=np.inf, switch=switch)[0].mean())


def estimates(
    log: LoggedDecisions,
    *,
    clip: float = np.inf,
    switch: float = 10.0,
    customers: Sequence[Any] | NDArray[Any] | None = None,
    rounds: int = 200,
    level: float = 0.95,
    seed: int,
) -> dict[str, PolicyEstimate]:
    """Return every estimator that the log allows, with bootstrap intervals, customers resampled.

    Parameters
    ----------
    clip : largest weight in IPS, SNIPS and DR
    switch : weight above which switch-DR trusts the reward model
    customers : the customer of each decision; None if each is its own
    rounds : draws of the bootstrap

    Examples
    --------
    >>> log = logged_decisions([1, 0] * 50, [0, 1] * 50, [0.5] * 100, [[0.5, 0.5]] * 100)
    >>> found = estimates(log, seed=1)
    >>> sorted(found), found["ips"].value, found["ips"].low < 0.5 < found["ips"].high
    (['ips', 'snips'], 0.5, True)
    """
    names = [name for name in ESTIMATORS if log.expected is not None or name in ("ips", "snips")]
    member = (
        np.arange(len(log.reward)) if customers is None else np.unique(np.asarray(customers), return_inverse=True)[1]
    )
    if len(member) != len(log.reward):
        raise BadData("log.shape", f"{len(member)} customers for {len(log.reward)} decisions")
    terms = [_terms(log, name, clip=clip, switch=switch) for name in names]
    sums = np.stack([np.bincount(member, weights=values) for pair in terms for values in pair])
    clusters = sums.shape[1]
    rng = np.random.default_rng(seed)
    drawn = np.stack([sums[:, rng.integers(clusters, size=clusters)].sum(axis=1) for _ in range(rounds)])
    with np.errstate(divide="ignore", invalid="ignore"):
        values = drawn[:, 0::2] / drawn[:, 1::2]
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {name: PolicyEstimate(_value(*terms[at]), float(low[at]), float(high[at])) for at, name in enumerate(names)}


def overlap(log: LoggedDecisions) -> PolicyOverlap:
    """Return the effective sample size, and warnings where the log says little about the target policy.

    Examples
    --------
    >>> found = overlap(logged_decisions([1, 0], [0, 1], [0.5, 0.5], [[0.8, 0.2], [0.8, 0.2]]))
    >>> round(found.effective, 2), found.mean_weight
    (1.47, 1.0)
    """
    w = log.weight
    total, rows = float(w.sum()), len(w)
    effective = total**2 / float(w @ w) if total > 0 else 0.0
    mean, error = float(w.mean()), float(w.std(ddof=1) / np.sqrt(rows)) if rows > 1 else 0.0
    warnings = []
    if total == 0:
        warnings.append("the target policy never takes an action that was logged: nothing can be estimated")
    if effective < FEW_EFFECTIVE * rows:
        warnings.append(f"{effective:.0f} of {rows} decisions count effectively: the policies differ too much")
    if total > 0 and float(w.max()) > HEAVY_SHARE * total and rows > 1 / HEAVY_SHARE:
        warnings.append(f"one decision has {float(w.max()) / total:.0%} of all weight: clip, or use switch-DR")
    if abs(mean - 1) > 3 * error + 1e-9:
        warnings.append(
            f"weights have mean {mean:.2f}, not 1: propensities are wrong, or the target takes actions that were "
            "never logged"
        )
    rewarded = int((log.reward[w > 0] != 0).sum())
    if rewarded < FEW_REWARDS:
        warnings.append(f"{rewarded} decisions with a reward: intervals are not to be trusted")
    return PolicyOverlap(effective, mean, float(w.max()), tuple(warnings))


def _terms(log: LoggedDecisions, name: str, *, clip: float, switch: float) -> tuple[Array, Array]:
    """Return each decision's term, and what the sum of terms is divided by."""
    w, one = log.weight, np.ones(len(log.reward))
    if name == "ips":
        return np.minimum(w, clip) * log.reward, one
    if name == "snips":
        return np.minimum(w, clip) * log.reward, np.minimum(w, clip)
    if log.expected is None:
        raise BadData("log.expected", f"{name} needs a reward model", hint="give the expected reward of each action")
    model = (log.target * log.expected).sum(axis=1)
    if name == "dm":
        return model, one
    residual = log.reward - log.expected[np.arange(len(log.action)), log.action]
    return model + (np.minimum(w, clip) if name == "dr" else w * (w <= switch)) * residual, one


def _value(terms: Array, parts: Array) -> float:
    total = float(parts.sum())
    if total == 0:
        raise BadData(
            "log.overlap",
            "the target policy never takes an action that was logged",
            hint="log some exploration first",
        )
    return float(terms.sum()) / total
