"""The canonical tables: what every feed is mapped to, whatever its own columns are called."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from features.base.storage import digest_of

FieldType = Literal["text", "number", "time", "date"]
Kind = Literal["customers", "events", "holdings", "items", "interactions", "consents", "context"]

SQL_TYPES: dict[FieldType, str] = {
    "text": "VARCHAR",
    "number": "DOUBLE",
    "time": "TIMESTAMPTZ",
    "date": "DATE",
}


@dataclass(frozen=True)
class CanonicalTable:
    """One canonical table.

    Parameters
    ----------
    kind : its name
    fields : canonical columns and their types, in order
    timed : whether every row needs an ``event_time``
    about_customer : whether every row belongs to one customer, named by ``customer:``
    required : fields that a feed has to map
    keyed : whether a feed has to declare a key (otherwise a row's ordinal serves)
    """

    kind: Kind
    fields: dict[str, FieldType]
    timed: bool
    about_customer: bool
    required: tuple[str, ...] = ()
    keyed: bool = False


CANONICAL: dict[Kind, CanonicalTable] = {
    table.kind: table
    for table in (
        CanonicalTable(
            "customers",
            {
                "first_name": "text",
                "last_name": "text",
                "full_name": "text",
                "email": "text",
                "phone": "text",
                "birth_date": "date",
                "gender": "text",
                "street": "text",
                "city": "text",
                "postcode": "text",
                "region": "text",
                "country": "text",
                "company_name": "text",
                "national_id": "text",
            },
            timed=False,
            about_customer=False,
            keyed=True,
        ),
        CanonicalTable(
            "events",
            {
                "event": "text",
                "item": "text",
                "amount": "number",
                "quantity": "number",
                "channel": "text",
                "text": "text",
            },
            timed=True,
            about_customer=True,
        ),
        CanonicalTable(
            "holdings",
            {"item": "text", "held_from": "time", "held_to": "time", "price": "number"},
            timed=False,
            about_customer=True,
            required=("item", "held_from"),
        ),
        CanonicalTable(
            "items",
            {"item": "text", "name": "text", "group": "text", "price": "number"},
            timed=False,
            about_customer=False,
            keyed=True,
        ),
        CanonicalTable(
            "interactions",
            {
                "offer": "text",
                "channel": "text",
                "arm": "text",
                "selection_prob": "number",
                "outcome": "text",
                "outcome_time": "time",
            },
            timed=True,
            about_customer=True,
        ),
        CanonicalTable(
            "consents",
            {"purpose": "text", "status": "text", "basis": "text", "notice": "text"},
            timed=False,
            about_customer=True,
            required=("purpose", "status"),
        ),
        CanonicalTable("context", {"place": "text"}, timed=False, about_customer=False, required=("place",)),
    )
}

#: Fields that are money.
MONEY_FIELDS = ("amount", "price")
#: Fields of ``customers`` that identify a person; they stay out of every other table.
PERSONAL_FIELDS = (
    "first_name", "last_name", "full_name", "email", "phone", "birth_date", "street", "postcode", "national_id",
)  # fmt: skip


def attribute_name(feed: str, column: str) -> str:
    """Return the name under which a source's own column is kept.

    Examples
    --------
    >>> attribute_name("crm_sales", "Customer Segment")
    'crm_sales.customer_segment'
    """
    return f"{feed}.{snake_case(column)}"


def snake_case(column: str) -> str:
    """Return `column` in lower case with underscores.

    Examples
    --------
    >>> snake_case("CustomerID"), snake_case("Customer ID")
    ('customer_id', 'customer_id')
    """
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", column)
    return re.sub(r"[^0-9a-z]+", "_", split.lower()).strip("_") or "column"


#: Signs that tell categories apart ("A+" and "A-"), and how a column's name spells them.
_SIGNS = {"+": "plus", "%": "percent", "#": "hash", "*": "star", "<": "below", ">": "above"}
#: A minus stands before or after a word ("A-"); elsewhere the sign joins or separates words ("T-Shirt", "18-24").
_MINUS = re.compile(r"(?<![0-9A-Za-z])-(?=[0-9A-Za-z])|(?<=[0-9A-Za-z])-(?![0-9A-Za-z])")


def category_name(category: str) -> str:
    """Return a category as part of a column's name: in snake_case, with a digest where that would lose letters.

    Examples
    --------
    >>> category_name("Gift Wrap"), category_name("café")
    ('gift_wrap', 'cafe_28380f')
    >>> category_name("A+"), category_name("A-"), category_name("T-Shirt")
    ('a_plus', 'a_minus', 't_shirt')
    """
    if category.isascii():
        category = _MINUS.sub(" minus ", category)
        for sign, word in _SIGNS.items():
            category = category.replace(sign, f" {word} ")
        return snake_case(category)
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", category) if letter.isascii())
    mark = digest_of(category)[:6]
    return f"{snake_case(plain)}_{mark}" if any(map(str.isalnum, plain)) else f"w{mark}"


def equal_names(categories: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Return each name that several categories would share, with these categories.

    Examples
    --------
    >>> equal_names(["T-Shirt", "t shirt", "Mug"])
    [('t_shirt', ['T-Shirt', 't shirt'])]
    """
    found: dict[str, list[str]] = {}
    for category in sorted(set(categories)):
        found.setdefault(category_name(category), []).append(category)
    return [(name, same) for name, same in sorted(found.items()) if len(same) > 1]
