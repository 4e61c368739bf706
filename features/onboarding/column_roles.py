"""What the columns of one source are for, by their values first and their names second: people, own ids, times."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import get_args

import duckdb

from features.base.database_engine import quoted
from features.base.errors import BadData, UsageError
from features.config.feed import TimeConvention
from features.ingest.time_text import TimeReading, detect_times
from features.onboarding.column_profile import ColumnProfile
from features.onboarding.proposal import ProfiledSource, reference
from features.onboarding.words import concepts, word_set

PERSONS = word_set(
    """
    customer contact user member account person subscriber visitor recipient requester respondent payer guest
    household subject party
    """
)
#: What rows are about that a person does or has; a file of them is never one of customers.
DEALINGS = word_set(
    """
    order invoice payment bill ticket deal booking answer visit usage review redemption event subscription offer
    """
)
#: People who work for the company, or on the other end of a call, are not those whom the rows are about.
OTHERS = frozenset(["staff", "other", "company", "fax"])
#: From here on a person who stands on several rows does something on each of them.
REPEATS = 1.5
_MOSTLY = 0.95
_TIMED = 0.8
_HALF = 0.5
_NOBODY = frozenset(
    ["0", "-1", "null", "none", "n/a", "na", "guest", "anonymous", "-", "unknown", "(none)", "(not set)"]
)

#: What names no row, though it may be another one on each.
_NO_NAMES = word_set("phone ip card bank time date national postcode amount price quantity")
_LATER = word_set(
    """
    closed end due delivered refund outcome optout later bounce opened
    """
)
_RECORD = word_set(
    """
    changed loaded first last previous valuta subscribed opt confirm
    """
)


@dataclass(frozen=True)
class TimeColumn:
    """One time of the rows.

    Parameters
    ----------
    name : its column; the first of two where date and clock stand apart
    expression : as a feed declares it
    reading : how it is written; None where the source's type says it
    meaning : what the words of its name mean
    share : of the rows, how many have it
    clock, zoned : whether the time of day and the zone are written
    first, last : the range, as text; empty where it is unknown
    """

    name: str
    expression: str
    reading: TimeReading | None
    meaning: frozenset[str]
    share: float
    clock: bool
    zoned: bool
    first: str = ""
    last: str = ""
    clock_column: str = ""

    @property
    def reason(self) -> str:
        """How it is read, in words; no value stands in it."""
        if self.reading is None:
            return f"holds {'moments with a zone' if self.zoned else 'moments'}"
        lost = self.reading.values - self.reading.read
        said = f"is written {self.reading.convention.replace('_', ' ')}"
        said += f"; {lost / self.reading.values:.1%} of the values are no time" if lost else ""
        return said

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is read from."""
        return (self.name, self.clock_column) if self.clock_column else (self.name,)


@dataclass(frozen=True)
class PersonColumn:
    """A column that says whose the rows are.

    Parameters
    ----------
    column : its profile
    kind : what its values are
    share : of the rows, how many name somebody
    distinct : people that are named
    nobody : values that stand for nobody, such as 0 for guests
    """

    column: ColumnProfile
    kind: str
    share: float
    distinct: int
    nobody: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name


@dataclass(frozen=True)
class Roles:
    """The columns of one source by what they are for; `times` are without `births`."""

    given: ProfiledSource
    times: tuple[TimeColumn, ...]
    persons: tuple[PersonColumn, ...]
    births: tuple[TimeColumn, ...] = ()

    @cached_property
    def file_meaning(self) -> frozenset[str]:
        """What the words of the file's own name mean; its folder has no say."""
        return concepts(self.given.stem)

    @cached_property
    def own_ids(self) -> tuple[ColumnProfile, ...]:
        """Columns with a different value on every row that may name the rows, the likeliest first."""
        found = [
            column
            for column in self.given.table.columns.values()
            if column.is_unique and column.is_code and not column.share("email") and _names_rows(column)
        ]
        return tuple(
            sorted(found, key=lambda column: (not column.meaning & (PERSONS | DEALINGS), "id" not in column.meaning))
        )

    @cached_property
    def first_code(self) -> ColumnProfile | None:
        """The first column with a different code on every row, whatever it is called, where those before it repeat."""
        for column in self.given.table.columns.values():
            if column.is_unique and column.is_code and not column.share("email") and not column.meaning & _NO_NAMES:
                return column
            if column.distinct * 2 > column.filled:
                return None
        return None

    @cached_property
    def about(self) -> frozenset[str]:
        """What the rows are about, as their own id or, where that is just an id, their file is called."""
        for column in self.own_ids:
            found = column.meaning & (PERSONS | DEALINGS)
            if found:
                return found
        return self.file_meaning & (PERSONS | DEALINGS)

    def when(self, *, but: Collection[str] = ()) -> TimeColumn | None:
        """When the rows happened: the business moment before load, change and closing dates, the earliest first."""
        full = [time for time in self.times if time.share >= _MOSTLY and time.name not in but]
        ranked = sorted(full, key=lambda time: (_distance(time, self.about), not time.clock, time.first))
        return ranked[0] if ranked else None

    def named(self, *meanings: str, but: Collection[str] = (), least: float = 0.0) -> TimeColumn | None:
        """The first time whose name means one of these, in their order."""
        for meaning in meanings:
            for time in self.times:
                if meaning in time.meaning and time.name not in but and time.share >= least:
                    return time
        return None

    @property
    def repeats(self) -> float:
        """Rows for each person, over the column that tells most people apart; 1 where nobody is named."""
        named = [person for person in self.persons if person.distinct > 1]
        best = max(named, key=lambda person: (person.share >= _TIMED, person.distinct), default=None)
        return best.share * self.given.table.rows / best.distinct if best else 1.0


