"""Survivorship rules as SQL aggregates: which of a customer's records gives each field's value, as of any moment.

A source that overwrites its records keeps no history: of the time before the first load nothing can be quite true, and
since then `features.ingest.row_history` keeps what a record held. A record counts as of a moment when it was known by
then, and not yet known to hold something else: from ``known_at``, which is ``updated_at`` where the feed declares no
other, until ``known_until``. A feed that declares an earlier ``known_at`` (such as when the account was opened) states
that its attributes may be used from then; leaving them empty until the last change would tell a model of the past who
was still to be a customer at that change. A change from after the moment never makes its record win over another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from features.base.database_engine import literal, quoted
from features.base.errors import BadConfiguration
from features.config.feeds_file import FeedsFile
from features.config.loading import did_you_mean
from features.config.survivorship import FieldSurvivorship

#: Before every time that a feed may hold: a record without a time of change yields to all with one.
_NEVER = -2_300_000_000_000_000
#: One more filled field of a group outweighs all the characters of the others.
_FIELD = 100_000
#: More than all records: where they are numbered in their order, a rank and the number fit into one whole number.
_RECORDS = 1 << 36
#: SQL condition under which a record counts as of an entity row's ``as_of``.
VISIBLE = "epoch_us(known_at) <= as_of"
#: The same where the records' past stands among them.
VISIBLE_VERSION = f"{VISIBLE} AND coalesce(epoch_us(known_until) > as_of, true)"
#: SQL of when a record had last changed as of an entity row's ``as_of``, as far as one can tell.
CHANGED_BY_THEN = "CASE WHEN epoch_us(event_time) <= as_of THEN epoch_us(event_time) ELSE epoch_us(known_at) END"
CHANGED = "epoch_us(event_time)"


@dataclass(frozen=True)
class FieldSelection:
    """How one record of a customer is chosen for a field, or for the fields of a declared group together.

    Parameters
    ----------
    name : the field or the group
    fields : columns of ``customers``, canonical or ``feed.attribute``
    rule : how the winner is found
    feeds : the feeds that map some of the fields, filled or not
    ranked : whether to read the ranks of a group (`with_ranks`) in place of its fields, some of which may lie apart
    """

    name: str
    fields: tuple[str, ...]
    rule: FieldSurvivorship
    feeds: tuple[str, ...]
    ranked: bool = False

    @property
    def is_group(self) -> bool:
        return len(self.fields) > 1

    @property
    def counts_values(self) -> bool:
        """Whether the winner depends on how many records have the same value."""
        return self.rule.rule == "most_frequent"

    @property
    def label(self) -> str:
        """The rule by name, with its group."""
        return f"{self.name}: {self.rule.rule}" if self.is_group else str(self.rule.rule)

    @property
    def filled(self) -> str:
        """SQL: whether a record fills any of the fields."""
        if self.ranked:
            return self._rank("filled")
        return f"({' OR '.join(_filled(field) for field in self.fields)})"

    @property
    def is_candidate(self) -> str:
        """SQL: whether a record is a candidate."""
        if self.rule.ignore_empty:
            return self.filled
        return f"feed IN ({', '.join(map(literal, self.feeds))})" if self.feeds else "false"

    @property
    def value_text(self) -> str:
        """SQL: the values of a record as one text, by which equal values are counted; empty counts as a value."""
        if self.ranked:
            return self._rank("value")
        if self.is_group:
            return f"CAST(to_json([{', '.join(_text(field) for field in self.fields)}]) AS VARCHAR)"
        text = f"CAST({quoted(self.fields[0])} AS VARCHAR)"
        return text if self.rule.ignore_empty else f"coalesce({text}, '')"

    @property
    def length(self) -> str:
        """SQL: how long the values are; in a group filled fields count before characters."""
        if self.ranked:
            return self._rank("length")
        characters = " + ".join(f"coalesce(length({_text(field)}), 0)" for field in self.fields)
        if not self.is_group:
            return characters
        fields = " + ".join(f"coalesce(CAST({_filled(field)} AS INTEGER), 0)" for field in self.fields)
        return f"({fields}) * {_FIELD} + {characters}"

    @property
    def place(self) -> str:
        """SQL: how far a record's feed is trusted; a feed that is not in the order comes last."""
        order = self.rule.order
        places = " ".join(f"WHEN {literal(feed)} THEN {len(order) - at}" for at, feed in enumerate(order))
        return f"(CASE feed {places} ELSE 0 END)" if order else "0"

    def ranks(self) -> list[str]:
        """Return SQL of a group's ranks among the customer's own records, from which no value can be read."""
        return [
            f"{self.filled} AS {self._rank('filled')}",
            f"dense_rank() OVER (PARTITION BY customer_id ORDER BY {self.value_text}) AS {self._rank('value')}",
            f"dense_rank() OVER (PARTITION BY customer_id ORDER BY {self.length}) AS {self._rank('length')}",
        ]

    def _rank(self, what: str) -> str:
        return quoted(f"__{self.name}_{what}")

    def wins(
        self, value: str, *, order: str, visible: str = "true", times: str | None = None, numbered: bool = False
    ) -> str:
        """Return SQL of the aggregate that gives `value` of the winning record.

        Parameters
        ----------
        value : SQL over a record
        order : SQL that orders a customer's records, no two alike; the last wins wherever the rule finds a tie
        visible : SQL condition under which a record counts
        times : SQL of how many of the customer's records have a record's value; counted here if left out
        numbered : whether `order` is a whole number from 1 on
        """
        counts = f"FILTER ({self.is_candidate} AND {visible})"
        if self.counts_values and times is None:
            times = f"map_extract(histogram({self.value_text}) {counts}, x.key)[1]"
            held = f"{{'key': {self.value_text}, 'at': {order}, 'value': {value}}}"
            return (
                f"list_max(list_transform(list({held}) {counts}, "
                f"lambda x: {{'times': {times}, 'at': x.at, 'value': x.value}})).value"
            )
        first = {"source_priority": self.place, "longest": self.length, "most_frequent": times}
        by = order
        if self.rule.rule in first:
            rank = first[self.rule.rule]
            by = f"({rank}) * {_RECORDS} + {order}" if numbered else f"({rank}, {order})"
        if self.is_group or not self.rule.ignore_empty:  # the winner may be empty, which arg_max would pass over
            return f"(arg_max({{'value': {value}}}, {by}) {counts}).value"
        return f"arg_max({value}, {by}) {counts}"


