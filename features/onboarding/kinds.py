"""Which canonical table a source belongs to, decided by its columns, the surest sign first."""

from __future__ import annotations

from collections.abc import Iterator

from features.config.canonical import PERSONAL_FIELDS, Kind, snake_case
from features.onboarding.column_names import names_id, names_item, names_person, names_place
from features.onboarding.column_profile import ColumnProfile, TableProfile
from features.onboarding.customer_links import customer_columns
from features.onboarding.fields import map_fields
from features.onboarding.proposal import ProfiledSource
from features.onboarding.time_formats import find_moments

_PERSON = 2  # a product has a name too
_LINES = 1.5  # rows a customer: from here on they are what customers do, whoever is named on them
_EVENTS = {
    "stay": "hotel stay stays booking bookings",
    "review": "review reviews rating ratings",
    "redemption": "redemption redemptions",
    "ticket": "ticket tickets case cases complaint complaints",
    "payment": "payment payments",
    "bill": "bill bills billing invoices",
    "visit": "visit visits click clicks session sessions pageview pageviews",
    "purchase": "purchase purchases order orders sale sales transaction transactions retail till receipt receipts",
}


def is_customers(given: ProfiledSource) -> str:
    """Return why a source holds customers; empty where it does not."""
    table = given.table
    if consents_why(table) or _holdings_of_their_own(table) or (_is_offered(table) and not _person(table)):
        return ""
    unique = next((column for column in customer_columns(table) if table.is_unique(column)), None)
    if unique is not None:
        return f"{unique.name} tells every one of its {table.rows:,} rows from the others"
    person = _person(table)
    if len(person) < _PERSON:
        return ""
    whose = customer_columns(table)
    if whose and find_moments(table).happened and table.rows > _LINES * whose[0].distinct and _is_dealt(table):
        return ""
    return f"it holds {', '.join(person)}"


def consents_why(table: TableProfile) -> str:
    """Return why a source holds consents; empty where it does not."""
    fields = map_fields("consents", table)
    if {"purpose", "status"} <= set(fields) and find_moments(table).happened and customer_columns(table):
        return "each row says who allowed or refused what, and when"
    return ""


def kind_of_activity(given: ProfiledSource) -> tuple[Kind, str]:
    """Return the kind, and the reason, of a source whose rows are about customers and have a time."""
    table = given.table
    if why := consents_why(table):
        return "consents", why
    if _is_offered(table):
        return "interactions", "each row is an offer that a customer was shown, with what came of it"
    if _is_held(table):
        return "holdings", "each row is something that a customer holds, from a day on"
    return "events", "each row is something that a customer did at a time"


def event_type(given: ProfiledSource, fields: set[str]) -> tuple[str, str]:
    """Return the type of a source's events, and why."""
    found = set(given.name.split("_")) | set(snake_case(given.source).split("_"))
    for event, named in _EVENTS.items():
        if event != "purchase" and set(named.split()) & found:
            return event, "by the source's name; the same for every row"
    if set(_EVENTS["purchase"].split()) & found:
        return "purchase", "by the source's name; the same for every row"
    if {"amount", "item"} <= fields or {"amount", "quantity"} <= fields:
        return "purchase", "a row has an amount and what was bought; the same for every row"
    return given.name.removesuffix("s") or "event", "the source's name; the same for every row"


def is_items(table: TableProfile) -> ColumnProfile | None:
    """Return the key of a source of items; None where it holds none."""
    return next((c for c in _unique(table) if names_item(c.name) and names_id(c.name)), None)


def is_context(table: TableProfile) -> ColumnProfile | None:
    """Return the key of a source of places; None where it holds none."""
    return next((column for column in _unique(table) if names_place(column.name)), None)


def key_of(table: TableProfile) -> ColumnProfile | None:
    """Return the column that identifies each row: a customer's own id before any other."""
    unique = [c for c in _unique(table) if names_id(c.name) or c in customer_columns(table)]
    unique = [column for column in unique if not names_person(column.name)]
    whose = customer_columns(table)
    return next((c for c in unique if c in whose), unique[0] if unique else None)


def _unique(table: TableProfile) -> Iterator[ColumnProfile]:
    for column in table.columns.values():
        if table.is_unique(column) and not column.is_time and column.sql_type not in ("DOUBLE", "FLOAT"):
            yield column


def _is_dealt(table: TableProfile) -> bool:
    return bool({"amount", "item", "quantity"} & set(map_fields("events", table)))


def _is_offered(table: TableProfile) -> bool:
    """Return whether rows are offers with an outcome and a time."""
    fields = set(map_fields("interactions", table))
    return (
        "offer" in fields and bool({"outcome", "selection_prob"} & fields) and find_moments(table).happened is not None
    )


def _person(table: TableProfile) -> list[str]:
    return [field for field in map_fields("customers", table) if field in PERSONAL_FIELDS]


def _is_held(table: TableProfile) -> bool:
    return "item" in map_fields("holdings", table) and find_moments(table).held is not None


def _holdings_of_their_own(table: TableProfile) -> bool:
    """Return whether rows have an own id beside the customer's, an item and a start, and no person's name."""
    own = [c for c in _unique(table) if names_id(c.name) and c not in customer_columns(table)]
    return bool(own) and _is_held(table) and not _person(table) and bool(customer_columns(table))
