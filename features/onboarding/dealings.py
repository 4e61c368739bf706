"""The feed of a source whose rows are about customers: when, what, worth what, and which rows are one dealing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import duckdb
import yaml

from features.base.database_engine import one_row, quoted
from features.config.canonical import Kind
from features.ingest.money import currency_columns, minor_unit_columns
from features.onboarding.amounts import is_money, times_price
from features.onboarding.column_profile import MANY_GROUPS, ColumnProfile, TableProfile, is_constant, stands_once
from features.onboarding.column_roles import DEALINGS, PERSONS, Roles, TimeColumn
from features.onboarding.consent_columns import consent_file_fields
from features.onboarding.fields import map_fields, personal_columns
from features.onboarding.kinds import event_column, event_type, held_times
from features.onboarding.proposal import ProposedFeed, Reasoned, columns_read, reference

_MOST_PAIRS = 2 / 3  # of an item's prices for different quantities, how many have to agree
ZONE_WHY = "the times carry no zone; UTC is a guess: write the zone of the system that they come from"


@dataclass(frozen=True)
class FeedDraft:
    """A feed before it is linked."""

    feed: ProposedFeed


def draft_feed(
    engine: duckdb.DuckDBPyConnection, roles: Roles, kind: Kind, why: str, whose: Sequence[str]
) -> FeedDraft:
    """Return the feed of a source of dealings, without its link.

    Parameters
    ----------
    engine : holds the rows
    roles : the source
    kind, why : its canonical table, and the reason
    whose : columns that say whose the rows are
    """
    given, table = roles.given, roles.given.table
    settings: dict[str, Reasoned] = {}
    fields: dict[str, Reasoned] = {}
    columns: dict[str, Reasoned] = {}
    used: list[TimeColumn] = []
    when = roles.named("sent", least=0.95) if kind == "interactions" else None
    when = when or roles.when()
    if kind == "holdings":
        start, end = (next((t for t in roles.times if t.name == name), None) for name in held_times(roles))
        for field, time in (("held_from", start), ("held_to", end)):
            if time is not None:
                fields[field] = Reasoned(time.expression, time.reason)
                used.append(time)
    elif when is not None:
        settings["event_time"] = Reasoned(when.expression, when.reason)
        used.append(when)
    recorded = roles.named("loaded", least=1.0, but=[time.name for time in used])
    if recorded is not None:
        settings["known_at"] = Reasoned(recorded.expression, recorded.reason)
        used.append(recorded)
    key = next((c for c in roles.own_ids if c.name not in whose), None)
    taken = [*whose, *(name for time in roles.times for name in time.columns), *([key.name] if key else [])]
    if kind == "consents":
        fields, columns, _, where = consent_file_fields(roles)
        settings |= {"where": where} if where else {}
    else:
        fields |= map_fields(kind, table, taken=taken)
    if kind == "interactions" and "outcome" in fields:
        came = roles.named("outcome", "answer", but=[time.name for time in used])
        if came is not None:
            fields["outcome_time"] = Reasoned(came.expression, came.reason)
            used.append(came)
    feed = ProposedFeed(
        given.name, given, kind, why, (key.name,) if key else (), settings=settings, fields=fields, columns=columns
    )
    if key is not None:
        feed = replace(feed, key_why=f"{key.distinct:,} different values in {table.rows:,} rows")
    if kind == "events":
        feed = _with_line_total(engine, table, _one_row_a_dealing(engine, roles, feed, whose))
        feed = _typed(roles, feed)
    settings = dict(feed.settings) | _money(engine, roles, feed)
    if any(not time.zoned for time in used):
        utc = any("utc" in time.meaning or "gmt" in time.meaning for time in used)
        settings["timezone"] = Reasoned("UTC", "the column's name says so" if utc else ZONE_WHY)
    hints = [*feed.hints]
    if not feed.key and table.copies:
        hints.append(
            f"no column tells the rows apart, and {table.copies:,} equal another one; all count. "
            "If they are mistakes: duplicates: drop_identical"
        )
    others = [time.name for time in roles.times if time not in used]
    if others and used:
        hints.append(f"the time is {used[0].name}, and not {', '.join(others[:4])}")
    read = {mapped.value for mapped in feed.fields.values()}
    people = [name for name in personal_columns(table, {}) if name not in read and name not in whose]
    return FeedDraft(replace(feed, settings=settings, times=conventions(used), pii=tuple(people), hints=tuple(hints)))


def _money(engine: duckdb.DuckDBPyConnection, roles: Roles, feed: ProposedFeed) -> dict[str, Reasoned]:
    """Return in which currency a feed's amounts are, where its columns say it, and which are in cents."""
    table, mapped = roles.given.table, feed.fields.get("amount") or feed.fields.get("price")
    if mapped is None:
        return {}
    relation, texts = quoted(table.table), [c.name for c in table.columns.values() if c.sql_type == "VARCHAR"]
    found: dict[str, Reasoned] = {}
    codes = currency_columns(engine, relation, texts)
    amount = table.columns.get(mapped.value)
    converted = amount is not None and "converted" in amount.meaning
    fitting = {
        name: there for name, there in codes.items() if ("converted" in table.columns[name].meaning) == converted
    }
    if converted and not fitting and amount is not None:
        fitting = {name: there for name, there in codes.items() if len(there) == 1}
    if fitting:
        name, there = next(iter(fitting.items()))
        why = (
            f"it holds {there[0]} alone so far; company.rates converts others"
            if len(there) == 1
            else f"it holds {len(there)} currencies; company.rates converts them"
        )
        found["currency"] = Reasoned(name, why)
    numbers = [c.name for c in table.columns.values() if c.name in columns_read(mapped.value, table)]
    beside = [c.name for c in table.columns.values() if is_money(c)]
    cents = {name: why for name, why in minor_unit_columns(engine, relation, beside).items() if name in numbers}
    if cents:
        found["minor_units"] = Reasoned(f"[{', '.join(map(reference, cents))}]", next(iter(cents.values())))
    return found


