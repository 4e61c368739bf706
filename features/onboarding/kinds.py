"""Which canonical table the rows of a source belong to, by what repeats, what is unique, and what has a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from features.config.canonical import PERSONAL_FIELDS, Kind
from features.onboarding.amounts import is_money
from features.onboarding.column_profile import ColumnProfile, TableProfile
from features.onboarding.column_roles import DEALINGS, PERSONS, REPEATS, Roles
from features.onboarding.consent_columns import is_consent_file
from features.onboarding.customer_links import LINKED
from features.onboarding.fields import map_fields
from features.onboarding.proposal import Reasoned
from features.onboarding.record_versions import RecordVersions

_PERSON = 2  # a product has a name too
_FULL = 0.95
_DAY = timedelta(days=1)
_EVENTS = {
    "booking": "stay",
    "review": "review",
    "redemption": "redemption",
    "ticket": "ticket",
    "answer": "answer",
    "deal": "deal",
    "order": "purchase",
    "invoice": "purchase",
    "payment": "payment",
    "bill": "bill",
    "usage": "usage",
    "visit": "visit",
}


def is_customers(roles: Roles, versions: RecordVersions | None = None) -> str:
    """Return why a source holds one row a customer, or the versions of each; empty where it does not."""
    table = roles.given.table
    apart = versions is not None and (not roles.own_ids or len(person_fields(table)) >= _PERSON)
    if versions is not None and apart and not is_held(roles) and not is_consent_file(roles):
        return f"it holds versions of {versions.records:,} different {versions.record.name}, none at the same time"
    if is_consent_file(roles) or is_offered(roles) or is_held(roles) or is_dealings(roles):
        return ""
    unique = next((c for c in roles.own_ids if c.meaning & PERSONS or c.meaning <= {"id", "record"}), None)
    person = person_fields(table)
    if unique is not None and (unique.meaning & PERSONS or person):
        return f"{unique.name} tells every one of its {table.rows:,} rows from the others"
    own = next((p for p in roles.persons if p.column.is_own and p.share > LINKED and p.kind != "bank"), None)
    if own is not None and (own.kind != "phone" or person):
        return f"{own.name} is another one on nearly every row"
    return f"it holds {', '.join(person)}" if len(person) >= _PERSON else ""


def is_dealings(roles: Roles) -> bool:
    """Return whether rows are what people do: they have a time, and people repeat or the rows have ids of their own."""
    if not roles.persons or roles.when() is None:
        return False
    about = roles.about
    own = bool(roles.own_ids) and bool(about & DEALINGS) and not about & PERSONS
    table = roles.given.table
    if "fill_down" in roles.given.settings and _is_dealt(roles):
        return True  # what belongs to one order stands on its first line alone
    if _is_done(roles):
        return True
    known_twice = roles.repeats >= REPEATS and (
        own or len(person_fields(table)) < _PERSON or _is_dealt(roles) or roles.repeats >= 2
    )
    if (
        any(column.is_unique and column.meaning & PERSONS and column.is_code for column in table.columns.values())
        and not own
    ):
        return False
    if known_twice or own or (roles.repeats > 1 and _is_dealt(roles) and bool(roles.file_meaning & DEALINGS)):
        return True
    return any(time.clock for time in roles.times) and _is_sold(roles)


def kind_of_dealings(roles: Roles, *, linked: bool = False) -> tuple[Kind, str]:
    """Return the kind, and the reason, of a source whose rows are about customers and have a time."""
    if is_consent_file(roles):
        return "consents", "each row says who allowed or refused what, and when"
    if is_offered(roles):
        return "interactions", "each row is an offer that a customer was shown, with what came of it"
    if is_held(roles, linked=linked):
        return "holdings", "each row is something that a customer holds, from a day on"
    return "events", "each row is something that a customer did at a time"


def event_type(roles: Roles, fields: set[str]) -> tuple[str, str]:
    """Return the type of a source's events, and why; the name of its folder has no say."""
    for found, why in (
        (roles.about, "by the rows' own id or the file's name"),
        (roles.file_meaning, "by the file's name"),
    ):
        for meaning, event in _EVENTS.items():
            if meaning in found and not (event == "payment" and "item" in fields):
                return event, f"{why}; the same for every row"
    columns = frozenset[str]().union(*(c.meaning for c in roles.given.table.columns.values() if "id" in c.meaning))
    bought = {"amount", "item"} <= fields or {"amount", "quantity"} <= fields or _is_sold(roles)
    if bought or columns & {"order", "invoice"}:
        return "purchase", "a row has an amount and what was bought; the same for every row"
    named = next((event for meaning, event in _EVENTS.items() if meaning in columns), "")
    if named:
        return named, "by the ids of the rows; the same for every row"
    words = {word for column in roles.given.table.columns.values() for word in column.words}
    if "text" in fields and (words & {"priority", "assignee", "requester"} or columns & {"staff", "requester"}):
        return "ticket", "a row has a text, and somebody who deals with it; the same for every row"
    if roles.times and roles.times[0].meaning & {"payment"}:
        return "payment", "by the name of its time; the same for every row"
    return roles.given.name.removesuffix("s") or "event", "the source's name; the same for every row"


