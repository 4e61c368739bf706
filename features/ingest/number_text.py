"""Numbers written as text: the decimal mark, decided over all rows, thousands, signs and symbols of money."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import duckdb

from features.base.database_engine import literal, one_row, quoted
from features.ingest.money import ISO_CODES, SYMBOLS, code_of

Mark = Literal[".", ","]

#: Below this every whole number has a double of its own.
EXACT_INTEGERS = 9_007_199_254_740_992
#: A column takes part in deciding the mark when this share of its values are numbers.
_MOSTLY = 0.9
#: Rows by which columns of other texts are ruled out.
_FIRST = 2_000
#: Of the values of a column that show a mark, the share of the other mark that makes both possible.
_STRAY = 0.01
_MONEY = f"(?:{'|'.join(sorted(ISO_CODES))}|{SYMBOLS})"
_EXPONENT = "(?:[eE][+-]?[0-9]+)?"
#: What is a thousand to one reader and a one to the other.
_EITHER = "[1-9][0-9]{0,2}[.,][0-9]{3}"
_WHOLE = "[0-9]+|[1-9][0-9]{0,2}(?:[ '][0-9]{3})+"


def _bodies(mark: str, other: str) -> tuple[str, str]:
    """Return the patterns of the digits that a reader of this mark reads, and of those that only such a reader does."""
    lakhs = "|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}(?:[.][0-9]*)?" if mark == "." else ""
    grouped = f"[1-9][0-9]{{0,2}}(?:[{other} '][0-9]{{3}})+(?:[{mark}][0-9]*)?{lakhs}"
    readable = f"[0-9]+(?:[{mark}][0-9]*)?{_EXPONENT}|[{mark}][0-9]+{_EXPONENT}|{grouped}"
    certain = (
        f"[0-9]*[{mark}][0-9]*{_EXPONENT}|[1-9][0-9]{{0,2}}(?:[{other} '][0-9]{{3}})+[{mark}][0-9]*"
        f"|[1-9][0-9]{{0,2}}(?:[{other}][0-9]{{3}}){{2,}}{lakhs}"
    )
    return readable, certain


_READABLE = {".": _bodies(".", ",")[0], ",": _bodies(",", ".")[0]}
_CERTAIN = {".": _bodies(".", ",")[1], ",": _bodies(",", ".")[1]}


@dataclass(frozen=True)
class NumberReading:
    """How the numbers of a column are written.

    Parameters
    ----------
    mark : the decimal mark of the column, or of the file's other columns; none where no value shows one
    values : values that are not blank
    numbers : of them, those that are numbers under this mark
    undecided : of them, those that are two numbers, such as 1.234, and the mark does not tell which
    currencies : ISO codes, or the symbol ``$``, that stand around the numbers
    coded : whether some value is written like a code, such as 007, or is too large for a number
    spaced : whether some whole number is parted by spaces, or stands in brackets or beside a symbol
    shows : the mark that most of its own values show, if nearly all of them are numbers
    simple : whether every number is written as in a program: digits and a point
    """

    mark: Mark | None
    values: int
    numbers: int
    undecided: int = 0
    currencies: tuple[str, ...] = ()
    coded: bool = False
    spaced: bool = False
    shows: Mark | None = None
    simple: bool = False

    @property
    def certain(self) -> bool:
        """Whether no value is two numbers."""
        return self.undecided == 0


def detect_numbers(
    engine: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[str], *, decimal: str | None = None
) -> dict[str, NumberReading]:
    """Return how the numbers of text columns are written, decided over all rows; columns without numbers are left out.

    A column shows its mark where a value can be read in one way only: ``12,50``, ``1.234,5``, ``1,234,567``. A column
    that shows none takes the one that the other columns agree on.

    Parameters
    ----------
    engine : has `relation`
    relation : the rows
    columns : text columns
    decimal : the declared decimal mark

    Examples
    --------
    >>> from features.base.database_engine import open_engine
    >>> with open_engine(folders=[]) as engine:
    ...     _ = engine.execute("CREATE TABLE t AS FROM (VALUES ('1.500', '7,25'), ('750', '(1.204,90) €')) v(a, b)")
    ...     found = detect_numbers(engine, "t", ["a", "b"])
    >>> found["a"].mark, found["a"].certain, found["b"].currencies
    (',', True, ('EUR',))
    """
    if not columns:
        return {}
    counts = dict(zip(columns, _count(engine, relation, columns), strict=True))
    shown = {column: _shown(found) for column, found in counts.items() if found.mostly_numbers}
    marks = {mark for mark, _ in shown.values() if mark is not None}
    shared: Mark | None = marks.pop() if len(marks) == 1 else None
    readings = {}
    for column, found in counts.items():
        if not found.numbers:
            continue
        mark, mixed = shown.get(column, (None, False))
        mark = _mark(decimal) or mark or shared
        undecided = found.either if decimal is None and (mark is None or mixed) else 0
        wrong = {".": found.comma, ",": found.point, None: found.comma + found.point}[mark]
        readings[column] = NumberReading(
            mark,
            found.values,
            found.numbers - wrong - undecided,
            undecided,
            _currencies(engine, relation, column) if found.dressed else (),
            found.coded,
            found.spaced > 0,
            shown.get(column, (None, False))[0],
            mark != "," and not undecided and not found.dressed,
        )
    return readings


def likely_numbers(engine: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[str]) -> dict[str, float | None]:
    """Return the share of numbers among the first values of text columns; none where those are blank."""
    if not columns:
        return {}
    counts = _count(engine, f"(SELECT * FROM {relation} LIMIT {_FIRST})", columns)
    return {
        name: found.numbers / found.values if found.values else None
        for name, found in zip(columns, counts, strict=True)
    }


def mark_conflict(readings: Mapping[str, NumberReading]) -> tuple[str, str] | None:
    """Return a column with decimal commas and one with points, which the file of one system does not have."""
    shown = {mark: [name for name, found in readings.items() if found.shows == mark] for mark in (",", ".")}
    return (shown[","][0], shown["."][0]) if shown[","] and shown["."] else None


def number_sql(text: str, mark: Mark | None, *, undecided: bool = False) -> str:
    """Return SQL of a text as a number under a decimal mark, null where it is none.

    Parameters
    ----------
    text : SQL of the text, trimmed
    mark : the decimal mark; the point where it is none
    undecided : whether a value that is two numbers, such as 1.234, is none

    Examples
    --------
    >>> import duckdb
    >>> duckdb.sql(f"SELECT {number_sql('t', ',')} FROM (VALUES ('1.204,90'), ('7,50-'), ('1,5 kg')) v(t)").fetchall()
    [(1204.9,), (-7.5,), (None,)]
    """
    mark = mark or "."
    other = "," if mark == "." else "."
    plain = _plain(text)
    digits = f"regexp_replace({plain}, {literal(_dressed(_READABLE[mark]))}, '\\2\\3\\5\\4')"
    digits = f"replace(translate({digits}, '{other} ''', ''), '{mark}', '.')"
    dressed = (
        f"CASE WHEN regexp_matches({plain}, {literal(_dressed(_READABLE[mark]))}) "
        f"THEN TRY_CAST(CASE WHEN starts_with({plain}, '(') THEN '-' ELSE '' END || {digits} AS DOUBLE) END"
    )
    simple = as_double(text)
    if mark == ",":
        simple = f"CASE WHEN NOT contains({text}, '.') THEN {simple} END"
    number = f"coalesce({simple}, {dressed})"
    either = f"CASE WHEN NOT {is_undecided(text)} THEN {number} END" if undecided else number
    return f"CASE WHEN isfinite({either}) THEN {either} END"


def as_double(text: str) -> str:
    """Return SQL of a text as a number with a decimal point; null where it is none, as `1_000`, which DuckDB reads.

    Examples
    --------
    >>> import duckdb
    >>> duckdb.sql(f"SELECT {as_double('t')} FROM (VALUES ('2024_01'), ('-1.5e3')) v(t)").fetchall()
    [(None,), (-1500.0,)]
    """
    return f"TRY_CAST(CASE WHEN NOT contains({text}, '_') THEN {text} END AS DOUBLE)"


def is_undecided(text: str) -> str:
    """Return SQL of whether a text is two numbers, such as 1.234."""
    return f"coalesce(regexp_matches({_plain(text)}, {literal(_dressed(_EITHER))}), false)"


def currency_sign(text: str) -> str:
    """Return SQL of the symbol or code that stands beside a number; null where none does."""
    return f"nullif(upper(regexp_extract({_plain(text)}, {literal(_MONEY)})), '')"


@dataclass(frozen=True)
class _Counts:
    values: int
    comma: int
    point: int
    either: int
    whole: int
    spaced: int
    dressed: int
    coded: bool

    @property
    def numbers(self) -> int:
        return self.comma + self.point + self.either + self.whole

    @property
    def mostly_numbers(self) -> bool:
        return self.values > 0 and self.numbers >= _MOSTLY * self.values


def _count(engine: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[str]) -> list[_Counts]:
    """Return the counts of every column, in one pass."""
    selected, prepared = [], []
    for number, column in enumerate(columns):
        text = f"nullif(trim({quoted(column)}), '')"
        prepared += [f"{text} AS t{number}", f"{_shape(text)} AS s{number}"]
        shape = [f"count(*) FILTER (s{number} = {place})" for place in range(5)]
        comma, point, either, whole, spaced = shape
        number_of = as_double(f"t{number}")
        dressed = f"count(*) FILTER (s{number} IS NOT NULL AND {number_of} IS NULL)"
        code = f"left(t{number}, 1) IN ('0', '+', '-') AND regexp_matches(t{number}, '^([+]|-?0[0-9])')"
        code += (
            f" OR regexp_matches(t{number}, '^[0-9]+[eE][0-9]+$')"  # programs write 1e+05, and people 12E3 as a code
        )
        coded = (
            f"coalesce(bool_or({code}) FILTER (s{number} IS NOT NULL), false) "
            f"OR coalesce(max(abs({number_of})) FILTER (isfinite({number_of})), 0) >= {EXACT_INTEGERS}"
        )
        selected += [f"count(t{number})", comma, point, either]
        selected += [f"{whole} + {spaced}", spaced, dressed, coded]
    row = one_row(engine, f"SELECT {', '.join(selected)} FROM (SELECT {', '.join(prepared)} FROM {relation})")
    return [_Counts(*row[at : at + 8]) for at in range(0, len(row), 8)]


def _shape(text: str) -> str:
    """Return SQL of what a text shows: 0 a decimal comma, 1 a point, 2 either, 3 a whole number, 4 a dressed one."""
    plain = _plain(text)
    simple = (
        f"CASE WHEN NOT isfinite({as_double(text)}) THEN NULL WHEN NOT contains({text}, '.') THEN 3 "
        f"WHEN length({text}) - strpos({text}, '.') = 3 AND regexp_matches({text}, '^[-+]?{_EITHER}$') THEN 2 "
        "ELSE 1 END"
    )
    cases = [(_EITHER, 2), (_CERTAIN[","], 0), (_CERTAIN["."], 1), (_WHOLE, 4)]
    dressed = " ".join(f"WHEN regexp_matches({plain}, {literal(_dressed(body))}) THEN {shape}" for body, shape in cases)
    return f"CASE WHEN {as_double(text)} IS NOT NULL THEN {simple} ELSE CASE {dressed} END END"


def _plain(text: str) -> str:
    """Return SQL of a text with one kind of space, apostrophe and minus."""
    return f"translate({text}, '\u00a0\u202f\u2009\u2007\u2019\u02bc`\u00b4\u2212\u2013', '    ''''''''--')"


def _dressed(body: str) -> str:
    """Return the pattern of a number with its sign, brackets and money; groups 2 to 5 are signs and digits."""
    return rf"^(\( ?)?([+-])?(?: ?{_MONEY} ?)?([+-])?({body})(?: ?{_MONEY})?( ?[+-])?(?: ?\))?(?: ?{_MONEY})?$"


def _shown(found: _Counts) -> tuple[Mark | None, bool]:
    """Return the mark that a column shows, and whether it shows both too often to be read by one."""
    if found.comma == found.point:
        return None, found.comma > 0
    mark: Mark = "," if found.comma > found.point else "."
    return mark, min(found.comma, found.point) > _STRAY * max(found.comma, found.point)


def _mark(declared: str | None) -> Mark | None:
    return "," if declared == "," else "." if declared == "." else None


def _currencies(engine: duckdb.DuckDBPyConnection, relation: str, column: str) -> tuple[str, ...]:
    sign = currency_sign(f"trim({quoted(column)})")
    found: Collection[tuple[str | None]] = engine.execute(f"SELECT DISTINCT {sign} FROM {relation}").fetchall()
    return tuple(sorted({code_of(text) for (text,) in found if text is not None}))
