"""Tables and queries of databases: streamed as Arrow, only the columns and rows that are wanted, in bounded waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from features.base.errors import BadConfiguration, BadData
from features.base.storage import digest_of
from features.config.feed import Feed
from features.config.loading import did_you_mean
from features.ingest.database_server import DRIVERS, Server
from features.ingest.database_values import ArrowColumns, TypedColumn
from features.ingest.pushdown import Condition, conditions
from features.ingest.reader import check_names, create_raw_rows, empty

_BATCH = 20_000


def is_address(source: str) -> bool:
    """Return whether a source is the address of a database.

    Examples
    --------
    >>> is_address("postgresql://host/shop"), is_address("data/till.csv")
    (True, False)
    """
    return source.partition("://")[0] in DRIVERS and "://" in source


def open_table(name: str, feed: Feed, address: str, root: Path) -> DatabaseRows:
    """Return the table or query of a feed; no connection is made yet.

    Raises
    ------
    BadConfiguration : the address cannot be used, carries a password in plain text, or neither table nor query is named
    """
    if not feed.is_database:
        raise BadConfiguration(
            "feed.source",
            "a database needs a table or a query",
            where=f"feeds.{name}",
            hint="add `table: SCHEMA.TABLE`, or `query: SELECT …`",
        )
    return DatabaseRows(name, feed, Server.at(name, address, root=root, timeout=feed.timeout))


@dataclass(frozen=True)
class DatabaseRows:
    """The rows of one table or query.

    Parameters
    ----------
    feed, declared : the feed's name and declaration
    server : where it lies
    """

    feed: str
    declared: Feed
    server: Server

    is_text = False
    is_table_text = False
    may_sniff_decimal = False
    number_columns = frozenset[str]()
    dated = False
    repeated = ()
    notes = ()
    footers = ()
    files = ()

    @property
    def names(self) -> tuple[str]:
        return (self.declared.table or "the query",)

    @property
    def loaded_at(self) -> datetime:
        return self.server.now()

    @cached_property
    def columns(self) -> tuple[str, ...]:
        names = tuple(column.name for column in self._typed)
        check_names(self.feed, names)
        return names

    def fingerprint(self) -> str | None:
        """Return a digest of the row count and the watermark's bounds, or None: then the rows themselves tell."""
        if self.declared.watermark is None:
            return None
        if self.declared.watermark not in self.columns:
            raise BadConfiguration(
                "feed.column_absent",
                f"there is no column {self.declared.watermark!r}",
                where=f"feeds.{self.feed}.watermark",
                hint=did_you_mean(self.declared.watermark, self.columns),
            )
        mark = self._relation.c[self.declared.watermark]
        select = sa.select(sa.func.count(), sa.func.count(mark), sa.func.min(mark), sa.func.max(mark))
        (row,) = self.server.rows(select.select_from(self._relation))
        return digest_of([*(str(value) for value in row), list(self.columns)])

    def load(self, engine: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> None:
        """Create ``raw_rows``: these columns of the rows that meet the translatable part of ``where``."""
        wanted = [column for column in self._typed if column.name in columns]
        arrow = ArrowColumns(self.feed, wanted, exact=_named(self.feed, self.declared))
        parts = self.server.partitions(self._select(wanted), size=_BATCH)
        first = next(parts, None)
        if first is None:
            raise empty(self.feed, "the table or query gives no rows")
        schema = arrow.schema(first)
        create_raw_rows(engine, schema, self._batches(arrow, schema, first, parts))

    def close(self) -> None:
        self.server.close()

    def _batches(
        self, arrow: ArrowColumns, schema: pa.Schema, first: Sequence[Any], rest: Iterator[Sequence[Any]]
    ) -> Iterator[pa.RecordBatch]:
        yield arrow.batch(first, schema, start=1)
        start = 1 + len(first)
        for rows in rest:
            yield arrow.batch(rows, schema, start=start)
            start += len(rows)

    @cached_property
    def _relation(self) -> sa.FromClause:
        """The table as the database describes it, or the query with the names that it gives."""
        if self.declared.query is not None:
            text = sa.text(self.declared.query.rstrip().rstrip(";"))
            names = self.server.names(text)
            columns: list[Any] = [sa.column(name) for name in names]
            return text.columns(*columns).subquery("feed_rows")
        schema, _, table = (self.declared.table or "").rpartition(".")
        found = self.server.describe(table, schema or None)
        if found is None:
            raise BadData(
                "feed.missing",
                f"there is no table {self.declared.table!r}",
                where=f"feed {self.feed}",
                hint=did_you_mean(table, self.server.tables(schema or None)),
            )
        return found

    @cached_property
    def _typed(self) -> tuple[TypedColumn, ...]:
        known = self.declared.table is not None
        return tuple(TypedColumn.of(column, self.server.dialect, known=known) for column in self._relation.c)

    def _select(self, wanted: Sequence[TypedColumn]) -> sa.Select[Any]:
        relation = self._relation
        select = sa.select(*(column.selected(relation) for column in wanted))
        names = [column.name for column in wanted]
        for condition in conditions(self.declared.where, names):
            typed = next(column for column in wanted if column.name == condition.column)
            if typed.decides(condition.kind, condition.op):
                select = select.where(_pushed(relation.c[condition.column], condition))
        if self.declared.table is not None:  # the same rows in the same order, whatever the server did meanwhile
            select = select.order_by(*(relation.c[key] for key in self.declared.keys if key in relation.c))
        return select


def _pushed(column: Any, condition: Condition) -> Any:
    match condition.op:
        case "is_null":
            return column.is_(None)
        case "is_not_null":
            return column.is_not(None)
        case "in":
            return column.in_(condition.values)
        case op:
            return column.op(op, is_comparison=True)(condition.values[0])


def _named(name: str, feed: Feed) -> frozenset[str]:
    """Return the columns that name records: they are kept digit for digit."""
    link = feed.link(name)
    return frozenset(feed.keys) | ({link[2]} if link is not None else set())
