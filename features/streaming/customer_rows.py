"""What is known of customers, in memory and by customer: a batch of events costs the rows of those it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import duckdb
import numpy as np
import pyarrow as pa

from features.base.database_engine import quoted
from features.config.canonical import Kind
from features.identity.customer_tables import Columns
from features.identity.data_time import about_customers
from features.identity.streamed_events import SCHEMA
from features.streaming.event import from_us
from features.streaming.event_log import Entry

#: Columns without which no view can be computed.
ALWAYS = ("customer_id", "feed", "record_id", "event_time", "known_at")


class CustomerRows:
    """The canonical tables, as they were when they were loaded, and the events that came since.

    Parameters
    ----------
    engine : knows the canonical tables; only read here
    columns : of the tables
    wanted : SQL of all that will be asked; a column that it does not name is not kept
    """

    def __init__(self, engine: duckdb.DuckDBPyConnection, columns: Columns, *, wanted: str) -> None:
        self.columns = columns
        self.shared: dict[Kind, pa.Table] = {}
        self._tables: dict[Kind, pa.Table] = {}
        self._rows: dict[Kind, dict[str, tuple[int, int]]] = {}
        about = about_customers(columns)
        for kind in columns:
            whole = kind in ("customers", "consents")  # survivorship and standing ask for more than views name
            names = [name for name in columns[kind] if whole or name in ALWAYS or name in wanted]
            listed = ", ".join(map(quoted, names))
            order = " ORDER BY customer_id" if kind in about else ""
            table = engine.sql(f"SELECT {listed} FROM {kind}{order}").to_arrow_table().combine_chunks()
            if kind not in about:
                self.shared[kind] = table
                continue
            counted = engine.execute(f"SELECT customer_id, count(*) FROM {kind} GROUP BY 1 ORDER BY 1").fetchall()
            ends = np.cumsum([count for _, count in counted])
            starts = [0, *ends[:-1]]
            self._rows[kind] = {
                customer: (int(start), int(end))
                for (customer, _), start, end in zip(counted, starts, ends, strict=True)
            }
            self._tables[kind] = table
        self._arrived: dict[str, list[tuple[object, ...]]] = {}

    def add(self, entries: Iterable[tuple[str, Entry]]) -> None:
        """Remember events that came since, each with the customer of today whom it is about."""
        for customer, entry in entries:
            event = entry.event
            row = (customer, event.feed, event.id, from_us(event.event_us), from_us(entry.known_us))
            told = (event.event, event.item, event.amount, event.quantity, event.channel, event.text)
            self._arrived.setdefault(customer, []).append((*row, *told))

    def of(self, customers: Sequence[str]) -> Mapping[Kind, pa.Table]:
        """Return all rows about these customers, table by table; new events may repeat one that a feed delivered."""
        found: dict[Kind, pa.Table] = {}
        for kind, table in self._tables.items():
            spans = [self._rows[kind][customer] for customer in customers if customer in self._rows[kind]]
            places = np.concatenate([np.arange(*span) for span in spans]) if spans else np.empty(0, np.int64)
            found[kind] = table.take(pa.array(places, pa.int64()))
        return found

    def streamed(self, customers: Sequence[str]) -> pa.Table:
        """Return the events about these customers that came since, as canonical rows."""
        rows = [row for customer in customers for row in self._arrived.get(customer, ())]
        return pa.table(list(map(list, zip(*rows, strict=True))) if rows else [[] for _ in SCHEMA], schema=SCHEMA)
