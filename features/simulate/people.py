"""The people: where they live, their characteristics and their tastes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from scipy.special import expit

from features.simulate.arrays import Flags, Floats, Ints
from features.simulate.names import FIRST_NAMES, LAST_NAMES, STREETS, WOMEN
from features.simulate.places import Places
from features.simulate.products import GROUP_NAMES

ACCOUNT_HOLDERS = 0.92
"""The others are only known to the service desk: members of a household, people who asked once."""
NEWCOMERS = 0.30
"""Share of the account holders who join while the simulation runs."""


@dataclass(frozen=True)
class Archetype:
    """A kind of people: their share, their age (mean and spread), their means, and their taste (log scale)."""

    name: str
    share: float
    age: float
    spread: float
    means: float
    taste: Mapping[str, float]


ARCHETYPES = (
    Archetype(
        "family", 0.24, 43, 8, 0.2,
        {"broadband": 0.5, "tv": 0.9, "sport": 0.4, "smart_home": 0.3, "boiler_care": 0.4, "insurance": 0.6},
    ),
    Archetype(
        "player", 0.16, 27, 6, -0.3,
        {"broadband": 0.7, "gaming": 1.7, "audio": 0.9, "mobile": 0.3, "energy": -0.9, "boiler_care": -1.5},
    ),
    Archetype(
        "homebody", 0.18, 58, 9, 0.4,
        {"energy": 1.1, "boiler_care": 1.2, "security": 0.9, "gaming": -1.6, "tv": 0.3, "devices": -0.4},
    ),
    Archetype(
        "saver", 0.20, 46, 14, -0.8,
        {"mobile": 0.5, "accessories": 0.4, "devices": -0.8, "sport": -0.7, "security": -0.8, "energy": 0.4},
    ),
    Archetype(
        "gadgeteer", 0.14, 36, 8, 0.7,
        {"devices": 1.2, "smart_home": 1.2, "audio": 0.7, "accessories": 0.7, "insurance": 0.4},
    ),
    Archetype("fan", 0.08, 40, 12, 0.1, {"sport": 1.8, "tv": 1.0, "audio": 0.5, "smart_home": -0.5}),
)  # fmt: skip
TASTE_SPREAD = 0.55


@dataclass(frozen=True)
class People:
    """One element per person in every array."""

    holder: Flags
    female: Flags
    first: Ints
    last: Ints
    birth: Ints
    """Days since 1970."""
    district: Ints
    street: Ints
    house: Ints
    inward: Ints
    """The second half of the postcode, as a number."""
    household: Ints
    """The person whose address, surname and telephone number this one shares: mostly oneself."""
    billing_day: Ints
    joins: Ints
    """The period in which they become a customer; 0 for those who were one before."""
    tenure: Ints
    """Months as a customer when the simulation begins, 0 for newcomers."""
    archetype: Ints
    means: Floats
    engagement: Floats
    thrift: Floats
    impatience: Floats
    strain: Floats
    frailty: Floats
    """Unobserved inclination to leave."""
    responsiveness: Floats
    sleeping_dog: Flags
    """Who is more likely to leave after a retention contact."""
    taste: Floats
    """People by product groups, log scale."""

    def __len__(self) -> int:
        return len(self.first)


def people(
    count: int, *, places: Places, end: date, months: int, households: float, rng: np.random.Generator
) -> People:
    """Return ``count`` invented people.

    Parameters
    ----------
    count : how many
    places : where they can live
    end : the last day of the simulation, from which ages are counted
    months : how many months are simulated
    households : share of the people who share address and telephone with another person
    rng : random generator
    """
    kinds = ARCHETYPES
    archetype = rng.choice(len(kinds), count, p=[kind.share for kind in kinds])
    age = np.array([kind.age for kind in kinds])[archetype]
    age = age + rng.normal(0, 1, count) * np.array([kind.spread for kind in kinds])[archetype]
    age = np.where(age < 18, 18 + (18 - age) % 20, age).clip(18, 92)
    female = rng.random(count) < 0.51
    first = np.where(female, rng.integers(0, len(WOMEN), count), rng.integers(len(WOMEN), len(FIRST_NAMES), count))
    household = np.arange(count)
    second = (rng.random(count) < households) & (household > 0)
    second &= ~np.roll(second, 1)  # two to a household, no chains
    household = household - second
    holder = rng.random(count) < ACCOUNT_HOLDERS
    newcomer = holder & (rng.random(count) < NEWCOMERS)
    means = np.array([kind.means for kind in kinds])[archetype] + rng.normal(0, 0.6, count)
    engagement = rng.lognormal(0.0, 0.5, count) * np.exp(-0.008 * (age - 45))
    tenure = np.where(newcomer, 0, np.minimum(rng.exponential(38, count).astype(np.int64) + 1, 200))
    quiet = (engagement < 0.8) & (tenure > 12)
    return People(
        holder=holder,
        female=female,
        first=first,
        last=rng.integers(0, len(LAST_NAMES), count)[household],
        birth=(np.datetime64(end, "D").astype(int) - age * 365.25).astype(np.int64),
        district=rng.choice(len(places.outward), count, p=places.share)[household],
        street=rng.integers(0, len(STREETS), count)[household],
        house=rng.integers(1, 190, count)[household],
        inward=rng.integers(0, 3_600, count)[household],
        household=household,
        billing_day=rng.integers(1, 29, count),
        joins=np.where(newcomer, rng.integers(1, max(months - 1, 2), count), 0),
        tenure=tenure,
        archetype=archetype,
        means=means,
        engagement=engagement,
        thrift=rng.lognormal(-0.1, 0.5, count) * np.exp(-0.25 * means),
        impatience=rng.lognormal(-0.1, 0.5, count),
        strain=rng.normal(0, 1, count) - 0.5 * means,
        frailty=rng.normal(0, 0.4, count),
        responsiveness=rng.normal(0, 0.5, count) + 0.4 * (engagement - 1),
        sleeping_dog=rng.random(count) < expit(np.where(quiet, 0.2, -3.0)),
        taste=_archetype_tastes()[archetype] + rng.normal(0, TASTE_SPREAD, (count, len(GROUP_NAMES))),
    )


def _archetype_tastes() -> Floats:
    return np.array([[kind.taste.get(group, 0.0) for group in GROUP_NAMES] for kind in ARCHETYPES])
