"""Arbitration: rank the offers that are still open and assign channels, within caps and capacity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.decisioning.eligibility import Refusals
from serving.decisioning.policy import Policy
from serving.decisioning.reason_codes import Blocked, Stage
from serving.decisioning.request import BoolArray, DecisionRequest
from serving.decisioning.value import ExpectedValue

IntArray = NDArray[np.int64]


class SortKey(NamedTuple):
    """The sort key of one pair of customer and offer; smaller comes first."""

    optional: bool
    cost: float  # the negative priority
    customer: int
    offer: int


@dataclass(frozen=True)
class Selection:
    """The offers that are made, as arrays of shape (n_offers, n_customers).

    Attributes
    ----------
    rank : 1 is the first, 0 is not offered
    channel : number of the channel, -1 where not offered
    capped : number of the cap that blocked the offer, -1 where none did
    full : blocked because every channel that the caps left open had no capacity left
    """

    rank: NDArray[np.int16]
    channel: NDArray[np.int16]
    capped: NDArray[np.int16]
    full: BoolArray


def arbitrate(
    request: DecisionRequest, refusals: Refusals, expected: ExpectedValue, *, capacity_used: Mapping[str, int]
) -> Selection:
    """Make the open offers of highest priority, within caps and capacity, and block the others.

    Mandatory offers come before all others; then the highest priority; ties go by customer id, then offer id.
    An offer takes the first of its channels (or the requested one) that no cap closes and that has capacity left.
    Offers made in one decision count towards the caps, so that a decision never breaks one. Each offer made takes
    one place of its channel's capacity.

    The result equals a loop over all pairs of customer and offer in that order. A channel accepts every pair until it
    is full and none afterwards, so one vectorised pass for each channel that fills up is enough.
    """
    policy = request.policy
    preference = _preference(policy, request.channel)
    left = {
        number: max(0, policy.settings.capacity[name].limit - capacity_used.get(name, 0))
        for number, name in enumerate(policy.channels)
        if name in policy.settings.capacity
    }
    order = _order(policy, refusals, expected)
    position: IntArray | None = None
    full_from: dict[int, SortKey] = {}
    while True:
        selection = _choose(request, refusals, expected, order, preference, full_from, position)
        over = [
            number for number, places in left.items() if number not in full_from and _used(selection, number) > places
        ]
        if not over:
            break
        if position is None:
            position = _positions(request.batch.customer_ids)
        places_by_channel = {
            number: _fills_at(policy, expected, selection, position, number, left[number]) for number in over
        }
        first = min(places_by_channel, key=lambda number: places_by_channel[number])
        full_from[first] = places_by_channel[first]
    _record(request, refusals, selection)
    return selection


def _preference(policy: Policy, channel: str | None) -> NDArray[np.int16]:
    if channel is None or channel not in policy.channels:
        return policy.preference
    return np.full((len(policy.offers), 1), policy.channels.index(channel), dtype=np.int16)


def _order(policy: Policy, refusals: Refusals, expected: ExpectedValue) -> NDArray[np.intp]:
    """Return the offers of each customer from first to last, shape (n_offers, n_customers); closed ones come last."""
    cost = np.where(refusals.codes == 0, -expected.priority, np.inf)
    if not policy.mandatory.any():
        return np.argsort(cost, axis=0, kind="stable")
    optional = np.broadcast_to(~policy.mandatory[:, None], cost.shape) | np.isposinf(cost)
    return np.lexsort((cost, optional), axis=0)


def _choose(
    request: DecisionRequest,
    refusals: Refusals,
    expected: ExpectedValue,
    order: NDArray[np.intp],
    preference: NDArray[np.int16],
    full_from: Mapping[int, SortKey],
    position: IntArray | None,
) -> Selection:
    """Give each customer offers in their order; a channel in `full_from` accepts only pairs with a smaller sort key."""
    policy, shape = request.policy, order.shape
    selection = Selection(
        rank=np.zeros(shape, dtype=np.int16),
        channel=np.full(shape, -1, dtype=np.int16),
        capped=np.full(shape, -1, dtype=np.int16),
        full=np.zeros(shape, dtype=np.bool_),
    )
    remaining = request.remaining_contacts.copy()
    given = np.zeros(request.rows, dtype=np.int16)
    active = np.arange(request.rows)
    for turn in range(shape[0]):
        offers = order[turn, active]
        live = (refusals.codes[offers, active] == 0) & (given[active] < policy.settings.top)
        active, offers = active[live], offers[live]
        if not len(active):
            break
        taken = np.full(len(active), -1, dtype=np.int16)
        capped = np.full(len(active), -1, dtype=np.int16)
        full = np.zeros(len(active), dtype=np.bool_)
        for column in range(preference.shape[1]):
            channel = preference[offers, column]
            wanted = (channel >= 0) & (taken < 0)
            closing = _closing(policy, remaining, offers, channel, active)
            capped = np.where(wanted & (capped < 0), closing, capped)
            free = wanted & (closing < 0)
            for number, place in full_from.items():
                late = free & (channel == number)
                if late.any() and position is not None:
                    late &= ~_before(policy, expected, offers, active, position, place)
                    full |= late
                    free &= ~late
            taken = np.where(free, channel, taken)
        made = taken >= 0
        selection.capped[offers, active] = np.where(made | full, -1, capped)
        selection.full[offers, active] = full & ~made
        rows, those = active[made], offers[made]
        given[rows] += 1
        selection.rank[those, rows] = given[rows]
        selection.channel[those, rows] = taken[made]
        if policy.caps:
            hit = policy.cap_counts[:, those] & _about(policy, taken[made])
            remaining[:, rows] -= hit
    return selection


def _closing(
    policy: Policy, remaining: IntArray, offers: NDArray[np.intp], channel: NDArray[np.int16], rows: NDArray[np.intp]
) -> NDArray[np.int16]:
    """Return the number of the first cap that closes the channel to the offer, -1 where none does."""
    if not policy.caps:
        return np.full(len(rows), -1, dtype=np.int16)
    shut = policy.cap_applies[:, offers] & (remaining[:, rows] <= 0) & _about(policy, channel)
    return np.where(shut.any(axis=0), shut.argmax(axis=0), -1).astype(np.int16)


def _about(policy: Policy, channel: NDArray[np.int16]) -> BoolArray:
    """Return which caps apply to which channel, shape (n_caps, n)."""
    found: BoolArray = (policy.cap_channels[:, None] == -1) | (policy.cap_channels[:, None] == channel)
    return found


def _before(
    policy: Policy,
    expected: ExpectedValue,
    offers: NDArray[np.intp],
    rows: NDArray[np.intp],
    position: IntArray,
    place: SortKey,
) -> BoolArray:
    """Return which pairs of offer and customer have a smaller sort key."""
    optional, cost, customer = ~policy.mandatory[offers], -expected.priority[offers, rows], position[rows]
    by_customer = (customer < place.customer) | ((customer == place.customer) & (offers < place.offer))
    by_cost = (cost < place.cost) | ((cost == place.cost) & by_customer)
    found: BoolArray = (optional < place.optional) | ((optional == place.optional) & by_cost)
    return found


def _fills_at(
    policy: Policy, expected: ExpectedValue, selection: Selection, position: IntArray, number: int, places: int
) -> SortKey:
    """Return the sort key of the first pair that a channel of this capacity can no longer accept."""
    offers, rows = np.nonzero(selection.channel == number)
    optional, cost, customer = ~policy.mandatory[offers], -expected.priority[offers, rows], position[rows]
    at = np.lexsort((offers, customer, cost, optional))[places]
    return SortKey(bool(optional[at]), float(cost[at]), int(customer[at]), int(offers[at]))


def _used(selection: Selection, number: int) -> int:
    return int(np.count_nonzero(selection.channel == number))


def _positions(customer_ids: Sequence[str]) -> IntArray:
    """Return each customer's position among the sorted ids."""
    found = np.empty(len(customer_ids), dtype=np.int64)
    found[sorted(range(len(customer_ids)), key=customer_ids.__getitem__)] = np.arange(len(customer_ids))
    return found


def _record(request: DecisionRequest, refusals: Refusals, selection: Selection) -> None:
    policy, top = request.policy, request.policy.settings.top
    for offer in policy.offers:
        row = offer.index
        if not refusals.open(row).any():
            continue
        capped = selection.capped[row][selection.capped[row] >= 0]
        for index in np.unique(capped) if len(capped) else ():
            refusals.block(row, Blocked(offer.id, Stage.CAP, policy.caps[index].text), selection.capped[row] == index)
        if selection.full[row].any():
            named = [f"{name} {policy.settings.capacity[name]}" for name in _limited(policy, row, request.channel)]
            refusals.block(row, Blocked(offer.id, Stage.CAPACITY, ", ".join(named)), selection.full[row])
        lost = selection.rank[row] == 0
        if (lost & refusals.open(row)).any():
            refusals.block(row, Blocked(offer.id, Stage.ARBITRATION, f"top {top}"), lost)


def _limited(policy: Policy, row: int, channel: str | None) -> list[str]:
    names = policy.offers[row].settings.channels
    return [name for name in names if channel in (None, name) and name in policy.settings.capacity]
