"""Feeds of customers: of their own sources, or derived from the rows of their activities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from features.config.canonical import PERSONAL_FIELDS
from features.onboarding.column_names import may_leak, names_person, plain
from features.onboarding.column_profile import ColumnProfile, TableProfile
from features.onboarding.customer_links import LINKED, Overlaps, customer_columns, naming_columns
from features.onboarding.fields import birth_parts, map_fields
from features.onboarding.kinds import key_of
from features.onboarding.proposal import CustomerLink, ProfiledSource, ProposedFeed, Reasoned, columns_read, reference
from features.onboarding.time_formats import find_moments, zone_reason

ROW = "row"
_ALL_ALIKE = "every row tells of somebody, and none says whose it is"


def propose_customers(
    given: ProfiledSource, why: str, before: Sequence[ProposedFeed], overlaps: Overlaps
) -> ProposedFeed:
    """Return the feed of a source with one row a customer.

    Parameters
    ----------
    given, why : the source, and why it is one of customers
    before : feeds of customers that are proposed already; this one is linked to them where values say so
    overlaps : of the sources' columns
    """
    table = given.table
    unique = key_of(table)
    settings: dict[str, Reasoned] = {}
    key: tuple[str, ...]
    if unique is not None:
        key, key_why = (unique.name,), f"{unique.distinct:,} different values in {table.rows:,} rows"
    elif repeated := _repeated_key(table):
        key, key_why = (repeated.name,), f"{repeated.distinct:,} different values in {table.rows:,} rows"
        settings["duplicates"] = Reasoned("keep_last", "several rows share a key: the last one counts")
    else:
        key, key_why = (
            (ROW,),
            f"no column tells the rows apart: {_ALL_ALIKE}, so each row is a record; "
            "give a key before the file is delivered anew",
        )
    fields = map_fields("customers", table, taken=() if key == (ROW,) else key)
    settings |= _times(table)
    proposed = ProposedFeed(
        given.name,
        given,
        "customers",
        why,
        key,
        key_why,
        settings=settings,
        fields=fields,
        pii=personal_columns(table, fields, key),
        hints=tuple(_hints(table)),
    )
    return _linked(proposed, before, overlaps)


def customers_of(
    given: ProfiledSource, whose: ColumnProfile, taken: Sequence[str], link: CustomerLink | None
) -> ProposedFeed:
    """Return a second feed over a source of activities: the customers whose rows they are.

    Parameters
    ----------
    given : the source
    whose : its column that names the customer
    taken : columns that mean something else in the feed of activities
    link : to feeds of customers that know some of them
    """
    table = given.table
    moment = find_moments(table).happened
    settings = {"duplicates": Reasoned("keep_first", "a customer has many rows, and is known from the first on")}
    if moment is not None:
        settings["updated_at"] = Reasoned(moment[1].expression, moment[1].reason)
        zone = zone_reason([moment[1]])
        if zone:
            settings["timezone"] = Reasoned("UTC", zone)
    if whose.filled < table.rows:
        empty = table.rows - whose.filled
        typed = whose.sql_type == "VARCHAR"
        test = f"trim({reference(whose.name)}) <> ''" if typed else f"{reference(whose.name)} IS NOT NULL"
        settings["where"] = Reasoned(test, f"{empty:,} rows name no customer")
    fields = map_fields("customers", table, taken=[whose.name, *taken])
    return ProposedFeed(
        f"{given.name}_customers",
        given,
        "customers",
        f"nothing else says who the {whose.distinct:,} customers of {given.name} are",
        (whose.name,),
        f"{whose.distinct:,} different values; one row of each is kept",
        link,
        settings,
        fields,
        drop=tuple(table.columns),
    )


def personal_columns(table: TableProfile, fields: dict[str, Reasoned], key: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the columns that identify people and are not mapped to a personal field."""
    texts = [mapped.value for field, mapped in fields.items() if field in PERSONAL_FIELDS]
    mapped = frozenset[str]().union(*(columns_read(text, table) for text in texts))
    of_birth = birth_parts(table) or ()
    return tuple(
        column.name
        for column in table.columns.values()
        if column.name not in mapped
        and column.name not in key
        and column.filled
        and (
            names_person(column.name)
            or column.name in of_birth
            or column.share("email") >= LINKED
            or plain(column.name) in ("email", "phone", "telephone", "mobile", "date_of_birth", "dob", "birth_date")
        )
    )


def _repeated_key(table: TableProfile) -> ColumnProfile | None:
    whose = customer_columns(table)
    return next((column for column in whose if column.filled == table.rows), None)


def _times(table: TableProfile) -> dict[str, Reasoned]:
    moments = find_moments(table)
    found = {}
    for setting, named in (("updated_at", moments.changed), ("known_at", moments.known)):
        if named is not None and named[0] not in moments.empty:
            found[setting] = named[1]
    zone = zone_reason(list(found.values()))
    mapped = {setting: Reasoned(reading.expression, reading.reason) for setting, reading in found.items()}
    return mapped | ({"timezone": Reasoned("UTC", zone)} if zone else {})


def _hints(table: TableProfile) -> list[str]:
    leaks = [name for name in table.columns if may_leak(name)]
    hints = []
    if leaks:
        hints.append(
            f"{', '.join(leaks)}: may say as of today what a model of the past should foretell; "
            "the proposed views leave them out"
        )
    moments = find_moments(table)
    if moments.changed is None and moments.known is None:
        hints.append("no column says when a row was known: it counts from when the file was written; see known_at")
    if table.copies:
        hints.append(f"{table.copies:,} rows equal another one in every column")
    return hints


def _linked(proposed: ProposedFeed, before: Sequence[ProposedFeed], overlaps: Overlaps) -> ProposedFeed:
    found = overlaps.best(proposed.given.table, naming_columns(proposed.given.table), before)
    if found is None or found[1] < LINKED or proposed.key == (ROW,):
        return proposed
    link, _ = found
    other = next(feed for feed in before if feed.name == link.feed)
    same, reason = overlaps.agree(link, proposed, other)
    if not same:
        hint = f"not linked to {other.name}, though {reason}: equal values there are not the same people"
        return replace(proposed, hints=(*proposed.hints, hint))
    return replace(proposed, link=replace(link, reason=reason))
