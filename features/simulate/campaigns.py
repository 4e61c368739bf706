"""The company's offers, the random choice of people by its campaigns, and the true effect of an offer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.simulate.arrays import Flags, Floats, Ints
from features.simulate.products import GROUP_NAMES, HELD


@dataclass(frozen=True)
class CampaignOffer:
    """An offer: the product group that it sells, or none for a retention offer."""

    id: str
    group: str | None
    channel: str
    lift: float
    """What it adds to the log of the pace (or of the odds of renewing) for an ordinary person."""


OFFERS = (
    CampaignOffer("fibre-switch", "broadband", "email", 0.9),
    CampaignOffer("mobile-extra-sim", "mobile", "sms", 1.0),
    CampaignOffer("tv-three-months-half", "tv", "email", 1.1),
    CampaignOffer("sport-season", "sport", "email", 0.9),
    CampaignOffer("smart-starter", "smart_home", "email", 1.0),
    CampaignOffer("home-shield-trial", "security", "email", 0.9),
    CampaignOffer("gadget-cover", "insurance", "sms", 0.8),
    CampaignOffer("green-tariff", "energy", "agent", 1.1),
    CampaignOffer("boiler-care", "boiler_care", "agent", 1.0),
    CampaignOffer("loyalty-discount", None, "email", 1.2),
    CampaignOffer("save-call", None, "agent", 1.6),
)
CONTACTED = 0.14
"""Share of the people with consent that the campaign draws each month."""
HELD_BACK = 0.30
"""Share of those drawn who get nothing, so that the effect can be measured."""
RENEW = 0.06
"""Probability of renewing unasked in a month near the end of the contract or after it."""

_GROUP = np.array([GROUP_NAMES.index(offer.group) if offer.group else -1 for offer in OFFERS])
_LIFT = np.array([offer.lift for offer in OFFERS])
RETENTION = _GROUP < 0


@dataclass(frozen=True)
class Draw:
    """Whom this month's campaign drew; one element per contact."""

    person: Ints
    offer: Ints
    treated: Flags
    selection_prob: Floats
    """Probability of this offer and this arm for a person who was drawn."""


def draw(*, open_to: Flags, held: Flags, contract_left: Ints, tenure: Ints, rng: np.random.Generator) -> Draw:
    """Return the month's contacts, drawn by a known rule with known probabilities.

    Parameters
    ----------
    open_to : customers with consent
    held : people by subscriptions, whether they hold one: what is held is not offered
    contract_left : months to the end of the minimum term; near it retention is drawn three times as often
    tenure : months as a customer; newcomers get retention offers half as often
    rng : random generator
    """
    person = np.flatnonzero(open_to & (rng.random(len(open_to)) < CONTACTED))
    weight = np.ones((len(person), len(OFFERS)))
    weight[:, ~RETENTION] = ~held[person][:, _GROUP[~RETENTION]]
    near = np.where(contract_left[person] <= 2, 3.0, 1.0) * np.where(tenure[person] < 6, 0.5, 1.0)
    weight[:, RETENTION] *= near[:, None]
    share = weight / weight.sum(axis=1, keepdims=True)
    pick = (rng.random((len(person), 1)) > share.cumsum(axis=1)).sum(axis=1).clip(0, len(OFFERS) - 1)
    treated = rng.random(len(person)) >= HELD_BACK
    probability = share[np.arange(len(person)), pick] * np.where(treated, 1 - HELD_BACK, HELD_BACK)
    return Draw(person=person, offer=pick, treated=treated, selection_prob=np.round(probability, 6))


def lift(offer: Ints, *, responsiveness: Floats) -> Floats:
    """Return what the offer adds on the log scale; below 0 for people who respond less with it."""
    return _LIFT[offer] + 0.9 * responsiveness


def lifted(rate: Floats, draw: Draw, *, responsiveness: Floats) -> Floats:
    """Return the monthly rates, people by groups, as this month's offers change them."""
    sold = draw.treated & ~RETENTION[draw.offer]
    who, offer = draw.person[sold], draw.offer[sold]
    changed = rate.copy()
    changed[who, _GROUP[offer]] *= np.exp(lift(offer, responsiveness=responsiveness[who]))
    return changed


def group_of(offer: Ints) -> Ints:
    """Return the subscription that the offer sells, -1 for retention."""
    return _GROUP[offer]


def renewal(*, contract_left: Ints, added: Floats, sleeping_dog: Flags) -> Floats:
    """Return the probability of renewing the contract this month; ``added`` is the offer's lift, 0 without one."""
    odds = RENEW / (1 - RENEW) * np.exp(np.where(sleeping_dog & (added > 0), -0.4, added))
    return np.where(contract_left <= 2, odds / (1 + odds), 0.0)


def pace(*, taste: Floats, have: Floats, affinity: Floats, base: Floats) -> Floats:
    """Return the monthly rate of taking each group unasked, people by groups.

    Parameters
    ----------
    taste : people by groups, log scale
    have : what they hold, or bought lately (fading)
    affinity : groups by groups
    base : the pace of each group
    """
    rate: Floats = base * np.exp(taste + have @ affinity)
    rate[:, :HELD] *= have[:, :HELD] == 0
    return rate
