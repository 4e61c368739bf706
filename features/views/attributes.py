"""Attributes, holdings and context as they were known at every cutoff of the entity rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from features.base.clock import DAY_US
from features.base.database_engine import literal, one_row, quoted
from features.base.errors import BadData
from features.base.expressions.expression import parse
from features.config.canonical import category_name
from features.config.feeds_file import FeedsFile
from features.config.views_file import View
from features.identity.survivorship_rules import CHANGED_BY_THEN, VISIBLE_VERSION, survivor
from features.ingest.time_text import LAST_YEAR, moment_of, stands_for_none
from features.views.catalogue import attribute_feature
from features.views.source_rows import undecided


def attributes_select(name: str, view: View, feeds: FeedsFile, numeric: Mapping[str, bool]) -> str:
    """Return SQL of a view from customers: each field's surviving value among the records known at the cutoff."""
    columns = ",\n  ".join(
        f"{_cast(survivor(field, feeds, visible=VISIBLE_VERSION, changed=CHANGED_BY_THEN), numeric[field])} "
        f"AS {quoted(attribute_feature(name, field))}"
        for field in view.fields
    )
    return (
        f"SELECT s.customer_id, s.as_of,\n  {columns}\n"
        "FROM entity_rows s LEFT JOIN customers c USING (customer_id)\nGROUP BY s.customer_id, s.as_of"
    )


def holdings_source(feeds: FeedsFile, *, where: str, ends: str | None = None) -> str:
    """Return SQL of the table ``source`` of a view from holdings: its rows, with times in microseconds since 1970."""
    end = f", epoch_us({_end(ends, feeds)}) AS ends" if ends else ""
    names = ("known_at", "known_until", "held_from", "held_to")
    times = ", ".join(f"epoch_us({name}) AS {name}" for name in names)
    return f"SELECT customer_id, item, {times}{end}, CAST(price AS DECIMAL(38, 9)) AS price FROM holdings WHERE {where}"


def unread_ends(engine: duckdb.DuckDBPyConnection, name: str, view: View, feeds: FeedsFile) -> int:
    """Return how many ends of contracts are no times; such a contract counts as one without end.

    Parameters
    ----------
    engine : has the canonical tables
    name, view : the view and its name
    feeds : the declared feeds

    Raises
    ------
    BadData : they are a greater share than may be unusable of the feed's rows, or `where` fails
    """
    if not view.ends:
        return 0
    try:
        filled, read = one_row(
            engine,
            f"SELECT count({_written(view.ends)}), count({_moment(view.ends, feeds)}) "
            f"FROM holdings WHERE {parse(view.where).sql() if view.where else 'true'}",
        )
    except (duckdb.ConversionException, duckdb.OutOfRangeException):
        raise undecided(name) from None
    feed = feeds.feeds.get(view.ends.partition(".")[0])
    if filled - read > filled * (feed.reject_above if feed else 0):
        raise BadData(
            "view.not_a_time",
            f"{filled - read} of {filled} values of {view.ends} are no times",
            where=f"view {name}",
            hint="write them as 2026-12-31, leave them empty where there is no end, or raise the feed's `reject_above`",
        )
    return int(filled - read)


def _end(ends: str, feeds: FeedsFile) -> str:
    """Return SQL of when a contract ends; null where what is written, such as 9999-12-31, stands for no end."""
    moment = _moment(ends, feeds)
    none = f"year({moment}) > {LAST_YEAR} OR {stands_for_none(moment, _zone(ends, feeds))}"
    return f"CASE WHEN NOT ({none}) THEN {moment} END"


def _moment(ends: str, feeds: FeedsFile) -> str:
    return moment_of(_written(ends), _zone(ends, feeds))


def _zone(ends: str, feeds: FeedsFile) -> str:
    """Return the zone of a time that carries none: its feed's."""
    feed = feeds.feeds.get(ends.partition(".")[0])
    return (feed.timezone if feed else None) or feeds.company.timezone


def _written(column: str) -> str:
    return f"nullif(trim(CAST({quoted(column)} AS VARCHAR)), '')"


