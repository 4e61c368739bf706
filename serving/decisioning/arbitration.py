"""Arbitration: which open offers are made, in which order, through which channel, within caps and capacity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.decisioning.eligibility import Refusals
from serving.decisioning.policy import Policy
from serving.decisioning.reason_codes import Blocked, Stage
from serving.decisioning.request import Asked, BoolArray
from serving.decisioning.value import Worth

IntArray = NDArray[np.int64]


class Place(NamedTuple):
    """Where an offer to a customer stands among all: smaller comes first."""

    optional: bool
    cost: float  # the negative priority
    customer: int
    offer: int


@dataclass(frozen=True)
class Chosen:
    """What is offered: arrays of shape (n_offers, n_customers).

    Attributes
    ----------
    rank : 1 is the first, 0 is not offered
    channel : number of the channel, -1 where not offered
    capped, crowded : stopped by the cap of that number (-1 is none), or because every free channel was full
    """

    rank: NDArray[np.int16]
    channel: NDArray[np.int16]
    capped: NDArray[np.int16]
    crowded: BoolArray


def arbitrate(asked: Asked, refusals: Refusals, worth: Worth, *, capacity_used: Mapping[str, int]) -> Chosen:
    """Make the open offers of highest priority, within caps and capacity, and stop the others.

    Mandatory offers come before all others; then the highest priority; ties go by customer id, then offer id.
    An offer takes the first of its channels (or the one asked for) that no cap closes and that has capacity left.
    Offers made in one decision count towards the caps, so that a decision never breaks one. Each offer made takes
    one place of its channel's capacity.

    The result is that of going through all pairs of customer and offer in that order, one by one. Since a channel
    takes everything until it is full and nothing afterwards, only the pair at which each channel fills up has to be
    found: one vectorised pass for each channel that does.
    """
    policy = asked.policy
    preference = _preference(policy, asked.channel)
    left = {
        number: max(0, policy.settings.capacity[name].limit - capacity_used.get(name, 0))
        for number, name in enumerate(policy.channels)
        if name in policy.settings.capacity
    }
    order = _order(policy, refusals, worth)
    standing: IntArray | None = None
    full_from: dict[int, Place] = {}
    while True:
        chosen = _choose(asked, refusals, worth, order, preference, full_from, standing)
        over = [number for number, places in left.items() if number not in full_from and _used(chosen, number) > places]
        if not over:
            break
        if standing is None:
            standing = _standing(asked.batch.customer_ids)
        places_by_channel = {
            number: _fills_at(policy, worth, chosen, standing, number, left[number]) for number in over
        }
        first = min(places_by_channel, key=lambda number: places_by_channel[number])
        full_from[first] = places_by_channel[first]
    _record(asked, refusals, chosen)
    return chosen


def _preference(policy: Policy, channel: str | None) -> NDArray[np.int16]:
    if channel is None or channel not in policy.channels:
        return policy.preference
    return np.full((len(policy.offers), 1), policy.channels.index(channel), dtype=np.int16)


def _order(policy: Policy, refusals: Refusals, worth: Worth) -> NDArray[np.intp]:
    """Return the offers of each customer from first to last, shape (n_offers, n_customers); closed ones come last."""
    cost = np.where(refusals.codes == 0, -worth.priority, np.inf)
    if not policy.mandatory.any():
        return np.argsort(cost, axis=0, kind="stable")
    optional = np.broadcast_to(~policy.mandatory[:, None], cost.shape) | np.isposinf(cost)
    return np.lexsort((cost, optional), axis=0)


def _choose(
    asked: Asked,
    refusals: Refusals,
    worth: Worth,
    order: NDArray[np.intp],
    preference: NDArray[np.int16],
    full_from: Mapping[int, Place],
    standing: IntArray | None,
) -> Chosen:
    """Give each customer offers in their order; a channel in `full_from` takes only what stands before that place."""
    policy, shape = asked.policy, order.shape
    chosen = Chosen(
        rank=np.zeros(shape, dtype=np.int16),
        channel=np.full(shape, -1, dtype=np.int16),
        capped=np.full(shape, -1, dtype=np.int16),
        crowded=np.zeros(shape, dtype=np.bool_),
    )
    room = asked.rooms.copy()
    given = np.zeros(asked.rows, dtype=np.int16)
    active = np.arange(asked.rows)
    for turn in range(shape[0]):
        offers = order[turn, active]
        live = (refusals.codes[offers, active] == 0) & (given[active] < policy.settings.top)
        active, offers = active[live], offers[live]
        if not len(active):
            break
        taken = np.full(len(active), -1, dtype=np.int16)
        capped = np.full(len(active), -1, dtype=np.int16)
        crowded = np.zeros(len(active), dtype=np.bool_)
        for column in range(preference.shape[1]):
            channel = preference[offers, column]
            wanted = (channel >= 0) & (taken < 0)
            closing = _closing(policy, room, offers, channel, active)
            capped = np.where(wanted & (capped < 0), closing, capped)
            free = wanted & (closing < 0)
            for number, place in full_from.items():
                late = free & (channel == number)
                if late.any() and standing is not None:
                    late &= ~_before(policy, worth, offers, active, standing, place)
                    crowded |= late
                    free &= ~late
            taken = np.where(free, channel, taken)
        made = taken >= 0
        chosen.capped[offers, active] = np.where(made | crowded, -1, capped)
        chosen.crowded[offers, active] = crowded & ~made
        rows, those = active[made], offers[made]
        given[rows] += 1
        chosen.rank[those, rows] = given[rows]
        chosen.channel[those, rows] = taken[made]
        if policy.caps:
            hit = policy.cap_counts[:, those] & _about(policy, taken[made])
            room[:, rows] -= hit
    return chosen


def _closing(
    policy: Policy, room: IntArray, offers: NDArray[np.intp], channel: NDArray[np.int16], rows: NDArray[np.intp]
) -> NDArray[np.int16]:
    """Return the number of the first cap that closes the channel to the offer, -1 where none does."""
    if not policy.caps:
        return np.full(len(rows), -1, dtype=np.int16)
    shut = policy.cap_applies[:, offers] & (room[:, rows] <= 0) & _about(policy, channel)
    return np.where(shut.any(axis=0), shut.argmax(axis=0), -1).astype(np.int16)


def _about(policy: Policy, channel: NDArray[np.int16]) -> BoolArray:
    """Say which caps are about which channel, shape (n_caps, n)."""
    found: BoolArray = (policy.cap_channels[:, None] == -1) | (policy.cap_channels[:, None] == channel)
    return found


def _before(
    policy: Policy,
    worth: Worth,
    offers: NDArray[np.intp],
    rows: NDArray[np.intp],
    standing: IntArray,
    place: Place,
) -> BoolArray:
    """Say which pairs of offer and customer stand before a place."""
    optional, cost, customer = ~policy.mandatory[offers], -worth.priority[offers, rows], standing[rows]
    by_customer = (customer < place.customer) | ((customer == place.customer) & (offers < place.offer))
    by_cost = (cost < place.cost) | ((cost == place.cost) & by_customer)
    found: BoolArray = (optional < place.optional) | ((optional == place.optional) & by_cost)
    return found


def _fills_at(policy: Policy, worth: Worth, chosen: Chosen, standing: IntArray, number: int, places: int) -> Place:
    """Return the first place that a channel with so many places can no longer take."""
    offers, rows = np.nonzero(chosen.channel == number)
    optional, cost, customer = ~policy.mandatory[offers], -worth.priority[offers, rows], standing[rows]
    at = np.lexsort((offers, customer, cost, optional))[places]
    return Place(bool(optional[at]), float(cost[at]), int(customer[at]), int(offers[at]))


def _used(chosen: Chosen, number: int) -> int:
    return int(np.count_nonzero(chosen.channel == number))


def _standing(customer_ids: Sequence[str]) -> IntArray:
    """Return each customer's place when the ids are sorted."""
    found = np.empty(len(customer_ids), dtype=np.int64)
    found[sorted(range(len(customer_ids)), key=customer_ids.__getitem__)] = np.arange(len(customer_ids))
    return found


def _record(asked: Asked, refusals: Refusals, chosen: Chosen) -> None:
    policy, top = asked.policy, asked.policy.settings.top
    for offer in policy.offers:
        row = offer.index
        if not refusals.open(row).any():
            continue
        capped = chosen.capped[row][chosen.capped[row] >= 0]
        for index in np.unique(capped) if len(capped) else ():
            refusals.block(row, Blocked(offer.id, Stage.CAP, policy.caps[index].text), chosen.capped[row] == index)
        if chosen.crowded[row].any():
            named = [f"{name} {policy.settings.capacity[name]}" for name in _limited(policy, row, asked.channel)]
            refusals.block(row, Blocked(offer.id, Stage.CAPACITY, ", ".join(named)), chosen.crowded[row])
        lost = chosen.rank[row] == 0
        if (lost & refusals.open(row)).any():
            refusals.block(row, Blocked(offer.id, Stage.ARBITRATION, f"top {top}"), lost)


def _limited(policy: Policy, row: int, channel: str | None) -> list[str]:
    names = policy.offers[row].settings.channels
    return [name for name in names if channel in (None, name) and name in policy.settings.capacity]
