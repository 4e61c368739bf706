"""Profile of a source: counts and shapes of the values of its columns; no value is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import duckdb

from features.base.database_engine import literal, one_row, quoted
from features.base.telephone import without_extension_sql
from features.onboarding.time_columns import SHAPES

#: Rows of a source that are looked at.
ROWS = 2_000_000
#: Values of a column whose shape is looked at.
VALUES = 100_000
#: Values that are kept to tell a code from a name, and a yes from a no.
_FEW = 12
_FLOATS = ("DOUBLE", "FLOAT")

_PATTERNS = {
    "email": r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}",
    "phone": r"[+(]?[0-9][0-9 ()./+-]{5,}[0-9]",
    "number": r"[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?",
    "comma": r"[+-]?([0-9]+|[0-9]{1,3}([.][0-9]{3})+),[0-9]+",
    "digits": r"[0-9]+",
    "code": r"[A-Za-z0-9][A-Za-z0-9_./:-]*",
    "negative": r"-[0-9.,]+",
}


@dataclass(frozen=True)
class ColumnProfile:
    """Profile of one column.

    Parameters
    ----------
    name, sql_type : the column as the source gives it
    filled : rows with a value; blank text is none
    blank : whether some text is blank rather than missing
    distinct : different values
    length : mean length of the values as text
    shapes : shape → share of the different values that have it, from 0 to 1
    whole : whether the shapes of all values were counted
    few : the values, when there are at most a dozen and none of them is long; never shown
    stays_text : whether the source's type is text; text of a CSV file may become numbers
    """

    name: str
    sql_type: str
    filled: int
    blank: bool
    distinct: int
    length: float
    shapes: Mapping[str, float] = field(repr=False)
    whole: bool
    few: tuple[str, ...] = field(default=(), repr=False)
    stays_text: bool = False

    def share(self, shape: str) -> float:
        """Share of the values that have a shape."""
        return self.shapes.get(shape, 0.0)

    @property
    def is_time(self) -> bool:
        """Whether the source's type is a time or a date."""
        return self.sql_type.startswith(("DATE", "TIMESTAMP"))

    @property
    def is_number(self) -> bool:
        """Whether every value is a number."""
        return self.distinct > 0 and max(self.share("number"), self.share("comma")) >= 1

    @property
    def is_whole_number(self) -> bool:
        """Whether every value is a row of digits."""
        return self.share("digits") >= 1


@dataclass(frozen=True)
class TableProfile:
    """Profile of one source.

    Parameters
    ----------
    table : the engine's table of its rows
    rows : rows that were looked at
    columns : by name, in the source's order
    copies : rows that equal an earlier one in every column
    """

    table: str
    rows: int
    columns: Mapping[str, ColumnProfile]
    copies: int

    def is_unique(self, column: ColumnProfile) -> bool:
        """Whether the column has a different value on every row."""
        return self.rows > 0 and column.filled == column.distinct == self.rows


def profile_table(engine: duckdb.DuckDBPyConnection, table: str, *, typed: bool) -> TableProfile:
    """Return the profile of a table that holds a source's rows.

    Parameters
    ----------
    engine : holds the table
    table : its name
    typed : whether the source itself says what its columns hold
    """
    described = engine.execute(f"DESCRIBE {quoted(table)}").fetchall()
    kinds = {name: kind for name, kind, *_ in described if not name.startswith("__")}
    columns = {name: _column(engine, table, name, kind, typed=typed) for name, kind in kinds.items()}
    listed = ", ".join(quoted(name) for name in kinds)
    rows, different = one_row(engine, f"SELECT count(*), count(DISTINCT hash({listed})) FROM {quoted(table)}")
    return TableProfile(table, rows, columns, rows - different)


def text_of(column: str, sql_type: str) -> str:
    """Return SQL of a value as text: trimmed, blank as null, whole numbers without a point."""
    name = quoted(column)
    text = f"nullif(trim(CAST({name} AS VARCHAR)), '')"
    if sql_type not in _FLOATS:
        return text
    whole = f"abs({name}) < 9007199254740992 AND {name} = trunc({name})"
    return (
        f"CASE WHEN isnan({name}) THEN NULL WHEN {whole} THEN CAST(CAST({name} AS BIGINT) AS VARCHAR) ELSE {text} END"
    )


def _column(engine: duckdb.DuckDBPyConnection, table: str, name: str, kind: str, *, typed: bool) -> ColumnProfile:
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE profiled AS
        SELECT value, count(*) AS times
        FROM (SELECT {text_of(name, kind)} AS value FROM {quoted(table)})
        WHERE value IS NOT NULL GROUP BY value
        """
    )
    shapes = {shape: f"regexp_full_match(value, {literal(pattern)})" for shape, pattern in _PATTERNS.items()}
    shapes["phone"] = f"regexp_full_match({without_extension_sql('value')}, {literal(_PATTERNS['phone'])})"
    shapes["place"] = "regexp_full_match(value, '[A-Za-z0-9][A-Za-z0-9 -]{2,9}') AND regexp_matches(value, '[0-9]')"
    shapes |= {shape.name: shape.test for shape in SHAPES}
    shares = ", ".join(f"avg(CASE WHEN {test} THEN 1.0 ELSE 0.0 END)" for test in shapes.values())
    filled, distinct = one_row(engine, "SELECT coalesce(sum(times), 0), count(*) FROM profiled")
    (blank,) = one_row(
        engine, f"SELECT count({quoted(name)}) > {int(filled)} FROM {quoted(table)} WHERE {kind == 'VARCHAR'}"
    )
    length, *found = one_row(
        engine,
        f"""
        SELECT avg(length(value)), {shares}
        FROM (SELECT value FROM profiled ORDER BY hash(value), value LIMIT {VALUES})
        """,
    )
    few: tuple[str, ...] = ()
    if distinct <= _FEW:
        values = engine.execute("SELECT value FROM profiled WHERE length(value) <= 40 ORDER BY value").fetchall()
        few = tuple(value for (value,) in values) if len(values) == distinct else ()
    named = {shape: float(share or 0) for shape, share in zip(shapes, found, strict=True)}
    return ColumnProfile(
        name,
        kind,
        int(filled),
        bool(blank),
        int(distinct),
        float(length or 0),
        named,
        distinct <= VALUES,
        few,
        typed and kind == "VARCHAR",
    )
