"""The invented towns, and what open data would say about their postcode districts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.simulate.arrays import Floats, Ints, Table, word

TOWNS = (  # town, region, postcode area (no real one begins with Q, V or X), share of the people
    ("Aldermouth", "South West", "QA", 0.10),
    ("Brackenford", "North West", "QB", 0.13),
    ("Carrowick", "Scotland", "QK", 0.08),
    ("Dunstead", "East", "QD", 0.07),
    ("Eastmere", "East Midlands", "QE", 0.09),
    ("Fallowby", "Yorkshire", "QF", 0.10),
    ("Glanrhyd", "Wales", "VG", 0.06),
    ("Harnley", "London", "VH", 0.16),
    ("Ironbeck", "North East", "VB", 0.07),
    ("Kelverton", "West Midlands", "XK", 0.09),
    ("Marsh Haven", "South East", "XM", 0.05),
)
DISTRICTS_PER_TOWN = 8
PUBLISHED = "2024-05-01"


@dataclass(frozen=True)
class Places:
    """Postcode districts; arrays have one element per district."""

    town: Ints
    outward: tuple[str, ...]
    share: Floats
    population: Ints
    income: Ints
    rival_speed: Floats
    """What the fastest competitor delivers there, Mbit/s: where it is high, leaving is easy."""

    @property
    def rival_pull(self) -> Floats:
        """Return the competitor's speed, standardised on the log scale."""
        log = np.log(self.rival_speed)
        result: Floats = (log - log.mean()) / log.std()
        return result


def places(rng: np.random.Generator) -> Places:
    """Return the towns with their districts."""
    count = len(TOWNS) * DISTRICTS_PER_TOWN
    town = np.repeat(np.arange(len(TOWNS)), DISTRICTS_PER_TOWN)
    weight = rng.uniform(0.5, 1.5, count) * np.array([TOWNS[place][3] for place in town])
    return Places(
        town=town,
        outward=tuple(f"{TOWNS[place][2]}{number % DISTRICTS_PER_TOWN + 1}" for number, place in enumerate(town)),
        share=weight / weight.sum(),
        population=(rng.lognormal(10.1, 0.35, count) // 10 * 10).astype(np.int64),
        income=(rng.normal(33_500, 6_000, count).clip(19_000, 62_000) // 100 * 100).astype(np.int64),
        rival_speed=np.round(rng.lognormal(5.0, 0.8, count).clip(24, 1_800), 1),
    )


def open_data(places: Places) -> Table:
    """Return the published figures per postcode district."""
    return pa.table(
        {
            "district": pa.array(places.outward),
            "town": word([name for name, *_ in TOWNS], places.town),
            "region": word([region for _, region, *_ in TOWNS], places.town),
            "population": places.population,
            "median_income": places.income,
            "broadband_speed": places.rival_speed,
            "published": pa.array([PUBLISHED] * len(places.outward)),
        }
    )
