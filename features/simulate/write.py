"""Write the company's files: ``data/`` as its systems export it, the true values in ``truth/``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from features.base.errors import StorageFailure
from features.simulate.arrays import Table
from features.simulate.simulated_company import SimulatedCompany

AS_PARQUET = {"web_clicks"}
BY_MONTH = {"till": "sold_at"}
"""Feeds of one Parquet file a month, and their column of time."""


def write(company: SimulatedCompany, folder: Path) -> None:
    """Write the company's files; the same company gives the same bytes.

    Parameters
    ----------
    company : what :func:`features.simulate.simulate` returned
    folder : the workspace: ``data/`` and ``truth/`` are created where missing, files are replaced

    Raises
    ------
    StorageFailure : if a file cannot be written
    """
    try:
        for name, table in company.feeds.items():
            _write_feed(name, table, folder / "data")
        for name, table in company.truth.items():
            _write_parquet(table, folder / "truth" / f"{name}.parquet")
    except OSError as error:
        raise StorageFailure(
            "simulate-write", "the demo company cannot be written", where=str(error.filename or folder),
            hint="choose a folder with room that you may write to",
        ) from error  # fmt: skip


def _write_feed(name: str, table: Table, folder: Path) -> None:
    if name in BY_MONTH:
        month = pc.strftime(table[BY_MONTH[name]].cast(pa.timestamp("s")), format="%Y-%m").to_numpy()
        starts = np.flatnonzero(np.r_[True, month[1:] != month[:-1]]) if len(month) else np.zeros(0, np.int64)
        for begin, stop in zip(starts, [*starts[1:], len(month)], strict=True):
            _write_parquet(table.slice(begin, stop - begin), folder / name / f"{month[begin]}.parquet")
    elif name in AS_PARQUET:
        _write_parquet(table, folder / f"{name}.parquet")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        pa.csv.write_csv(table, folder / f"{name}.csv")


def _write_parquet(table: Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)
