"""Compute planned views for every cutoff: one row a customer and cutoff, nothing from after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from features.base.engine import quoted
from features.base.errors import BadData
from features.base.storage import stream_parquet
from features.transforms.catalogue import Feature
from features.transforms.plan import PlannedView
from features.transforms.settings import Snapshots
from features.unify.present import about_customers
from features.unify.tables import Columns

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: An engine at work: given DuckDB with the canonical tables, it returns DuckDB's relation of a view's rows.
RowsOf = Callable[[duckdb.DuckDBPyConnection, PlannedView], str]


def cutoffs_between(first: datetime, as_of: datetime, snapshots: Snapshots) -> list[datetime]:
    """Return the cutoffs from `first` to `as_of`, oldest first.

    They lie on a grid that starts in 1970, so that tomorrow's cutoffs are today's and one more; `as_of` itself is
    always the last.
    """
    every = snapshots.every
    start = max(first, as_of - snapshots.since) if snapshots.since else first
    number = -((_EPOCH - start) // every)
    grid = []
    while (moment := _EPOCH + number * every) < as_of:
        grid.append(moment)
        number += 1
    return [*grid, as_of]


def make_spine(engine: duckdb.DuckDBPyConnection, columns: Columns, cutoffs: list[datetime]) -> None:
    """Create ``cutoffs`` and ``spine``: every customer at every cutoff from when the company first knew of them."""
    moments = ", ".join(f"({(moment - _EPOCH) // timedelta(microseconds=1):d})" for moment in cutoffs)
    known = " UNION ALL ".join(f"SELECT customer_id, known_at FROM {kind}" for kind in about_customers(columns))
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE cutoffs AS
        SELECT CAST(moment AS BIGINT) AS as_of FROM (VALUES {moments}) v(moment)
        """
    )
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE spine AS
        SELECT customer_id, as_of
        FROM (SELECT customer_id, min(epoch_us(known_at)) AS known_since FROM ({known}) GROUP BY customer_id) k
        JOIN cutoffs ON known_since <= as_of
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


def too_large(view: PlannedView) -> BadData:
    """Return the error of a number that no engine can add exactly."""
    return BadData(
        "feature.range",
        "a number has more than 29 digits before the point (11 for std), or is not finite",
        where=f"view {view.name}",
        hint="leave such rows out with `where`, of the view or of the feed",
    )


def compute(
    engine: duckdb.DuckDBPyConnection, view: PlannedView, path: Path, *, rows_of_view: RowsOf = embedded
) -> int:
    """Write one view's snapshots; return the number of rows.

    Parameters
    ----------
    engine : knows the canonical tables, ``cutoffs`` and ``spine``
    view : the planned view
    rows_of_view : the engine that computes it: returns the relation of the view's rows
    path : the Parquet file: customer_id, event_timestamp (the cutoff), created_timestamp, the features

    Raises
    ------
    BadData : a number is too large to be added exactly
    """
    try:
        reader = engine.sql(
            f"""
            SELECT customer_id, {typed(view.features)},
                   make_timestamptz(as_of) AS event_timestamp, make_timestamptz(as_of) AS created_timestamp
            FROM {rows_of_view(engine, view)}
            ORDER BY as_of, customer_id
            """
        ).to_arrow_reader()
        return stream_parquet(reader, path)
    except (duckdb.ConversionException, duckdb.OutOfRangeException):
        raise too_large(view) from None


def rows_of(path: Path) -> int:
    """Return the number of rows of a snapshot file."""
    return int(pq.read_metadata(path).num_rows)
