"""A feed's declaration and the columns that it names; see `mapped_select` for the statement made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field as default
from datetime import datetime
from functools import cached_property

from features.base.database_engine import quoted
from features.base.errors import BadConfiguration, Problem
from features.base.expressions.expression import parse
from features.config.canonical import CANONICAL, Kind, attribute_name
from features.config.feed import ROW, Feed, TimeConvention
from features.config.loading import did_you_mean
from features.ingest.money import ISO_CODES
from features.ingest.number_text import EXACT_INTEGERS, NumberReading, as_double, number_sql
from features.ingest.reader import RAW

TYPED = "typed_rows"
_TEXT_OF = "__text "  # before the name of a number column of a CSV file: the same value as it was written
_NAMED_BY = "__named_by "  # before the name of a column by which other feeds name this feed's records
#: Fields that speak of a moment after the row's own; the columns they come from survive under no other name.
_LATER: dict[Kind, tuple[str, ...]] = {"holdings": ("held_to",), "interactions": ("outcome", "outcome_time")}
FLOATS = ("DOUBLE", "FLOAT")


@dataclass(frozen=True)
class FeedMapping:
    """A feed's declaration with every expression parsed and every column found.

    Parameters
    ----------
    name, feed : the feed
    types : raw columns and their SQL types
    numeric : text columns (CSV) that hold numbers
    loaded_at : when the files were last written, for feeds that declare no time
    named_by : columns by which other feeds name this feed's records
    readings : of text columns with numbers, how those are written
    given : of each declared expression, the SQL type that the engine gives it
    conventions : of each text that gives times, the convention that it follows, and others that are as likely
    currency : the column or the ISO code of the currency of amounts; None where nothing names one
    """

    name: str
    feed: Feed
    types: Mapping[str, str]
    numeric: frozenset[str]
    loaded_at: datetime
    named_by: tuple[str, ...] = ()
    readings: Mapping[str, NumberReading] = default(default_factory=dict)
    given: Mapping[str, str] = default(default_factory=dict)
    conventions: Mapping[str, tuple[TimeConvention, ...]] = default(default_factory=dict)
    currency: str | None = None

    @cached_property
    def columns(self) -> dict[str, str]:
        """The columns that may be named, and their SQL types: those of the files, and those made of them."""
        return {**self.types, **dict.fromkeys(self.feed.columns, "VARCHAR")}

    def check(self) -> list[Problem]:
        """Return a problem for each column that the declaration names and the files do not have."""
        feed, known, place = self.feed, list(self.columns), f"feeds.{self.name}"
        named = [(f"{place}.key", column) for column in feed.keys]
        named += [(f"{place}.drop", column) for column in feed.drop]
        named += [(f"{place}.pii", column) for column in feed.pii]
        named += [(f"{place}.times", column) for column in feed.times]
        named += [(f"{place}.minor_units", column) for column in feed.minor_units]
        named += [(f"{place}.fill_down", column) for column in feed.filled_down]
        if feed.currency is not None and feed.currency not in ISO_CODES:
            named.append((f"{place}.currency", feed.currency))
        link = feed.link(self.name)
        if link is not None and feed.kind != "customers":
            named.append((f"{place}.customer", link[2]))
        named += [(place, column) for column in self.named_by]
        problems = [_absent(where, column, known) for where, column in named if column not in self.columns]
        problems += [
            Problem("feed.column", f"the files have a column {name!r} already", f"{place}.columns", "rename it")
            for name in sorted(feed.columns.keys() & self.types.keys())
        ]
        if feed.key == ROW and ROW in self.types:
            message = "`key: row` means each row's place, and the files have a column of that name"
            problems.append(Problem("feed.key", message, f"{place}.key", "write `key: [row]` for the column"))
        made = [(f"{place}.columns.{name}", text) for name, text in feed.columns.items()]
        for where, text in [*self._expressions(), *made]:
            try:
                used = self.columns_of(text, where)
            except BadConfiguration as error:
                problems.extend(error.problems)
                continue
            there = list(self.types) if where.startswith(f"{place}.columns.") else known
            problems.extend(_absent(where, column, there) for column in sorted(used - set(there)))
            if feed.kind != "customers" and where.startswith(f"{place}.fields."):
                problems.extend(_personal(where, column) for column in sorted(self._made_of(used) & set(feed.pii)))
        return problems + self._clashes()

    def _clashes(self) -> list[Problem]:
        """Return a problem for each two columns that would survive under one name."""
        seen: dict[str, str] = {}
        problems = []
        for column in self.surviving():
            other = seen.setdefault(attribute_name(self.name, column), column)
            if other != column:
                message = f"the columns {other!r} and {column!r} would both be {attribute_name(self.name, column)}"
                problems.append(Problem("feed.attribute", message, f"feeds.{self.name}", "rename or drop one of them"))
        return problems

    def columns_of(self, text: str, where: str = "") -> frozenset[str]:
        """Return the columns that a column's name or an expression names."""
        return frozenset((text,)) if text in self.columns else parse(text, where=where).columns

    def _made_of(self, columns: Iterable[str]) -> frozenset[str]:
        """Return the source's columns that these are, or are made of."""
        made = {name: parse(text).columns for name, text in self.feed.columns.items() if name not in self.types}
        return frozenset().union(*(made.get(column, {column}) for column in columns))

    def source_columns(self, text: str) -> frozenset[str]:
        """Return the source's columns that a text reads."""
        return self._made_of(self.columns_of(text))

    def surviving(self) -> list[str]:
        """Return the columns that are kept as attributes."""
        hidden = set(self.feed.drop)
        for field in _LATER.get(self.feed.kind, ()):
            with suppress(BadConfiguration):  # `check` says what is wrong with the expression
                hidden |= self.columns_of(self.feed.fields.get(field, "NULL"))
        return [column for column in self.types if column not in hidden]

    def needed(self) -> list[str]:
        """Return the columns that have to be read at all; of the others nothing is copied."""
        link = self.feed.link(self.name)
        named = {*self.surviving(), *self.feed.keys, *self.named_by, *([] if link is None else [link[2]])}
        named |= {*self.feed.minor_units, *self.feed.filled_down, self.feed.currency or ""}
        read = self._made_of(named.union(*(self.columns_of(text, where) for where, text in self._expressions())))
        return [column for column in self.types if column in read]

    def calculated(self) -> frozenset[str]:
        """Return the columns that expressions calculate with; a bad number in one of them spoils its row."""
        texts = [(where, text) for where, text in self._expressions() if text not in self.columns]
        return frozenset().union(*(parse(text, where=where).columns for where, text in texts))

    def number_fields(self) -> frozenset[str]:
        """Return the columns that fields of numbers are taken from as they are."""
        table = CANONICAL[self.feed.kind]
        return frozenset(
            text for name, text in self.feed.fields.items() if table.fields[name] == "number" and text in self.types
        )

    def _expressions(self) -> list[tuple[str, str]]:
        feed, place = self.feed, f"feeds.{self.name}"
        found = [(f"{place}.fields.{field}", text) for field, text in feed.fields.items()]
        times = {"event_time": feed.event_time, "updated_at": feed.updated_at, "known_at": feed.known_at}
        found += [(f"{place}.{field}", text) for field, text in times.items() if text is not None]
        return found + ([(f"{place}.where", feed.where)] if feed.where else [])

    def sql(self, text: str, *, where: str = "") -> str:
        """Return the SQL of a column name or an expression over the typed rows.

        A whole number that is cast to text has no point, however the file stores it.
        """
        if text in self.columns:
            return quoted(text)
        expression = parse(text, where=where)
        sql = expression.sql()
        for column in expression.columns:
            if column in self.numeric or self.columns.get(column) in FLOATS:
                sql = sql.replace(f"CAST({quoted(column)} AS VARCHAR)", f"({text_sql(quoted(column), 'DOUBLE')})")
        return sql

    def typed_select(self) -> str:
        """Return SQL that reads text columns that hold numbers as numbers, with the text beside; all else as it is."""
        columns = [f"{self._typed(column)} AS {quoted(column)}" for column in self.types]
        columns += [f"{quoted(column)} AS {quoted(_TEXT_OF + column)}" for column in sorted(self.numeric)]
        columns += [
            f"CAST({parse(text).sql()} AS VARCHAR) AS {quoted(name)}" for name, text in self.feed.columns.items()
        ]
        return f"SELECT __row, {', '.join(columns)} FROM {RAW}"

    def _typed(self, column: str) -> str:
        if column in self.numeric:
            return self.number(column)
        if self.types[column] in FLOATS:  # NaN is how such files say that a number is missing
            return f"CASE WHEN NOT isnan({quoted(column)}) THEN {quoted(column)} END"
        return quoted(column)

    def text_of(self, text: str) -> str:
        """Return SQL of what a column or an expression gives, as text: a column's as it is written."""
        return self.written(text) if text in self.columns else text_sql(self.sql(text), self.given[text])

    def written(self, column: str) -> str:
        """Return SQL of a column's value as text, trimmed, empty as null."""
        return text_sql(quoted(_TEXT_OF + column if column in self.numeric else column), self.columns[column])

    def number(self, column: str) -> str:
        """Return SQL of a text column's value as a number, null where it is none."""
        reading = self.readings.get(column)
        text = f"nullif(trim({quoted(column)}), '')"
        if reading is not None and reading.simple:
            return f"CASE WHEN isfinite({as_double(text)}) THEN {as_double(text)} END"
        mark = None if reading is None else reading.mark
        return number_sql(text, mark, undecided=reading is not None and not reading.certain)

    def times(self) -> list[str]:
        """Return the columns and expressions that give times or dates."""
        table, feed = CANONICAL[self.feed.kind], self.feed
        found = [text for name, text in feed.fields.items() if table.fields[name] in ("time", "date")]
        found += [text for text in (feed.event_time, feed.updated_at, feed.known_at) if text is not None]
        return list(dict.fromkeys(found))

    def declared_convention(self, text: str) -> TimeConvention | None:
        """Return the declared convention of the first column that a text reads and that has one."""
        columns = sorted(self.source_columns(text) | self.columns_of(text))
        return next((self.feed.times[column] for column in columns if column in self.feed.times), None)

    def described(self) -> dict[str, str]:
        """Return each time or field declaration that the engine has to type, by its text, as SQL."""
        return {text: self.sql(text, where=where) for where, text in self._expressions()}


def _absent(where: str, column: str, known: list[str]) -> Problem:
    return Problem("feed.column_absent", f"the files have no column {column!r}", where, did_you_mean(column, known))


def text_sql(sql: str, kind: str) -> str:
    """Return SQL of a value as text, empty as null; a whole number has no point, however the file stores it."""
    text = f"nullif(trim(CAST({sql} AS VARCHAR)), '')"
    if kind not in FLOATS:
        return text
    whole = f"abs({sql}) < {EXACT_INTEGERS} AND {sql} = trunc({sql})"
    return f"CASE WHEN {whole} THEN CAST(CAST({sql} AS BIGINT) AS VARCHAR) ELSE {text} END"


def reference_name(column: str) -> str:
    """Return the name of the staged column by which other feeds refer to this feed's records.

    Examples
    --------
    >>> reference_name("login")
    '__named_by login'
    """
    return _NAMED_BY + column


def _personal(where: str, column: str) -> Problem:
    message = f"the column {column!r} is personal, and only customers may hold it"
    return Problem("feed.personal", message, where, "leave it out of `fields`, or out of `pii`")
