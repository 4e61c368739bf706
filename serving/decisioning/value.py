"""Propensity, margin and priority (expected value) of each offer for each customer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadConfiguration
from serving.decisioning.eligibility import Refusals
from serving.decisioning.policy import FILE, CompiledOffer
from serving.decisioning.reason_codes import Blocked, Stage
from serving.decisioning.request import DecisionRequest

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class OutcomeCount:
    """How often an offer was made so far, and how often it was accepted."""

    contacts: int
    accepted: int


@dataclass(frozen=True)
class ExpectedValue:
    """Numbers of shape (n_offers, n_customers); missing is NaN in `propensity` and `margin`."""

    propensity: FloatArray
    margin: FloatArray
    context_weight: FloatArray
    priority: FloatArray


def posterior_mean(*, propensity: float, evidence: float, count: OutcomeCount) -> float:
    """Return a starting propensity updated with outcomes: the mean of a Beta posterior.

    The prior is Beta(propensity * evidence, (1 - propensity) * evidence): the starting value weighs as much as
    `evidence` contacts.

    Examples
    --------
    >>> posterior_mean(propensity=0.15, evidence=100, count=OutcomeCount(contacts=100, accepted=35))
    0.25

    References
    ----------
    Gelman et al. (2013), Bayesian Data Analysis, 3rd edition, section 2.4.
    """
    return (propensity * evidence + count.accepted) / (evidence + count.contacts)


def expected_value(
    request: DecisionRequest, refusals: Refusals, *, outcomes: Mapping[str, OutcomeCount]
) -> ExpectedValue:
    """Compute the expected value of every open offer; block those without a score or below the floor.

    The priority is the expected value in the company's currency::

        priority = propensity * margin * context_weight * lever - cost

    where `lever` is the offer's ``weight``. A marketing offer without a propensity or a margin is blocked at
    ``score_missing``, one with a priority below the floor at ``floor``. Mandatory and transactional offers are
    blocked by neither: a missing propensity or margin counts as 0, which leaves ``-cost``.
    """
    shape = (len(request.policy.offers), request.rows)
    propensity, margin, weight, priority = (np.full(shape, fill) for fill in (np.nan, np.nan, 1.0, np.nan))
    with np.errstate(over="ignore", invalid="ignore"):
        for offer in request.policy.offers:
            row = offer.index
            if not refusals.open(row).any():
                continue
            propensity[row] = _propensity(offer, request, outcomes)
            margin[row] = _margin(offer, request)
            weight[row] = request.batch.context_weights.get(offer.id, 1.0)
            gain = propensity[row] * margin[row] * weight[row] * offer.settings.weight
            if offer.marketing:
                priority[row] = gain - offer.settings.value.cost
                _stop(offer, request, refusals, propensity[row], margin[row], priority[row])
            else:
                priority[row] = np.where(np.isfinite(gain), gain, 0.0) - offer.settings.value.cost
    return ExpectedValue(propensity, margin, weight, priority)


def _stop(
    offer: CompiledOffer,
    request: DecisionRequest,
    refusals: Refusals,
    propensity: FloatArray,
    margin: FloatArray,
    priority: FloatArray,
) -> None:
    unscored, priceless = np.isnan(propensity), np.isnan(margin)
    if unscored.any():
        source = offer.settings.score.model if offer.settings.score is not None else None
        refusals.block(offer.index, Blocked(offer.id, Stage.SCORE_MISSING, f"score {source}"), unscored)
    if priceless.any():
        refusals.block(offer.index, Blocked(offer.id, Stage.SCORE_MISSING, "value.margin"), priceless)
    # written so that a priority that is no number (an overflow) is stopped too
    low = ~(np.isfinite(priority) & (priority >= request.policy.settings.floor))
    if low.any():
        refusals.block(offer.index, Blocked(offer.id, Stage.FLOOR, f"floor {request.policy.settings.floor:g}"), low)


def _propensity(
    offer: CompiledOffer, request: DecisionRequest, outcomes: Mapping[str, OutcomeCount]
) -> FloatArray | float:
    source = offer.settings.score
    if source is None:
        return np.nan
    if source.propensity is not None and source.evidence is not None:
        count = outcomes.get(offer.id, OutcomeCount(0, 0))
        return posterior_mean(propensity=source.propensity, evidence=source.evidence, count=count)
    scores = request.score(str(source.model), offer)
    return np.nan if scores is None else _finite(scores)


def _margin(offer: CompiledOffer, request: DecisionRequest) -> FloatArray | float:
    if isinstance(offer.margin, float):
        return offer.margin
    values = request.evaluate(offer.margin, offer)
    if values.data.dtype.kind not in "fiu" and values.valid.any():
        raise BadConfiguration(
            "offers.margin",
            "the margin is not a number",
            where=f"{FILE}: offer {offer.id}, value.margin",
            hint="write a number, or an expression over numbers",
        )
    if values.data.dtype.kind not in "fiu":
        return np.nan
    return _finite(np.where(values.valid, values.data, np.nan))


def _finite(values: NDArray[np.generic]) -> FloatArray:
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)
