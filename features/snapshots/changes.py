"""Which customers' canonical rows have changed since the last build, and from which moment on."""

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
#: Rows about no customer are counted under the name of their table.
_SHARED: tuple[Kind, ...] = ("context", "items")


def hash_rows(
    engine: duckdb.DuckDBPyConnection,
    columns: Columns,
    *,
    bucket: timedelta,
    first: datetime,
    numbered: Collection[str],
) -> None:
    """Create ``row_hashes``: a digest of each customer's rows, by the time bucket in which they became known.

    Digests of rows are joined by exclusive or, so that the digest of two buckets together is that of both.

    Parameters
    ----------
    engine : has the canonical tables
    columns : of the canonical tables
    bucket : how long a bucket is; buckets lie on a grid that starts in 1970
    first : what became known by then is one bucket
    numbered : feeds whose rows are named by their place among all rows, which holds no more than an order
    """
    tables = [kind for kind in columns if kind in _SHARED or kind in about_customers(columns)]
    digests = " UNION ALL ".join(_digests(kind, columns, bucket, numbered) for kind in tables)
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE row_hashes AS
        SELECT customer_id, greatest(bucket, {_bucket_of(first, bucket)}) AS bucket, count(*) AS rows,
               bit_xor(digest) AS digest
        FROM ({digests})
        GROUP BY ALL
        """
    )


def write_row_hashes(engine: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write ``row_hashes``, so that the next build finds what has changed."""
    stream_parquet(engine.sql("SELECT * FROM row_hashes ORDER BY customer_id, bucket").to_arrow_reader(), path)


def find_changed(engine: duckdb.DuckDBPyConnection, before: Path, *, bucket: timedelta, first: datetime) -> None:
    """Create ``changed`` (customer_id, bucket): the first time bucket in which a customer's rows differ.

    Parameters
    ----------
    engine : has ``row_hashes``, and may read `before`
    before : what `write_row_hashes` wrote
    bucket, first : as they were given to `hash_rows`; what became known before `first` is one bucket
    """
    clipped = " UNION ALL ".join(
        f"SELECT customer_id, greatest(bucket, {_bucket_of(first, bucket)}) AS bucket, {sign}rows AS rows, digest "
        f"FROM {table}"
        for sign, table in (("", "row_hashes"), ("-", f"read_parquet({literal(str(before))})"))
    )
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE changed AS
        SELECT customer_id, min(bucket) AS bucket
        FROM (
            SELECT customer_id, bucket FROM ({clipped}) GROUP BY ALL
            HAVING sum(rows) <> 0 OR bit_xor(digest) <> 0
        )
        GROUP BY customer_id
        """
    )


def count_changed(
    engine: duckdb.DuckDBPyConnection, cutoff: datetime, *, bucket: timedelta
) -> tuple[int, frozenset[str]]:
    """Return for how many customers a snapshot may differ, and which of the shared tables have changed."""
    names = ", ".join(map(literal, _SHARED))
    customers, shared = one_row(
        engine,
        f"""
        SELECT count(*) FILTER (customer_id NOT IN ({names})), list(customer_id) FILTER (customer_id IN ({names}))
        FROM changed WHERE bucket <= {_bucket_of(cutoff, bucket)}
        """,
    )
    return int(customers), frozenset(shared or ())


def changed_at(cutoff: datetime, *, bucket: timedelta) -> str:
    """Return SQL of the customers for whom a snapshot may differ."""
    return f"SELECT customer_id FROM changed WHERE bucket <= {_bucket_of(cutoff, bucket)}"


def restrict_to_changed(engine: duckdb.DuckDBPyConnection, columns: Columns, *, bucket: timedelta) -> None:
    """Restrict ``entity_rows`` and the tables about customers to the changed customers."""
    micros = bucket // timedelta(microseconds=1)
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE entity_rows AS
        SELECT e.customer_id, e.as_of
        FROM entity_rows e
        JOIN changed c ON c.customer_id = e.customer_id AND c.bucket <= {_bucket_sql("e.as_of", micros)}
        """
    )
    for kind in about_customers(columns):
        engine.execute(
            f"CREATE OR REPLACE TEMP VIEW {kind} AS SELECT * FROM memory.main.{kind} "
            "WHERE customer_id IN (SELECT customer_id FROM changed)"
        )


def lift_restriction(engine: duckdb.DuckDBPyConnection, columns: Columns) -> None:
    """Show the whole tables about customers again, after `restrict_to_changed`."""
    for kind in about_customers(columns):
        engine.execute(f"DROP VIEW IF EXISTS temp.{kind}")


def _digests(kind: Kind, columns: Columns, bucket: timedelta, numbered: Collection[str]) -> str:
    """Return SQL of a digest a row; where its id is but a place among all rows, its place among the customer's counts.

    (One more row elsewhere moves all places behind it, and changes nothing. It is their order that decides ties.)
    """
    customer = literal(kind) if kind in _SHARED else "customer_id"
    known = "0" if kind == "items" else _bucket_sql("epoch_us(known_at)", bucket // timedelta(microseconds=1))
    values = ", ".join(quoted(name) for name in columns[kind] if name not in ("customer_id", "record_id"))
    row = f"SELECT {customer} AS customer_id, {known} AS bucket, hash({literal(kind)}, {values}, "
    feeds = ", ".join(map(literal, numbered))
    if not feeds or kind in _SHARED:
        return f"{row} record_id) AS digest FROM {kind}"
    place = "row_number() OVER (PARTITION BY customer_id, feed ORDER BY record_id, known_at)"
    return (
        f"{row} record_id) AS digest FROM {kind} WHERE feed NOT IN ({feeds}) UNION ALL "
        f"{row} {place}) AS digest FROM {kind} WHERE feed IN ({feeds})"
    )


def _bucket_of(moment: datetime, bucket: timedelta) -> int:
    return -((_EPOCH - moment) // bucket)


def _bucket_sql(micros: str, bucket: int) -> str:
    """Return SQL of the bucket of a moment: all that lies after one point of the grid, up to the next."""
    return f"({micros} + {bucket - 1}) // {bucket}"
