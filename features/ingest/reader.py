"""The protocol of feed sources: columns, a fingerprint, and rows for DuckDB."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa

from features.base.database_engine import quoted
from features.base.errors import BadData

RAW = "raw_rows"
_NESTED = ("STRUCT", "MAP", "UNION")


class FeedSource(Protocol):
    """A feed's source; its rows are read only when they are requested.

    Attributes
    ----------
    feed : the feed's name
    is_text : whether every value arrives as text and still has to be read as what it is
    is_table_text : whether it was laid out for people, so that titles, totals and blank cells may stand in it
    number_columns : columns of text in which every value is stored as a number, and written with a point
    may_sniff_decimal : whether its numbers are written by one decimal mark, which may be found in the values
    names : what its files or its table are called, for messages
    files : local files that the engine has to be allowed to read
    loaded_at : when what is there was written
    dated : whether another writing of the same rows is another delivery (a file), or not (a database)
    footers : lines of text below the last row of its files
    notes : what was found about the shape of its files, one sentence each
    repeated : names of files whose bytes another file of the feed already holds; they are not read
    """

    @property
    def feed(self) -> str: ...
    @property
    def is_text(self) -> bool: ...
    @property
    def is_table_text(self) -> bool: ...
    @property
    def may_sniff_decimal(self) -> bool: ...
    @property
    def number_columns(self) -> frozenset[str]: ...
    @property
    def names(self) -> Sequence[str]: ...
    @property
    def files(self) -> Sequence[Path]: ...
    @property
    def loaded_at(self) -> datetime: ...
    @property
    def dated(self) -> bool: ...
    @property
    def repeated(self) -> Sequence[str]: ...
    @property
    def footers(self) -> Sequence[str]: ...
    @property
    def notes(self) -> Sequence[str]: ...

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns, in the source's order.

        Raises
        ------
        BadData : a file is empty, truncated, not in the declared encoding, or of a kind that cannot be read
        """
        ...

    def fingerprint(self) -> str | None:
        """Return what is equal for equal rows, without reading them; None where they have to be read for that."""
        ...

    def load(self, engine: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> None:
        """Create ``raw_rows``: the row's ordinal ``__row``, from 1, and these columns."""
        ...

    def close(self) -> None:
        """Remove downloaded files and close connections."""
        ...


def create_raw_rows(
    engine: duckdb.DuckDBPyConnection, schema: pa.Schema, batches: Iterable[pa.RecordBatch | pa.Table]
) -> int:
    """Create ``raw_rows`` from a stream of record batches without holding them; return the rows."""
    rows, names = 0, ", ".join(quoted(name) for name in schema.names)
    engine.register("incoming", schema.empty_table())
    engine.execute(f"CREATE TEMP TABLE {RAW} AS SELECT CAST(0 AS BIGINT) AS __row, {names} FROM incoming")
    for batch in batches:
        engine.register("incoming", batch)
        engine.execute(f"INSERT INTO {RAW} SELECT {rows:d} + row_number() OVER (), {names} FROM incoming")
        rows += batch.num_rows
    engine.unregister("incoming")
    return rows


def is_nested(kind: str) -> bool:
    """Return whether an SQL type is nested; such a column is stored as JSON text.

    Examples
    --------
    >>> is_nested("STRUCT(a INTEGER)"), is_nested("VARCHAR[]"), is_nested("VARCHAR")
    (True, True, False)
    """
    return kind.endswith("]") or kind.startswith(_NESTED)


def check_names(feed: str, columns: Sequence[str]) -> None:
    """Refuse columns that the engine cannot tell apart, or that have the names of ours.

    Examples
    --------
    >>> try:
    ...     check_names("crm", ["id", "Id"])
    ... except BadData as error:
    ...     print(error.first.message)
    the files have two columns that differ only in case ('id', 'Id')
    """
    seen: dict[str, str] = {}
    for column in columns:
        other = seen.setdefault(column.lower(), column)
        if other != column or column.startswith("__") or not column.strip():
            same = f"two columns that differ only in case ({other!r}, {column!r})"
            raise BadData(
                "feed.header",
                f"the files have {same if other != column else f'a column called {column!r}'}",
                where=f"feed {feed}",
                hint="rename it; a name may not begin with two underscores",
            )


def check_header(feed: str, file: str, columns: Sequence[str]) -> None:
    """Refuse a header with a name twice, or without a name.

    Examples
    --------
    >>> try:
    ...     check_header("crm", "crm.csv", ["id", "id"])
    ... except BadData as error:
    ...     print(error.first.message)
    crm.csv has two columns 'id'
    """
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated or "" in columns:
        raise BadData(
            "feed.header",
            f"{file} has {'two columns ' + repr(repeated[0]) if repeated else 'a column without a name'}",
            where=f"feed {feed}",
            hint="give each column a name of its own",
        )


def empty(feed: str, message: str) -> BadData:
    """Return the error for a file or table without rows.

    Examples
    --------
    >>> empty("crm", "the file has no rows").first.message
    'the file has no rows'
    """
    return BadData("feed.empty", message, where=f"feed {feed}", hint="deliver the file again")