def event_column(roles: Roles) -> ColumnProfile | None:
    """Return the column that says of which type each event is."""
    ranked: list[tuple[int, ColumnProfile]] = []
    for column in roles.given.table.columns.values():
        meaning = column.meaning
        few = 1 < column.distinct <= 60 and column.share("code") >= 0.98 and column.share("digits") < 0.5
        if (
            not few
            or not column.share_filled >= 0.999
            or column.is_boolean
            or meaning & {"id", "time", "date", "status"}
        ):
            continue
        if "event" in meaning and meaning <= {"event", "type", "name"}:
            ranked.append((0, column))
        elif column.words == ("type",) or {"type"} < meaning <= roles.about | {"type", "usage", "event"}:
            ranked.append((1, column))
    return min(ranked, key=lambda found: found[0])[1] if ranked else None


def is_items(table: TableProfile) -> ColumnProfile | None:
    """Return the key of a source of items; None where it holds none."""
    return next((c for c in table.columns.values() if c.is_unique and c.is_code and {"item", "id"} <= c.meaning), None)


def is_context(table: TableProfile) -> ColumnProfile | None:
    """Return the key of a source of places; None where it holds none."""
    places = {"postcode", "city", "region", "country", "area", "district", "place"}
    found = (c for c in table.columns.values() if c.is_unique and not c.is_time and c.meaning & places)
    return next((c for c in found if c.sql_type not in ("DOUBLE", "FLOAT")), None)


def person_fields(table: TableProfile) -> list[str]:
    """Return the personal fields that a source's columns hold; a postcode may be that of a place."""
    return [field for field in map_fields("customers", table) if field in PERSONAL_FIELDS and field != "postcode"]


def is_offered(roles: Roles) -> bool:
    """Return whether rows are offers or campaigns with an outcome or a time of sending, to somebody."""
    fields = map_fields("interactions", roles.given.table)
    if "offer" not in fields or roles.when() is None or len(person_fields(roles.given.table)) >= 3:
        return False
    named = bool(_meaning(roles, fields["offer"]) & {"campaign", "offer"})
    known = {"outcome", "selection_prob"} & fields.keys()
    return len(known) == 2 or (named and bool(known or roles.named("sent")) and not roles.about & {"order", "payment"})


def is_held(roles: Roles, *, linked: bool = False) -> bool:
    """Return whether rows are subscriptions or contracts: something held, from a day on.

    Parameters
    ----------
    linked : whether values say whose the rows are, where no name does
    """
    fields = map_fields("holdings", roles.given.table)
    if "item" not in fields or held_times(roles)[0] is None or not (roles.persons or linked):
        return False
    about = roles.about | roles.file_meaning
    if about & {"subscription", "plan"}:
        return True
    own = [c for c in roles.own_ids if not c.meaning & PERSONS]
    return bool(own) and held_times(roles)[1] is not None and len(person_fields(roles.given.table)) < _PERSON


def held_times(roles: Roles) -> tuple[str | None, str | None]:
    """Return the names of the columns from when, and until when, something is held."""
    plain = [t for t in roles.times if not t.meaning & {"trial", "period", "current", "usage", "later"}]
    start = next((t.name for t in plain if "start" in t.meaning and t.share >= 0.95), None)
    start = start or next((t.name for t in plain if t.meaning & {"created"} and t.share >= 0.95), None)
    end = next((t.name for t in plain if "end" in t.meaning and t.name != start), None)
    return start, end


def _meaning(roles: Roles, mapped: Reasoned) -> frozenset[str]:
    column = roles.given.table.columns.get(mapped.value)
    return column.meaning if column else frozenset()


def _is_sold(roles: Roles) -> bool:
    """Return whether a row is a line of an order: an item, how many of it, and its price."""
    fields = map_fields("events", roles.given.table)
    priced = any("price" in column.meaning and is_money(column) for column in roles.given.table.columns.values())
    return priced and {"amount", "item", "quantity"} <= fields.keys()


def _is_done(roles: Roles) -> bool:
    """Return whether each row is something that took somebody less than a day: it starts and ends at a time of day."""
    clocked = [t for t in roles.times if t.clock and t.share >= _FULL and t.first and t.last]
    start = next((t for t in clocked if "start" in t.meaning), None)
    end = next((t for t in clocked if "end" in t.meaning), None)
    if start is None or end is None:
        return False
    ranges = [(start.first, end.first), (start.last, end.last)]
    return all(timedelta(0) <= _moment(after) - _moment(before) < _DAY for before, after in ranges)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _is_dealt(roles: Roles) -> bool:
    return bool({"amount", "item", "quantity"} & map_fields("events", roles.given.table).keys())
