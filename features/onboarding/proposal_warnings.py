"""Warnings about a proposal that most people would not want: amounts that count as no event, rows that name nobody."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from features.base.database_engine import literal, one_row, quoted
from features.onboarding.answers import may_leak
from features.onboarding.column_profile import text_of
from features.onboarding.column_roles import PERSONS, PersonColumn, Roles
from features.onboarding.fields import map_fields
from features.onboarding.proposal import ProposedFeed, columns_read

_HALF = 0.5
#: Times of a record, and not of what somebody did.
_OF_RECORD = frozenset(["created", "changed", "loaded", "subscribed", "optout", "later"])


def warn_of_amounts(roles: Roles, feed: ProposedFeed) -> str:
    """Return a warning where rows hold amounts and times and are proposed as customers or items; empty elsewhere.

    A record's own id beside the time of its creation, a running total, and the price of an item are as they should be.
    """
    table = roles.given.table
    money = map_fields("events", table, taken=feed.key).get("amount")
    amounts = [table.columns[name] for name in columns_read(money.value, table)] if money else []
    times = [time for time in roles.times if time.share >= _HALF]
    key = table.columns.get(feed.key[0]) if len(feed.key) == 1 else None
    if key is not None and key.is_unique and key.meaning & (PERSONS | {"item"}):
        times = [time for time in times if not time.meaning & _OF_RECORD]
    if feed.kind == "items":
        amounts = [amount for amount in amounts if "price" not in amount.meaning]
    if not amounts or not times or any(may_leak(amount) for amount in amounts):
        return ""
    named = ", ".join(amount.name for amount in amounts)
    return (
        f"amounts and times of {roles.given.source} count as no event; it is read as {feed.kind}, though it has "
        f"{named} and {times[0].name} on its rows: if they are purchases, declare {feed.name} with kind: events"
    )


def warn_of_left_out(roles: Roles, why: str) -> list[str]:
    """Return a warning where a source that is left out holds amounts and times; none elsewhere."""
    table, when = roles.given.table, roles.when()
    money = map_fields("events", table).get("amount")
    if money is None or when is None:
        return []
    named = ", ".join(sorted(columns_read(money.value, table)))
    return [f"{roles.given.source} is left out, though it has {named} and {when.name} on its rows: {why}"]


def warn_of_nobody(
    engine: duckdb.DuckDBPyConnection, roles: Roles, feed: ProposedFeed, named: Sequence[PersonColumn]
) -> str:
    """Return a warning where most rows of a source name nobody and are not used; empty elsewhere.

    Parameters
    ----------
    engine : holds the rows
    roles, feed : the source and the feed that is proposed for it
    named : the columns that say whose a row is
    """
    tests = []
    for person in named:
        text = text_of(person.name, person.column.sql_type)
        nobody = f" AND {text} NOT IN ({', '.join(map(literal, person.nobody))})" if person.nobody else ""
        tests.append(f"({text} IS NOT NULL{nobody})")
    table = roles.given.table
    (known,) = one_row(engine, f"SELECT count(*) FILTER ({' OR '.join(tests)}) FROM {quoted(table.table)}")
    if known >= _HALF * table.rows:
        return ""
    rows = f"{table.rows - known:,} of {'' if table.complete else 'the first '}{table.rows:,} rows"
    return (
        f"most of {roles.given.source} names nobody: {rows} are not used, for "
        f"{' and '.join(person.name for person in named)} of {feed.name} hold nothing there; "
        "add the file or the column that says whose they are"
    )