def holdings_select(name: str, items: Sequence[str], *, ends: str | None = None) -> str:
    """Return SQL of a view from holdings: what is held at the cutoff, how many, how long, at which price, until when.

    The end of a holding (``held_to``) is after every earlier cutoff, so no feature reveals that a customer will leave.
    The end of the contract (`ends`) is agreed before, and known with its row.
    """
    until = (
        f",\n  (min(h.ends) FILTER (h.ends > s.as_of) - s.as_of) / {DAY_US} AS {quoted(f'{name}__days_to_end')},\n"
        f"  count(*) FILTER (h.ends <= s.as_of) AS {quoted(f'{name}__past_end_count')}"
    )
    held = "h.item IS NOT NULL"
    flags = ",\n  ".join(
        f"CAST(coalesce(max(CASE WHEN h.item = {literal(item)} THEN 1 END), 0) AS BIGINT) "
        f"AS {quoted(f'{name}__{category_name(item)}')}"
        for item in items
    )
    return (
        f"SELECT s.customer_id, s.as_of,\n  {flags + ',' if flags else ''}\n"
        f"  count(*) FILTER ({held}) AS {quoted(f'{name}__count')},\n"
        f"  (s.as_of - min(h.held_from)) / {DAY_US} AS {quoted(f'{name}__tenure')},\n"
        f"  coalesce(CAST(sum(h.price) AS DOUBLE), 0) AS {quoted(f'{name}__price_sum')}{until if ends else ''}\n"
        "FROM entity_rows s LEFT JOIN source h\n"
        "  ON h.customer_id = s.customer_id AND h.known_at <= s.as_of AND coalesce(h.known_until > s.as_of, true)\n"
        "  AND h.held_from <= s.as_of AND coalesce(h.held_to > s.as_of, true)\n"
        "GROUP BY s.customer_id, s.as_of"
    )


def context_select(name: str, view: View, feeds: FeedsFile, numeric: Mapping[str, bool]) -> str:
    """Return SQL of a view from context: the latest known facts of the place where the customer was known to be.

    Without a place they are facts of the day, the same for everybody. A fact that is dated after the cutoff is not
    used, even if it was published before. The table ``source`` holds the facts.
    """
    if view.place is None:
        return _of_the_day(name, view, numeric)
    place = survivor(view.place, feeds, visible=VISIBLE_VERSION, changed=CHANGED_BY_THEN)
    columns = ",\n  ".join(
        f"{_cast(_latest(field), numeric[field])} AS {quoted(attribute_feature(name, field))}" for field in view.fields
    )
    return (
        "WITH placed AS (\n"
        f"  SELECT s.customer_id, s.as_of, CAST({place} AS VARCHAR) AS place\n"
        "  FROM entity_rows s LEFT JOIN customers c USING (customer_id)\n  GROUP BY s.customer_id, s.as_of\n)\n"
        f"SELECT s.customer_id, s.as_of,\n  {columns}\n"
        "FROM placed s LEFT JOIN source x\n"
        "  ON x.place = s.place AND epoch_us(x.known_at) <= s.as_of\n"
        "  AND coalesce(epoch_us(x.event_time) <= s.as_of, true)\n"
        "GROUP BY s.customer_id, s.as_of"
    )


def _of_the_day(name: str, view: View, numeric: Mapping[str, bool]) -> str:
    names = [attribute_feature(name, field) for field in view.fields]
    columns = ",\n  ".join(
        f"{_cast(_latest(field), numeric[field])} AS {quoted(output)}"
        for field, output in zip(view.fields, names, strict=True)
    )
    listed = ", ".join(f"d.{quoted(output)}" for output in names)
    return (
        f"WITH of_the_day AS (\n  SELECT s.as_of,\n  {columns}\n"
        "  FROM cutoffs s LEFT JOIN source x\n"
        "    ON epoch_us(x.known_at) <= s.as_of AND coalesce(epoch_us(x.event_time) <= s.as_of, true)\n"
        "  GROUP BY s.as_of\n)\n"
        f"SELECT s.customer_id, s.as_of, {listed}\nFROM entity_rows s LEFT JOIN of_the_day d USING (as_of)"
    )


def _latest(field: str) -> str:
    column = quoted(field)
    dated = "coalesce(epoch_us(x.event_time), epoch_us(x.known_at))"
    return f"arg_max({column}, ({dated}, x.feed, x.record_id)) FILTER ({column} IS NOT NULL)"


def _cast(sql: str, numeric: bool) -> str:
    return f"CAST({sql} AS {'DOUBLE' if numeric else 'VARCHAR'})"
