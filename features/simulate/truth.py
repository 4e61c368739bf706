"""The true values of the simulation, separate from the feeds: for evaluation, never for training."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.simulate.arrays import NEVER, Ints, Table, Text, days, instants, joined, padded, text, word
from features.simulate.campaigns import OFFERS
from features.simulate.contacts import contact_numbers
from features.simulate.history import Contacts, Hazards, Prospects
from features.simulate.people import ARCHETYPES, People
from features.simulate.products import GROUP_NAMES


def person_names(person: Ints) -> Text:
    """Return the true identity of each person: ``P`` and eight digits."""
    return joined("P", padded(person, width=8))


def record_truth(*, sales: tuple[Text, Ints], service: tuple[Text, Ints]) -> Table:
    """Return which record is whose, one row per record of both CRMs."""
    (account, holder), (contact, caller) = sales, service
    return pa.table(
        {
            "feed": pa.array(["crm_sales"] * len(account) + ["crm_service"] * len(contact)),
            "key": pa.concat_arrays([account, contact]),
            "person": person_names(np.concatenate([holder, caller])),
        }
    )


def people_truth(people: People, *, joined_at: Ints, left_at: Ints) -> Table:
    """Return one row per person: what they are like, and when they came and went.

    Those who have given notice by the end, but whose last month is still running, have a ``left_at`` after the end.
    """
    return pa.table(
        {
            "person": person_names(np.arange(len(people))),
            "customer": pa.array(people.holder),
            "archetype": word([kind.name for kind in ARCHETYPES], people.archetype),
            "joined_at": days(np.where(people.holder, joined_at, NEVER)),
            "left_at": days(left_at),
            "sleeping_dog": pa.array(people.sleeping_dog),
            "frailty": people.frailty,
        }
    )


def taste_truth(people: People) -> Table:
    """Return people by product groups, log scale."""
    columns = {group: people.taste[:, number].astype(np.float32) for number, group in enumerate(GROUP_NAMES)}
    return pa.table({"person": person_names(np.arange(len(people))), **columns})


def hazard_truth(hazards: Hazards) -> Table:
    """Return the probability of deciding to leave, one row per person and period."""
    return pa.table(
        {
            "person": person_names(hazards.person),
            "period": hazards.period,
            "begins_at": instants(hazards.at),
            "hazard": hazards.hazard,
        }
    )


def contact_truth(contacts: Contacts) -> Table:
    """Return the true probability of each logged contact's response, without and with its offer."""
    return pa.table(
        {
            "contact_no": contact_numbers(len(contacts.at)),
            "person": person_names(contacts.person),
            "without": contacts.without,
            "with": contacts.with_offer,
        }
    )


def offer_truth(prospects: Prospects) -> Table:
    """Return what each offer would do to each customer in the month after the end.

    ``uplift`` is the change in the probability of the response; ``leaving_with`` above ``leaving_without`` marks those
    who leave because of the contact.
    """
    return pa.table(
        {
            "person": person_names(prospects.person),
            "offer": word([offer.id for offer in OFFERS], prospects.offer),
            "response_without": prospects.response_without,
            "response_with": prospects.response_with,
            "uplift": prospects.response_with - prospects.response_without,
            "leaving_without": prospects.leaving_without,
            "leaving_with": prospects.leaving_with,
        }
    )


def keys(numbers: Ints, *, prefix: str = "") -> Text:
    """Return record numbers as the CRM writes them."""
    return joined(prefix, text(numbers)) if prefix else text(numbers)
