"""The simulated history: one dataclass of equally long arrays per kind of event."""

from __future__ import annotations

from dataclasses import dataclass

from features.simulate.arrays import Flags, Floats, Ints


@dataclass(frozen=True)
class Bills:
    person: Ints
    at: Ints
    amount: Floats
    usage: Floats
    contract_left: Ints
    late_days: Ints


@dataclass(frozen=True)
class Tickets:
    person: Ints
    at: Ints
    category: Ints
    solved_at: Ints


@dataclass(frozen=True)
class Clicks:
    person: Ints
    at: Ints
    page: Ints
    """Index into ``clicks.PAGES``; product pages follow, one per group."""


@dataclass(frozen=True)
class Purchases:
    person: Ints
    at: Ints
    group: Ints
    product: Ints


@dataclass(frozen=True)
class Holdings:
    person: Ints
    product: Ints
    started: Ints
    ended: Ints
    price: Floats


@dataclass(frozen=True)
class Contacts:
    person: Ints
    at: Ints
    offer: Ints
    treated: Flags
    selection_prob: Floats
    responded_at: Ints
    without: Floats
    """True probability of the response without the offer, and with it."""
    with_offer: Floats


@dataclass(frozen=True)
class Answers:
    person: Ints
    at: Ints
    score: Ints


@dataclass(frozen=True)
class Hazards:
    person: Ints
    period: Ints
    at: Ints
    hazard: Floats
    """Probability of deciding to leave in the period that begins at ``at``."""


@dataclass(frozen=True)
class Prospects:
    """What each offer would do to each customer at the end of the simulation, within one month."""

    person: Ints
    offer: Ints
    response_without: Floats
    response_with: Floats
    leaving_without: Floats
    leaving_with: Floats


@dataclass(frozen=True)
class SimulatedHistory:
    """All that happened, before it is written as feeds."""

    joined_at: Ints
    left_at: Ints
    """When the service ends, ``NEVER`` for those who stay."""
    bills: Bills
    tickets: Tickets
    clicks: Clicks
    purchases: Purchases
    holdings: Holdings
    contacts: Contacts
    answers: Answers
    hazards: Hazards
    prospects: Prospects