def find_roles(
    engine: duckdb.DuckDBPyConnection, given: ProfiledSource, answers: Mapping[str, str] | None = None
) -> Roles:
    """Return what the columns of a source are for.

    Parameters
    ----------
    engine : holds the rows
    given : the source with its profile
    answers : what a person answered, such as ``{"crm.times.joined": "day_first"}``
    """
    found = [_answered(time, f"{given.name}.times.{time.name}", answers or {}) for time in _times(engine, given)]
    births = tuple(time for time in found if "birth" in time.meaning)
    return Roles(given, tuple(time for time in found if time not in births), tuple(find_persons(given)), births)


def refuse_undecided(roles: Roles, time: TimeColumn) -> None:
    """Refuse a time that two conventions read as different moments.

    Raises
    ------
    BadData : no row decides between them
    """
    if time.reading is not None and time.reading.otherwise:
        other = time.reading.otherwise[0]
        raise BadData(
            "init.undecided_time",
            f"{time.name!r} may be written {time.reading.convention} or {other}: no row decides",
            where=roles.given.source,
            hint=f"run `nextbest init --interactive`, or answer with --answer {roles.given.name}.times.{time.name}="
            f"{time.reading.convention} (or {other})",
        )


def _times(engine: duckdb.DuckDBPyConnection, given: ProfiledSource) -> Iterator[TimeColumn]:
    columns = list(given.table.columns.values())
    clocks = {c.name for c in columns if c.filled and not c.share("dated") and _is_clock(c)}
    for column in columns:
        if not column.filled or column.name in clocks:
            continue
        if column.is_time:
            first, last = engine.execute(
                f"SELECT CAST(min({quoted(column.name)}) AS VARCHAR), CAST(max({quoted(column.name)}) AS VARCHAR) "
                f"FROM {quoted(given.table.table)}"
            ).fetchall()[0]
            zoned = "TIME ZONE" in column.sql_type
            yield TimeColumn(
                column.name, column.name, None, column.meaning, column.share_filled, column.sql_type != "DATE", zoned,
                first, last,
            )  # fmt: skip
            continue
        if not _may_be_time(column):
            continue
        text = (
            f"trim({quoted(column.name)})"
            if column.sql_type == "VARCHAR"
            else f"CAST({quoted(column.name)} AS VARCHAR)"
        )
        reading = _read_times(engine, given, text)
        if reading is not None and column.distinct == 1 and column.rows > 20 and column.share("number") >= _MOSTLY:
            continue  # a number that is the same on every row is no time
        if reading is None or reading.share < (_HALF if "birth" in column.meaning else _TIMED) * (1 - _open(column)):
            continue
        expression, clock_column, clock = column.name, "", reading.clock
        if not clock and (beside := _clock_beside(column, columns, clocks)):
            expression = f"{reference(column.name)} || ' ' || {reference(beside)}"
            clock_column, clock = beside, True
        yield TimeColumn(
            column.name,
            expression,
            reading,
            column.meaning,
            column.share_filled * min(reading.share + _open(column), 1),
            clock,
            reading.zoned,
            reading.earliest.isoformat() if reading.earliest else "",
            reading.latest.isoformat() if reading.latest else "",
            clock_column,
        )


def _read_times(engine: duckdb.DuckDBPyConnection, given: ProfiledSource, text: str) -> TimeReading | None:
    """Return how times are written; of two readings, one that lies more than a year after the delivery is none."""
    relation = quoted(given.table.table)
    reading = detect_times(engine, relation, text)
    if reading is None or reading.certain or not given.delivered:
        return reading
    delivered = datetime.fromisoformat(given.delivered).replace(tzinfo=UTC)
    past = detect_times(engine, relation, text, delivered=delivered)
    return past if past is not None and past.certain else reading


