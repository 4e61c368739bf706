"""Compile a feed's declaration into one SQL statement over its raw rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from features.base.clock import iso
from features.base.database_engine import literal, quoted
from features.base.duration import format_duration
from features.base.errors import BadConfiguration, Problem
from features.base.expressions.expression import parse
from features.config.canonical import CANONICAL, SQL_TYPES, FieldType, Kind, attribute_name
from features.config.feed import ROW, Feed
from features.config.loading import did_you_mean
from features.ingest.reader import RAW

#: Below this every whole number has a double of its own.
EXACT_INTEGERS = 9_007_199_254_740_992
TYPED = "typed_rows"
#: How the reason ends for which a row is kept aside only until a later delivery holds it.
AFTER_DELIVERY = "after the delivery"
_TEXT_OF = "__text "  # before the name of a number column of a CSV file: the same value as it was written
_NAMED_BY = "__named_by "  # before the name of a column by which other feeds name this feed's records
#: Fields that speak of a moment after the row's own; the columns they come from survive under no other name.
_LATER: dict[Kind, tuple[str, ...]] = {"holdings": ("held_to",), "interactions": ("outcome", "outcome_time")}
_FLOATS = ("DOUBLE", "FLOAT")
_DAY = "[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}"
_CLOCK = "[ T][0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?"
_ZONE = " ?(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)"


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
    """

    name: str
    feed: Feed
    types: Mapping[str, str]
    numeric: frozenset[str]
    loaded_at: datetime
    named_by: tuple[str, ...] = ()

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
                used = self._columns(text, where)
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

    def _columns(self, text: str, where: str) -> frozenset[str]:
        return frozenset((text,)) if text in self.columns else parse(text, where=where).columns

    def _made_of(self, columns: Iterable[str]) -> frozenset[str]:
        """Return the source's columns that these are, or are made of."""
        made = {name: parse(text).columns for name, text in self.feed.columns.items() if name not in self.types}
        return frozenset().union(*(made.get(column, {column}) for column in columns))

    def surviving(self) -> list[str]:
        """Return the columns that are kept as attributes."""
        hidden = set(self.feed.drop)
        for field in _LATER.get(self.feed.kind, ()):
            with suppress(BadConfiguration):  # `check` says what is wrong with the expression
                hidden |= self._columns(self.feed.fields.get(field, "NULL"), "")
        return [column for column in self.types if column not in hidden]

    def needed(self) -> list[str]:
        """Return the columns that have to be read at all; of the others nothing is copied."""
        link = self.feed.link(self.name)
        named = {*self.surviving(), *self.feed.keys, *self.named_by, *([] if link is None else [link[2]])}
        read = self._made_of(named.union(*(self._columns(text, where) for where, text in self._expressions())))
        return [column for column in self.types if column in read]

    def calculated(self) -> frozenset[str]:
        """Return the columns that expressions calculate with; a bad number in one of them spoils its row."""
        texts = [(where, text) for where, text in self._expressions() if text not in self.columns]
        return frozenset().union(*(parse(text, where=where).columns for where, text in texts))

    def _expressions(self) -> list[tuple[str, str]]:
        feed, place = self.feed, f"feeds.{self.name}"
        found = [(f"{place}.fields.{field}", text) for field, text in feed.fields.items()]
        times = {"event_time": feed.event_time, "updated_at": feed.updated_at, "known_at": feed.known_at}
        found += [(f"{place}.{field}", text) for field, text in times.items() if text is not None]
        return found + ([(f"{place}.where", feed.where)] if feed.where else [])

    def sql(self, text: str, *, where: str) -> str:
        """Return the SQL of a column name or an expression over the typed rows."""
        return quoted(text) if text in self.columns else parse(text, where=where).sql()

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
            return self._number(column)
        if self.types[column] in _FLOATS:  # NaN is how such files say that a number is missing
            return f"CASE WHEN NOT isnan({quoted(column)}) THEN {quoted(column)} END"
        return quoted(column)

    def select(self, expression_types: Mapping[str, str], *, source: str = TYPED) -> str:
        """Return SQL of the mapped rows: ids, times, canonical fields, attributes and ``__reason``.

        Parameters
        ----------
        expression_types : the SQL type that the engine gives to each declared expression
        source : the relation of typed rows
        """
        feed, table = self.feed, CANONICAL[self.feed.kind]
        reasons: list[str] = []
        columns: dict[str, str] = {"record_id": self._key(reasons)}
        link = feed.link(self.name)
        if link is not None:
            columns["customer_ref"] = self._written(link[2])
        fields = {field: self._field(field, kind, expression_types, reasons) for field, kind in table.fields.items()}
        event_time, known = self._times(fields, expression_types, reasons)
        loaded = f"TIMESTAMPTZ {literal(iso(self.loaded_at))}"
        columns |= {"event_time": event_time or loaded, "known_at": f"coalesce({known or 'NULL'}, {loaded})", **fields}
        columns |= {attribute_name(self.name, column): quoted(column) for column in self.surviving()}
        columns |= {reference_name(column): self._written(column) for column in self.named_by}
        keep = self._keep(reasons)
        listed = ",\n  ".join(f"{sql} AS {quoted(name)}" for name, sql in columns.items())
        reason = f"concat_ws('; ', {', '.join(reasons)})" if reasons else "''"
        ours = (
            f"nullif({reason}, '') AS __reason,\n  {keep} AS __keep,\n  ({known or 'NULL'}) IS NULL AS __from_delivery"
        )
        return f"SELECT __row,\n  {listed},\n  {ours}\nFROM {source}"

    def _keep(self, reasons: list[str]) -> str:
        """Return SQL of ``where``; a row that cannot be judged for a bad number is not left out but kept aside."""
        text, where = self.feed.where, f"feeds.{self.name}.where"
        if text is None:
            return "true"
        bad = self._note_bad_numbers(text, where, reasons)
        return f"coalesce(({self.sql(text, where=where)}), {' OR '.join(bad) or 'false'})"

    def described(self) -> dict[str, str]:
        """Return each time or field declaration that the engine has to type, by its text, as SQL."""
        return {text: self.sql(text, where=where) for where, text in self._expressions()}

    def _written(self, column: str) -> str:
        """Return SQL of a column's value as text, trimmed, empty as null."""
        return _text(quoted(_TEXT_OF + column if column in self.numeric else column), self.columns[column])

    def _number(self, column: str) -> str:
        return _finite(f"TRY_CAST({plain_number(column, self.feed)} AS DOUBLE)")

    def _key(self, reasons: list[str]) -> str:
        if not self.feed.keys:
            return "CAST(__row AS VARCHAR)"
        parts = [self._written(column) for column in self.feed.keys]
        missing = " OR ".join(f"{part} IS NULL" for part in parts)
        reasons.append(f"CASE WHEN {missing} THEN 'key is missing' END")
        self._note_bad_names(self.feed.keys, "key", reasons)
        if len(parts) == 1:
            return parts[0]
        # what joins the parts is escaped inside them, so that ('a|b', 'c') and ('a', 'b|c') stay two keys
        escaped = [f"replace(replace({part}, '\\', '\\\\'), '|', '\\|')" for part in parts]
        return f"concat_ws('|', {', '.join(escaped)})"

    def _note_bad_names(self, columns: Sequence[str], label: str, reasons: list[str]) -> None:
        """Note a reason where what names a record holds a NUL, or was a number too long for its type."""
        for column in columns:
            if self.columns[column] == "VARCHAR":
                odd = f"contains({self._written(column)}, chr(0))"
                reasons.append(f"CASE WHEN {odd} THEN {literal(f'{label} holds a NUL character')} END")
            elif self.columns[column] in _FLOATS:
                odd = f"abs({quoted(column)}) >= {EXACT_INTEGERS if self.columns[column] == 'DOUBLE' else 1 << 24}"
                reasons.append(f"CASE WHEN {odd} THEN {literal(f'{label} is a number that its type has rounded')} END")

    def _field(self, field: str, kind: FieldType, types: Mapping[str, str], reasons: list[str]) -> str:
        text = self.feed.fields.get(field)
        if field == "event" and self.feed.event is not None:
            return literal(self.feed.event)
        if field == "item" and text is None and self.feed.kind == "items":
            return self._key([])
        if text is None:
            return f"CAST(NULL AS {SQL_TYPES[kind]})"
        where = f"feeds.{self.name}.fields.{field}"
        if kind == "time":
            return self._time(text, where, types, reasons, label=f"{field} ({text:.40})")
        self._note_bad_numbers(text, where, reasons)
        column = text in self.types
        written = self._written(text) if column else _text(self.sql(text, where=where), types[text])
        if kind == "text":
            return written
        if kind == "date":
            typed = f"TRY_CAST({written} AS DATE)"
        elif column and self.types[text] == "VARCHAR" and text not in self.numeric:
            typed = self._number(text)
        else:
            typed = _finite(f"TRY_CAST({self.sql(text, where=where)} AS DOUBLE)")
        if kind == "number" and (not column or self.types[text] not in _FLOATS):
            whole = f"regexp_full_match({written}, '[+-]?[0-9]+') AND abs({typed}) >= {EXACT_INTEGERS}"
            reasons.append(f"CASE WHEN {whole} THEN {literal(f'{text if column else field} is too long a number')} END")
        label, what = text if column else field, {"number": "is not a number", "date": "is not a date"}[kind]
        reasons.append(f"CASE WHEN {written} IS NOT NULL AND {typed} IS NULL THEN {literal(f'{label} {what}')} END")
        return typed

    def _note_bad_numbers(self, text: str, where: str, reasons: list[str]) -> list[str]:
        """Note a reason for each number that an expression reads and that is none; return the conditions."""
        found = []
        for column in sorted(self._columns(text, where) & self.numeric) if text not in self.types else ():
            bad = f"({self._written(column)} IS NOT NULL AND {quoted(column)} IS NULL)"
            found.append(bad)
            reason = f"CASE WHEN {bad} THEN {literal(f'{column} is not a number')} END"
            if reason not in reasons:
                reasons.append(reason)
        return found

    def _times(
        self, fields: Mapping[str, str], types: Mapping[str, str], reasons: list[str]
    ) -> tuple[str | None, str | None]:
        """Return SQL of when a row happened and was known; None where the feed says nothing of it."""
        feed = self.feed
        known: str | None = None
        happened: str | None
        if feed.known_at is not None:
            known = self._time(feed.known_at, f"feeds.{self.name}.known_at", types, reasons, label="known_at")
        happened_text = feed.event_time or feed.updated_at
        if happened_text is not None:
            happened = self._time(happened_text, f"feeds.{self.name}.event_time", types, reasons, label="event_time")
        elif feed.kind == "holdings":
            happened = fields["held_from"]
        else:
            happened = known
        said = happened_text or (feed.fields.get("held_from") if feed.kind == "holdings" else None)
        if said is not None and (CANONICAL[feed.kind].timed or feed.kind == "holdings"):
            nothing = f"{_text(self.sql(said, where=f'feeds.{self.name}.event_time'), types[said])} IS NULL"
            reasons.append(f"CASE WHEN {nothing} THEN 'event_time is missing' END")
        return happened, known or happened

    def _time(self, text: str, where: str, types: Mapping[str, str], reasons: list[str], *, label: str) -> str:
        value, kind = self.sql(text, where=where), types[text]
        zone = self.feed.timezone
        if kind == "TIMESTAMP WITH TIME ZONE":
            moment = value
        elif kind.startswith(("TIMESTAMP", "DATE")):
            moment = f"(CAST({value} AS TIMESTAMP) AT TIME ZONE {literal(self._zone(zone, where))})"
        else:
            self._note_bad_numbers(text, where, reasons)
            written = _text(value, kind)
            moment = moment_of(written, zone)
            if not zone:
                reasons.append(
                    f"CASE WHEN ({_naive(written)}) IS NOT NULL "
                    f"THEN {literal(f'{label} has no time zone and the feed declares none')} END"
                )
        reasons.append(
            f"CASE WHEN {_text(value, kind)} IS NOT NULL AND {moment} IS NULL "
            f"THEN {literal(f'{label} is not a time')} END"
        )
        if label in ("event_time", "known_at"):
            latest = f"TIMESTAMPTZ {literal(iso(self.loaded_at + self.feed.future))}"
            late = f"{label} lies more than {format_duration(self.feed.future)} {AFTER_DELIVERY}"
            reasons.append(f"CASE WHEN {moment} > {latest} AND year({moment}) < 2200 THEN {literal(late)} END")
        reasons.append(
            f"CASE WHEN year({moment}) NOT BETWEEN 1900 AND 2199 THEN {literal(f'{label} is outside 1900-2199')} END"
        )
        return moment

    def _zone(self, zone: str | None, where: str) -> str:
        if zone is None:
            raise BadConfiguration(
                "feed.timezone",
                "the times carry no zone and the feed declares none",
                where=where,
                hint=f"add `timezone: Europe/London` (say) to feeds.{self.name}",
            )
        return zone


