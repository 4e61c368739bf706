"""The SQL statement that maps a feed's typed rows to its canonical table, with the reason why a row cannot be used."""

from __future__ import annotations

from collections.abc import Sequence

from features.base.clock import iso
from features.base.database_engine import literal, quoted
from features.base.duration import format_duration
from features.base.errors import BadConfiguration
from features.config.canonical import CANONICAL, MONEY_FIELDS, SQL_TYPES, FieldType, attribute_name
from features.config.company import Company
from features.ingest.mapping import FLOATS, TYPED, FeedMapping, reference_name, text_sql
from features.ingest.money import minor_unit_digits, rate_sql
from features.ingest.number_text import EXACT_INTEGERS, currency_sign, is_undecided
from features.ingest.time_text import (
    FIRST_YEAR,
    LAST_YEAR,
    birth_date_text,
    iso_text,
    moment_of,
    naive_moment,
    stands_for_none,
)

#: How the reason ends for which a row is quarantined only until a later delivery holds it.
AFTER_DELIVERY = "after the delivery"
#: Columns of `mapped_select` that are not of the canonical table.
OWN = ("__row", "__reason", "__keep", "__ahead", "__open")
_ISO_OF = "__iso "  # before the text of an expression: the time that it gives, written as ISO 8601
_OTHER = "__otherwise "  # the same under another convention that is as likely


def mapped_select(mapping: FeedMapping, company: Company, *, source: str = TYPED) -> str:
    """Return SQL of the mapped rows: ids, times, canonical fields, attributes and ``__reason``.

    Parameters
    ----------
    mapping : the feed, with its types, numbers and times
    company : its currency, and the rates of others
    source : the relation of typed rows
    """
    return _MappedSelect(mapping, company).sql(source)


