"""The engine that computes the views, as the workspace declares: DuckDB, embedded, or Spark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from features.config.views_file import Snapshots
from features.views.compute import RowsOf, embedded
from features.views.spark import open_spark


@dataclass(frozen=True)
class ViewEngine:
    """What computes a view's rows, for `features.views.compute.compute`."""

    rows: RowsOf


@contextmanager
def declared_engine(snapshots: Snapshots, *, folder: Path) -> Iterator[ViewEngine]:
    """Yield the engine that computes views.

    Parameters
    ----------
    snapshots : names the engine
    folder : through which the engine and DuckDB exchange tables; below the workspace's state, where DuckDB may read

    Raises
    ------
    BadConfiguration : the engine is not installed
    Unreachable : its cluster does not answer
    """
    if snapshots.engine == "duckdb":
        yield ViewEngine(embedded)
        return
    with open_spark(snapshots.spark, folder=folder) as spark:
        yield ViewEngine(spark.rows)
