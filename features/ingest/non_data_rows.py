"""Rows of a text file that hold no data: its header again, totals, footers; and cells that only a first row fills."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from features.base.database_engine import literal, one_row, quoted
from features.config.feed import Feed, FillDown
from features.ingest.reader import RAW

#: What rows of totals begin with, in lower case.
_TOTAL = (
    "(grand[ -]?|sub[ -]?)?totals?|(gesamt|zwischen|end)?summe|gesamt|insgesamt|totaal|subtotaal|total g[eé]n[eé]ral"
    "|sous[ -]total|somme|suma( total)?|total general"
)
_FIRST_LETTERS = "'tot', 'gra', 'sub', 'sum', 'ges', 'zwi', 'end', 'ins', 'sou', 'som'"
#: Rows at the end among which a footer is looked for.
_LAST = 20
#: A column that is empty on fewer rows is one that each row of data fills.
_FILLED = 0.95


def drop_non_data_rows(
    engine: duckdb.DuckDBPyConnection, feed: Feed, columns: Sequence[str], *, name: str
) -> dict[str, int]:
    """Delete from ``raw_rows`` what is no data; return how many rows of each kind.

    A row that fills the feed's key, customer and times is data, whatever it begins with.

    Parameters
    ----------
    engine : holds ``raw_rows``
    feed : its declaration; ``totals: keep`` keeps rows of totals
    columns : its columns, all text
    name : the feed
    """
    if not columns:
        return {}
    link = feed.link(name)
    naming = {*feed.keys, *([] if link is None else [link[2]]), feed.event_time, feed.updated_at, feed.known_at}
    needed = [column for column in columns if column in naming]
    found = {"repeated header": _repeated_header(columns)}
    if feed.totals == "drop" and len(columns) > 2:
        found["total row"] = _totals(engine, columns, needed)
    dropped = {kind: _delete(engine, condition) for kind, condition in found.items() if condition}
    if len(columns) > 3:
        dropped["footer line"] = _delete(engine, _footer(engine, columns, needed))
    return {kind: count for kind, count in dropped.items() if count}


def fill_down(engine: duckdb.DuckDBPyConnection, declared: FillDown, columns: Sequence[str]) -> int:
    """Fill the declared columns of rows that leave all of them blank from the last row above; return such rows.

    A value is never carried to a row with another value of `within`.
    """
    names = [column for column in declared.columns if column in columns]
    blank = " AND ".join(f"nullif(trim({quoted(name)}), '') IS NULL" for name in names)
    (rows,) = one_row(engine, f"SELECT count(*) FILTER ({blank}) FROM {RAW}")
    if not rows:
        return 0
    within = "true" if declared.within is None else f"{quoted(declared.within)} IS NOT DISTINCT FROM __above.within"
    carried = ", ".join(f"'{place}': {quoted(name)}" for place, name in enumerate(names))
    group = "NULL" if declared.within is None else quoted(declared.within)
    filled = ", ".join(
        f"CASE WHEN {blank} AND {within} THEN __above['{place}'] ELSE {quoted(name)} END AS {quoted(name)}"
        for place, name in enumerate(names)
    )
    engine.execute(
        f"""
        CREATE TEMP TABLE filled_rows AS
        SELECT * EXCLUDE (__above) REPLACE ({filled})
        FROM (
            SELECT *, last_value(CASE WHEN NOT ({blank}) THEN {{{carried}, 'within': {group}}} END IGNORE NULLS)
                OVER (ORDER BY __row ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS __above
            FROM {RAW}
        )
        """
    )
    engine.execute(f"DROP TABLE {RAW}")
    engine.execute(f"ALTER TABLE filled_rows RENAME TO {RAW}")
    (left,) = one_row(engine, f"SELECT count(*) FILTER ({blank}) FROM {RAW}")
    return int(rows - left)


def _repeated_header(columns: Sequence[str]) -> str:
    return " AND ".join(f"{quoted(column)} = {literal(column)}" for column in columns)


def _totals(engine: duckdb.DuckDBPyConnection, columns: Sequence[str], needed: Sequence[str]) -> str:
    """Return the condition of rows that begin with a word for a total and leave half of the always filled cells blank.

    A row stays that fills all `needed` columns, and not only the one that the word stands in.
    """
    first = f"lower(trim(coalesce({', '.join(quoted(column) for column in columns)})))"  # a blank cell is null
    named = f"left({first}, 3) IN ({_FIRST_LETTERS}) AND regexp_full_match({first}, '({_TOTAL})( .{{0,40}})?[:.]?')"
    (rows,) = one_row(engine, f"SELECT count(*) FROM {RAW} WHERE {named}")
    if not rows:
        return ""
    counts = ", ".join(f"count(nullif(trim({quoted(column)}), ''))" for column in columns)
    *filled, data = one_row(engine, f"SELECT {counts}, count(*) FROM {RAW} WHERE NOT ({named})")
    always = [column for column, times in zip(columns, filled, strict=True) if data and times >= _FILLED * data]
    if not always:
        return ""
    empty = f"2 * ({_filled(always)}) <= {len(always)}"
    data_row = f"({_filled(needed)}) = {len(needed)}" if needed else "false"
    if len(needed) == 1:
        data_row += f" AND lower(trim({quoted(needed[0])})) <> {first}"
    number = " OR ".join(f"regexp_matches({quoted(column)}, '^[^A-Za-z]*[0-9][^A-Za-z]*$')" for column in columns)
    return f"({named}) AND {empty} AND NOT ({data_row}) AND ({number})"


def _filled(columns: Sequence[str]) -> str:
    """Return SQL of how many of these cells a row fills."""
    return " + ".join(f"(nullif(trim({quoted(column)}), '') IS NOT NULL)::INT" for column in columns)


def _footer(engine: duckdb.DuckDBPyConnection, columns: Sequence[str], needed: Sequence[str]) -> str:
    """Return the condition of the last rows that fill one column, where every other row fills more.

    A row that fills the only needed column is data, unless it holds a sentence: no key or customer above has a space.
    """
    filled = _filled(columns)
    if len(needed) == 1:
        cell = quoted(needed[0])
        (spaced,) = one_row(engine, f"SELECT count(*) FROM {RAW} WHERE ({filled}) > 1 AND contains(trim({cell}), ' ')")
        word = "true" if spaced else f"NOT contains(trim({cell}), ' ')"
        filled = f"{filled} + (nullif(trim({cell}), '') IS NOT NULL AND {word})::INT"
    last, start = one_row(
        engine,
        f"""
        SELECT max(__row), max(__row) FILTER (cells > 1)
        FROM (SELECT __row, {filled} AS cells FROM {RAW} WHERE __row > (SELECT max(__row) FROM {RAW}) - {_LAST})
        """,
    )
    if start is None or start == last:
        return ""
    (others,) = one_row(engine, f"SELECT count(*) FILTER (({filled}) <= 1) FROM {RAW} WHERE __row <= {start}")
    return "" if others else f"__row > {start}"


def _delete(engine: duckdb.DuckDBPyConnection, condition: str) -> int:
    if not condition:
        return 0
    (rows,) = one_row(engine, f"SELECT count(*) FROM {RAW} WHERE {condition}")
    if rows:
        engine.execute(f"DELETE FROM {RAW} WHERE {condition}")
    return int(rows)
