"""Reading snapshot Parquet directly: cutoffs, the rows of one cutoff, and whether a file keeps its contract."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.base.clock import as_utc, iso, to_microseconds
from features.base.database_engine import EngineResources, open_engine, quoted, ran_out
from features.base.errors import BadData, Problem
from features.store.definitions import CREATED_TIME, CUSTOMER, EVENT_TIME, ColumnType, SnapshotView
from features.store.parquet_rows import unreadable

UTC_TIME = pa.timestamp("us", "UTC")
_STORED: dict[ColumnType, tuple[pa.DataType, ...]] = {
    "int": (pa.int64(),),
    "float": (pa.float64(),),
    "string": (pa.string(), pa.large_string()),
    "bool": (pa.bool_(),),
    "timestamp": (UTC_TIME,),
}


def parquet_pattern(path: Path) -> str:
    """Return what to read: the file itself, or every ``*.parquet`` file of the folder.

    Examples
    --------
    >>> parquet_pattern(Path("ages.parquet"))
    'ages.parquet'
    """
    return str(path / "*.parquet") if path.is_dir() else str(path)


def check_snapshot(
    view: SnapshotView, *, resources: EngineResources | None = None, engine: duckdb.DuckDBPyConnection | None = None
) -> None:
    """Refuse a snapshot whose files break the contract of `SnapshotView`; in bounded memory, however many rows it has.

    Parameters
    ----------
    view : the snapshot
    resources : what a new engine may use
    engine : may read the snapshot; a new one if left out

    Raises
    ------
    BadData : when files, columns or types are not what the view declares, a created time is
        missing, or a customer stands twice at a cutoff
    """
    files = sorted(view.path.glob("*.parquet")) if view.path.is_dir() else [view.path]
    if not files or not files[0].is_file():
        raise BadData(
            "store.no_snapshot", "no snapshot file is there", where=view.name, hint="run `nextbest features` first"
        )
    expected: dict[str, tuple[pa.DataType, ...]] = {
        CUSTOMER: _STORED["string"],
        EVENT_TIME: (UTC_TIME,),
        CREATED_TIME: (UTC_TIME,),
        **{column.name: _STORED[column.type] for column in view.columns},
    }
    problems = [problem for file in files for problem in _schema_problems(file, view.name, expected)]
    if problems:
        raise BadData.of(problems)
    rows, without_created, pairs = _counts(view.path, resources, engine)
    if without_created:
        raise BadData(
            "store.created_missing",
            f"{without_created} of {rows} rows have no {CREATED_TIME}",
            where=view.name,
            hint="write the moment at which the row could first be known",
        )
    if pairs != rows:
        raise BadData(
            "store.rows_twice",
            f"{rows - pairs} rows repeat a customer at the same cutoff",
            where=view.name,
            hint="write one row for each customer and cutoff",
        )


def _schema_problems(file: Path, view: str, expected: dict[str, tuple[pa.DataType, ...]]) -> list[Problem]:
    try:
        schema = pq.read_schema(file)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(file, error, where=view) from error
    problems = []
    for name, allowed in expected.items():
        if name not in schema.names:
            problems.append(
                Problem("store.column_missing", f"{file.name} has no column {name!r}", view, "build the snapshot again")
            )
        elif schema.field(name).type not in allowed:
            found = schema.field(name).type
            problems.append(
                Problem(
                    "store.column_stored_as",
                    f"{file.name}: {name!r} is stored as {found}, not {allowed[0]}",
                    view,
                    "cast it before writing",
                )
            )
    return problems


def _counts(
    path: Path, resources: EngineResources | None, engine: duckdb.DuckDBPyConnection | None
) -> tuple[int, int, int]:
    """Return how many rows there are, how many without a created time, and how many different pairs of key and cutoff.

    Counted by group, since DuckDB writes the groups of a GROUP BY to disk where they do not fit into memory. Groups by
    hash take half the memory and time of groups by pair; only where two rows share a hash are the pairs counted.
    """
    row = _run(
        path,
        """
        SELECT coalesce(sum(rows), 0) AS rows, coalesce(sum(missing), 0) AS missing, count(*) AS hashes
        FROM (
            SELECT count(*) AS rows, count(*) FILTER (created_timestamp IS NULL) AS missing
            FROM read_parquet($files)
            GROUP BY hash(customer_id, event_timestamp)
        )
        """,
        resources=resources,
        engine=engine,
    ).to_pylist()[0]
    rows, without_created, pairs = (int(value) for value in row.values())
    if pairs == rows:
        return rows, without_created, pairs
    found = _run(
        path,
        """
        SELECT count(*) AS pairs
        FROM (SELECT 1 FROM read_parquet($files) GROUP BY customer_id, event_timestamp)
        """,
        resources=resources,
        engine=engine,
    )
    return rows, without_created, int(found.column("pairs")[0].as_py())


def latest_cutoff(path: Path, *, as_of: datetime) -> datetime | None:
    """Return the newest cutoff at or before `as_of` whose rows were all known by then, or None."""
    found = _run(
        path,
        """
        SELECT event_timestamp AS cutoff
        FROM read_parquet($files)
        WHERE event_timestamp <= $as_of
        GROUP BY event_timestamp
        HAVING max(created_timestamp) <= $as_of
        ORDER BY event_timestamp DESC
        LIMIT 1
        """,
        as_of=as_of,
    )
    return as_utc(found.column("cutoff")[0].as_py()) if found.num_rows else None


def latest_files(
    path: Path, *, as_of: datetime, engine: duckdb.DuckDBPyConnection
) -> tuple[datetime, tuple[Path, ...]] | None:
    """Return what `latest_cutoff` does, with the files that hold its rows, sorted.

    Parameters
    ----------
    engine : may read the snapshots
    """
    found = _run(
        path,
        """
        SELECT cutoff, list(filename ORDER BY filename) AS files
        FROM (
            SELECT event_timestamp AS cutoff, filename, max(created_timestamp) AS created
            FROM read_parquet($files, filename = true)
            WHERE event_timestamp <= $as_of
            GROUP BY ALL
        )
        GROUP BY cutoff
        HAVING max(created) <= $as_of
        ORDER BY cutoff DESC
        LIMIT 1
        """,
        as_of=as_of,
        engine=engine,
    ).to_pylist()
    return (as_utc(found[0]["cutoff"]), tuple(map(Path, found[0]["files"]))) if found else None


def files_at(path: Path, *, cutoff: datetime) -> list[Path]:
    """Return the files that hold rows of this cutoff, sorted."""
    found = _run(
        path,
        """
        SELECT DISTINCT filename
        FROM read_parquet($files, filename = true)
        WHERE event_timestamp = $as_of
        ORDER BY filename
        """,
        as_of=cutoff,
    )
    return [Path(name) for name in found.column("filename").to_pylist()]


def rows_at(
    path: Path, columns: Sequence[str], *, cutoff: datetime, resources: EngineResources | None = None
) -> pa.Table:
    """Return the rows of exactly one cutoff: customer, `columns` in order, event and created time.

    Rows come ordered by customer.
    """
    chosen = ", ".join(quoted(column) for column in columns)
    return _run(
        path,
        f"""
        SELECT customer_id, {chosen}, event_timestamp, created_timestamp
        FROM read_parquet($files)
        WHERE event_timestamp = $as_of
        ORDER BY customer_id, created_timestamp
        """,
        as_of=cutoff,
        resources=resources,
    )


def rows_at_each(
    path: Path, columns: Sequence[str], *, cutoffs: Sequence[datetime], resources: EngineResources | None = None
) -> dict[datetime, pa.Table]:
    """Return `columns` of the rows of each of these cutoffs, read in one pass; rows come ordered by customer."""
    chosen = ", ".join(quoted(column) for column in columns)
    requested = ", ".join(f"make_timestamptz({to_microseconds(cutoff):d})" for cutoff in cutoffs)
    read = _run(
        path,
        f"""
        SELECT {chosen}, epoch_us(event_timestamp) AS __cutoff
        FROM read_parquet($files)
        WHERE event_timestamp IN ({requested})
        ORDER BY event_timestamp, customer_id
        """,
        resources=resources,
    )
    at = read.column("__cutoff")
    return {cutoff: read.filter(pc.equal(at, to_microseconds(cutoff))).select(columns) for cutoff in cutoffs}


def plain_values(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Return `table` with NaN as missing (as data frames mean it) and times as whole seconds since 1970.

    Examples
    --------
    >>> plain_values(pa.table({"age": [41.5, float("nan")]}), ["age"]).to_pydict()
    {'age': [41.5, None]}
    """
    for name in columns:
        column = table.column(name)
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        elif pa.types.is_timestamp(column.type):
            column = pc.floor_temporal(column, unit="second").cast(pa.timestamp("s", "UTC")).cast(pa.int64())
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def no_snapshot_at(view: str, *, as_of: datetime, nearest: datetime | None) -> BadData:
    """Return the error for a cutoff that a view does not hold."""
    known = f"the newest one before it is {iso(nearest)}" if nearest else "it holds none before it either"
    return BadData(
        "store.no_cutoff",
        f"no snapshot at {iso(as_of)}; {known}",
        where=view,
        hint="choose a cutoff that was built, or build this one with `nextbest features`",
    )


def _run(
    path: Path,
    statement: str,
    *,
    as_of: datetime | None = None,
    resources: EngineResources | None = None,
    engine: duckdb.DuckDBPyConnection | None = None,
) -> pa.Table:
    values: dict[str, object] = {"files": parquet_pattern(path)}
    if as_of is not None:
        values["as_of"] = as_utc(as_of)
    with nullcontext(engine) if engine else open_engine(folders=[path], resources=resources) as reading:
        try:
            return reading.sql(statement, params=values).to_arrow_table()
        except duckdb.Error as error:
            if ran_out(error):
                raise
            raise unreadable(path, error, where="state/snapshots") from error
