"""The rows that a view reads, as SQL: each from when it was known, without anything that came later."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta

import duckdb

from features.base.database_engine import literal, quoted
from features.base.errors import BadConfiguration, BadData, Problem
from features.base.expressions.expression import parse
from features.config.feeds_file import FeedsFile
from features.config.loading import Lines
from features.config.views_file import View
from features.views.text_features import words_of

#: Columns of interactions about a moment after the row's own.
LATER = ("outcome", "outcome_time")


@dataclass(frozen=True)
class Rows:
    """The rows that a view reads.

    Parameters
    ----------
    table : SQL of the relation
    where : SQL of which of its rows
    expiring : whether a row counts only until its ``known_until`` (if it has one)
    """

    table: str
    where: str
    expiring: bool = False


def rows_for(view: View, feeds: FeedsFile, *, named: Collection[str]) -> Rows:
    """Return the rows that a view reads.

    Parameters
    ----------
    view : the view
    feeds : the declared feeds
    named : the columns that it reads
    """
    where = parse(view.where).sql() if view.where else "true"
    outcomes = view.source == "interactions" and not set(LATER).isdisjoint(named)
    table = _outcomes_as_known() if outcomes else _with_item(view, feeds)
    if view.text is not None:
        words, text = words_of(view.text.column), f"CAST({quoted(view.text.column)} AS VARCHAR)"
        table = f"(SELECT *, {words} AS __words, {text} AS __text FROM {table})"
    return Rows(table, where, expiring=outcomes or view.source == "holdings")


def undecided(name: str) -> BadData:
    """Return the error of a view whose `where` fails for some row.

    Examples
    --------
    >>> undecided("purchases").first.where
    'view purchases'
    """
    return BadData(
        "view.where",
        "`where` fails: a value is not of the type that it is compared or cast to",
        where=f"view {name}",
        hint="write `try_cast` for `cast`, compare it as text, or leave such rows out with `where` of the feed",
    )


def refuse_unbound(
    engine: duckdb.DuckDBPyConnection, views: Mapping[str, View], lines: Lines, feeds: FeedsFile
) -> None:
    """Refuse views whose `where` mixes types, or is neither true nor false, all of them together.

    Parameters
    ----------
    engine : has the canonical tables
    views : whose columns have passed `check_views`
    lines : where they stand
    feeds : the declared feeds

    Raises
    ------
    BadConfiguration : with every such view
    """
    problems = [
        Problem(
            "view.where",
            f"view {name}: `where` is no condition, or mixes numbers, texts and times",
            lines.where(("views", name, "where")),
            "compare like with like: `try_cast(… AS double)` reads a number, `cast(… AS varchar)` makes a text",
        )
        for name, view in views.items()
        if view.where and not _is_condition(engine, rows_for(view, feeds, named=parse(view.where).columns))
    ]
    if problems:
        raise BadConfiguration.of(problems)


def _is_condition(engine: duckdb.DuckDBPyConnection, rows: Rows) -> bool:
    try:
        (described,) = engine.execute(f"DESCRIBE SELECT {rows.where} FROM {rows.table}").fetchall()
    except duckdb.BinderException:
        return False
    return described[1] in ("BOOLEAN", '"NULL"')


def source_select(view: View, rows: Rows, columns: Mapping[str, str]) -> str:
    """Return SQL of the table ``source``.

    Parameters
    ----------
    view, rows : the view and what it reads
    columns : the columns that it aggregates, as SQL
    """
    category = f"CAST({quoted(view.by)} AS VARCHAR)" if view.by else "CAST(NULL AS VARCHAR)"
    later = view.before // timedelta(microseconds=1)  # a row counts so much later than it happened
    happened = {"holdings": "held_from"}.get(view.source, "event_time")
    times = [f"epoch_us({happened}) + {later} AS event_time", f"epoch_us(known_at) + {later} AS known_at"]
    times += [f"epoch_us(known_until) + {later} AS known_until"] if rows.expiring else []
    customer = "customer_id" if view.of == "customer" else "'' AS customer_id"
    place = "feed || ' ' || record_id AS place"  # no feed's name holds a space, so it sorts as the two of them do
    aggregated = [f"{sql} AS {quoted(column)}" for column, sql in columns.items()]
    listed = ", ".join([customer, *times, place, f"{category} AS category", *aggregated])
    return f"SELECT {listed} FROM {rows.table} WHERE {rows.where}"


def cast(column: str, *, numeric: bool) -> str:
    """Return SQL of a column as it is aggregated: numbers exactly, all else as text.

    Examples
    --------
    >>> cast("amount", numeric=True)
    'CAST("amount" AS DECIMAL(38, 9))'
    """
    return f"CAST({quoted(column)} AS {'DECIMAL(38, 9)' if numeric else 'VARCHAR'})"


def _with_item(view: View, feeds: FeedsFile) -> str:
    """Return the table that a view reads, with the column of ``items`` that it goes by.

    An item's first known value counts, and an event has it only once both are known, so that a later catalogue changes
    nothing. A catalogue without any time counts as known always.
    """
    if not view.by or not view.by.startswith("items."):
        return view.source
    field = quoted(view.by.removeprefix("items."))
    items = {name: feed for name, feed in feeds.feeds.items() if feed.kind == "items"}
    dated = {name for name, feed in items.items() if feed.event_time or feed.updated_at or feed.known_at}
    undated = [literal(name) for name in items if name not in dated]
    always = f"CASE WHEN feed IN ({', '.join(undated)}) THEN TIMESTAMPTZ '1900-01-01 00:00:00+00' ELSE known_at END"
    since = always if undated else "known_at"
    return f"""(
        SELECT e.* REPLACE (greatest(e.known_at, i.since) AS known_at), i.value AS {quoted(view.by)}
        FROM {view.source} e
        LEFT JOIN (
            SELECT item, arg_min({field}, ({since}, feed, record_id)) AS value, min({since}) AS since
            FROM items WHERE {field} IS NOT NULL GROUP BY item
        ) i USING (item)
    )"""


def _outcomes_as_known() -> str:
    """Return the interactions twice: without their outcome until it came, and with it from then on.

    An outcome without a time is left out, since it is unknown from when on it was known.
    """
    return """(
        SELECT * REPLACE (CAST(NULL AS VARCHAR) AS outcome, CAST(NULL AS TIMESTAMPTZ) AS outcome_time),
               outcome_time AS known_until
        FROM interactions
        UNION ALL BY NAME
        SELECT * REPLACE (greatest(known_at, outcome_time) AS known_at), CAST(NULL AS TIMESTAMPTZ) AS known_until
        FROM interactions WHERE outcome_time IS NOT NULL
    )"""
