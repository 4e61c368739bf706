"""A feed's rows as they were read: lines that are no rows, the decimal mark, and which texts are numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from features.base.database_engine import one_row, quoted, ran_out
from features.base.errors import BadData
from features.config.canonical import MONEY_FIELDS
from features.config.feed import Feed
from features.ingest.mapping import FeedMapping
from features.ingest.money import currency_columns
from features.ingest.non_data_rows import drop_non_data_rows, fill_down
from features.ingest.number_text import NumberReading, detect_numbers, likely_numbers, mark_conflict
from features.ingest.reader import RAW, FeedSource, is_nested

#: Types that other parts of the engine do not take, and the nearest that they do.
_READ_AS = {"TIMESTAMPTZ_NS": "TIMESTAMPTZ", '"NULL"': "VARCHAR"}
#: Share of values that may be no number in a column that is calculated with.
_ODD_NUMBERS = 0.1
#: With fewer values a column may hold only numbers by chance.
_TELLING = 20


@dataclass(frozen=True)
class Numbers:
    """Which text columns hold numbers.

    Parameters
    ----------
    columns : those that do
    shares : of every column with values enough to tell what it holds, the share of them that read as numbers
    readings : how the numbers of each column are written, be they few
    """

    columns: frozenset[str]
    shares: dict[str, float]
    readings: dict[str, NumberReading]


@dataclass(frozen=True)
class RowsRead:
    """The rows of a feed in ``raw_rows``.

    Parameters
    ----------
    types : the columns and their SQL types
    skipped : rows that hold no data and are left out, by kind
    notes : what was found about the shape of the files, one sentence each
    """

    types: dict[str, str]
    skipped: dict[str, int]
    notes: tuple[str, ...]


def read_rows(engine: duckdb.DuckDBPyConnection, source: FeedSource, feed: Feed, columns: Sequence[str]) -> RowsRead:
    """Read these columns into ``raw_rows``, lists and structs as JSON text, without rows that hold no data.

    Raises
    ------
    BadData : the engine cannot read the files
    """
    try:
        source.load(engine, columns)
        for column, kind in _types(engine).items():
            name = quoted(column)
            if is_nested(kind):
                engine.execute(
                    f"ALTER TABLE {RAW} ALTER {name} SET DATA TYPE VARCHAR USING CAST(to_json({name}) AS VARCHAR)"
                )
            elif kind in _READ_AS:
                engine.execute(f"ALTER TABLE {RAW} ALTER {name} SET DATA TYPE {_READ_AS[kind]}")
        skipped, notes = {}, list(source.notes)
        if source.is_table_text:
            skipped = drop_non_data_rows(engine, feed, columns, name=source.feed)
            if source.footers:
                skipped["footer line"] = skipped.get("footer line", 0) + len(source.footers)
            if feed.fill_down is not None and (filled := fill_down(engine, feed.fill_down, columns)):
                notes.append(f"{filled} rows take {', '.join(feed.fill_down.columns)} from a row above")
        return RowsRead(_types(engine), skipped, tuple(notes))
    except duckdb.Error as error:
        if ran_out(error):
            raise
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
    """Quarantine the lines that are not rows at all (CSV); return their number by reason.

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
    line = "trim(as_read, ' \r\n\t')"
    engine.execute(
        f"DELETE FROM broken_lines WHERE reason = 'line has missing columns' AND list_contains(?, {line})",
        [list(source.footers)],
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


def read_numbers(engine: duckdb.DuckDBPyConnection, source: FeedSource, mapping: FeedMapping) -> Numbers:
    """Return which text columns hold numbers, and how those are written.

    A column is one of numbers when every value reads as one, and none as a code such as 007. Of a column that an
    expression calculates with, nearly every value is enough: rows with others are quarantined. Of any other column no
    value gets lost: it stays text.

    Raises
    ------
    BadData : code ``feed.decimal``: two columns show different marks, or too many numbers can be read in two ways
    """
    feed, used = mapping.feed, mapping.calculated() | mapping.number_fields()
    texts = [column for column, kind in mapping.types.items() if kind == "VARCHAR"]
    first = likely_numbers(engine, RAW, texts)
    asked = [name for name in texts if name in used or first[name] in (None, 1.0)]
    stored = [name for name in asked if name in source.number_columns]
    readings = detect_numbers(engine, RAW, [name for name in asked if name not in stored], decimal=feed.decimal)
    conflict = mark_conflict(readings) if feed.decimal is None and source.may_sniff_decimal else None
    if conflict is not None:
        raise BadData(
            "feed.decimal",
            f"the column {conflict[0]!r} is written with decimal commas and {conflict[1]!r} with decimal points",
            where=f"feed {source.feed}",
            hint="set `decimal` to the mark that is meant; what is written otherwise is then no number",
        )
    readings |= detect_numbers(engine, RAW, stored, decimal=".")
    for column in sorted(used & readings.keys()):
        _refuse_undecided(source, feed, column, readings[column])
    least = dict.fromkeys(mapping.calculated(), 1 - min(feed.reject_above, _ODD_NUMBERS))
    found = {
        name
        for name, reading in readings.items()
        if not reading.coded
        and reading.numbers >= reading.values * least.get(name, 1)
        and name not in feed.keys
        and (name in used or not reading.spaced)
    }
    shares = {name: share for name, share in first.items() if share is not None and name not in readings}
    shares |= {
        name: 0.0 if reading.coded else reading.numbers / reading.values
        for name, reading in readings.items()
        if reading.values >= _TELLING
    }
    return Numbers(frozenset(found), shares, readings)


def _refuse_undecided(source: FeedSource, feed: Feed, column: str, reading: NumberReading) -> None:
    if reading.undecided > feed.reject_above * reading.values:
        raise BadData(
            "feed.decimal",
            f"{reading.undecided} of {reading.values} numbers of the column {column!r} can be read in two ways, such "
            "as 1.234 as a fraction (1 and 234 thousandths) or as a whole number (1234): no row decides which is meant",
            where=f"feed {source.feed}",
            hint='set `decimal` to the decimal mark: "." or ","',
        )


def currency_of(engine: duckdb.DuckDBPyConnection, mapping: FeedMapping) -> str | None:
    """Return the currency of a feed's amounts: declared, or the column that holds ISO codes.

    Raises
    ------
    BadData : code ``feed.currency``: two columns hold codes that differ
    """
    if mapping.feed.currency is not None or not set(MONEY_FIELDS) & mapping.feed.fields.keys():
        return mapping.feed.currency
    texts = [column for column, kind in mapping.types.items() if kind == "VARCHAR" and column not in mapping.numeric]
    first, *others = [*currency_columns(engine, RAW, texts), None]
    for other in others[:-1]:
        one, two = (f"upper(nullif(trim({quoted(str(column))}), ''))" for column in (first, other))
        (rows,) = one_row(engine, f"SELECT count(*) FILTER ({one} IS DISTINCT FROM {two}) FROM {RAW}")
        if rows:
            raise BadData(
                "feed.currency",
                f"the columns {first!r} and {other!r} hold codes of currencies that differ in {rows} rows",
                where=f"feed {mapping.name}",
                hint="set `currency` to the column of the amounts' currency, or to its ISO code",
            )
    return first