def moment_of(written: str, zone: str | None) -> str:
    """Return SQL of the moment that a text tells, null where it tells none.

    The engine passes over what it does not know, such as the name of a zone: only whole texts are read.

    Parameters
    ----------
    written : SQL of the text
    zone : of times that carry none; they tell no moment where it is None

    Examples
    --------
    >>> import duckdb
    >>> moment = moment_of("written", "UTC")
    >>> duckdb.sql(f"SELECT epoch({moment}) FROM (VALUES ('1970-01-02'), ('soon')) t(written)").fetchall()
    [(86400.0,), (None,)]
    """
    aware = f"regexp_full_match({written}, '{_DAY}{_CLOCK}{_ZONE}')"
    placed = f"({_naive(written)} AT TIME ZONE {literal(zone)})" if zone else "NULL"
    return f"CASE WHEN {aware} THEN TRY_CAST({written} AS TIMESTAMPTZ) ELSE {placed} END"


def _naive(written: str) -> str:
    simple = f"regexp_full_match({written}, '{_DAY}({_CLOCK})?')"
    return f"CASE WHEN {simple} THEN TRY_CAST({written} AS TIMESTAMP) END"


def _absent(where: str, column: str, known: list[str]) -> Problem:
    return Problem("feed.column_absent", f"the files have no column {column!r}", where, did_you_mean(column, known))


def _text(sql: str, kind: str) -> str:
    """Return SQL of a value as text, empty as null; a whole number has no point, however the file stores it."""
    text = f"nullif(trim(CAST({sql} AS VARCHAR)), '')"
    if kind not in _FLOATS:
        return text
    whole = f"abs({sql}) < {EXACT_INTEGERS} AND {sql} = trunc({sql})"
    return f"CASE WHEN {whole} THEN CAST(CAST({sql} AS BIGINT) AS VARCHAR) ELSE {text} END"


def plain_number(column: str, feed: Feed) -> str:
    """Return SQL of a text as a number is written in SQL, null where it cannot be one; no number is guessed."""
    text = f"nullif(trim({quoted(column)}), '')"
    if feed.decimal != ",":
        return text
    # points may only part thousands: 1.5 is not fifteen
    number = "[+-]?([0-9]+|[0-9]{1,3}([.][0-9]{3})+)(,[0-9]*)?([eE][+-]?[0-9]+)?"
    plain = f"replace(replace({text}, '.', ''), ',', '.')"
    return f"CASE WHEN regexp_full_match({text}, '{number}') THEN {plain} END"


def _finite(number: str) -> str:
    return f"CASE WHEN isfinite({number}) THEN {number} END"


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
