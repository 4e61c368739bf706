"""Compile a feed's declaration into one SQL statement over its raw rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from features.base.clock import iso
from features.base.config import did_you_mean
from features.base.engine import literal, quoted
from features.base.errors import BadConfiguration, Problem
from features.base.expression import parse
from features.feeds.canonical import CANONICAL, SQL_TYPES, FieldType, attribute_name
from features.feeds.settings import Feed

RAW = "raw_rows"
TYPED = "typed_rows"
_TEXT_OF = "__text "  # before the name of a number column of a CSV file: the same value as it was written


@dataclass(frozen=True)
class FeedMapping:
    """A feed's declaration with every expression parsed and every column found.

    Parameters
    ----------
    name, feed : the feed
    types : raw columns and their SQL types
    numeric : text columns (CSV) that hold numbers
    loaded_at : when the files were last written, for feeds that declare no time
    """

    name: str
    feed: Feed
    types: Mapping[str, str]
    numeric: frozenset[str]
    loaded_at: datetime

    def check(self) -> list[Problem]:
        """Return a problem for each column that the declaration names and the files do not have."""
        feed, known = self.feed, list(self.types)
        place = f"feeds.{self.name}"
        named = [(f"{place}.key", column) for column in feed.keys]
        named += [(f"{place}.drop", column) for column in feed.drop]
        named += [(f"{place}.pii", column) for column in feed.pii]
        link = feed.link(self.name)
        if link is not None and feed.kind != "customers":
            named.append((f"{place}.customer", link[2]))
        problems = [_absent(where, column, known) for where, column in named if column not in self.types]
        for where, text in self._expressions():
            if text in self.types:
                continue
            try:
                expression = parse(text, where=where)
            except BadConfiguration as error:
                problems.extend(error.problems)
                continue
            problems.extend(_absent(where, column, known) for column in sorted(expression.columns - set(known)))
        return problems

    def _expressions(self) -> list[tuple[str, str]]:
        feed, place = self.feed, f"feeds.{self.name}"
        found = [(f"{place}.fields.{field}", text) for field, text in feed.fields.items()]
        times = {"event_time": feed.event_time, "updated_at": feed.updated_at, "known_at": feed.known_at}
        found += [(f"{place}.{field}", text) for field, text in times.items() if text is not None]
        return found + ([(f"{place}.where", feed.where)] if feed.where else [])

    def sql(self, text: str, *, where: str) -> str:
        """Return the SQL of a column name or an expression over the typed rows."""
        return quoted(text) if text in self.types else parse(text, where=where).sql()

    def typed_select(self) -> str:
        """Return SQL that reads text columns that hold numbers as numbers, with the text beside; all else as it is."""
        columns = [
            f"{self._number(column)} AS {quoted(column)}" if column in self.numeric else quoted(column)
            for column in self.types
        ]
        columns += [f"{quoted(column)} AS {quoted(_TEXT_OF + column)}" for column in sorted(self.numeric)]
        return f"SELECT __row, {', '.join(columns)} FROM {RAW}"

    def select(self, expression_types: Mapping[str, str]) -> str:
        """Return SQL of the mapped rows: ids, times, canonical fields, attributes and ``__reason``.

        Parameters
        ----------
        expression_types : the SQL type that the engine gives to each declared expression
        """
        feed, table = self.feed, CANONICAL[self.feed.kind]
        reasons: list[str] = []
        columns: dict[str, str] = {"record_id": self._key(reasons)}
        link = feed.link(self.name)
        if link is not None:
            columns["customer_ref"] = self._written(link[2])
        fields = {field: self._field(field, kind, expression_types, reasons) for field, kind in table.fields.items()}
        event_time, known_at = self._times(fields, expression_types, reasons)
        columns |= {"event_time": event_time, "known_at": known_at, **fields}
        hidden = set(feed.drop)
        for column in self.types:
            if column not in hidden:
                columns[attribute_name(self.name, column)] = quoted(column)
        listed = ",\n  ".join(f"{sql} AS {quoted(name)}" for name, sql in columns.items())
        keep = f"({self.sql(feed.where, where=f'feeds.{self.name}.where')})" if feed.where else "true"
        reason = f"concat_ws('; ', {', '.join(reasons)})" if reasons else "''"
        return f"SELECT __row,\n  {listed},\n  nullif({reason}, '') AS __reason,\n  {keep} AS __keep\nFROM {TYPED}"

    def described(self) -> dict[str, str]:
        """Return each time or field declaration that the engine has to type, by its text, as SQL."""
        return {text: self.sql(text, where=where) for where, text in self._expressions()}

    def _written(self, column: str) -> str:
        """Return SQL of a column's value as text, trimmed, empty as null."""
        return _text(quoted(_TEXT_OF + column if column in self.numeric else column))

    def _number(self, column: str) -> str:
        raw = f"trim({quoted(column)})"
        if self.feed.decimal == ",":
            raw = f"replace(replace({raw}, '.', ''), ',', '.')"
        return f"CASE WHEN isfinite(TRY_CAST({raw} AS DOUBLE)) THEN TRY_CAST({raw} AS DOUBLE) END"

    def _key(self, reasons: list[str]) -> str:
        if not self.feed.keys:
            return "CAST(__row AS VARCHAR)"
        parts = [self._written(column) for column in self.feed.keys]
        missing = " OR ".join(f"{part} IS NULL" for part in parts)
        reasons.append(f"CASE WHEN {missing} THEN 'key is missing' END")
        return parts[0] if len(parts) == 1 else f"concat_ws('|', {', '.join(parts)})"

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
            return self._time(text, where, types, reasons, label=f"{field} ({_plain(text)})")
        if text not in self.types:
            self._note_bad_numbers(text, where, reasons)
            return f"TRY_CAST({self.sql(text, where=where)} AS {SQL_TYPES[kind]})"
        written = self._written(text)
        if kind == "text":
            return written
        if kind == "number" and self.types[text] == "VARCHAR" and text not in self.numeric:
            typed = self._number(text)
        else:
            typed = f"TRY_CAST({quoted(text) if kind == 'number' else written} AS {SQL_TYPES[kind]})"
        what = {"number": "is not a number", "date": "is not a date"}[kind]
        reasons.append(f"CASE WHEN {written} IS NOT NULL AND {typed} IS NULL THEN {literal(f'{text} {what}')} END")
        return typed

    def _note_bad_numbers(self, text: str, where: str, reasons: list[str]) -> None:
        for column in sorted(parse(text, where=where).columns & self.numeric):
            reason = (
                f"CASE WHEN {self._written(column)} IS NOT NULL AND {quoted(column)} IS NULL "
                f"THEN {literal(f'{column} is not a number')} END"
            )
            if reason not in reasons:
                reasons.append(reason)

    def _times(self, fields: Mapping[str, str], types: Mapping[str, str], reasons: list[str]) -> tuple[str, str]:
        feed = self.feed
        loaded = f"TIMESTAMPTZ {literal(iso(self.loaded_at))}"
        known = None
        if feed.known_at is not None:
            known = self._time(feed.known_at, f"feeds.{self.name}.known_at", types, reasons, label="known_at")
        happened_text = feed.event_time or feed.updated_at
        if happened_text is not None:
            happened = self._time(happened_text, f"feeds.{self.name}.event_time", types, reasons, label="event_time")
        elif feed.kind == "holdings":
            happened = fields["held_from"]
        else:
            happened = known or loaded
        if CANONICAL[feed.kind].timed or feed.kind == "holdings":
            reasons.append(f"CASE WHEN {happened} IS NULL THEN 'event_time is missing' END")
        return happened, f"coalesce({known or happened}, {loaded})"

    def _time(self, text: str, where: str, types: Mapping[str, str], reasons: list[str], *, label: str) -> str:
        value, kind = self.sql(text, where=where), types[text]
        zone = self.feed.timezone
        if kind == "TIMESTAMP WITH TIME ZONE":
            moment = value
        elif kind.startswith(("TIMESTAMP", "DATE")):
            moment = f"(CAST({value} AS TIMESTAMP) AT TIME ZONE {literal(self._zone(zone, where))})"
        else:
            written = _text(value)
            naive = f"TRY_CAST({written} AS TIMESTAMP)"
            aware = f"regexp_matches({written}, '[0-9]:[0-9]{{2}}.*(Z|[+-][0-9]{{2}}:?[0-9]{{2}})$')"
            placed = f"({naive} AT TIME ZONE {literal(zone)})" if zone else "NULL"
            moment = f"CASE WHEN {aware} THEN TRY_CAST({written} AS TIMESTAMPTZ) ELSE {placed} END"
            if not zone:
                reasons.append(
                    f"CASE WHEN {naive} IS NOT NULL AND NOT {aware} "
                    f"THEN {literal(f'{label} has no time zone and the feed declares none')} END"
                )
        reasons.append(
            f"CASE WHEN {_text(value)} IS NOT NULL AND {moment} IS NULL THEN {literal(f'{label} is not a time')} END"
        )
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


def _absent(where: str, column: str, known: list[str]) -> Problem:
    return Problem("feed.column_absent", f"the files have no column {column!r}", where, did_you_mean(column, known))


def _plain(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


def _text(sql: str) -> str:
    return f"nullif(trim(CAST({sql} AS VARCHAR)), '')"
