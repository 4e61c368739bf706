"""Compute planned views for every cutoff: one row a customer and cutoff, nothing from after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.base.clock import EPOCH, as_utc, to_microseconds
from features.base.database_engine import literal, quoted
from features.base.errors import BadConfiguration, BadData
from features.base.parquet import stream_parquet
from features.config.views_file import Snapshots
from features.identity.customer_tables import Columns
from features.identity.data_time import about_customers, gone_select
from features.views.catalogue import Feature
from features.views.measures import rounded
from features.views.plan import PlannedView
from features.views.source_rows import undecided
from features.views.windows import Windows

#: Rows that a row group of a snapshot file holds.
ROWS_A_GROUP = 1 << 17
#: Rows that are computed in one statement, where a cutoff has fewer.
ROWS_AT_ONCE = 40_000
#: Snapshots of a view; hourly ones of a year.
MOST_CUTOFFS = 10_000
#: An engine at work: given DuckDB with the canonical tables, it returns DuckDB's relation of a view's rows.
RowsOf = Callable[[duckdb.DuckDBPyConnection, PlannedView], str]


def cutoffs_between(first: datetime, as_of: datetime, snapshots: Snapshots) -> list[datetime]:
    """Return the cutoffs from `first` to `as_of`, oldest first.

    They lie on a grid that starts in 1970, so that tomorrow's cutoffs are today's and one more; `as_of` itself is
    always the last.

    Raises
    ------
    BadConfiguration : there would be more than `MOST_CUTOFFS`
    """
    every = snapshots.every
    start = max(first, as_of - snapshots.since) if snapshots.since else first
    if (as_of - start) / every > MOST_CUTOFFS:
        raise BadConfiguration(
            "snapshots.too_many",
            f"{(as_of - start) // every:,} snapshots would be made, of which {MOST_CUTOFFS:,} are allowed",
            where="features/views.yaml",
            hint="lengthen `snapshots.every`, or look less far back with `snapshots.since`",
        )
    number = -((EPOCH - start) // every)
    grid = []
    while (moment := EPOCH + number * every) < as_of:
        grid.append(moment)
        number += 1
    return [*grid, as_of]


def create_entity_rows_at(engine: duckdb.DuckDBPyConnection, columns: Columns, cutoffs: list[datetime]) -> None:
    """Create ``cutoffs`` and ``entity_rows``: each customer at each cutoff since the company first knew of them.

    From the moment on at which all their records are gone, customers are left out.
    """
    moments = ", ".join(f"({to_microseconds(moment):d})" for moment in cutoffs)
    known = " UNION ALL ".join(f"SELECT customer_id, known_at FROM {kind}" for kind in about_customers(columns))
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE cutoffs AS
        SELECT CAST(moment AS BIGINT) AS as_of FROM (VALUES {moments}) v(moment)
        """
    )
    left_out = f"ANTI JOIN ({gone_select('cutoffs')}) g USING (customer_id, as_of)" if "customers" in columns else ""
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE entity_rows AS
        SELECT customer_id, as_of
        FROM (SELECT customer_id, min(epoch_us(known_at)) AS known_since FROM ({known}) GROUP BY customer_id) k
        JOIN cutoffs ON known_since <= as_of
        {left_out}
        """
    )


def embedded(engine: duckdb.DuckDBPyConnection, view: PlannedView) -> str:
    """Return the relation of a view's rows, as DuckDB computes them."""
    if view.source is not None:
        engine.execute(f"CREATE OR REPLACE TEMP VIEW source AS {view.source}")
    return f"({view.select})"


def typed(features: Sequence[Feature]) -> str:
    """Return SQL that selects features, each as its type; what is no number is missing, an infinite one an error."""
    types = {"int": "BIGINT", "float": "DOUBLE", "string": "VARCHAR"}
    selected = []
    for one in features:
        value = f"CAST({quoted(one.name)} AS {types[one.type]})"
        if one.type == "float":  # a decimal is never infinite: the cast says so
            value = (
                f"CASE WHEN isfinite({value}) THEN {value} "
                f"WHEN isinf({value}) THEN CAST(CAST({value} AS DECIMAL(38, 9)) AS DOUBLE) END"
            )
        selected.append(f"{value} AS {quoted(one.name)}")
    return ", ".join(selected)