def selection_of(field: str, feeds: FeedsFile) -> FieldSelection:
    """Return how a field of ``customers`` is chosen."""
    rules = feeds.survivorship
    group = rules.group_of(field)
    fields = (field,) if group is None else tuple(rules.groups[group].fields)
    speaking = sorted({feed for each in fields for feed in feeds.speaking_of(each)})
    return FieldSelection(field if group is None else group, fields, rules.of(field), tuple(speaking))


def selections(fields: Sequence[str], feeds: FeedsFile) -> list[FieldSelection]:
    """Return how `fields` are chosen, each selection once, in the order of the fields."""
    return list(
        {selection.fields: selection for selection in (selection_of(field, feeds) for field in fields)}.values()
    )


def with_ranks(source: str, feeds: FeedsFile) -> str:
    """Return SQL of a relation of all customers' records with ranks, by which groups are chosen without their fields.

    Parameters
    ----------
    source : relation of the records with all their fields, personal ones too
    feeds : the declared feeds and rules
    """
    groups = [selection_of(group.fields[0], feeds) for group in feeds.survivorship.groups.values()]
    ranks = [rank for selection in groups for rank in selection.ranks()]
    return f"SELECT {', '.join(['*', *ranks])} FROM {source}"


def survivor(field: str, feeds: FeedsFile, *, visible: str = "true", changed: str = CHANGED) -> str:
    """Return SQL of the aggregate that chooses one field's value among a customer's visible records.

    Ties go to the record that changed last, then to the feed and the record that sort last. A group is won by its
    ranks (`with_ranks`): the field may stand in a table without what identifies people.

    Parameters
    ----------
    field : a column of ``customers``, canonical or ``feed.attribute``
    feeds : the declared feeds and rules
    visible : SQL condition under which a record counts; all count if left out
    changed : SQL of when a record last changed, in microseconds since 1970
    """
    selection = selection_of(field, feeds)
    selection = replace(selection, ranked=selection.is_group)
    return selection.wins(quoted(field), order=order_by(changed), visible=visible)


def order_by(changed: str = CHANGED) -> str:
    """Return SQL that orders a customer's records by when they changed, then by feed and key."""
    return f"(coalesce({changed}, {_NEVER}), feed, record_id)"


def refuse_unknown(columns: Sequence[str], feeds: FeedsFile) -> None:
    """Refuse a rule that names an attribute of which ``customers`` has no column.

    Raises
    ------
    BadConfiguration : with the nearest attribute
    """
    rules = feeds.survivorship
    named = [*rules.fields, *(field for group in rules.groups.values() for field in group.fields)]
    for field in named:
        if "." in field and field not in columns:
            raise BadConfiguration(
                "survivorship.unknown_field",
                f"customers has no attribute {field!r}",
                where="features/feeds.yaml: survivorship",
                hint=did_you_mean(field, [column for column in columns if "." in column]),
            )


def _text(field: str) -> str:
    return f"nullif(trim(CAST({quoted(field)} AS VARCHAR)), '')"


def _filled(field: str) -> str:
    return f"trim(CAST({quoted(field)} AS VARCHAR)) <> ''"