class _MappedSelect:
    """One statement in the making; the reasons are noted while the columns are written."""

    def __init__(self, mapping: FeedMapping, company: Company) -> None:
        self.mapping, self.feed, self.company = mapping, mapping.feed, company
        self.reasons: list[str] = []
        self.open: list[str] = []

    def sql(self, source: str) -> str:
        mapping, feed = self.mapping, self.feed
        columns: dict[str, str] = {"record_id": self._key()}
        link = feed.link(mapping.name)
        if link is not None:
            columns["customer_ref"] = mapping.written(link[2])
        fields = {field: self._field(field, kind) for field, kind in CANONICAL[feed.kind].fields.items()}
        event_time, known = self._times(fields.get("held_from"))
        # what lies ahead of the delivery is no moment at which a row was known; `date_rows` finds when it was
        ahead = f"coalesce({known} > TIMESTAMPTZ {literal(iso(mapping.loaded_at))}, false)" if known else "false"
        never = "CAST(NULL AS TIMESTAMPTZ)"
        columns |= {"event_time": event_time or never}
        columns |= {"known_at": f"CASE WHEN NOT {ahead} THEN {known} END" if known else never, **fields}
        columns |= {attribute_name(mapping.name, column): quoted(column) for column in mapping.surviving()}
        columns |= {reference_name(column): mapping.written(column) for column in mapping.named_by}
        keep = self._keep()
        listed = ",\n  ".join(f"{sql} AS {quoted(name)}" for name, sql in columns.items())
        reason = f"concat_ws('; ', {', '.join(dict.fromkeys(self.reasons))})" if self.reasons else "''"
        ours = f"nullif({reason}, '') AS __reason,\n  {keep} AS __keep,\n  {ahead} AS __ahead"
        ours += f",\n  ({' OR '.join(self.open) or 'false'}) AS __open"
        return f"SELECT __row,\n  {listed},\n  {ours}\nFROM {self._timed(source)}"

    def _timed(self, source: str) -> str:
        """Return SQL of the typed rows with each time that is text or a number written as ISO 8601, once."""
        columns = []
        for text, (convention, *others) in self.mapping.conventions.items():
            written = self.mapping.text_of(text)
            columns.append(f"{iso_text(written, convention)} AS {quoted(_ISO_OF + text)}")
            if others:
                columns.append(f"{iso_text(written, others[0])} AS {quoted(_OTHER + text)}")
        return f"(SELECT *, {', '.join(columns)} FROM {source})" if columns else source

    def _note(self, condition: str, reason: str) -> None:
        self.reasons.append(f"CASE WHEN {condition} THEN {literal(reason)} END")

    def _keep(self) -> str:
        """Return SQL of ``where``; a row that cannot be judged for a bad number is not left out but quarantined."""
        if self.feed.where is None:
            return "true"
        bad = self._note_bad_numbers(self.feed.where)
        return f"coalesce(({self.mapping.sql(self.feed.where)}), {' OR '.join(bad) or 'false'})"

    def _key(self) -> str:
        if not self.feed.keys:
            return "CAST(__row AS VARCHAR)"
        parts = [self.mapping.written(column) for column in self.feed.keys]
        self._note(" OR ".join(f"{part} IS NULL" for part in parts), "key is missing")
        self._note_bad_names(self.feed.keys, "key")
        if len(parts) == 1:
            return parts[0]
        # what joins the parts is escaped inside them, so that ('a|b', 'c') and ('a', 'b|c') stay two keys
        escaped = [f"replace(replace({part}, '\\', '\\\\'), '|', '\\|')" for part in parts]
        return f"concat_ws('|', {', '.join(escaped)})"

    def _note_bad_names(self, columns: Sequence[str], label: str) -> None:
        """Note a reason where what names a record holds a NUL, or was a number too long for its type."""
        types = self.mapping.columns
        for column in columns:
            if types[column] == "VARCHAR":
                self._note(f"contains({self.mapping.written(column)}, chr(0))", f"{label} holds a NUL character")
            elif types[column] in FLOATS:
                odd = f"abs({quoted(column)}) >= {EXACT_INTEGERS if types[column] == 'DOUBLE' else 1 << 24}"
                self._note(odd, f"{label} is a number that its type has rounded")

    def _field(self, field: str, kind: FieldType) -> str:
        text = self.feed.fields.get(field)
        if field == "event" and self.feed.event is not None:
            return literal(self.feed.event)
        if field == "item" and text is None and self.feed.kind == "items":
            return self._key()
        if text is None:
            return f"CAST(NULL AS {SQL_TYPES[kind]})"
        if kind == "time":
            return self._time(text, f"fields.{field}", label=f"{field} ({text:.40})")
        self._note_bad_numbers(text)
        written = self.mapping.text_of(text)
        label = text if text in self.mapping.types else field
        if kind == "text":
            return written
        if kind == "number":
            return self._number(field, text, written, label)
        born = f"TRY_CAST({written} AS DATE)"
        if text in self.mapping.conventions:
            year = self.mapping.loaded_at.year
            born = f"TRY_CAST({birth_date_text(written, quoted(_ISO_OF + text), year=year)} AS DATE)"
        self._note_undecided(text, label=label)
        self._note(f"{written} IS NOT NULL AND {born} IS NULL", f"{label} is not a date")
        return born

    def _number(self, field: str, text: str, written: str, label: str) -> str:
        mapping = self.mapping
        column = text in mapping.types
        if column and mapping.types[text] == "VARCHAR" and text not in mapping.numeric:
            number = mapping.number(text)
        else:
            number = f"TRY_CAST({mapping.sql(text)} AS DOUBLE)"
            number = f"CASE WHEN isfinite({number}) THEN {number} END"
        if not column or mapping.types[text] not in FLOATS:
            whole = f"regexp_full_match({written}, '[+-]?[0-9]+') AND abs({number}) >= {EXACT_INTEGERS}"
            self._note(whole, f"{label} is too long a number")
        self._note_no_number(f"{written} IS NOT NULL AND {number} IS NULL", written, label, self._undecided(text))
        return self._money(number, text, label) if field in MONEY_FIELDS else number

    def _money(self, amount: str, text: str, label: str) -> str:
        """Return SQL of an amount in the company's currency; a row in another money without a rate is quarantined."""
        mapping, own, code = self.mapping, self.company.currency, self.mapping.currency
        read = mapping.source_columns(text)
        beside = [name for name in sorted(read) if name in mapping.readings and mapping.readings[name].currencies]
        if code is None:
            code_sql = currency_sign(mapping.written(beside[0])) if beside else ""
        else:
            code_sql = f"upper({mapping.written(code)})" if code in mapping.columns else literal(code)
        if read & set(self.feed.minor_units):
            digits = {other: minor_unit_digits(other) for other in (own, *self.company.rates)}
            cases = [f"WHEN {code_sql} = {literal(other)} THEN {10**number}.0" for other, number in digits.items()]
            units = f"CASE {' '.join(cases)} ELSE {10 ** digits[own]}.0 END" if code_sql else f"{10 ** digits[own]}.0"
            amount = f"({amount} / {units})"
        if not code_sql:
            return amount
        rate = rate_sql(code_sql, own, self.company.rates)
        if code in mapping.columns:
            foreign = f"SELECT coalesce(bool_or(({rate}) IS DISTINCT FROM 1.0), false) FROM {TYPED}"
            self._note(
                f"{amount} IS NOT NULL AND {code_sql} IS NULL AND ({foreign})",
                f"{label} has no currency, and other rows have other currencies than {own}",
            )
        self._note(
            f"{amount} IS NOT NULL AND ({rate}) IS NULL",
            f"{label} is not in {own} and company.rates has no rate for its currency",
        )
        return f"({amount} * {rate})"

    def _undecided(self, text: str) -> bool:
        return text in self.mapping.readings and not self.mapping.readings[text].certain

    def _note_no_number(self, bad: str, written: str, label: str, undecided: bool) -> None:
        if undecided:
            two = is_undecided(written)
            self._note(f"{bad} AND {two}", f"{label} can be read with a decimal mark and with one that parts thousands")
            bad = f"{bad} AND NOT {two}"
        self._note(bad, f"{label} is not a number")

    def _note_bad_numbers(self, text: str) -> list[str]:
        """Note a reason for each number that an expression reads and that is none; return the conditions."""
        found = []
        mapping = self.mapping
        for column in sorted(mapping.columns_of(text) & mapping.numeric) if text not in mapping.types else ():
            bad = f"({mapping.written(column)} IS NOT NULL AND {quoted(column)} IS NULL)"
            found.append(bad)
            self._note_no_number(bad, mapping.written(column), column, self._undecided(column))
        return found

    def _times(self, held_from: str | None) -> tuple[str | None, str | None]:
        """Return SQL of when a row happened and was known; None where the feed says nothing of it."""
        feed = self.feed
        time = self._time if feed.kind != "consents" else self._time_or_none
        known = time(feed.known_at, "known_at", label="known_at") if feed.known_at is not None else None
        text = feed.event_time or feed.updated_at
        happened = time(text, "event_time", label="event_time") if text is not None else held_from or known
        text = text or feed.fields.get("held_from")
        if text is not None and (CANONICAL[feed.kind].timed or feed.kind == "holdings"):
            self._note(f"{self.mapping.text_of(text)} IS NULL", "event_time is missing")
        if feed.kind == "consents" and known and happened != known:
            happened = f"coalesce({happened}, {known})"
        return happened, known or happened

    def _time(self, text: str, place: str, *, label: str) -> str:
        value, kind = self.mapping.sql(text), self.mapping.given[text]
        zone = self.feed.timezone
        if kind == "TIMESTAMP WITH TIME ZONE":
            moment = value
        elif kind.startswith(("TIMESTAMP", "DATE")):
            moment = f"(CAST({value} AS TIMESTAMP) AT TIME ZONE {literal(self._zone(zone, place))})"
        else:
            self._note_bad_numbers(text)
            written = quoted(_ISO_OF + text) if text in self.mapping.conventions else self.mapping.text_of(text)
            moment = moment_of(written, zone)
            self._note_undecided(text, label=label)
            if not zone:
                without = f"({naive_moment(written)}) IS NOT NULL"
                self._note(without, f"{label} has no time zone and the feed declares none")
        self._note(f"{text_sql(value, kind)} IS NOT NULL AND {moment} IS NULL", f"{label} is not a time")
        if label in ("event_time", "known_at"):
            latest = f"TIMESTAMPTZ {literal(iso(self.mapping.loaded_at + self.feed.future))}"
            late = f"{label} lies more than {format_duration(self.feed.future)} {AFTER_DELIVERY}"
            self._note(f"{moment} > {latest} AND year({moment}) < 2200", late)
        timed = CANONICAL[self.feed.kind].timed or self.feed.kind == "holdings"
        if place in ("fields.held_to", "known_at") or (place == "event_time" and not timed):
            return self._unless(f"year({moment}) > {LAST_YEAR} OR {stands_for_none(moment, zone)}", moment)
        if place == "event_time":
            unknown = f"year({moment}) >= {FIRST_YEAR} AND {stands_for_none(moment, zone)}"
            self._note(unknown, "event_time is a date for none, such as 1970-01-01")
        self._note(f"year({moment}) NOT BETWEEN {FIRST_YEAR} AND {LAST_YEAR}", f"{label} is outside 1900-2199")
        return moment

    def _time_or_none(self, text: str, place: str, *, label: str) -> str:
        """Return SQL of a time that is null where it cannot be read: a consent counts whenever it was given."""
        noted = len(self.reasons)
        moment = self._time(text, place, label=label)
        unread = [reason for reason in self.reasons[noted:] if AFTER_DELIVERY not in reason]
        del self.reasons[noted:]
        return f"CASE WHEN concat({', '.join(unread)}) = '' AND year({moment}) >= {FIRST_YEAR} THEN {moment} END"

    def _unless(self, stands_for_none: str, moment: str) -> str:
        """Return SQL of a moment, null where what is written stands for none; such rows are counted."""
        self.open.append(f"coalesce({stands_for_none}, false)")
        return f"CASE WHEN NOT ({stands_for_none}) THEN {moment} END"

    def _note_undecided(self, text: str, *, label: str) -> None:
        """Note a reason for each time that two conventions read as two moments."""
        convention, *others = self.mapping.conventions.get(text, ("iso",))
        if others:
            readings = [f"TRY_CAST({quoted(name + text)} AS TIMESTAMP)" for name in (_ISO_OF, _OTHER)]
            self._note(" <> ".join(readings), f"{label} can be read as {convention} and as {others[0]}")

    def _zone(self, zone: str | None, place: str) -> str:
        if zone is None:
            raise BadConfiguration(
                "feed.timezone",
                "the times carry no zone and the feed declares none",
                where=f"feeds.{self.mapping.name}.{place}",
                hint=f"add `timezone: Europe/London` (say) to feeds.{self.mapping.name}",
            )
        return zone
