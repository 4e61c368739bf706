"""Why people leave: the hazard of leaving in a month, and its causes.

The causes are those of telecom churn studies: price rises, faults that stay unsolved, bills that are
paid late, the end of the contract, fading use, a faster competitor; tenure and further products hold people back.
Discontent adds up and fades; tickets, clicks on help for leaving and use show it before a customer leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from features.simulate.arrays import Flags, Floats, Ints

MEMORY = 0.70  # share of last month's discontent that is still felt
USE_MEMORY = 0.90
BASE = -4.4
WEIGHTS = {
    "discontent": 1.05,
    "late_bills": 0.45,
    "out_of_contract": 1.25,
    "in_contract": -0.55,
    "log_years": -0.38,
    "rival": 0.45,
    "fading": -0.85,
    "more_products": -0.28,
}
SAVED = -0.9
REMINDED = 1.5
"""What a retention contact adds to the log odds of leaving: for most people, and for sleeping dogs."""


@dataclass(frozen=True)
class Mood:
    """What changes from month to month, one element per person."""

    discontent: Floats
    use: Floats
    """Drift of use on the log scale; below 0 is fading."""
    late: Floats
    """Late bills of about the last three months."""


def next_mood(
    mood: Mood, *, rise: Floats, unsolved: Ints, outage: Flags, late: Flags, thrift: Floats, impatience: Floats,
    rng: np.random.Generator,
) -> Mood:  # fmt: skip
    """Return the mood after a month.

    Parameters
    ----------
    mood : before the month
    rise : how much the price rose, as a share
    unsolved : tickets opened and not solved in time
    outage : whether the district's network failed
    late : whether the month's bill is paid late
    thrift, impatience : what people are like; 1 is ordinary
    rng : random generator
    """
    count = len(rise)
    hurt = 8.0 * rise * thrift + 0.75 * unsolved * impatience + 0.35 * outage * impatience
    return Mood(
        discontent=MEMORY * mood.discontent + hurt + rng.normal(0, 0.22, count),
        use=USE_MEMORY * mood.use + rng.normal(0, 0.28, count),
        late=0.67 * mood.late + late,
    )


def hazard(
    mood: Mood, *, contract_left: Ints, tenure: Ints, products: Ints, rival_pull: Floats, frailty: Floats,
    contact: Floats,
) -> Floats:  # fmt: skip
    """Return the probability of deciding to leave this month.

    Parameters
    ----------
    mood : the state of the person
    contract_left : months to the end of the minimum term, 0 or below when it is over
    tenure : months as a customer
    products : subscriptions held
    rival_pull : standardised speed of the competitor in the district
    frailty : the unexplained part
    contact : what a retention contact adds to the log odds, 0 without one
    """
    logit = (
        BASE
        + WEIGHTS["discontent"] * mood.discontent
        + WEIGHTS["late_bills"] * mood.late
        + np.where(contract_left <= 1, WEIGHTS["out_of_contract"], WEIGHTS["in_contract"])
        + WEIGHTS["log_years"] * np.log(tenure / 12 + 0.4)
        + WEIGHTS["rival"] * rival_pull
        + WEIGHTS["fading"] * mood.use
        + WEIGHTS["more_products"] * (products - 1)
        + frailty
        + contact
    )
    probability: Floats = expit(logit)
    return probability


def contact_effect(contacted: Flags, *, sleeping_dog: Flags) -> Floats:
    """Return what a retention contact adds to the log odds of leaving."""
    return np.where(contacted, np.where(sleeping_dog, REMINDED, SAVED), 0.0)


def late_probability(mood: Mood, *, strain: Floats) -> Floats:
    """Return the probability that the month's bill is paid late."""
    probability: Floats = expit(-2.9 + 0.9 * strain + 0.25 * mood.discontent)
    return probability
