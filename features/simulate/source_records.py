"""The records of the two CRMs, which describe the same people differently."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.simulate.arrays import NEVER, Flags, Ints, Table, Text, days, joined, padded, text, wall_clock, word
from features.simulate.calendar import DAY
from features.simulate.dirt import Dirt, misspelt, noisy, put, without, wrong_date
from features.simulate.names import FIRST_NAMES, LAST_NAMES, POSTCODE_LETTERS, SHORT_NAMES, STREETS
from features.simulate.people import People
from features.simulate.places import TOWNS, Places

DOMAINS = ("example.com", "example.org", "example.net")
SEGMENTS = ("value", "core", "premium")
FOUND_US = ("shop", "web", "phone", "door", "friend")
DRAMA_NUMBERS = 1_000  # 07700 900000 to 900999, kept by Ofcom for fiction


@dataclass(frozen=True)
class SourceRecords:
    """Which records a CRM has of whom; one element per record, the people's first records first."""

    person: Ints
    number: Ints
    opened: Ints
    first_row: Ints
    """Per person: the row of their first record, -1 where they have none."""
    second_row: Ints
    """Per person: the row of their second record, or of the first where there is no second."""

    def row_at(self, person: Ints, at: Ints, *, moved_at: Ints) -> Ints:
        """Return the record that is in use at the time."""
        return np.where(at >= moved_at[person], self.second_row[person], self.first_row[person])


def source_records(
    *, first: Flags, second: Flags, opened: Ints, reopened: Ints, lowest: int, rng: np.random.Generator
) -> SourceRecords:
    """Return the records of a CRM.

    Parameters
    ----------
    first, second : who has a record, and who has a second
    opened, reopened : when, seconds since 1970
    lowest : the lowest record number; numbers say nothing about when or whose
    rng : random generator
    """
    ones, twos = np.flatnonzero(first), np.flatnonzero(first & second)
    person = np.concatenate([ones, twos])
    first_row = np.full(len(first), -1)
    first_row[ones] = np.arange(len(ones))
    second_row = first_row.copy()
    second_row[twos] = len(ones) + np.arange(len(twos))
    return SourceRecords(
        person=person,
        number=lowest + rng.permutation(len(person)) * 7 + 3,
        opened=np.concatenate([opened[ones], reopened[twos]]),
        first_row=first_row,
        second_row=second_row,
    )


def phone_number(serial: Ints) -> Ints:
    """Return a ten-digit number (without the leading 0) that belongs to nobody; see the package's first page."""
    return np.where(serial < DRAMA_NUMBERS, 7_700_900_000 + serial, 7_000_000_000 + serial)


