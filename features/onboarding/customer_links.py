"""Links of rows to customers: two columns whose values meet, however each system writes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from features.base.database_engine import quoted
from features.onboarding.column_profile import ColumnProfile, TableProfile, text_of
from features.onboarding.column_roles import OTHERS, PERSONS
from features.onboarding.proposal import reference

#: A column whose values another holds to this share is taken to name its records.
LINKED = 0.5
#: From here on every row has its customer; below it the feed gets customers of its own.
COMPLETE = 0.95
_MOST_VALUES = 200_000
_FEW = 12
_SHORT = 7


@dataclass(frozen=True)
class Spelling:
    """One way to write an id without what systems add to it.

    Parameters
    ----------
    name : what is taken off, in words
    plain : the text without it
    expression : the same for a feed; None where the column may stay as it is
    """

    name: str
    plain: Callable[[str], str]
    expression: Callable[[str], str] | None


def _pattern(name: str, pattern: str) -> Spelling:
    compiled = re.compile(pattern)

    def plain(text: str) -> str:
        match = compiled.search(text)
        return match.group(1) if match else text

    return Spelling(
        name, plain, lambda column: f"regexp_extract(trim({column}), '{pattern.replace(chr(39), chr(39) * 2)}', 1)"
    )


AS_WRITTEN = Spelling("", str, None)
SPELLINGS: tuple[Spelling, ...] = (
    AS_WRITTEN,
    Spelling("letter case", str.lower, lambda column: f"lower(trim({column}))"),
    _pattern("an apostrophe", "^'?(.*)$"),
    _pattern("'.0' at the end", r"^(.*?)([.]0+)?$"),
    _pattern("the first of a list", r"^\s*([^;,|]*?)\s*([;,|].*)?$"),
    _pattern("zeros, an apostrophe or '.0'", r"^'?0*([0-9]+?)([.]0+)?$"),
    _pattern("the last three of 18 characters", "^([A-Za-z0-9]{15})([A-Z0-9]{3})?$"),
    Spelling("letter case and marks", lambda t: re.sub(r"[^0-9a-z]", "", t.lower()), None),
)


@dataclass(frozen=True)
class Meeting:
    """How far the values of a column are those of a column of another source.

    Parameters
    ----------
    own, theirs : the columns
    rows : share of the rows with a value whose value is there
    spelling : how both have to be written for it
    people : different values
    """

    own: ColumnProfile
    theirs: ColumnProfile
    rows: float
    spelling: Spelling
    people: int

    @property
    def reason(self) -> str:
        """What was counted, in words."""
        how = f", once {self.spelling.name} is taken off or made equal" if self.spelling.name else ""
        return f"{self.rows:.1%} of the rows with a value have one of {self.theirs.name!r}{how}"

    def spelled(self, column: ColumnProfile) -> str | None:
        """Return the expression of a column in the spelling of the meeting; None where it may stay as it is written."""
        if self.spelling.expression is None or all(self.spelling.plain(value) == value for value in column.values):
            return None
        name = reference(column.name)
        return self.spelling.expression(name if column.sql_type == "VARCHAR" else f"cast({name} as varchar)")


class Overlaps:
    """How far the values of columns meet; the values of a column are read once.

    Parameters
    ----------
    engine : holds the tables
    """

    def __init__(self, engine: duckdb.DuckDBPyConnection) -> None:
        self._engine = engine
        self._values: dict[tuple[str, str], Mapping[str, int]] = {}

    def meet(self, table: TableProfile, own: ColumnProfile, other: TableProfile, theirs: ColumnProfile) -> Meeting:
        """Return how far the values of a column are those of another, under the spelling that serves best."""
        mine, there = self._of(table, own), self._of(other, theirs)
        total = sum(mine.values()) or 1
        best = Meeting(own, theirs, 0.0, AS_WRITTEN, own.distinct)
        for spelling in SPELLINGS:
            if spelling.expression is None and spelling is not AS_WRITTEN and best.rows > 0.05:
                continue
            known = {spelling.plain(value) for value in there}
            if len(known) < 0.98 * len(there):
                continue  # two records would become one
            rows = sum(times for value, times in mine.items() if spelling.plain(value) in known) / total
            if rows > best.rows + 0.02:
                best = Meeting(own, theirs, rows, spelling, own.distinct)
        return best

    def _of(self, table: TableProfile, column: ColumnProfile) -> Mapping[str, int]:
        found = self._values.get((table.table, column.name))
        if found is None:
            rows = self._engine.execute(
                f"""
                SELECT value, count(*) FROM (
                    SELECT {text_of(column.name, column.sql_type)} AS value FROM {quoted(table.table)}
                ) WHERE value IS NOT NULL GROUP BY value ORDER BY hash(value) LIMIT {_MOST_VALUES}
                """
            ).fetchall()
            found = self._values[table.table, column.name] = dict(rows)
        return found

    def agreement(
        self,
        table: TableProfile,
        own: str,
        other: TableProfile,
        theirs: str,
        pairs: Sequence[tuple[str, str]],
        spelling: Spelling = AS_WRITTEN,
    ) -> float | None:
        """Return how often rows that an id joins agree on a name or contact; None where nothing can be compared.

        Parameters
        ----------
        own, theirs : the ids
        pairs : columns of both that hold the same field
        spelling : how both ids have to be written to be equal
        """
        ids = [_text(table, own), _text(other, theirs)]
        mine, there = (spelling.expression(text) if spelling.expression else text for text in ids)
        best: float | None = None
        for left, right in pairs:
            (share, number) = self._engine.execute(
                f"""
                SELECT avg(CASE WHEN lower(a.mapped) = lower(b.mapped) THEN 1.0 ELSE 0.0 END), count(*)
                FROM (SELECT {mine} AS id, {_text(table, left)} AS mapped FROM {quoted(table.table)}) a
                JOIN (SELECT {there} AS id, {_text(other, right)} AS mapped FROM {quoted(other.table)}) b
                USING (id) WHERE a.mapped IS NOT NULL AND b.mapped IS NOT NULL
                """
            ).fetchall()[0]
            if number:
                best = max(best or 0.0, float(share))
        return best


def linking_columns(table: TableProfile) -> Iterator[ColumnProfile]:
    """Yield the columns that may name a record of another source: codes, e-mails, telephones, lists of codes."""
    for column in table.columns.values():
        if not column.filled or column.meaning & OTHERS or column.is_boolean:
            continue
        named = column.is_code or column.share("email") >= 0.8 or column.share("list") + column.share("code") >= 0.9
        phone = column.share("phone") >= 0.9 and bool(column.meaning & {"phone", "subscriber", "id"})
        if (named or phone) and (column.distinct > _FEW or column.distinct * 20 >= table.rows):
            yield column


def naming_columns(table: TableProfile) -> list[ColumnProfile]:
    """Return the columns of customers by which other sources may name them: nearly each value stands on one row."""
    return [
        column
        for column in linking_columns(table)
        if column.is_own and column.distinct * 2 > column.filled and not column.share("list") > 0.5
    ]


def may_meet(own: ColumnProfile, theirs: ColumnProfile, *, owner: frozenset[str]) -> bool:
    """Return whether equal values are evidence: counting numbers meet by chance, so their names have to agree.

    Parameters
    ----------
    owner : what the words of the other source's name mean, for ids that are called `id`
    """
    if "phone" in own.meaning and "phone" not in theirs.meaning and "subscriber" not in theirs.meaning:
        return False
    if own.share("digits") >= 0.9 and own.length < _SHORT and not own.meaning & (PERSONS | {"id", "phone"}):
        return False  # a measured number
    if not (_counts(own) and _counts(theirs)):
        return True
    same = own.words == theirs.words
    plain = theirs.meaning <= {"id", "record"} and bool(own.meaning & (owner | PERSONS))
    return same or plain or bool(own.meaning & PERSONS and theirs.meaning & PERSONS)


def _counts(column: ColumnProfile) -> bool:
    """Return whether the values are small whole numbers close to each other."""
    if column.share("digits") < 0.9:
        return False
    numbers = [int(value) for value in column.values if value.isdigit() and len(value) < 12]
    return bool(numbers) and max(numbers) - min(numbers) < 20 * max(column.distinct, 50)


def _text(table: TableProfile, column: str) -> str:
    return text_of(column, table.columns[column].sql_type)
