"""Whether the effect of a treatment differs between customers, and for which of them it is surely good or bad.

All functions read doubly robust scores of rows that the models of the effect have not seen. The mean of such scores
over any group of customers estimates the group's average effect without bias in an experiment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from features.base.errors import BadData
from training.evaluate.array_checks import Array

# A row's prediction comes from the other rows' outcomes and theirs from its own: so a mean over all parts of a
# cross-fit has up to twice the variance that its terms show (Wager, 2024).
CROSS_FIT_INFLATION = 2.0


@dataclass(frozen=True)
class EffectEstimate:
    """A mean effect with its interval, and the p-value of "the effect is 0" (two-sided)."""

    value: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class EffectCalibration:
    """The best linear prediction of the effect by a predicted one.

    Parameters
    ----------
    slope : 1 where the predicted differences are right, 0 where they hold nothing
    error : standard error of the slope, widened for cross-fitting
    p_value : of "the slope is not above 0"
    """

    slope: float
    error: float
    p_value: float


@dataclass(frozen=True)
class EffectGroups:
    """Customers in groups of equal size by predicted effect, from the lowest up.

    Parameters
    ----------
    edges : predicted effects at which the next group begins, shape (groups - 1,)
    effect, error : mean effect of each group and its standard error
    rows : number of rows of each group
    verdict : 1 where the effect is surely above 0, -1 surely below, 0 not sure; the chance that any
        of them is wrong is at most 1 - level (Holm, 1979)
    """

    edges: Array
    effect: Array
    error: Array
    rows: NDArray[np.int64]
    verdict: NDArray[np.int64]

    def of(self, effect: Array) -> NDArray[np.int64]:
        """Return the verdict on the group that each predicted effect falls into.

        Examples
        --------
        >>> half = np.array([0.0]), np.zeros(2), np.ones(2), np.array([5, 5]), np.array([-1, 1])
        >>> EffectGroups(*half).of(np.array([-0.2, 0.3])).tolist()
        [-1, 1]
        """
        return np.asarray(self.verdict[np.searchsorted(self.edges, effect, side="right")], dtype=np.int64)


def doubly_robust_score(outcome: Array, treated: Array, control: Array, *, means: Array, propensity: Array) -> Array:
    """Return each row's doubly robust score of the effect (augmented inverse propensity weighting).

    Parameters
    ----------
    outcome : array of shape (rows,)
    treated, control : array of shape (rows,), 1 where the row got the treatment, or nothing; rows of other
        treatments have neither
    means : array of shape (rows, 2), outcome expected without and with treatment, from models that did not see the row
    propensity : array of shape (rows, 2), probability of no treatment and of the treatment

    Examples
    --------
    >>> one = np.array([1.0])
    >>> doubly_robust_score(one, one, 0 * one, means=np.array([[0.2, 0.5]]), propensity=np.array([[0.5, 0.5]])).tolist()
    [1.3]

    References
    ----------
    Robins, Rotnitzky and Zhao (1994); Kennedy (2023), "Towards optimal doubly robust estimation of heterogeneous
    causal effects".
    """
    residual = (
        treated * (outcome - means[:, 1]) / propensity[:, 1] - control * (outcome - means[:, 0]) / propensity[:, 0]
    )
    return np.asarray(means[:, 1] - means[:, 0] + residual, dtype=np.float64)


def average_effect(score: Array, *, customers: Sequence[Any] | NDArray[Any], level: float = 0.95) -> EffectEstimate:
    """Return the mean of doubly robust scores, with an interval clustered by customer.

    Examples
    --------
    >>> found = average_effect(np.tile([0.0, 0.2], 50), customers=range(100))
    >>> round(found.value, 2), found.low > 0.05, found.p_value < 0.001
    (0.1, True, True)
    """
    value = float(score.mean())
    error = clustered_error(score - value, customers=customers) / len(score)
    reach = float(norm.ppf((1 + level) / 2)) * error
    p_value = float(2 * norm.sf(abs(value) / error)) if error > 0 else float(value == 0)
    return EffectEstimate(value, value - reach, value + reach, p_value)


def calibration(
    score: Array,
    effect: Array,
    *,
    customers: Sequence[Any] | NDArray[Any],
    inflation: float = CROSS_FIT_INFLATION,
) -> EffectCalibration:
    """Return how well cross-fitted effects foretell the doubly robust scores of rows that their models did not see.

    A constant prediction foretells nothing: its slope is 0 and its p-value 1.

    Parameters
    ----------
    score, effect : array of shape (rows,)
    customers : the customer of each row
    inflation : by which variances are widened, because the parts of a cross-fit depend on each other; 1 for
        effects that were not learnt from differences between treated and control

    Examples
    --------
    >>> effect = np.tile([0.0, 0.5, 1.0], 40)
    >>> noise = np.tile([0.1, -0.1, -0.1, 0.1, 0.1, -0.1], 20)
    >>> found = calibration(effect + noise, effect, customers=range(120))
    >>> found.slope > 0.7, found.p_value < 0.001
    (True, True)

    References
    ----------
    Chernozhukov, Demirer, Duflo and Fernández-Val (2025), "Generic machine learning inference on heterogeneous
    treatment effects in randomized experiments"; Athey and Wager (2019) on its doubly robust form; Wager (2024),
    "Sequential validation of treatment heterogeneity", on what cross-fitting does to it.
    """
    centred = effect - effect.mean()
    spread = float(centred @ centred)
    if spread <= 1e-18 * max(1.0, float(effect @ effect)):
        return EffectCalibration(0.0, 0.0, 1.0)
    slope = float(centred @ score) / spread
    residual = score - score.mean() - slope * centred
    error = clustered_error(centred * residual, customers=customers) / spread * np.sqrt(inflation)
    return EffectCalibration(slope, error, float(norm.sf(slope / error)) if error > 0 else float(slope <= 0))


def effect_groups(
    score: Array,
    effect: Array,
    *,
    customers: Sequence[Any] | NDArray[Any],
    groups: int | None = None,
    level: float = 0.95,
) -> EffectGroups:
    """Return the effects of groups by predicted effect, and for which of them the effect is surely above or below 0.

    Parameters
    ----------
    score, effect : array of shape (rows,), of cross-fitted models; errors are widened for that
    groups : number of groups wanted, None: one for every 1,000 rows within 3 and 10; customers of equal predicted
        effect share one

    Raises
    ------
    BadData : ``uplift.groups`` if there are fewer rows than groups

    Examples
    --------
    >>> effect = np.repeat([-1.0, 0.0, 1.0], 50)
    >>> score = effect + np.tile([0.3, -0.3], 75)
    >>> effect_groups(score, effect, customers=range(150), groups=3).verdict.tolist()
    [-1, 0, 1]

    References
    ----------
    Chernozhukov et al. (2025), sorted group average treatment effects; Holm (1979).
    """
    wanted = max(3, min(10, len(effect) // 1000)) if groups is None else groups
    if len(effect) < wanted:
        raise BadData("uplift.groups", f"{len(effect)} rows cannot be cut into {wanted} groups", hint="give more rows")
    ordered = np.sort(effect)
    edges = np.unique(ordered[np.linspace(0, len(ordered), wanted + 1).astype(np.int64)[1:-1]])
    edges = edges[edges > ordered[0]]
    member = np.searchsorted(edges, effect, side="right")
    rows = np.bincount(member, minlength=len(edges) + 1)
    mean = np.bincount(member, weights=score) / rows
    error = np.array(
        [
            clustered_error((member == at) * (score - mean[at]), customers=customers) / rows[at]
            for at in range(len(rows))
        ]
    ) * np.sqrt(CROSS_FIT_INFLATION)
    z = np.divide(mean, error, out=np.zeros_like(mean), where=error > 0)
    sure = holm(2 * norm.sf(np.abs(z))) <= 1 - level
    return EffectGroups(edges, mean, error, rows, np.where(sure, np.sign(z), 0).astype(np.int64))


def holm(p_values: Array) -> Array:
    """Return p-values adjusted for being several.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]

    References
    ----------
    Holm (1979).
    """
    order = np.argsort(p_values)
    adjusted = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    out = np.empty(len(p_values))
    out[order] = np.minimum(adjusted, 1.0)
    return out


def clustered_error(terms: Array, *, customers: Sequence[Any] | NDArray[Any]) -> float:
    """Return the standard error of a sum of terms with mean 0, when the rows of one customer depend on each other.

    Examples
    --------
    >>> terms = np.array([1.0, -1.0])
    >>> clustered_error(terms, customers=[1, 2]), clustered_error(terms, customers=[1, 1])
    (2.0, 0.0)

    References
    ----------
    Liang and Zeger (1986).
    """
    _, member = np.unique(np.asarray(customers), return_inverse=True)
    sums = np.bincount(member, weights=terms)
    count = len(sums)
    return float(np.sqrt((sums @ sums) * count / max(count - 1, 1)))
