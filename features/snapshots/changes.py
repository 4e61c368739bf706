"""Which customers the canonical rows tell something new about since the last build, and from which moment on."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from features.base.database_engine import literal, one_row, quoted
from features.base.parquet import stream_parquet
from features.config.canonical import Kind
from features.identity.customer_tables import Columns
from features.identity.data_time import about_customers

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: What is about nobody stands under the name of its table, which is no customer's.
_SHARED: tuple[Kind, ...] = ("context", "items")


def mark(
    engine: duckdb.DuckDBPyConnection, columns: Columns, *, cell: timedelta, first: datetime, numbered: Collection[str]
) -> None:
    """Create ``marks``: a digest of each customer's rows, by the cell of time in which they became known.

    Digests of rows are joined by exclusive or, so that the digest of two cells together is that of both.

    Parameters
    ----------
    engine : knows the canonical tables
    columns : of the canonical tables
    cell : how long a cell is; cells lie on a grid that starts in 1970
    first : what became known by then is one cell
    numbered : feeds whose rows stand under their place among all rows, which says nothing but an order
    """
    tables = [kind for kind in columns if kind in _SHARED or kind in about_customers(columns)]
    digests = " UNION ALL ".join(_digests(kind, columns, cell, numbered) for kind in tables)
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE marks AS
        SELECT customer_id, greatest(cell, {_cell_of(first, cell)}) AS cell, count(*) AS rows, bit_xor(digest) AS digest
        FROM ({digests})
        GROUP BY ALL
        """
    )


def keep_marks(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write ``marks``, so that the next build finds what has changed."""
    stream_parquet(engine.sql("SELECT * FROM marks ORDER BY customer_id, cell").to_arrow_reader(), path)


def find_touched(engine: duckdb.DuckDBPyConnection, before: Path, *, cell: timedelta, first: datetime) -> None:
    """Create ``touched`` (customer_id, cell): from which cell on somebody's rows are not those of before.

    Parameters
    ----------
    engine : knows ``marks``, and may read `before`
    before : what `keep_marks` wrote
    cell, first : as they were given to `mark`; what only one of the two tells apart before `first` is taken together
    """
    clipped = " UNION ALL ".join(
        f"SELECT customer_id, greatest(cell, {_cell_of(first, cell)}) AS cell, {sign}rows AS rows, digest FROM {table}"
        for sign, table in (("", "marks"), ("-", f"read_parquet({literal(str(before))})"))
    )
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE touched AS
        SELECT customer_id, min(cell) AS cell
        FROM (
            SELECT customer_id, cell FROM ({clipped}) GROUP BY ALL
            HAVING sum(rows) <> 0 OR bit_xor(digest) <> 0
        )
        GROUP BY customer_id
        """
    )


def touched_by(engine: duckdb.DuckDBPyConnection, cutoff: datetime, *, cell: timedelta) -> tuple[int, frozenset[str]]:
    """Return how many customers a snapshot may be other for, and which of the shared tables it may."""
    names = ", ".join(map(literal, _SHARED))
    customers, shared = one_row(
        engine,
        f"""
        SELECT count(*) FILTER (customer_id NOT IN ({names})), list(customer_id) FILTER (customer_id IN ({names}))
        FROM touched WHERE cell <= {_cell_of(cutoff, cell)}
        """,
    )
    return int(customers), frozenset(shared or ())


def touched_at(cutoff: datetime, *, cell: timedelta) -> str:
    """Return SQL of the customers that a snapshot may be other for."""
    return f"SELECT customer_id FROM touched WHERE cell <= {_cell_of(cutoff, cell)}"


def only_touched(engine: duckdb.DuckDBPyConnection, columns: Columns, *, cell: timedelta) -> None:
    """Leave in ``spine``, and in the tables about customers, nothing but what the touched customers need."""
    micros = cell // timedelta(microseconds=1)
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE spine AS
        SELECT s.customer_id, s.as_of
        FROM spine s JOIN touched t ON t.customer_id = s.customer_id AND t.cell <= {_cell_sql("s.as_of", micros)}
        """
    )
    for kind in about_customers(columns):
        engine.execute(
            f"CREATE OR REPLACE TEMP VIEW {kind} AS SELECT * FROM memory.main.{kind} "
            "WHERE customer_id IN (SELECT customer_id FROM touched)"
        )


def everybody_again(engine: duckdb.DuckDBPyConnection, columns: Columns) -> None:
    """Show the tables about customers whole again, after `only_touched`."""
    for kind in about_customers(columns):
        engine.execute(f"DROP VIEW IF EXISTS temp.{kind}")


def _digests(kind: Kind, columns: Columns, cell: timedelta, numbered: Collection[str]) -> str:
    """Return SQL of a digest a row; where its id is but a place among all rows, its place among the customer's counts.

    (One more row elsewhere moves all places behind it, and changes nothing. It is their order that decides ties.)
    """
    customer = literal(kind) if kind in _SHARED else "customer_id"
    known = "0" if kind == "items" else _cell_sql("epoch_us(known_at)", cell // timedelta(microseconds=1))
    values = ", ".join(quoted(name) for name in columns[kind] if name not in ("customer_id", "record_id"))
    row = f"SELECT {customer} AS customer_id, {known} AS cell, hash({literal(kind)}, {values}, "
    feeds = ", ".join(map(literal, numbered))
    if not feeds or kind in _SHARED:
        return f"{row} record_id) AS digest FROM {kind}"
    place = "row_number() OVER (PARTITION BY customer_id, feed ORDER BY record_id)"
    return (
        f"{row} record_id) AS digest FROM {kind} WHERE feed NOT IN ({feeds}) UNION ALL "
        f"{row} {place}) AS digest FROM {kind} WHERE feed IN ({feeds})"
    )


def _cell_of(moment: datetime, cell: timedelta) -> int:
    return -((_EPOCH - moment) // cell)


def _cell_sql(micros: str, cell: int) -> str:
    """Return SQL of the cell of a moment: all that lies after one point of the grid, up to the next."""
    return f"({micros} + {cell - 1}) // {cell}"
