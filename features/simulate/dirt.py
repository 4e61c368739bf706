"""Errors that are put into the feeds on purpose, and how often each occurs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.simulate.arrays import Flags, Ints, Text, joined


@dataclass(frozen=True)
class Dirt:
    """Shares, each of the rows (or people) that it names."""

    second_account: float = 0.04
    """Account holders with a second record in crm_sales; half of them moved house, and their bills moved with them."""
    second_contact: float = 0.03
    """Contacts with a second record in crm_service; tickets go to either."""
    same_household: float = 0.01
    """People who share address, surname and telephone with another person: an exact match that is wrong."""
    stranger: float = 0.06
    """Contacts whose record shares nothing exact with their account: only the true values link them."""
    misspelt: float = 0.05
    """Names with a letter swapped, dropped or doubled, in either CRM."""
    short_name: float = 0.25
    """Contacts known as Liz where the account says Elizabeth, of those whose name has a short form."""
    moved: float = 0.06
    """Contacts whose address is an old one."""
    wrong_birth_date: float = 0.03
    missing_birth_date: float = 0.12
    missing_email: float = 0.10
    missing_phone: float = 0.12
    other_email: float = 0.08
    """Contacts who gave the service desk another e-mail address."""
    noisy_email: float = 0.15
    """E-mails with capitals or with white space around them."""
    bad_date: float = 0.0005
    """Dates such as 31/02/2026 in billing."""
    bad_amount: float = 0.001
    """Amounts such as n/a in billing."""
    repeated_bill: float = 0.001
    """Billing rows delivered twice, byte for byte."""
    late_ticket: float = 0.06
    """Tickets that are loaded 2 to 12 days after the night on which they should have been."""
    returned: float = 0.05
    """Goods brought back, as a row with a negative quantity."""
    no_card: float = 0.25
    """Goods sold in a shop without the loyalty card, and so without a customer."""
    unknown_customer: float = 0.003
    """Till rows and tickets of numbers that are in no CRM."""
    anonymous_click: float = 0.20
    """Clicks without login."""


DIRT = Dirt()


def put(values: Text, *, where: Flags, other: Text | str) -> Text:
    """Return the values with others in the places that ``where`` marks."""
    return pc.if_else(pa.array(where), other, values)


def without(values: Any, *, where: Flags) -> Any:
    """Return the values with nulls in the places that ``where`` marks."""
    return pc.if_else(pa.array(where), pa.scalar(None, values.type), values)


def misspelt(names: Text, *, where: Flags, rng: np.random.Generator) -> Text:
    """Return names of which the marked ones have two letters swapped, one dropped or one doubled."""
    old = names.filter(pa.array(where)).to_numpy(zero_copy_only=False).astype("U")
    if not len(old):
        return names
    width = old.dtype.itemsize // 4 + 1
    letters = old.astype(f"U{width}").view("U1").reshape(len(old), width)
    size = np.char.str_len(old)
    place = 1 + (rng.random(len(old)) * np.maximum(size - 2, 1)).astype(np.int64)  # the first letter is mostly right
    column = np.arange(width)[None, :]
    kind = rng.integers(0, 3, len(old))[:, None]
    at = place[:, None]
    swapped = np.where(column == at, at + 1, np.where(column == at + 1, at, column))
    dropped = column + (column >= at)
    doubled = column - (column > at)
    source = np.where(kind == 0, swapped, np.where(kind == 1, dropped, doubled)).clip(0, width - 1)
    source = np.where((kind == 0) & (at + 1 >= size[:, None]), column, source)
    new = np.ascontiguousarray(np.take_along_axis(letters, source, axis=1)).view(f"U{width}").ravel()
    return pc.replace_with_mask(names, pa.array(where), pa.array(new.tolist(), pa.string()))


def noisy(emails: Text, *, where: Flags, rng: np.random.Generator) -> Text:
    """Return e-mails of which the marked ones have capitals, or white space around them."""
    kind = rng.integers(0, 3, len(emails))
    emails = put(emails, where=where & (kind == 0), other=pc.utf8_upper(emails))
    emails = put(emails, where=where & (kind == 1), other=pc.utf8_capitalize(emails))
    return put(emails, where=where & (kind == 2), other=joined(" ", emails, " "))


def wrong_date(days: Ints, *, where: Flags, rng: np.random.Generator) -> Ints:
    """Return dates (days since 1970) of which the marked ones have day and month swapped, or another year."""
    date = days.astype("datetime64[D]")
    month = date.astype("datetime64[M]")
    day_of_month = (date - month).astype(np.int64) + 1
    month_of_year = month.astype(np.int64) % 12 + 1
    year = date.astype("datetime64[Y]").astype("datetime64[M]")
    swapped = ((year + (day_of_month - 1)).astype("datetime64[D]") + (month_of_year - 1)).astype(np.int64)
    other_year = days + np.where(rng.random(len(days)) < 0.5, 365, -365)
    return np.where(where, np.where((day_of_month <= 12) & (day_of_month != month_of_year), swapped, other_year), days)
