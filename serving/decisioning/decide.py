"""Decide for a batch: filter, expected value, control group, arbitration, reasons. No clock, no file access."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from features.base.clock import as_utc, iso
from serving.decisioning.arbitration import Selection, arbitrate
from serving.decisioning.control_group import in_control, withhold
from serving.decisioning.customer_inputs import CustomerBatch
from serving.decisioning.decision import Decision, DecisionItem, Scope
from serving.decisioning.eligibility import Refusals, filter_offers
from serving.decisioning.offer_reasons import OfferReasons
from serving.decisioning.policy import Policy
from serving.decisioning.reason_codes import CONTROL_GROUP, NO_OFFERS, Blocked, Stage
from serving.decisioning.request import DecisionRequest
from serving.decisioning.value import ExpectedValue, OutcomeCount, expected_value

_ORDER = {stage: place for place, stage in enumerate(Stage)}


def decide(
    batch: CustomerBatch,
    policy: Policy,
    *,
    channel: str | None,
    purpose: str | None,
    as_of: datetime,
    scope: Scope = "batch",
    nonce: str = "",
    outcomes: Mapping[str, OutcomeCount] | None = None,
    capacity_used: Mapping[str, int] | None = None,
    model_versions: Mapping[str, str] | None = None,
) -> list[Decision]:
    """Decide the next best offers, or none, for each customer of a batch.

    Parameters
    ----------
    batch : the customers with their features, scores and earlier contacts
    policy : the compiled catalogue
    channel : through which the offers are to be made; none takes each offer's first channel with capacity left
    purpose : only offers of this purpose; none is any
    as_of : the moment of decision
    scope, nonce : enter the decision id; online gives its request id as nonce, so that two requests are two
        decisions; a batch gives none, so that a repeated run makes the same decisions
    outcomes : what became of each offer so far, for starting propensities
    capacity_used : places already taken in each channel's current period
    model_versions : the digest of each model whose scores are given

    Returns
    -------
    one decision per customer, in the order of the batch

    Notes
    -----
    The priority is the expected value ``propensity * margin * context_weight * lever - cost``.

    The policy is deterministic but for the control group, so a marketing offer that is made has a ``selection_prob``
    of 1 - control; a NO_ACTION because of the control group has the share of the control group; all else has 1.

    Raises
    ------
    BadConfiguration : when an expression does not fit the features it reads
    """
    request = DecisionRequest(batch, policy, channel, purpose, as_utc(as_of))
    refusals = filter_offers(request)
    expected = expected_value(request, refusals, outcomes=outcomes or {})
    exploration = policy.settings.exploration
    control = in_control(batch.customer_ids, share=exploration.control, salt=exploration.salt)
    withhold(request, refusals, control)
    selection = arbitrate(request, refusals, expected, capacity_used=capacity_used or {})
    stem = (iso(request.as_of), channel or "", purpose or "", policy.version, scope, nonce)
    ids = _decision_ids(batch, stem)
    items = _items(request, expected, selection)
    blocked = _blocked(refusals)
    arms = _outcomes_of_arms(blocked, items, share=exploration.control)
    versions = dict(model_versions or {})
    return [
        Decision(
            decision_id=ids[row],
            customer_id=customer,
            decision_time=request.as_of,
            scope=scope,
            channel=channel,
            purpose=purpose,
            items=tuple(items.get(row, ())),
            blocked=blocked[row],
            no_action_reason=None if row in items else arms[row][0],
            control_group=bool(control[row]),
            selection_prob=arms[row][1],
            policy_version=policy.version,
            model_versions=versions,
            feature_time=batch.feature_time,
            consent_record=None if batch.consent_records is None else batch.consent_records[row],
            identity_version=batch.identity_version,
        )
        for row, customer in enumerate(batch.customer_ids)
    ]


def _decision_ids(batch: CustomerBatch, stem: tuple[str, ...]) -> list[str]:
    seed = hashlib.sha256("\x1f".join(stem).encode())
    found = []
    for customer in batch.customer_ids:
        mixed = seed.copy()
        mixed.update(b"\x1f" + customer.encode())
        found.append(mixed.hexdigest()[:32])
    return found


def _items(request: DecisionRequest, expected: ExpectedValue, selection: Selection) -> dict[int, list[DecisionItem]]:
    """Return the offers made, by customer's row, in the order of their ranks."""
    policy, share = request.policy, request.policy.settings.exploration.control
    why = [OfferReasons.of(request, offer) for offer in policy.offers]
    rows, ranks, offers = _made(selection)
    propensities, margins = expected.propensity[offers, rows].tolist(), expected.margin[offers, rows].tolist()
    priorities, weights = expected.priority[offers, rows].tolist(), expected.context_weight[offers, rows].tolist()
    channels = selection.channel[offers, rows].tolist()
    found: dict[int, list[DecisionItem]] = {}
    for at, (row, rank, index) in enumerate(zip(rows.tolist(), ranks.tolist(), offers.tolist(), strict=True)):
        offer = policy.offers[index]
        propensity, margin = _number_or_none(propensities[at]), _number_or_none(margins[at])
        item = DecisionItem(
            offer=offer.id,
            group=offer.settings.group,
            purpose=offer.settings.purpose,
            channel=policy.channels[channels[at]],
            rank=rank,
            propensity=propensity,
            value=margin,
            cost=offer.settings.value.cost,
            priority=priorities[at],
            lever=offer.settings.weight,
            context_weight=weights[at],
            selection_prob=1.0 - share if offer.marketing else 1.0,
            reasons=why[index].reasons(row, propensity=propensity, margin=margin),
        )
        found.setdefault(row, []).append(item)
    return found


def _made(selection: Selection) -> tuple[NDArray[np.intp], NDArray[np.int16], NDArray[np.intp]]:
    """Return row, rank and offer of every offer that is made, ordered by row and rank."""
    rows, offers = np.nonzero(selection.rank.T)
    ranks = selection.rank[offers, rows]
    by_rank = np.lexsort((ranks, rows))
    return rows[by_rank], ranks[by_rank], offers[by_rank]


def _number_or_none(number: float) -> float | None:
    return None if math.isnan(number) else number


def _blocked(refusals: Refusals) -> list[tuple[Blocked, ...]]:
    """Return each customer's refusals; customers with the same ones share them."""
    shared: dict[bytes, tuple[Blocked, ...]] = {}
    found = []
    for codes in np.ascontiguousarray(refusals.codes.T):
        key = codes.tobytes()
        if key not in shared:
            refused = [refusals.table[code] for code in codes.tolist()]
            shared[key] = tuple(one for one in refused if one is not None)
        found.append(shared[key])
    return found


def _outcomes_of_arms(
    blocked: list[tuple[Blocked, ...]], items: Mapping[int, list[DecisionItem]], *, share: float
) -> list[tuple[str, float]]:
    """Return for each customer the reason of a NO_ACTION, and the probability of the arm that was drawn.

    The reason is the control group where it withheld anything, else the last stage at which an offer was blocked.
    """
    known: dict[tuple[Blocked, ...], tuple[str, bool]] = {}
    found = []
    for row, refused in enumerate(blocked):
        if refused not in known:
            stages = {refusal.stage for refusal in refused}
            last = max(stages, key=_ORDER.__getitem__, default=None)
            withheld = Stage.CONTROL in stages
            known[refused] = (CONTROL_GROUP if withheld else NO_OFFERS if last is None else str(last), withheld)
        reason, withheld = known[refused]
        drawn = share if withheld else min((item.selection_prob for item in items.get(row, ())), default=1.0)
        found.append((reason, drawn))
    return found
