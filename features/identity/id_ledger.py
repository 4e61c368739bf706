"""The stable id ledger: which customer every record belonged to from when to when, and every change of an id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from features.base.errors import BadData
from features.identity.past_ids import LEADING, Change, trace

_TIME = pa.timestamp("us", "UTC")

#: One row for each time that a record had an id, until `to_at`; empty while it has it.
ASSIGNMENTS = pa.schema(
    [
        ("feed", pa.string()),
        ("record_id", pa.string()),
        ("customer_id", pa.string()),
        ("from_at", _TIME),
        ("to_at", _TIME),
    ]
)
#: created, returned, retired: of one id · split, moved, merged, undone: from `customer_id` to `into` · judged.
EVENTS = pa.schema(
    [
        ("event", pa.int64()),
        ("at", _TIME),
        ("kind", pa.string()),
        ("customer_id", pa.string()),
        ("into", pa.string()),
        ("cause", pa.string()),
        ("weight", pa.float64()),
        ("about", pa.int64()),
    ]
)
#: Judgements about two records; the latest on a pair counts.
JUDGEMENTS = pa.schema(
    [
        ("verdict", pa.string()),
        ("feed", pa.string()),
        ("record_id", pa.string()),
        ("other_feed", pa.string()),
        ("other_record", pa.string()),
        ("by", pa.string()),
        ("reason", pa.string()),
        ("at", _TIME),
    ]
)


@dataclass(frozen=True)
class Judgement:
    """What counts about a pair of records: ``always`` one customer, or ``never``."""

    verdict: str
    one: tuple[str, str]
    other: tuple[str, str]


@dataclass(frozen=True)
class Event:
    """One entry of the ledger.

    Parameters
    ----------
    event : its number; people write ``e12``
    at : when it counts from
    kind : created, returned, retired, split, moved, merged, undone or judged
    customer_id : whom it is about
    into : to whom records went, where they did
    cause : why
    weight : the strongest evidence behind a merge, as log2 of the match's odds; nothing where a person or a key decided
    """

    event: int
    at: datetime
    kind: str
    customer_id: str
    into: str | None
    cause: str | None
    weight: float | None


@dataclass(frozen=True)
class IdLedger:
    """What is known about ids; a value, never changed: `id_changes.apply` returns a new one that holds all old rows.

    Parameters
    ----------
    assignments, events, judgements : tables of `ASSIGNMENTS`, `EVENTS` and `JUDGEMENTS`, oldest rows first
    """

    assignments: pa.Table
    events: pa.Table
    judgements: pa.Table

    @classmethod
    def empty(cls) -> IdLedger:
        """Return the ledger of a company that has seen no customer yet."""
        return cls(ASSIGNMENTS.empty_table(), EVENTS.empty_table(), JUDGEMENTS.empty_table())

    @property
    def at(self) -> datetime:
        """The moment of the last entry; nothing is ever entered before it."""
        times = [pc.max(self.events["at"]).as_py(), pc.max(self.judgements["at"]).as_py()]
        return max((time for time in times if time is not None), default=datetime(1, 1, 1, tzinfo=UTC))

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """The events that moved records from one id to another."""
        wanted = self.events.filter(pc.is_in(self.events["kind"], pa.array(LEADING)))
        return tuple(map(Change._make, zip(*(wanted[name].to_pylist() for name in Change._fields), strict=True)))

    def open(self) -> pa.Table:
        """Return the present assignments: feed, record_id, customer_id."""
        rows = self.assignments.filter(pc.is_null(self.assignments["to_at"]))
        return rows.select(["feed", "record_id", "customer_id"])

    def resolve(self, customer_id: str, *, as_of: datetime | None = None) -> tuple[str, ...]:
        """Return the ids that an id, however old, leads to: the one that kept most of it first.

        Parameters
        ----------
        customer_id : any id that was ever given
        as_of : a moment of the past; today when left out

        Raises
        ------
        BadData : the id was never given, or not yet at that moment
        """
        born = pc.and_(pc.equal(self.events["kind"], "created"), pc.equal(self.events["customer_id"], customer_id))
        births = self.events.filter(born)["at"].to_pylist()
        if not births or (as_of is not None and births[0] > as_of):
            raise BadData(
                "identity.unknown_customer",
                "no customer ever had this id" if not births else "no customer had this id yet at that moment",
                where="customer_id",
                hint="ids stand in ids.parquet of the published generation of state/unified",
            )
        return trace(self.changes, as_of=as_of).get(customer_id, (customer_id,))

    def is_live(self, customer_id: str) -> bool:
        """Return whether the customer has records at present."""
        rows = pc.and_(pc.equal(self.assignments["customer_id"], customer_id), pc.is_null(self.assignments["to_at"]))
        return bool(pc.any(rows).as_py())

    def history(self, customer_id: str) -> list[Event]:
        """Return every entry about one id, as the one that changed or the one that it changed into."""
        about = pc.or_kleene(
            pc.equal(self.events["customer_id"], customer_id), pc.equal(self.events["into"], customer_id)
        )
        return [self._event(row) for row in self.events.filter(about).to_pylist()]

    def event(self, number: int) -> Event | None:
        """Return one entry; none when there is no such number."""
        found = self.events.filter(pc.equal(self.events["event"], number)).to_pylist()
        return self._event(found[0]) if found else None

    def undone(self, number: int) -> bool:
        """Return whether the merge with this number was undone."""
        return bool(pc.any(pc.equal(self.events["about"], number)).as_py())

    @staticmethod
    def _event(row: dict[str, object]) -> Event:
        return Event(**{name: value for name, value in row.items() if name != "about"})  # type: ignore[arg-type]

    def present_judgements(self) -> list[Judgement]:
        """Return the judgements that hold at present: the last one on every pair."""
        latest: dict[tuple[tuple[str, str], tuple[str, str]], str] = {}
        for row in self.judgements.to_pylist():
            one, other = sorted([(row["feed"], row["record_id"]), (row["other_feed"], row["other_record"])])
            latest[one, other] = row["verdict"]
        return [Judgement(verdict, one, other) for (one, other), verdict in sorted(latest.items())]

    def entered(self, events: Sequence[dict[str, object]], *, at: datetime) -> pa.Table:
        """Return the events with these appended, numbered on; columns left out are empty."""
        first = self.events.num_rows + 1
        rows = [{"event": first + place, "at": at, **event} for place, event in enumerate(events)]
        return pa.concat_tables([self.events, pa.Table.from_pylist(rows, schema=EVENTS)]) if rows else self.events


def former_records(ledger: IdLedger, past: pa.Table) -> pa.Table:
    """Return the records that are gone, each with the customer of today that its last id leads to.

    Parameters
    ----------
    ledger : the id ledger
    past : what `past_ids` gave of it

    Returns
    -------
    pa.Table : ``feed``, ``record_id``, ``customer_id``
    """
    ended = ledger.assignments.filter(pc.is_valid(ledger.assignments["to_at"]))
    ended = ended.append_column("row", pa.array(range(ended.num_rows), pa.int64()))
    gone = ended.join(ledger.open(), keys=["feed", "record_id"], join_type="left anti")
    last = gone.group_by(["feed", "record_id"]).aggregate([("row", "max")]).select(["row_max"])
    rows = ended.take(last["row_max"].sort()).select(["feed", "record_id", "customer_id"])
    first = past.filter(pc.equal(past["place"], 0))
    today = first["customer_id"].take(pc.index_in(rows["customer_id"], value_set=first["past_id"].combine_chunks()))
    return rows.set_column(2, "customer_id", today)


def past_ids(ledger: IdLedger) -> pa.Table:
    """Return, for every id that was ever given, today's: what readers of old decisions join with.

    Returns
    -------
    pa.Table : ``past_id``, ``customer_id``, ``place`` (0 for the one that kept most of it), ``live`` (has records);
        ordered by ``past_id`` and ``place``
    """
    created = self_ids = ledger.events.filter(pc.equal(ledger.events["kind"], "created"))["customer_id"]
    traced = {root: ends for root, ends in trace(ledger.changes).items() if ends != (root,)}
    if traced:
        self_ids = created.filter(pc.invert(pc.is_in(created, pa.array(sorted(traced)))))
    rows = [(root, end, place) for root, ends in traced.items() for place, end in enumerate(ends)]
    table = pa.table(
        {
            "past_id": pa.chunked_array([*self_ids.chunks, pa.array([row[0] for row in rows], pa.string())]),
            "customer_id": pa.chunked_array([*self_ids.chunks, pa.array([row[1] for row in rows], pa.string())]),
            "place": pa.concat_arrays(
                [pa.repeat(pa.scalar(0, pa.int32()), len(self_ids)), pa.array([row[2] for row in rows], pa.int32())]
            ),
        }
    )
    live = pc.unique(ledger.open()["customer_id"])
    table = table.append_column("live", pc.is_in(table["customer_id"], live))
    return table.sort_by([("past_id", "ascending"), ("place", "ascending")])
