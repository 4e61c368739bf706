"""A feed's rows as they were read: lines that are no rows, the decimal mark, and which texts are numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from features.base.database_engine import one_row, quoted
from features.base.errors import BadData
from features.config.feed import Feed
from features.ingest.mapping import EXACT_INTEGERS, FeedMapping, plain_number
from features.ingest.reader import RAW, FeedSource, is_nested

#: Share of values that may be no number in a column that is calculated with.
_ODD_NUMBERS = 0.1
#: With fewer values a column may hold only numbers by chance.
_TELLING = 20
_WITH_COMMA = "[+-]?([0-9]+|[0-9]{1,3}([.][0-9]{3})+),[0-9]+"
_WITH_POINT = "[+-]?[0-9]+[.][0-9]+"
#: Whole numbers; and what is a thousand to one reader and a one to the other, which speaks for no mark.
_EITHER = "[+-]?([0-9]+|[0-9]{1,3}([.][0-9]{3})+|[1-9][0-9]{0,2}(,[0-9]{3})+)"


@dataclass(frozen=True)
class Numbers:
    """Which text columns hold numbers.

    Parameters
    ----------
    columns : those that do
    shares : of every column with values enough to tell what it holds, the share of them that read as numbers
    """

    columns: frozenset[str]
    shares: dict[str, float]


def read_rows(engine: duckdb.DuckDBPyConnection, source: FeedSource, columns: Sequence[str]) -> dict[str, str]:
    """Read these columns into ``raw_rows``, lists and structs as JSON text; return their types.

    Raises
    ------
    BadData : the engine cannot read the files
    """
    try:
        source.load(engine, columns)
        types = _types(engine)
        for column, kind in types.items():
            if is_nested(kind):
                name = quoted(column)
                engine.execute(
                    f"ALTER TABLE {RAW} ALTER {name} SET DATA TYPE VARCHAR USING CAST(to_json({name}) AS VARCHAR)"
                )
            elif kind == '"NULL"':
                engine.execute(f"ALTER TABLE {RAW} ALTER {quoted(column)} SET DATA TYPE VARCHAR")
        return _types(engine)
    except duckdb.Error as error:
        raise BadData(
            "feed.unreadable",
            f"the files cannot be read ({type(error).__name__})",
            where=f"feed {source.feed}",
            hint="a file is damaged, or the files of one feed differ in type: deliver them again or split the feed",
        ) from None


def _types(engine: duckdb.DuckDBPyConnection) -> dict[str, str]:
    described = engine.execute(f"DESCRIBE {RAW}").fetchall()
    return {column: kind for column, kind, *_ in described if column != "__row"}


def content(engine: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> str:
    """Return what is equal for equal rows, in whatever order they came."""
    values = ", ".join(quoted(column) for column in columns) or "1"
    rows, added, crossed = one_row(
        engine,
        f"""
        SELECT count(*), sum(CAST(hash({values}) AS HUGEINT)), bit_xor(hash({values}, 'again'))
        FROM {RAW}
        """,
    )
    return f"{rows}-{added}-{crossed}-{','.join(columns)}"


def broken_lines(engine: duckdb.DuckDBPyConnection, source: FeedSource) -> dict[str, int]:
    """Keep aside the lines that are not rows at all (CSV); return their number by reason.

    A file in which lines were swallowed is refused.
    """
    engine.execute("CREATE TEMP TABLE broken_lines (file VARCHAR, line BIGINT, reason VARCHAR, as_read VARCHAR)")
    if one_row(engine, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'reject_errors'")[0] == 0:
        return {}
    engine.execute(
        """
        INSERT INTO broken_lines
        SELECT any_value(file_path), line, 'line has ' || min(lower(error_type)), any_value(csv_line)
        FROM reject_errors JOIN reject_scans USING (scan_id, file_id)
        GROUP BY file_id, line
        """
    )
    found = engine.execute(
        """
        SELECT reason, count(*), arg_min(file, (file, line)), arg_min(line, (file, line))
        FROM broken_lines GROUP BY reason ORDER BY reason
        """
    ).fetchall()
    for reason, _, file, line in found:
        if "maximum" in reason:
            raise BadData(
                "feed.quote",
                f"from line {line} on {Path(file).name} cannot be parted into rows: "
                "a quotation mark is opened and never closed, or one line is longer than 2 MB",
                where=f"feed {source.feed}",
                hint="close the quotation mark, or shorten the value, and deliver the file again",
            )
        if reason not in ("line has missing columns", "line has too many columns"):
            raise BadData(
                "feed.quote",
                f"from line {line} on {Path(file).name} cannot be parted into rows: "
                "a quotation mark is opened and never closed, or stands inside a quoted value",
                where=f"feed {source.feed}",
                hint="double the quotation marks inside quoted values, and deliver the file again",
            )
    return {reason: count for reason, count, *_ in found}


def decimal_mark(engine: duckdb.DuckDBPyConnection, source: FeedSource, feed: Feed, columns: Sequence[str]) -> str:
    """Return the declared decimal mark, or the one that the values leave no doubt about.

    A column speaks for the comma when all its values read as numbers with it and at least one has it; the same for
    the point. A file in which columns disagree is refused rather than guessed at.
    """
    if feed.decimal is not None or not source.may_sniff_decimal:
        return feed.decimal or "."
    commas, points = [], []
    for column, (values, comma, point, either) in zip(columns, _marks(engine, columns), strict=True):
        if values and comma + point + either == values:
            commas += [column] if comma else []
            points += [column] if point else []
    if commas and points:
        raise BadData(
            "feed.decimal",
            f"the column {commas[0]!r} is written with decimal commas and {points[0]!r} with decimal points",
            where=f"feed {source.feed}",
            hint="set `decimal` to the mark that is meant; what is written otherwise is then no number",
        )
    return "," if commas else "."


def _marks(engine: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> list[tuple[int, int, int, int]]:
    """Return, of every column, its values, and how many are written with a comma, with a point, or with neither."""
    counts = []
    for column in columns:
        text = f"nullif(trim({quoted(column)}), '')"
        either = f"regexp_full_match({text}, '{_EITHER}')"
        counts += [
            f"count({text})",
            f"count(*) FILTER (regexp_full_match({text}, '{_WITH_COMMA}') AND NOT {either})",
            f"count(*) FILTER (regexp_full_match({text}, '{_WITH_POINT}') AND NOT {either})",
            f"count(*) FILTER ({either})",
        ]
    row = one_row(engine, f"SELECT {', '.join(counts)} FROM {RAW}")
    return [(row[at], row[at + 1], row[at + 2], row[at + 3]) for at in range(0, len(row), 4)]


def number_columns(engine: duckdb.DuckDBPyConnection, columns: Sequence[str], mapping: FeedMapping) -> Numbers:
    """Return the text columns that hold numbers: every value reads as one, and none as a code such as 007.

    Of a column that an expression calculates with, nearly every value is enough: rows with others are kept aside.
    Of any other column no value gets lost: it stays text.
    """
    feed, selected = mapping.feed, []
    tolerated = min(feed.reject_above, _ODD_NUMBERS)
    calculated = mapping.calculated()
    for column in columns:
        text = f"nullif(trim({quoted(column)}), '')"
        number = f"TRY_CAST({plain_number(column, feed)} AS DOUBLE)"
        selected += [
            f"count({text})",
            f"count(CASE WHEN isfinite({number}) THEN 1 END)",
            f"NOT coalesce(bool_or(regexp_matches({text}, '^([+]|-?0[0-9])')), false) "
            f"AND coalesce(max(abs({number})) FILTER (isfinite({number})), 0) < {EXACT_INTEGERS}",
        ]
    row = one_row(engine, f"SELECT {', '.join(selected)} FROM {RAW}")
    found, shares = set(), {}
    for place, column in enumerate(columns):
        values, numbers, plain = row[3 * place : 3 * place + 3]
        if values == 0:
            continue
        if values >= _TELLING:
            shares[column] = numbers / values if plain else 0.0
        least = 1 - tolerated if column in calculated else 1
        if plain and numbers >= values * least and column not in feed.keys:
            found.add(column)
    return Numbers(frozenset(found), shares)
