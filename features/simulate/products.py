"""The products: groups, prices, and which purchase makes which other more likely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import expit

from features.simulate.arrays import Floats, Ints, Table


@dataclass(frozen=True)
class Group:
    """A product group; ``pace`` is the monthly rate at which somebody of average taste takes one."""

    name: str
    pace: float
    products: tuple[tuple[str, float], ...]
    """Name and price, the cheapest first; a month's price for a subscription."""


SUBSCRIPTIONS = (
    Group("broadband", 0.016, (("Broadband 80", 27.0), ("Fibre 300", 34.0), ("Fibre 900", 46.0))),
    Group("mobile", 0.014, (("SIM 10 GB", 9.0), ("SIM 50 GB", 15.0), ("SIM Unlimited", 23.0))),
    Group("tv", 0.011, (("TV Essential", 12.0), ("TV Family", 21.0), ("TV Complete", 34.0))),
    Group("sport", 0.008, (("Sport Weekend", 14.0), ("Sport All", 27.0))),
    Group("smart_home", 0.008, (("Smart Starter", 5.0), ("Smart Whole Home", 11.0))),
    Group("security", 0.007, (("Doorbell Watch", 6.0), ("Home Shield", 16.0))),
    Group("insurance", 0.008, (("Gadget Cover", 7.0), ("Family Gadget Cover", 13.0))),
    Group("energy", 0.007, (("Fixed Tariff", 78.0), ("Green Tariff", 86.0))),
    Group("boiler_care", 0.007, (("Boiler Check", 9.0), ("Boiler Care Plus", 18.0))),
)
GOODS = (
    Group("devices", 0.017, (("Handset Mini", 189.0), ("Tablet 10", 279.0), ("Handset Pro", 749.0))),
    Group("accessories", 0.030, (("Charging Cable", 12.0), ("Phone Case", 19.0), ("Wi-Fi Repeater", 49.0))),
    Group("gaming", 0.016, (("Gaming Voucher", 25.0), ("Controller", 54.0), ("Console", 419.0))),
    Group("audio", 0.015, (("Earbuds", 39.0), ("Headphones", 119.0), ("Soundbar", 229.0))),
)
GROUPS = (*SUBSCRIPTIONS, *GOODS)
GROUP_NAMES = tuple(group.name for group in GROUPS)
HELD = len(SUBSCRIPTIONS)
"""The first ``HELD`` groups are subscriptions, one of each at most; the others are bought and bought again."""

LEADS_TO = {  # what somebody holds, or bought lately, makes these more likely (added to the log of the pace)
    ("broadband", "tv"): 0.8,
    ("broadband", "smart_home"): 0.7,
    ("broadband", "gaming"): 0.4,
    ("mobile", "devices"): 0.7,
    ("mobile", "insurance"): 0.6,
    ("tv", "sport"): 1.2,
    ("tv", "audio"): 0.5,
    ("smart_home", "security"): 1.3,
    ("smart_home", "energy"): 0.5,
    ("energy", "boiler_care"): 1.4,
    ("boiler_care", "energy"): 1.0,
    ("devices", "insurance"): 1.5,
    ("devices", "accessories"): 1.2,
    ("gaming", "audio"): 0.9,
    ("gaming", "accessories"): 0.4,
}

_FIRST = np.cumsum([0] + [len(group.products) for group in GROUPS])[:-1]
_SIZE = np.array([len(group.products) for group in GROUPS])
GROUP_OF = np.repeat(np.arange(len(GROUPS)), _SIZE)
"""Each product's group."""
NAMES = tuple(name for group in GROUPS for name, _ in group.products)
PRICES = np.array([price for group in GROUPS for _, price in group.products])
SKUS = tuple(f"{group.name[:3].upper()}-{number:02d}" for group in GROUPS for number, _ in enumerate(group.products, 1))


def affinity() -> Floats:
    """Return ``LEADS_TO`` as a matrix of groups by groups."""
    matrix = np.zeros((len(GROUPS), len(GROUPS)))
    for (have, want), weight in LEADS_TO.items():
        matrix[GROUP_NAMES.index(have), GROUP_NAMES.index(want)] = weight
    return matrix


def product_for(group: Ints, *, means: Floats, uniform: Floats) -> Ints:
    """Return which product of the group somebody takes: the better-off take the dearer ones more often."""
    wish = expit(means + 2.2 * (uniform - 0.5))
    rank = np.minimum((wish * _SIZE[group]).astype(np.int64), _SIZE[group] - 1)
    result: Ints = _FIRST[group] + rank
    return result


def catalogue() -> Table:
    """Return the product list, one row per product."""
    return pa.table(
        {
            "sku": pa.array(SKUS),
            "title": pa.array(NAMES),
            "category": pa.array([group.name for group in GROUPS for _ in group.products]),
            "list_price": pa.array(PRICES),
            "recurring": pa.array(
                ["yes" if group in SUBSCRIPTIONS else "no" for group in GROUPS for _ in group.products]
            ),
        }
    )
