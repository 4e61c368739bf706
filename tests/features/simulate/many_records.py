"""Records of many invented people in two feeds, at the size of a real customer base, with the truth of who is who."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pyarrow as pa

from features.base.errors import UsageError
from features.simulate.arrays import Flags, Floats, Ints, Table, Text, days, instants, joined, padded, text, word
from features.simulate.calendar import DAY
from features.simulate.dirt import DIRT, Dirt, misspelt, noisy, put, without, wrong_date
from features.simulate.names import FIRST_NAMES, LAST_NAMES, SHORT_NAMES, STREETS
from features.simulate.places import TOWNS, Places, places
from features.simulate.random_streams import rng_for
from features.simulate.source_records import email, phone_number, phone_spelt, postcode
from features.simulate.truth import person_names

FEEDS = ("crm_sales", "crm_service")
RECORDS_A_PERSON = (0.48, 0.34, 0.13, 0.05)
"""Shares of the people with one, two, three and four records."""
BEGIN = 17_897  # 2019-01-01, days since 1970
END = 20_634  # 2026-06-30

_GIVEN = (*FIRST_NAMES, *("".join(parts) for parts in product(
    ("Al", "Bel", "Cor", "Dar", "Em", "Fer", "Jor", "Kal", "Lor", "Mar", "Nel", "Or", "Ros", "Sal", "Tor", "Val"),
    ("a", "e", "i", "o"),
    ("bel", "da", "lin", "mina", "na", "ric", "ron", "sa", "tta", "vin"),
)))  # fmt: skip
_FAMILY = (*LAST_NAMES, *(name + end for name in LAST_NAMES for end in ("s", "er", "son", "man", "ey")))


@dataclass(frozen=True)
class Crowd:
    """Many records, and whose they are.

    Parameters
    ----------
    records : table of ``feed``, ``record_id``, ``first_name``, ``last_name``, ``email``, ``phone``, ``birth_date``,
        ``street``, ``city``, ``postcode``, ``known_at``, ``updated_at``; one row a record, in feed and record order
    truth : table of ``feed``, ``key``, ``person``, in the same order
    clean : the same records as `records`, written without a fault
    """

    records: Table
    truth: Table
    clean: Table


@dataclass(frozen=True)
class _Persons:
    household: Ints
    """Whose address, surname and telephone number this one shares: mostly their own."""
    first: Ints
    last: Ints
    birth: Ints
    district: Ints
    street: Ints
    house: Ints
    inward: Ints


def many_records(n: int, seed: int, *, dirt: Dirt = DIRT) -> Crowd:
    """Return `n` records of about ``n / 1.75`` invented people.

    Parameters
    ----------
    n : how many records
    seed : of the random generator; the same arguments give the same records
    dirt : what is wrong with them, and how often

    Raises
    ------
    UsageError : fewer than one record
    """
    if n < 1:
        raise UsageError("simulate.records", "at least one record is needed", hint="ask for more records")
    rng = rng_for(seed, "many_records")
    where = places(rng_for(seed, "places"))
    who = np.repeat(np.arange(n), rng.choice(4, n, p=RECORDS_A_PERSON) + 1)[:n]
    persons = _persons(int(who[-1]) + 1, where, dirt, rng)
    later = np.concatenate([[False], who[1:] == who[:-1]])  # not the person's first record
    feed = np.where(later, rng.random(n) < 0.7, rng.random(n) < 0.35).astype(np.int64)
    number = 1_000_000 + rng.permutation(n)
    known = (BEGIN + rng.integers(0, END - BEGIN, n)) * DAY
    updated = known + (rng.random(n) * (END * DAY - known)).astype(np.int64)
    fixed = {
        "feed": word(FEEDS, feed),
        "record_id": joined(word(("S", "C"), feed), text(number)),
    }
    times = {"known_at": instants(known), "updated_at": instants(updated)}
    clean = _clean(persons, who, where)
    records = pa.table(fixed | _soiled(clean, persons, who, later=later, places=where, dirt=dirt, rng=rng) | times)
    truth = pa.table({"feed": fixed["feed"], "key": fixed["record_id"], "person": person_names(who)})
    order = np.lexsort((number, feed))  # numbers are all equally long
    return Crowd(records.take(order), truth.take(order), pa.table(fixed | clean | times).take(order))


def family_names(codes: Ints) -> Text:
    """Return the family name of each code, whatever the code."""
    return word(_FAMILY, codes % len(_FAMILY))


def _persons(count: int, where: Places, dirt: Dirt, rng: np.random.Generator) -> _Persons:
    household = np.arange(count) - ((rng.random(count) < dirt.same_household) & (np.arange(count) > 0))
    return _Persons(
        household=household,
        first=rng.choice(len(_GIVEN), count, p=_skewed(len(_GIVEN), rng)),
        last=rng.choice(len(_FAMILY), count, p=_skewed(len(_FAMILY), rng))[household],
        birth=END - (rng.uniform(18, 92, count) * 365.25).astype(np.int64),
        district=rng.choice(len(where.outward), count, p=where.share)[household],
        street=rng.integers(0, len(STREETS), count)[household],
        house=rng.integers(1, 190, count)[household],
        inward=rng.integers(0, 3_600, count)[household],
    )


def _skewed(count: int, rng: np.random.Generator) -> Floats:
    """Return shares as names have them: a few are everywhere, most are rare."""
    weight = 1.0 / (20.0 + rng.permutation(count))
    shares: Floats = weight / weight.sum()
    return shares


def _clean(persons: _Persons, who: Ints, where: Places) -> dict[str, Text]:
    first, last = word(_GIVEN, persons.first[who]), word(_FAMILY, persons.last[who])
    return {
        "first_name": first,
        "last_name": last,
        "email": email(first, last, who),
        "phone": joined("0", padded(phone_number(persons.household[who]), width=10)),
        "birth_date": days(persons.birth[who] * DAY),
        "street": joined(text(persons.house[who]), " ", word(STREETS, persons.street[who])),
        "city": word([town for town, *_ in TOWNS], where.town[persons.district[who]]),
        "postcode": postcode(where, district=persons.district[who], inward=persons.inward[who]),
    }


def _soiled(
    clean: dict[str, Text], persons: _Persons, who: Ints, *, later: Flags, places: Places, dirt: Dirt,
    rng: np.random.Generator,
) -> dict[str, Text]:  # fmt: skip
    count = len(who)

    def some(share: float) -> Flags:
        marked: Flags = rng.random(count) < share
        return marked

    short = word([SHORT_NAMES.get(name, name) for name in _GIVEN], persons.first[who])
    first = put(clean["first_name"], where=later & some(dirt.short_name), other=short)
    first = misspelt(first, where=some(dirt.misspelt / 2), rng=rng)
    other = email(short, clean["last_name"], who + count + 17)
    address = put(clean["email"], where=later & some(dirt.other_email), other=other)
    address = noisy(address, where=some(dirt.noisy_email), rng=rng)
    birth = wrong_date(persons.birth[who], where=some(dirt.wrong_birth_date), rng=rng)
    moved = later & some(dirt.moved)
    street = np.where(moved, rng.integers(0, len(STREETS), count), persons.street[who])
    house = np.where(moved, rng.integers(1, 190, count), persons.house[who])
    inward = np.where(moved, rng.integers(0, 3_600, count), persons.inward[who])
    return {
        "first_name": first,
        "last_name": misspelt(clean["last_name"], where=some(dirt.misspelt), rng=rng),
        "email": without(address, where=some(dirt.missing_email)),
        "phone": without(phone_spelt(phone_number(persons.household[who]), rng=rng), where=some(dirt.missing_phone)),
        "birth_date": days(birth * DAY, missing=some(dirt.missing_birth_date)),
        "street": joined(text(house), " ", word(STREETS, street)),
        "city": clean["city"],
        "postcode": postcode(places, district=persons.district[who], inward=inward),
    }