def phone_spelt(number: Ints, *, rng: np.random.Generator) -> Text:
    """Return telephone numbers in the spellings that people use."""
    front, back = text(number // 1_000_000), padded(number % 1_000_000, width=6)
    spellings = (
        joined("0", front, " ", back), joined("+44 ", front, " ", back), joined("0", front, back),
        joined("+44", front, back), joined("0", front, "-", back),
    )  # fmt: skip
    kind = rng.choice(len(spellings), len(number), p=(0.4, 0.22, 0.2, 0.12, 0.06))
    return pc.choose(pa.array(kind), *spellings)


def email(first: Text, last: Text, serial: Ints) -> Text:
    """Return an address that nobody can have; the serial keeps namesakes apart."""
    return joined(
        pc.utf8_lower(first), ".", pc.utf8_lower(last), text(serial), "@", word(DOMAINS, serial % len(DOMAINS))
    )


def postcode(places: Places, *, district: Ints, inward: Ints) -> Text:
    """Return postcodes: the district, then the second half, which has 3,600 forms."""
    letters = list(POSTCODE_LETTERS)
    digit, rest = inward // 400 + 1, inward % 400
    return joined(word(places.outward, district), " ", text(digit), word(letters, rest // 20), word(letters, rest % 20))


def sales_crm(
    people: People, accounts: SourceRecords, *, places: Places, login: Text, left_at: Ints, end: int, dirt: Dirt,
    rng: np.random.Generator,
) -> Table:  # fmt: skip
    """Return crm_sales: whoever holds an account is a customer; times are naive, in London."""
    who, count = accounts.person, len(accounts.person)
    again = np.arange(count) > accounts.first_row.max()
    first, last = word(FIRST_NAMES, people.first[who]), word(LAST_NAMES, people.last[who])
    address = email(first, last, who)
    typed = misspelt(last, where=rng.random(count) < dirt.misspelt / 2, rng=rng)
    called = misspelt(first, where=rng.random(count) < dirt.misspelt / 2, rng=rng)
    called = put(called, where=again & (rng.random(count) < 0.3), other=pc.utf8_slice_codeunits(called, 0, 1))
    birth = wrong_date(people.birth[who], where=rng.random(count) < dirt.wrong_birth_date / 2, rng=rng) * DAY
    address = without(
        noisy(address, where=rng.random(count) < dirt.noisy_email, rng=rng),
        where=rng.random(count) < np.where(again, 0.45, 0.02),
    )
    phone = without(
        phone_spelt(phone_number(people.household[who]), rng=rng), where=rng.random(count) < np.where(again, 0.4, 0.04)
    )
    # the second account is at the new home
    street = np.where(again, rng.integers(0, len(STREETS), count), people.street[who])
    house = np.where(again, rng.integers(1, 190, count), people.house[who])
    inward = np.where(again, rng.integers(0, 3_600, count), people.inward[who])
    touched = accounts.opened + (rng.random(count) * np.maximum(end - accounts.opened, 1)).astype(np.int64)
    segment = np.searchsorted((-0.5, 0.5), people.means[who] + rng.normal(0, 0.5, count))
    return pa.table(
        {
            "account_no": text(accounts.number),
            "fname": called,
            "lname": typed,
            "sex": word(("M", "F"), people.female[who].astype(np.int64)),
            "dob": days(birth, missing=rng.random(count) < dirt.missing_birth_date / 2),
            "email_addr": address,
            "tel": phone,
            "street": joined(text(house), " ", word(STREETS, street)),
            "town": word([town for town, *_ in TOWNS], places.town[people.district[who]]),
            "postcode": postcode(places, district=people.district[who], inward=inward),
            "district": word(places.outward, people.district[who]),
            "segment": word(SEGMENTS, segment),
            "found_us": word(FOUND_US, rng.choice(len(FOUND_US), count, p=(0.3, 0.38, 0.15, 0.05, 0.12))),
            "portal_login": login,
            "status": word(("open", "closed"), (left_at[who] < end).astype(np.int64)),
            "opened": wall_clock(accounts.opened),
            "modified": wall_clock(np.where(rng.random(count) < 0.35, touched, accounts.opened)),
        }
    ).sort_by("account_no")


def service_crm(
    people: People, contacts: SourceRecords, *, places: Places, end: int, dirt: Dirt, rng: np.random.Generator
) -> Table:
    """Return crm_service: whoever ever got in touch is a customer; other columns, other spellings."""
    who, count = contacts.person, len(contacts.person)
    again = np.arange(count) > contacts.first_row.max()
    stranger = people.holder[who] & (rng.random(count) < dirt.stranger)
    first, last = word(FIRST_NAMES, people.first[who]), word(LAST_NAMES, people.last[who])
    short = word([SHORT_NAMES.get(name, name) for name in FIRST_NAMES], people.first[who])
    called = put(first, where=rng.random(count) < dirt.short_name, other=short)
    called = put(called, where=rng.random(count) < 0.04, other=joined(pc.utf8_slice_codeunits(called, 0, 1), "."))
    typed = misspelt(last, where=stranger | (rng.random(count) < dirt.misspelt), rng=rng)
    called = misspelt(called, where=rng.random(count) < dirt.misspelt / 2, rng=rng)

    other = stranger | (rng.random(count) < dirt.other_email)
    address = put(email(first, last, who), where=other, other=email(short, last, who + len(people) + 17))
    address = noisy(address, where=rng.random(count) < dirt.noisy_email, rng=rng)
    address = without(address, where=rng.random(count) < np.where(again, 0.4, dirt.missing_email))
    serial = np.where(stranger, people.household[who] + len(people) + DRAMA_NUMBERS, people.household[who])
    phone = phone_spelt(phone_number(serial), rng=rng)
    phone = without(phone, where=rng.random(count) < np.where(again, 0.4, dirt.missing_phone))
    wrong = rng.random(count) < np.where(stranger, 0.3, dirt.wrong_birth_date)
    birth = wrong_date(people.birth[who], where=wrong, rng=rng) * DAY
    moved = stranger | (rng.random(count) < dirt.moved)
    street = np.where(moved, rng.integers(0, len(STREETS), count), people.street[who])
    house = np.where(moved, rng.integers(1, 190, count), people.house[who])
    inward = np.where(moved, rng.integers(0, 3_600, count), people.inward[who])
    touched = contacts.opened + (rng.random(count) * np.maximum(end - contacts.opened, 1)).astype(np.int64)
    return pa.table(
        {
            "contact_id": joined("C", text(contacts.number)),
            "name": joined(called, " ", typed),
            "born": pc.strftime(
                days(birth, missing=rng.random(count) < dirt.missing_birth_date).cast(pa.timestamp("s")),
                format="%d/%m/%Y",
            ),
            "mail": address,
            "mobile": phone,
            "address": joined(text(house), " ", word(STREETS, street)),
            "city": word([town for town, *_ in TOWNS], places.town[people.district[who]]),
            "zip": postcode(places, district=people.district[who], inward=inward),
            "prefers": word(("phone", "mail", "chat"), rng.choice(3, count, p=(0.5, 0.3, 0.2))),
            "relation": word(("guest", "account"), people.holder[who].astype(np.int64)),
            "first_seen": wall_clock(contacts.opened),
            "last_edit": wall_clock(np.where(rng.random(count) < 0.5, touched, contacts.opened)),
        }
    ).sort_by("contact_id")


def logins(count: int, *, rng: np.random.Generator) -> Text:
    """Return portal logins as the web log keeps them: sixteen hexadecimal digits each, saying nothing."""
    digits = rng.bytes(8 * count).hex().encode()
    offsets = np.arange(0, 16 * count + 1, 16, dtype=np.int32)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(digits))


def moves(joined_at: Ints, left_at: Ints, *, movers: Flags, end: int, rng: np.random.Generator) -> Ints:
    """Return when people's bills move to their second account, ``NEVER`` for most."""
    until = np.minimum(left_at, end)
    at = joined_at + (rng.uniform(0.3, 0.95, len(joined_at)) * (until - joined_at)).astype(np.int64)
    return np.where(movers, at // DAY * DAY + 10 * 3_600, NEVER)
