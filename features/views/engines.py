"""Which engine computes the views: DuckDB, embedded, or Spark, as the workspace declares"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.config.views_file import Snapshots
from features.views.compute import RowsOf, embedded
from features.views.spark import open_spark


@contextmanager
def declared_engine(snapshots: Snapshots, *, folder: Path) -> Iterator[RowsOf]:
    """Yield what computes a view's rows, for `compute`.

    Parameters
    ----------
    snapshots : names the engine
    folder : for what the engine and DuckDB hand each other; below the workspace's state, where DuckDB may read

    Raises
    ------
    BadConfiguration : the engine is not installed
    Unreachable : its cluster does not answer
    """
    if snapshots.engine == "duckdb":
        yield embedded
        return
    with open_spark(snapshots.spark, folder=folder) as spark:
        yield spark.rows
