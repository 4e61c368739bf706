"""The simulated company: people, their behaviour, the feeds of each source system, and the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from features.base.errors import UsageError
from features.simulate.arrays import NEVER, Flags, Ints, Table, Text, chosen
from features.simulate.behaviour import simulate_behaviour
from features.simulate.billing import bill_feed, subscription_feed
from features.simulate.calendar import DAY, Calendar, by_day, calendar
from features.simulate.clicks import click_feed
from features.simulate.consents import Consents, consent_feed, consents
from features.simulate.contacts import contact_feed
from features.simulate.dirt import DIRT, Dirt, put
from features.simulate.history import SimulatedHistory
from features.simulate.people import People, people
from features.simulate.places import Places, open_data, places
from features.simulate.products import catalogue
from features.simulate.random_streams import rng_for
from features.simulate.source_records import SourceRecords, logins, moves, sales_crm, service_crm, source_records
from features.simulate.surveys import survey_feed
from features.simulate.tickets import ticket_feed
from features.simulate.till import till_feed
from features.simulate.truth import (
    contact_truth,
    hazard_truth,
    keys,
    offer_truth,
    people_truth,
    record_truth,
    taste_truth,
)

LOWEST_ACCOUNT, LOWEST_CONTACT = 10_000_000, 300_000
UNKNOWN_CONTACT = "C999999999"
MONTH = 30 * DAY
PORTAL = 0.45  # customers whom the service desk's system knows although they never wrote


@dataclass(frozen=True)
class SimulatedCompany:
    """Feeds as the source systems would export them, and the truth; both by name."""

    feeds: Mapping[str, Table]
    truth: Mapping[str, Table]


@dataclass(frozen=True)
class _RecordNumbers:
    """Record numbers of both CRM systems, by person and time."""

    accounts: SourceRecords
    contacts: SourceRecords
    moved_at: Ints

    def account(self, person: Ints, at: Ints) -> Ints:
        return self.accounts.number[self.accounts.row_at(person, at, moved_at=self.moved_at)]


def simulate(
    *, customers: int, seed: int, end: date = date(2026, 6, 30), months: int = 24, dirt: Dirt = DIRT
) -> SimulatedCompany:
    """Simulate the demo company.

    Parameters
    ----------
    customers : how many people; about 92 of 100 hold an account, the others are only known to the service desk
    seed : of the random generator; the same arguments give the same company, byte for byte
    end : the last day on which anything is written down
    months : how many months of feeds there are
    dirt : what is wrong with the feeds, and how often

    Returns
    -------
    SimulatedCompany : feeds and truth, as Arrow tables

    Raises
    ------
    UsageError : if there are fewer than 50 people or 3 months, or ``end`` lies outside 1990 to 2100
    """
    if customers < 50 or months < 3:
        raise UsageError(
            "simulate-too-small",
            f"{customers} customers over {months} months are too few",
            hint="take 50 and 3 or more",
        )
    if not 1990 <= end.year <= 2100:
        raise UsageError("simulate-end", f"the year {end.year} lies outside 1990 to 2100", hint="choose another end")
    time = calendar(end=end, months=months)
    regions = places(rng_for(seed, "places"))
    persons = people(
        customers,
        places=regions,
        end=end,
        months=months,
        households=dirt.same_household,
        rng=rng_for(seed, "people"),
    )
    joined_at = _joined(persons, time, rng=rng_for(seed, "joining"))
    allowed = consents(joined_at, holder=persons.holder, rng=rng_for(seed, "consents"))
    past = _until(simulate_behaviour(
        persons, places=regions, calendar=time, consents=allowed, joined_at=joined_at, rng=rng_for(seed, "behaviour")
    ), end=time.end)  # fmt: skip
    numbers = _record_numbers(persons, past, end=time.end, dirt=dirt, rng=rng_for(seed, "books"))
    return SimulatedCompany(
        feeds=_feeds(persons, regions, past, allowed, numbers, time=time, dirt=dirt, seed=seed),
        truth=_truth(persons, past, numbers),
    )


def _joined(persons: People, time: Calendar, *, rng: np.random.Generator) -> Ints:
    """Return when each became a customer; newcomers on the day before their first bill."""
    old = time.start - persons.tenure * MONTH + persons.billing_day * DAY
    new = time.month_starts[persons.joins] + (persons.billing_day - 2) * DAY
    return by_day(np.where(persons.joins > 0, new, old), uniform=rng.random(len(persons)))


def _until(past: SimulatedHistory, *, end: int) -> SimulatedHistory:
    """Return the history without what comes after the end, each kind in order of time."""

    def order(at: Ints, *others: Ints) -> Ints:
        by_time = np.lexsort((*others, at))
        return by_time[at[by_time] < end]

    return replace(
        past,
        bills=chosen(past.bills, order(past.bills.at, past.bills.person)),
        tickets=chosen(past.tickets, order(past.tickets.at, past.tickets.person)),
        clicks=chosen(past.clicks, order(past.clicks.at, past.clicks.person)),
        purchases=chosen(past.purchases, order(past.purchases.at, past.purchases.group, past.purchases.person)),
        contacts=chosen(past.contacts, order(past.contacts.at, past.contacts.person)),
        answers=chosen(past.answers, order(past.answers.at, past.answers.person)),
        hazards=chosen(past.hazards, order(past.hazards.at, past.hazards.person)),
    )


def _record_numbers(
    persons: People, past: SimulatedHistory, *, end: int, dirt: Dirt, rng: np.random.Generator
) -> _RecordNumbers:
    count = len(persons)
    second: Flags = rng.random(count) < dirt.second_account
    movers: Flags = second & (rng.random(count) < 0.5)
    moved_at = moves(past.joined_at, past.left_at, movers=movers & persons.holder, end=end, rng=rng)
    reopened = np.where(
        movers, moved_at, past.joined_at + (rng.random(count) * (end - past.joined_at)).astype(np.int64)
    )
    known = past.joined_at < end
    accounts = source_records(
        first=persons.holder & known, second=second & (reopened < end), opened=past.joined_at, reopened=reopened,
        lowest=LOWEST_ACCOUNT, rng=rng,
    )  # fmt: skip

    wrote = np.zeros(count, bool)
    wrote[past.tickets.person] = True
    wrote[past.answers.person] = True
    seen = np.minimum(np.maximum(past.joined_at, end - 1_400 * DAY), end - DAY)
    seen = np.where(persons.holder, seen, end - (rng.random(count) * 900 * DAY).astype(np.int64))
    first_ticket = np.full(count, NEVER)
    np.minimum.at(first_ticket, past.tickets.person, past.tickets.at - 600)
    first_seen = np.minimum(np.where(rng.random(count) < 0.5, seen, first_ticket), first_ticket)
    first_seen = np.where(first_seen == NEVER, seen, first_seen)
    again = first_seen + (rng.random(count) * np.maximum(end - first_seen, 1)).astype(np.int64)
    contacts = source_records(
        first=wrote | ~persons.holder | (known & (rng.random(count) < PORTAL)),
        second=rng.random(count) < dirt.second_contact, opened=first_seen, reopened=again,
        lowest=LOWEST_CONTACT, rng=rng,
    )  # fmt: skip
    return _RecordNumbers(accounts=accounts, contacts=contacts, moved_at=moved_at)


def _feeds(
    persons: People,
    regions: Places,
    past: SimulatedHistory,
    allowed: Consents,
    numbers: _RecordNumbers,
    *,
    time: Calendar,
    dirt: Dirt,
    seed: int,
) -> Mapping[str, Table]:
    accounts, end = numbers.accounts, time.end
    login = logins(len(accounts.person), rng=rng_for(seed, "logins"))
    first = np.where(accounts.first_row < 0, 0, accounts.number[accounts.first_row])
    clicks = past.clicks
    tickets = ticket_feed(
        past.tickets, contact=_contact(numbers, past.tickets.person, dirt=dirt, rng=rng_for(seed, "ticket contacts")),
        late_share=dirt.late_ticket, end=end, rng=rng_for(seed, "tickets"),
    )  # fmt: skip
    return {
        "crm_sales": sales_crm(
            persons, accounts, places=regions, login=login, left_at=past.left_at, end=end, dirt=dirt,
            rng=rng_for(seed, "sales"),
        ),
        "crm_service": service_crm(
            persons, numbers.contacts, places=regions, end=end, dirt=dirt, rng=rng_for(seed, "service")
        ),
        "billing": bill_feed(
            past.bills, account=numbers.account(past.bills.person, past.bills.at), end=end, dirt=dirt,
            rng=rng_for(seed, "billing"),
        ),
        "subscriptions": subscription_feed(
            past.holdings, first_account=first, second_account=accounts.number[accounts.second_row],
            moved_at=numbers.moved_at, end=end,
        ),
        "till": till_feed(
            past.purchases, account=numbers.account(past.purchases.person, past.purchases.at), end=end, dirt=dirt,
            rng=rng_for(seed, "till"),
        ),
        "web_clicks": click_feed(
            clicks, login=login, account_row=accounts.row_at(clicks.person, clicks.at, moved_at=numbers.moved_at),
            known=rng_for(seed, "logged in").random(len(clicks.at)) >= dirt.anonymous_click,
            rng=rng_for(seed, "clicks"),
        ),
        "tickets": tickets,
        "survey": survey_feed(
            past.answers,
            contact=_contact(numbers, past.answers.person, dirt=None, rng=rng_for(seed, "survey contacts")),
            rng=rng_for(seed, "survey"),
        ),
        "campaign_contacts": contact_feed(
            past.contacts, account=numbers.account(past.contacts.person, past.contacts.at), end=end
        ),
        "consents": consent_feed(allowed, account=first, end=end),
        "products": catalogue(),
        "postcode_open_data": open_data(regions),
    }  # fmt: skip


def _contact(numbers: _RecordNumbers, person: Ints, *, dirt: Dirt | None, rng: np.random.Generator) -> Text:
    """Return the contact that each ticket or answer was filed under: either of two, where there are two."""
    contacts = numbers.contacts
    row = np.where(rng.random(len(person)) < 0.5, contacts.second_row[person], contacts.first_row[person])
    names = keys(contacts.number[row], prefix="C")
    if dirt is None:
        return names
    lost = rng.random(len(person)) < dirt.unknown_customer
    return put(names, where=lost, other=UNKNOWN_CONTACT)


def _truth(persons: People, past: SimulatedHistory, numbers: _RecordNumbers) -> Mapping[str, Table]:
    return {
        "records": record_truth(
            sales=(keys(numbers.accounts.number), numbers.accounts.person),
            service=(keys(numbers.contacts.number, prefix="C"), numbers.contacts.person),
        ),
        "people": people_truth(persons, joined_at=past.joined_at, left_at=past.left_at),
        "tastes": taste_truth(persons),
        "hazards": hazard_truth(past.hazards),
        "contacts": contact_truth(past.contacts),
        "offers": offer_truth(past.prospects),
    }
