"""Profile of a source: how its columns are filled, repeat, and what their values look like; no value is shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import duckdb

from features.base.database_engine import one_row, quoted
from features.base.telephone import without_extension
from features.onboarding.words import concepts, split_words, word_set

#: Different values of a column whose shape is looked at, the most frequent first.
LOOKED_AT = 1_000
#: From so many groups of rows on, what holds in each of them is no chance.
MANY_GROUPS = 6
_FEW = 60
_LONG = 60
_FLOATS = ("DOUBLE", "FLOAT")

_PATTERNS = {
    "email": re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[A-Za-z]{2,}"),
    "phone": re.compile(r"'?[+(]?[0-9][0-9 ()./+-]{5,}[0-9]"),
    "number": re.compile(r"[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?"),
    "amount": re.compile(
        r"[(+-]?\s?([A-Z]{3}|[^\w\s.,'+-]{1,3})?\s?[+-]?[0-9]+([.,' \u00a0\u202f][0-9]+)*(e-[0-9]+)?\s?"
        r"([A-Z]{3}|[^\w\s.,'+-]{1,3}|kr|z\u0142)?\s?[)-]?"
    ),
    "comma": re.compile(r"[+-]?([0-9]+|[0-9]{1,3}([.][0-9]{3})+),[0-9]+"),
    "digits": re.compile(r"[0-9]+"),
    "long": re.compile(r"-?[0-9]{10,}"),
    "negative": re.compile(r"(-\s?[0-9].*|[0-9.,]+-|\([0-9.,]+\))"),
    "code": re.compile(r"['#-]?_*[A-Za-z0-9][A-Za-z0-9_./:@#=|{}-]*"),
    "list": re.compile(r"[^\s,;|]+(\s?[;,|]\s?[^\s,;|]+)+"),
    "name": re.compile(r"[^\W\d_][^\W\d_]*([ .,'\u2019-]+[^\W\d_]+){0,4}\.?"),
    "words": re.compile(r"\S+(\s+\S+){3,}", re.DOTALL),
    "postcode": re.compile(r"'?([A-Za-z0-9][A-Za-z0-9 -]{2,9})"),
    "clocked": re.compile(r".*[0-9]{1,2}:[0-9]{2}.*"),
    "dated": re.compile(
        r"\"?([0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}"
        r"|[0-9]{1,2}[-/. ][0-9A-Za-z\u00e0-\u00ff]{1,10}\.?[-/. ]{1,2}[0-9]{2,4}"
        r"|[A-Za-z]{3,9}\.?,? [0-9]{1,2}[a-z]{0,2},? .*[0-9]{4}.*)([ T,].*)?"
    ),
    "month_day": re.compile(r"[0-9]{1,2}[/.-][0-9]{1,2}\.?"),
    "hash": re.compile(r"#\S+"),
    "bank": re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9 ]{11,30}"),
    "ip": re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}"),
    "url": re.compile(r"[a-z]+://.*"),
    "json": re.compile(r"[\[{].*[\]}]", re.DOTALL),
}
#: Longer texts are compared with the shapes of texts alone.
_LONGEST = 200
_OF_TEXT = {shape: _PATTERNS[shape] for shape in ("words", "json", "url", "code", "list")}
_BOOLEANS = word_set(
    """
    true false yes no y n t f 1 0 on off x ja nein oui non si sí nee wahr falsch vrai faux verdadero falso waar
    onwaar
    """
)


@dataclass(frozen=True)
class ColumnProfile:
    """Profile of one column.

    Parameters
    ----------
    name, sql_type : the column as the source gives it
    rows : rows that were looked at
    filled : rows with a value; blank text is none
    blank : whether some text is blank rather than missing
    distinct : different values
    most : share of the filled rows that hold the most frequent value
    length : mean length of the values as text
    shapes : shape → share of the filled rows that are looked at and have it, from 0 to 1
    values : the values that are looked at, never shown
    stays_text : whether the source's type is text; text of a CSV file may become numbers
    """

    name: str
    sql_type: str
    rows: int
    filled: int
    blank: bool
    distinct: int
    most: float
    length: float
    shapes: Mapping[str, float] = field(repr=False)
    values: tuple[str, ...] = field(default=(), repr=False)
    stays_text: bool = False

    def share(self, shape: str) -> float:
        """Share of the filled rows that have a shape."""
        return self.shapes.get(shape, 0.0)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of the name."""
        return split_words(self.name)

    @cached_property
    def meaning(self) -> frozenset[str]:
        """What the words of the name mean, as English words."""
        return concepts(self.name)

    @cached_property
    def few(self) -> tuple[str, ...]:
        """All the values, when they are few and short; never shown."""
        if self.distinct > _FEW or len(self.values) < self.distinct:
            return ()
        return self.values if all(len(value) <= _LONG for value in self.values) else ()

    @property
    def share_filled(self) -> float:
        """Share of the rows with a value."""
        return self.filled / self.rows if self.rows else 0.0

    @property
    def is_unique(self) -> bool:
        """Whether every row has a value of its own."""
        return 0 < self.rows == self.filled == self.distinct

    @property
    def is_own(self) -> bool:
        """Whether hardly a value stands on two rows."""
        return self.filled > 0 and self.distinct >= 0.98 * self.filled

    @property
    def is_time(self) -> bool:
        """Whether the source's type is a time or a date."""
        return self.sql_type.startswith(("DATE", "TIMESTAMP"))

    @property
    def is_number(self) -> bool:
        """Whether every value is a number."""
        return self.distinct > 0 and max(self.share("number"), self.share("amount")) >= 1

    @property
    def is_whole_number(self) -> bool:
        """Whether every value is a row of digits."""
        return self.distinct > 0 and self.share("digits") >= 1

    @property
    def is_boolean(self) -> bool:
        """Whether the values are one word for yes, one for no, or only one of them."""
        return 0 < self.distinct <= 2 and bool(self.few) and all(value.lower() in _BOOLEANS for value in self.few)

    @property
    def is_code(self) -> bool:
        """Whether the values may name something: no blanks in them, not a measured number, no time."""
        return (
            self.share("code") >= 0.9
            and not self.is_time
            and self.sql_type not in (*_FLOATS, "BOOLEAN")
            and self.share("dated") < 0.5
            and self.share("clocked") < 0.5
            and self.share("url") < 0.5
            and self.share("ip") < 0.5
            and (max(self.share("digits"), self.share("long")) >= 0.9 or self.share("number") < 0.9)
        )