def conventions(times: Sequence[TimeColumn]) -> dict[str, str]:
    """Return how the times are written, by column, where the column alone does not say it."""
    return {
        time.name: time.reading.convention
        for time in times
        if time.reading is not None and time.reading.convention != "iso"
    }


def _typed(roles: Roles, feed: ProposedFeed) -> ProposedFeed:
    """Return the feed with the type of its events: a column, one word, or purchase and return."""
    column = event_column(roles)
    if column is not None:
        return replace(feed, fields={"event": Reasoned(column.name, f"{column.distinct} types"), **feed.fields})
    event, why = event_type(roles, set(feed.fields))
    mapped = feed.fields.get("quantity")
    quantity = roles.given.table.columns.get(mapped.value) if mapped else None
    if event == "purchase" and quantity is not None and quantity.share("negative") > 0:
        number = reference(quantity.name)
        number = f"try_cast({number} as double)" if quantity.sql_type == "VARCHAR" else number
        text = f"CASE WHEN {number} < 0 THEN 'return' ELSE 'purchase' END"
        return replace(feed, fields={"event": Reasoned(text, "pieces below 0 are brought back"), **feed.fields})
    return replace(feed, settings={"event": Reasoned(event, why), **feed.settings})


def _with_line_total(engine: duckdb.DuckDBPyConnection, table: TableProfile, feed: ProposedFeed) -> ProposedFeed:
    """Return the feed with a price that is the total of its line not multiplied, as the prices of one item show."""
    amount, quantity, item = (feed.fields.get(field) for field in ("amount", "quantity", "item"))
    if amount is None or quantity is None or amount.value in table.columns:
        return feed
    price = next(iter(columns_read(amount.value, table) - {quantity.value}), "")
    if quantity.value not in columns_read(amount.value, table) or price not in table.columns:
        return feed
    grown = pairs = 0
    sort = item.value if item is not None and item.value in table.columns else ""
    if sort:
        pieces, paid = (
            f"try_cast(replace(CAST({quoted(name)} AS VARCHAR), ',', '.') AS DOUBLE)"
            for name in (quantity.value, price)
        )
        pairs, grown = one_row(
            engine,
            f"""
            WITH lines AS (
                SELECT {quoted(sort)} AS sort, ln({pieces}) AS pieces, median(ln({paid})) AS price
                FROM {quoted(table.table)} WHERE {pieces} > 0 AND {paid} > 0 AND {quoted(sort)} IS NOT NULL GROUP BY ALL
            ), pairs AS (
                SELECT pieces - first_value(pieces) OVER least AS pieces, price - first_value(price) OVER least AS price
                FROM lines WINDOW least AS (PARTITION BY sort ORDER BY pieces)
            )
            SELECT count(*), count(*) FILTER (abs(price - pieces) < abs(price)) FROM pairs WHERE pieces > 0
            """,
        )
    if pairs and grown >= _MOST_PAIRS * pairs:
        found = Reasoned(price, f"for one {sort} it grows with {quantity.value}: the total of the line")
    elif pairs and grown <= (1 - _MOST_PAIRS) * pairs:
        found = Reasoned(amount.value, f"{amount.reason}: it does not grow with {quantity.value}")
    else:
        why = (
            f"no item decides whether {price} is the price of one or the total of the line: write it alone if the total"
        )
        found = Reasoned(amount.value, f"{amount.reason}; {why}")
    return replace(feed, fields={**feed.fields, "amount": found})


