"""Propose feeds: customers first, then their activities and holdings, then items and places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import duckdb

from features.base.errors import BadData
from features.config.canonical import Kind
from features.onboarding.column_names import names_customer, names_id, plain
from features.onboarding.column_profile import ColumnProfile, TableProfile
from features.onboarding.customer_feeds import ROW, customers_of, personal_columns, propose_customers
from features.onboarding.customer_links import COMPLETE, LINKED, Overlaps, customer_columns
from features.onboarding.fields import map_fields
from features.onboarding.kinds import (
    event_type,
    is_context,
    is_customers,
    is_items,
    key_of,
    kind_of_activity,
)
from features.onboarding.proposal import (
    CustomerLink,
    ProfiledSource,
    Proposal,
    ProposedFeed,
    Reasoned,
    SkippedSource,
    reference,
)
from features.onboarding.time_formats import find_moments, zone_reason

#: Beside an id with fewer customers than this in common, sources speak of other people.
_SOME = 0.05
_PLACES = ("postcode", "city", "region", "country")


def propose(engine: duckdb.DuckDBPyConnection, sources: Sequence[ProfiledSource]) -> Proposal:
    """Return the feeds that are proposed for sources, with the reasons.

    Parameters
    ----------
    engine : holds the sources' rows, in the tables that their profiles name
    sources : in the order in which they were given

    Raises
    ------
    BadData : no source has customers
    """
    overlaps = Overlaps(engine)
    made: dict[str, list[ProposedFeed]] = {given.name: [] for given in sources}
    customers: list[ProposedFeed] = []
    for given in sources:
        why = is_customers(given)
        if why:
            feed = propose_customers(given, why, customers, overlaps)
            customers.append(feed)
            made[given.name].append(feed)
    rest = [given for given in sources if not made[given.name]]
    left: list[SkippedSource] = []
    for given in sorted(rest, key=_customers_named, reverse=True):
        found = _activities(given, customers, overlaps)
        if isinstance(found, SkippedSource):
            left.append(found)
        else:
            made[given.name] += found
            customers += [feed for feed in found if feed.kind == "customers"]
    rest = [given for given in rest if not made[given.name] and all(one.name != given.name for one in left)]
    if not customers:
        rest = _rows_as_customers(rest, customers, made, overlaps)
    for given in rest:
        thing = _items(given) or _context(given, customers, overlaps)
        if thing is None:
            left.append(SkippedSource(given.name, given.source, "no column refers to a customer, an item or a place"))
        else:
            made[given.name].append(thing)
    if not customers:
        raise BadData(
            "init.no_customers",
            "no column of the files names a customer, and none of the files has one row a customer",
            hint="add the file of the customers",
        )
    return Proposal(tuple(feed for given in sources for feed in made[given.name]), tuple(left))


def _customers_named(given: ProfiledSource) -> int:
    columns = customer_columns(given.table)
    return columns[0].distinct if columns else 0


def _activities(
    given: ProfiledSource, customers: Sequence[ProposedFeed], overlaps: Overlaps
) -> list[ProposedFeed] | SkippedSource:
    """Return the feeds of a source whose rows are about customers; none where they are not."""
    table = given.table
    named = customer_columns(table)
    candidates = named or [column for column in table.columns.values() if names_id(column.name)]
    best = overlaps.best(table, candidates, customers)
    if best is not None and best[1] < (_SOME if named else LINKED):
        best = None
    if best is None and not named:
        return []
    whose = table.columns[best[0].own] if best is not None else named[0]
    kind, why = kind_of_activity(given)
    if find_moments(table).happened is None:
        return _without_time(given, whose, best)
    feed = _feed(given, kind, why, whose)
    if best is not None and best[1] >= COMPLETE:
        return [replace(feed, link=best[0])]
    made = customers_of(given, whose, [mapped.value for mapped in feed.fields.values()], best[0] if best else None)
    reason = f"{made.name} is made of the same rows"
    return [made, replace(feed, link=CustomerLink(made.name, whose.name, whose.name, reason))]


def _without_time(
    given: ProfiledSource, whose: ColumnProfile, best: tuple[CustomerLink, float] | None
) -> list[ProposedFeed] | SkippedSource:
    why = f"{whose.name} refers to customers, but no column holds a time"
    if not names_customer(whose.name) and best is None:
        return []
    if best is None:
        return SkippedSource(given.name, given.source, why)
    kind: Kind = "interactions" if "offer" in map_fields("interactions", given.table) else "events"
    feed = _feed(given, kind, why, whose)
    settings = {
        "event_time": Reasoned("TIMESTAMP '2000-01-01 00:00:00'", "set the time: one for all rows, or an expression")
    }
    settings |= {"timezone": Reasoned("UTC", "")} | dict(feed.settings)
    return SkippedSource(given.name, given.source, why, replace(feed, link=best[0], settings=settings))


def _feed(given: ProfiledSource, kind: Kind, why: str, whose: ColumnProfile) -> ProposedFeed:
    table = given.table
    moments = find_moments(table)
    happened = moments.happened
    settings: dict[str, Reasoned] = {}
    used = [whose.name]
    if kind == "interactions":
        decided = moments.named(("decision", "shown", "sent", "contact"))
        happened = decided or happened
    readings = []
    if kind == "holdings":
        readings = [reading for named in moments.held or () if named is not None for reading in [named[1]]]
    elif happened is not None:
        settings["event_time"] = Reasoned(happened[1].expression, happened[1].reason)
        readings.append(happened[1])
        used.append(happened[0])
    if moments.recorded is not None and moments.recorded[0] not in moments.empty | {*used}:
        settings["known_at"] = Reasoned(moments.recorded[1].expression, moments.recorded[1].reason)
        readings.append(moments.recorded[1])
    fields = map_fields(kind, table, taken=used)
    if kind == "interactions" and "outcome" in fields:
        came = moments.named(("outcome", "response"), but=used)
        if came is not None:
            fields["outcome_time"] = Reasoned(came[1].expression, came[1].reason)
            readings.append(came[1])
    if kind == "holdings" and moments.held is not None:
        (start, end) = moments.held
        fields["held_from"] = Reasoned(start[1].expression, start[1].reason)
        if end is not None:
            fields["held_to"] = Reasoned(end[1].expression, end[1].reason)
    if kind == "events":
        settings, fields = _with_event(given, settings, fields)
    zone = zone_reason(readings)
    if zone:
        settings["timezone"] = Reasoned("UTC", zone)
    key = key_of(table)
    hints = []
    if key is None and table.copies:
        hints.append(
            f"no column tells the rows apart, and {table.copies:,} equal another one; all count. "
            "If they are mistakes: duplicates: drop_identical"
        )
    people = set(personal_columns(table, {})) - {mapped.value for mapped in fields.values()}
    return ProposedFeed(
        given.name,
        given,
        kind,
        why,
        (key.name,) if key is not None else (),
        f"{key.distinct:,} different values in {table.rows:,} rows" if key is not None else "",
        settings=settings,
        fields=fields,
        pii=tuple(name for name in table.columns if name in people and name != whose.name),
        hints=tuple(hints),
    )


def _with_event(
    given: ProfiledSource, settings: dict[str, Reasoned], fields: dict[str, Reasoned]
) -> tuple[dict[str, Reasoned], dict[str, Reasoned]]:
    """Return settings and fields with the type of the events: a column, one word, or purchase and return."""
    column = next((c for c in given.table.columns.values() if plain(c.name) in ("event", "event_type", "type")), None)
    if column is not None and 1 < column.distinct <= 50 and column.share("code") >= 1:
        return settings, {"event": Reasoned(column.name, f"by its name; {column.distinct} types")} | fields
    event, why = event_type(given, set(fields))
    quantity = given.table.columns.get(fields["quantity"].value) if "quantity" in fields else None
    if event == "purchase" and quantity is not None and quantity.share("negative") > 0:
        number = reference(quantity.name)
        number = f"try_cast({number} as double)" if quantity.sql_type == "VARCHAR" else number
        text = f"CASE WHEN {number} < 0 THEN 'return' ELSE 'purchase' END"
        return settings, {"event": Reasoned(text, "pieces below 0 are brought back")} | fields
    return {"event": Reasoned(event, why)} | settings, fields


def _rows_as_customers(
    rest: list[ProfiledSource], customers: list[ProposedFeed], made: dict[str, list[ProposedFeed]], overlaps: Overlaps
) -> list[ProfiledSource]:
    """Treat each source without ids and times as customers, one a row; return the other sources."""
    others = []
    for given in rest:
        if find_moments(given.table).happened is None and is_items(given.table) is None:
            feed = propose_customers(given, "nothing names a customer, and no row has a time", customers, overlaps)
            feed = replace(feed, key=(ROW,) if key_of(given.table) is None else feed.key)
            customers.append(feed)
            made[given.name].append(feed)
        else:
            others.append(given)
    return others


def _items(given: ProfiledSource) -> ProposedFeed | None:
    key = is_items(given.table)
    if key is None:
        return None
    fields = map_fields("items", given.table, taken=[key.name])
    why = f"{key.name} names {key.distinct:,} different items, one a row"
    return _lookup_feed(given, "items", why, key, fields)


def _context(given: ProfiledSource, customers: Sequence[ProposedFeed], overlaps: Overlaps) -> ProposedFeed | None:
    key = is_context(given.table)
    if key is None:
        return None
    for feed in customers:
        for field in _PLACES:
            mapped = feed.fields.get(field)
            if mapped is None or mapped.value not in feed.given.table.columns:
                continue
            share = overlaps.share(feed.given.table, mapped.value, given.table, key.name)
            if share >= LINKED:
                reason = f"{share:.1%} of the different {field}s of {feed.name} are there"
                fields = {"place": Reasoned(key.name, reason)}
                why = f"{key.name} names {key.distinct:,} different places, one a row"
                return replace(
                    _lookup_feed(given, "context", why, key, fields),
                    link=CustomerLink(feed.name, field, key.name, reason),
                )
    return None


def _lookup_feed(
    given: ProfiledSource, kind: Kind, why: str, key: ColumnProfile, fields: dict[str, Reasoned]
) -> ProposedFeed:
    return ProposedFeed(given.name, given, kind, why, (key.name,), "one row each", fields=fields)


def is_usable_feature(table: TableProfile, column: ColumnProfile) -> bool:
    """Return whether a column of customers is usable in a first model: a number, or text with few values."""
    counted = column.is_number and not (column.is_whole_number and column.distinct * 2 > table.rows > 20)
    return column.distinct > 1 and (counted or column.distinct <= 50)