@dataclass(frozen=True)
class TableProfile:
    """Profile of one source.

    Parameters
    ----------
    table : the engine's table of its rows
    rows : rows that were looked at
    columns : by name, in the source's order
    copies : rows that equal an earlier one in every column
    complete : whether these are all rows of the source
    """

    table: str
    rows: int
    columns: Mapping[str, ColumnProfile]
    copies: int
    complete: bool = True


def profile_table(engine: duckdb.DuckDBPyConnection, table: str, *, typed: bool, complete: bool = True) -> TableProfile:
    """Return the profile of a table that holds a source's rows.

    Parameters
    ----------
    engine : holds the table
    table : its name
    typed : whether the source itself says what its columns hold
    complete : whether these are all rows of the source
    """
    described = engine.execute(f"DESCRIBE {quoted(table)}").fetchall()
    kinds = {name: kind for name, kind, *_ in described if not name.startswith("__")}
    listed = ", ".join(quoted(name) for name in kinds)
    counted = ", ".join(
        f"count({text_of(name, kind)}), count(DISTINCT {text_of(name, kind)}), count({quoted(name)}), "
        f"avg(length({text_of(name, kind)}))"
        for name, kind in kinds.items()
    )
    rows, different, *counts = one_row(
        engine, f"SELECT count(*), count(DISTINCT hash({listed})), {counted} FROM {quoted(table)}"
    )
    columns = {}
    for number, (name, kind) in enumerate(kinds.items()):
        filled, distinct, there, length = counts[4 * number : 4 * number + 4]
        values = engine.execute(
            f"""
            SELECT value, count(*) AS times FROM (SELECT {text_of(name, kind)} AS value FROM {quoted(table)})
            WHERE value IS NOT NULL GROUP BY value ORDER BY times DESC, hash(value) LIMIT {LOOKED_AT}
            """
        ).fetchall()
        columns[name] = ColumnProfile(
            name,
            kind,
            rows,
            filled,
            kind == "VARCHAR" and there > filled,
            distinct,
            values[0][1] / filled if values else 0.0,
            float(length or 0),
            _shapes(values),
            tuple(value for value, _ in values),
            typed and kind == "VARCHAR",
        )
    return TableProfile(table, rows, columns, rows - different, complete)


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


def is_constant(engine: duckdb.DuckDBPyConnection, table: TableProfile, group: str, column: str) -> bool:
    """Return whether a column has one value in each group of rows, over groups of more rows than one.

    Parameters
    ----------
    engine : holds the table
    group : the column whose values make the groups
    """
    inside, several = one_row(
        engine,
        f"""
        SELECT coalesce(bool_and(values <= 1), false), count(*)
        FROM (
            SELECT count(DISTINCT {quoted(column)}) AS values FROM {quoted(table.table)}
            WHERE {quoted(group)} IS NOT NULL GROUP BY {quoted(group)} HAVING count(*) > 1
        )
        """,
    )
    return bool(inside) and several > 0


def stands_once(engine: duckdb.DuckDBPyConnection, table: str, group: str, column: str) -> bool:
    """Return whether each group of rows has a value of a column on exactly one of them."""
    once, total = one_row(
        engine,
        f"""
        SELECT count(*) FILTER (heads = 1), count(*) FROM (
            SELECT count(nullif(trim(CAST({quoted(column)} AS VARCHAR)), '')) AS heads
            FROM {quoted(table)} GROUP BY {quoted(group)}
        )
        """,
    )
    return bool(once >= 0.98 * total)


def _shapes(values: list[tuple[str, int]]) -> dict[str, float]:
    total = sum(times for _, times in values) or 1
    found = dict.fromkeys(_PATTERNS, 0)
    for value, times in values:
        for shape, pattern in _PATTERNS.items() if len(value) <= _LONGEST else _OF_TEXT.items():
            if pattern.fullmatch(without_extension(value) if shape == "phone" else value):
                found[shape] += times
    return {shape: times / total for shape, times in found.items()}