def _open(column: ColumnProfile) -> float:
    """Return the share of the values that are a far end for none, such as 9999-12-31."""
    return column.most if column.values and re.search("9999|2999", column.values[0]) else 0.0


def find_persons(given: ProfiledSource) -> Iterator[PersonColumn]:
    """Yield the columns that say whose the rows of a source are."""
    rows = given.table.rows
    for column in given.table.columns.values():
        if not column.filled or (rows > 20 and column.distinct < 3) or column.meaning & OTHERS:
            continue
        kind = _person_kind(column)
        if kind is None or (kind == "email" and rows > 20 and column.most > 0.5):
            continue
        nobody = (
            tuple(v for v in column.values[:20] if v.lower() in _NOBODY or set(v) == {"0"}) if kind != "email" else ()
        )
        share = column.share_filled
        if nobody:  # the most frequent values come first, so their share is that of the first
            share *= 1 - (column.most if column.values[0] in nobody else 0)
        distinct = column.distinct - len(nobody)
        if kind == "email" and len(column.values) == column.distinct:
            distinct = len({value.lower() for value in column.values})
        yield PersonColumn(column, kind, share, distinct, nobody)


def _answered(time: TimeColumn, question: str, answers: Mapping[str, str]) -> TimeColumn:
    answer = answers.get(question)
    if answer is None or time.reading is None:
        return time
    conventions: dict[str, TimeConvention] = {name: name for name in get_args(TimeConvention)}
    if answer not in conventions:
        raise UsageError("init.answer", f"{question} cannot be {answer!r}", hint=f"one of {', '.join(conventions)}")
    return replace(time, reading=replace(time.reading, convention=conventions[answer], otherwise=()))


def _person_kind(column: ColumnProfile) -> str | None:
    meaning = column.meaning
    if column.share("email") >= 0.8:
        return "email"
    if column.share("bank") >= 0.7 and column.distinct > 2:
        return "bank"
    if column.share("phone") >= 0.9 and "phone" in meaning:
        return "phone"
    persons = meaning & PERSONS
    named = "id" in meaning and column.share("code") >= 0.9 and not column.is_time
    if not persons or column.is_boolean or not (named or column.is_code or column.share("list") > 0.02):
        return None
    if meaning & {
        "type",
        "status",
        "group",
        "phone",
        "url",
        "ip",
        "name",
        "count",
        "zone",
        "text",
        "agent",
        "time",
        "date",
    }:
        return None if "id" not in meaning or meaning & {"type", "status", "time", "date"} else "id"
    if meaning & {"order", "invoice", "amount", "quantity", "country", "postcode", "city", "street", "later"}:
        return "id" if "id" in meaning and not meaning & {"quantity", "amount"} else None
    return "id" if "id" in meaning or meaning <= persons | {"associated", "primary", "domain"} else None


def _names_rows(column: ColumnProfile) -> bool:
    return bool(column.meaning & ({"id", "record"} | DEALINGS | PERSONS)) and not column.meaning & (
        _NO_NAMES - ({"amount"} if "id" in column.meaning else set())
    )


def _may_be_time(column: ColumnProfile) -> bool:
    if "birth" in column.meaning:
        return column.share("dated") >= _HALF or (column.share("digits") >= 0.9 and 7 < column.length < 9)
    if column.share("dated") >= _TIMED or (column.share("clocked") >= _TIMED and column.share("words") < 0.5):
        return True
    numeric = column.share("number") >= _MOSTLY
    return numeric and bool(column.meaning & {"time", "date", "created", "changed"}) and not column.meaning & {
        "zone", "usage_duration", "duration", "day", "count", "quantity", "amount",
    } and column.length >= 5  # fmt: skip


def _is_clock(column: ColumnProfile) -> bool:
    return column.share("clocked") >= _MOSTLY and all(
        len(value) <= 11 and value[:1].isdigit() for value in column.values
    )


def _clock_beside(column: ColumnProfile, columns: list[ColumnProfile], clocks: Collection[str]) -> str | None:
    place = columns.index(column)
    near = columns[place + 1 : place + 2] + columns[max(place - 1, 0) : place]
    named = [c for c in columns if c.name in clocks and c.meaning & column.meaning - {"time", "date"}]
    return next((c.name for c in [*near, *named] if c.name in clocks), None)


def _distance(time: TimeColumn, about: frozenset[str]) -> int:
    """How far a time is from the moment at which a row happened, by the words of its name."""
    meaning = time.meaning
    if meaning & _LATER or ("payment" in meaning and "order" in about):
        return 3
    if "loaded" in meaning:
        return 4
    return 2 if meaning & (_RECORD | PERSONS | OTHERS) - about else 1