def _one_row_a_dealing(
    engine: duckdb.DuckDBPyConnection, roles: Roles, feed: ProposedFeed, whose: Sequence[str]
) -> ProposedFeed:
    """Return the feed with each amount once, also where an order takes several rows."""
    table, mapped = roles.given.table, feed.fields.get("amount")
    amount = table.columns.get(mapped.value) if mapped else None
    if amount is None:
        return feed
    filled = roles.given.settings.get("fill_down")
    within = yaml.safe_load(filled.value)["within"] if filled is not None else None
    for group in table.columns.values():
        if group.name in whose or not (group.name == within or _groups(group)):
            continue
        heads = stands_once(engine, table.table, group.name, amount.name)
        named = group.distinct >= MANY_GROUPS or bool(group.meaning & DEALINGS)
        if amount.share_filled < 0.999 and heads:
            where = f"trim(cast({reference(amount.name)} as varchar)) <> ''"
            lines = table.rows - amount.filled
            why = (
                f"{amount.name} stands on one row of each {group.name}: one event each; {lines:,} rows are lines of it"
            )
            fields = {name: value for name, value in feed.fields.items() if name not in ("item", "quantity")}
            return replace(
                feed,
                key=(group.name,),
                key_why=f"{group.distinct:,} different values",
                fields=fields,
                settings={**feed.settings, "where": Reasoned(where, why)},
            )
        when = next((t for t in roles.times if feed.settings["event_time"].value == t.expression), None)
        once = when is not None and is_constant(engine, table, group.name, when.name)
        once = once and named and is_constant(engine, table, group.name, amount.name)
        if once and _has_lines(engine, table.table, group.name):
            return _once(roles, feed, group, amount)
    return feed


def _once(roles: Roles, feed: ProposedFeed, group: ColumnProfile, amount: ColumnProfile) -> ProposedFeed:
    """Return the feed of orders whose total stands on each line: lines with prices, or one row an order."""
    table = roles.given.table
    others = map_fields("events", table, taken=[amount.name, *(t.name for t in roles.times)]).get("amount")
    price = table.columns.get(others.value) if others else None
    quantity = feed.fields.get("quantity")
    if others is not None and price is None:
        return replace(feed, fields={**feed.fields, "amount": others})
    if price is not None and quantity is not None and "price" in price.meaning and quantity.value in table.columns:
        return replace(feed, fields={**feed.fields, "amount": times_price(table, quantity.value, price.name)})
    fields = {name: value for name, value in feed.fields.items() if name not in ("item", "quantity")}
    why = f"{amount.name} is repeated on each row of {group.name}: one event each"
    settings = {**feed.settings, "duplicates": Reasoned("keep_first", why)}
    return replace(
        feed, key=(group.name,), key_why=f"{group.distinct:,} different values", fields=fields, settings=settings
    )


def _groups(column: ColumnProfile) -> bool:
    """Return whether a column may tell which rows are one order."""
    named = bool(column.meaning & (DEALINGS | {"id", "name"})) and not column.meaning & (
        PERSONS | {"item", "date", "time"}
    )
    few = 1.02 * column.distinct < column.filled < 30 * column.distinct
    return named and few and column.share_filled > 0.99 and column.share("code") > 0.9 and column.distinct > 1


def _has_lines(engine: duckdb.DuckDBPyConnection, table: str, group: str) -> bool:
    several, total = one_row(
        engine,
        f"""
        SELECT count(*) FILTER (lines > 1), count(*)
        FROM (SELECT count(*) AS lines FROM {quoted(table)} GROUP BY {quoted(group)})
        """,
    )
    return bool(several >= 0.05 * total)
