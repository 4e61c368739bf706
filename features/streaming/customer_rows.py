"""The canonical rows in memory, by customer: a batch of events reads the rows of its customers only."""

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
    """The canonical tables, as they were when they were loaded, and the events that were streamed since.

    Parameters
    ----------
    engine : has the canonical tables, which are only read
    columns : of the tables
    wanted : SQL of all views; a column that it does not name is not loaded
    """

    def __init__(self, engine: duckdb.DuckDBPyConnection, columns: Columns, *, wanted: str) -> None:
        self.columns = columns
        self.shared: dict[Kind, pa.Table] = {}
        self._tables: dict[Kind, pa.Table] = {}
        self._rows: dict[Kind, dict[str, tuple[int, int]]] = {}
        about = about_customers(columns)
        for kind in columns:
            whole = kind in ("customers", "consents")  # survivorship and the lawful basis read more than views name
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
        self._streamed: dict[str, list[tuple[object, ...]]] = {}

    def add(self, entries: Iterable[tuple[str, Entry]]) -> None:
        """Add streamed events, each with the customer of today whom it is about."""
        for customer, entry in entries:
            event = entry.event
            row = (customer, event.feed, event.id, from_us(event.event_us), from_us(entry.known_us))
            fields = (event.event, event.item, event.amount, event.quantity, event.channel, event.text)
            self._streamed.setdefault(customer, []).append((*row, *fields))

    def of(self, customers: Sequence[str]) -> Mapping[Kind, pa.Table]:
        """Return all rows about these customers, by table; a streamed event may be among the delivered ones, too."""
        found: dict[Kind, pa.Table] = {}
        for kind, table in self._tables.items():
            spans = [self._rows[kind][customer] for customer in customers if customer in self._rows[kind]]
            places = np.concatenate([np.arange(*span) for span in spans]) if spans else np.empty(0, np.int64)
            found[kind] = table.take(pa.array(places, pa.int64()))
        return found

    def streamed(self, customers: Sequence[str]) -> pa.Table:
        """Return the streamed events about these customers as canonical rows."""
        rows = [row for customer in customers for row in self._streamed.get(customer, ())]
        return pa.table(list(map(list, zip(*rows, strict=True))) if rows else [[] for _ in SCHEMA], schema=SCHEMA)