def too_large(engine: duckdb.DuckDBPyConnection, view: PlannedView) -> BadData:
    """Return the error of a view that cannot be computed, since a value is not what it is taken for.

    Parameters
    ----------
    engine : at which it failed, or which handed the rows over
    view : the planned view
    """
    embedded(engine, view)
    if view.source is not None and _fails(engine, "SELECT count(*) FROM source"):
        return undecided(view.name)
    columns = [row[0] for row in engine.execute("DESCRIBE source").fetchall()] if view.source is not None else []
    large = [column for column in columns if _fails(engine, f"SELECT max({quoted(column)}) FROM source")]
    large = list(dict.fromkeys(column.removesuffix(rounded("")) for column in large))
    what = ", ".join(large) or _failing(engine, view) or "a number"
    return BadData(
        "feature.range",
        f"{what} has more than 29 digits before the point (11 for std), or is not finite",
        where=f"view {view.name}",
        hint="leave such rows out with `where`, of the view or of the feed",
    )


def _failing(engine: duckdb.DuckDBPyConnection, view: PlannedView) -> str:
    """Return the name of a feature that cannot be computed, found by halves; empty where all can."""
    found = view.features
    while found:
        half = found[: (len(found) + 1) // 2]
        values = ", ".join(f"max({quoted(one.name)})" for one in half)
        if _fails(engine, f"SELECT {values} FROM (SELECT {typed(half)} FROM ({view.select}))"):
            found = half
            if len(found) == 1:
                return found[0].name
        else:
            found = found[len(half) :]
    return ""


def _fails(engine: duckdb.DuckDBPyConnection, statement: str) -> bool:
    try:
        engine.execute(statement).fetchall()
    except (duckdb.ConversionException, duckdb.OutOfRangeException):
        return True
    return False


def compute(
    engine: duckdb.DuckDBPyConnection,
    view: PlannedView,
    paths: Mapping[datetime, Path],
    *,
    rows_of_view: RowsOf = embedded,
) -> None:
    """Write one view's snapshots, a file a cutoff.

    Parameters
    ----------
    engine : has the canonical tables, ``cutoffs`` and ``entity_rows``
    view : the planned view
    paths : of each cutoff the Parquet file: customer_id, the features, event_timestamp (the cutoff), created_timestamp
    rows_of_view : the engine that computes it: returns the relation of the view's rows

    Raises
    ------
    BadData : a number is too large to be added exactly
    """
    if view.windows is not None and rows_of_view is embedded:
        _compute_by_tiles(engine, view, view.windows, paths)
        return
    keep_computed(engine, view, rows_of_view=rows_of_view)
    for cutoff, path in paths.items():
        write_snapshot(engine.sql(computed_at(cutoff)).to_arrow_reader(), path)


def _compute_by_tiles(
    engine: duckdb.DuckDBPyConnection, view: PlannedView, windows: Windows, paths: Mapping[datetime, Path]
) -> None:
    """Compute what all cutoffs have in common once, and from it as many cutoffs at a time as are few rows.

    To plan a statement takes as long as to compute some thousand rows; memory holds `ROWS_AT_ONCE`, or one cutoff.
    """
    embedded(engine, view)
    try:
        tiles, rest = windows.steps
        for table, made in tiles.items():
            # Side by side, a customer's tiles find their sums in the processor's cache: every cutoff takes a third.
            engine.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT * FROM ({made}) ORDER BY customer_id")
        engine.execute("CREATE OR REPLACE TEMP TABLE all_entity_rows AS SELECT * FROM entity_rows")
        engine.execute("CREATE OR REPLACE TEMP TABLE all_cutoffs AS SELECT * FROM cutoffs")
        for batch in _few_rows(engine, list(paths)):
            among = f"WHERE as_of IN ({', '.join(str(to_microseconds(cutoff)) for cutoff in batch)})"
            engine.execute(f"CREATE OR REPLACE TEMP TABLE cutoffs AS SELECT * FROM all_cutoffs {among}")
            engine.execute(f"CREATE OR REPLACE TEMP TABLE entity_rows AS SELECT * FROM all_entity_rows {among}")
            rows = engine.sql(_stored(view, f"({rest})") + " ORDER BY customer_id")
            if len(batch) == 1:
                write_snapshot(rows.to_arrow_reader(), paths[batch[0]])
                continue
            table = rows.to_arrow_table()
            for cutoff in batch:
                at = pa.scalar(cutoff, table.schema.field("event_timestamp").type)
                write_snapshot(table.filter(pc.equal(table["event_timestamp"], at)).to_reader(), paths[cutoff])
        engine.execute("CREATE OR REPLACE TEMP TABLE entity_rows AS SELECT * FROM all_entity_rows")
        engine.execute("CREATE OR REPLACE TEMP TABLE cutoffs AS SELECT * FROM all_cutoffs")
    except (duckdb.ConversionException, duckdb.OutOfRangeException):
        raise too_large(engine, view) from None
    finally:
        for table in [*windows.tiles, "all_entity_rows", "all_cutoffs"]:
            engine.execute(f"DROP TABLE IF EXISTS {table}")


def _few_rows(engine: duckdb.DuckDBPyConnection, cutoffs: Sequence[datetime]) -> Iterator[list[datetime]]:
    """Split cutoffs into batches of at most `ROWS_AT_ONCE` rows of ``all_entity_rows``; one cutoff may have more."""
    counted = engine.execute("SELECT as_of, count(*) FROM all_entity_rows GROUP BY as_of").fetchall()
    sizes: dict[int, int] = dict(counted)
    batch: list[datetime] = []
    rows = 0
    for cutoff in cutoffs:
        size = sizes.get(to_microseconds(cutoff), 0)
        if batch and rows + size > ROWS_AT_ONCE:
            yield batch
            batch, rows = [], 0
        batch.append(cutoff)
        rows += size
    yield batch


def _stored(view: PlannedView, relation: str) -> str:
    """Return SQL of a view's rows as they are written."""
    return f"""
        SELECT customer_id, {typed(view.features)},
               make_timestamptz(as_of) AS event_timestamp, make_timestamptz(as_of) AS created_timestamp
        FROM {relation}
    """


def keep_computed(engine: duckdb.DuckDBPyConnection, view: PlannedView, *, rows_of_view: RowsOf = embedded) -> None:
    """Create ``computed``: the view's rows as they are written, for every row of ``entity_rows``."""
    try:
        engine.execute(f"CREATE OR REPLACE TEMP TABLE computed AS {_stored(view, rows_of_view(engine, view))}")
    except (duckdb.ConversionException, duckdb.OutOfRangeException):
        raise too_large(engine, view) from None


def computed_at(cutoff: datetime) -> str:
    """Return SQL of the rows of ``computed`` at one cutoff, in order."""
    micros = to_microseconds(cutoff)
    return f"SELECT * FROM computed WHERE event_timestamp = make_timestamptz({micros}) ORDER BY customer_id"


def patched_at(cutoff: datetime, before: Path, changed: str) -> str:
    """Return SQL of a snapshot in which the rows of the customers that `changed` selects are those of ``computed``."""
    return f"""
        SELECT * FROM read_parquet({literal(str(before))}) WHERE customer_id NOT IN ({changed})
        UNION ALL SELECT * FROM computed WHERE event_timestamp = make_timestamptz({to_microseconds(cutoff)})
        ORDER BY customer_id
    """


def write_snapshot(reader: pa.RecordBatchReader, path: Path) -> None:
    """Write rows as `stream_parquet` does, in groups of one size: equal rows are equal bytes, however they came."""

    def regrouped() -> Iterator[pa.RecordBatch]:
        held: list[pa.RecordBatch] = []
        rows = 0
        for batch in reader:
            held.append(batch)
            rows += batch.num_rows
            while rows >= ROWS_A_GROUP:
                table = pa.Table.from_batches(held, schema=reader.schema)
                yield table.slice(0, ROWS_A_GROUP).combine_chunks().to_batches()[0]
                rows -= ROWS_A_GROUP
                held = table.slice(ROWS_A_GROUP).to_batches()
        if rows:
            yield pa.Table.from_batches(held, schema=reader.schema).combine_chunks().to_batches()[0]

    stream_parquet(pa.RecordBatchReader.from_batches(reader.schema, regrouped()), path)


def rows_in(path: Path) -> int:
    """Return the number of rows of a snapshot file."""
    return int(pq.read_metadata(path).num_rows)


def file_of(cutoff: datetime) -> str:
    """Return the name of the file of a cutoff: ``2026-01-31T000000Z.parquet``.

    Examples
    --------
    >>> from datetime import UTC
    >>> file_of(datetime(2026, 1, 31, tzinfo=UTC))
    '2026-01-31T000000Z.parquet'
    """
    return f"{as_utc(cutoff):%Y-%m-%dT%H%M%S}{f'.{cutoff.microsecond:06d}' if cutoff.microsecond else ''}Z.parquet"
