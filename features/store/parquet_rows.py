"""Rows of Parquet files by their place: only the needed row groups and columns are read, page checksums verified."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.base.errors import StorageFailure

NOWHERE = -1


def rows_at_places(
    files: Sequence[Path], columns: Sequence[str], file: NDArray[np.int64], place: NDArray[np.int64]
) -> pa.Table:
    """Return chosen rows of some files, in the requested order; a row may be requested repeatedly.

    Parameters
    ----------
    files : Parquet files; a column that one of them lacks is missing in its rows
    columns : which columns, in order
    file : array of shape (rows,), the index of each row's file; `NOWHERE` gives a row without any value
    place : array of shape (rows,), each row's number within its file

    Raises
    ------
    StorageFailure : a file cannot be read, or its bytes are not those that were written
    """
    order = np.full(len(file), NOWHERE, dtype=np.int64)
    pieces, found = [], 0
    for index in np.unique(file[file != NOWHERE]).tolist():
        requested = np.flatnonzero(file == index)
        pieces.append(_piece(files[index], columns, place[requested]))
        order[requested] = np.arange(found, found + len(requested))
        found += len(requested)
    if not pieces:
        pieces = [_empty(files, columns)]
    rows = pa.concat_tables(pieces, promote_options="permissive")
    if len(pieces) == 1 and found == len(order):
        return rows
    return rows.take(pa.array(order, mask=order == NOWHERE))


def _piece(file: Path, columns: Sequence[str], places: NDArray[np.int64]) -> pa.Table:
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            sizes = [parquet.metadata.row_group(group).num_rows for group in range(parquet.metadata.num_row_groups)]
            starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
            group = np.searchsorted(starts, places, side="right") - 1
            needed = np.unique(group)
            read_from = np.concatenate([[0], np.cumsum(np.asarray(sizes, dtype=np.int64)[needed])])
            held = [column for column in columns if column in parquet.schema_arrow.names]
            table = parquet.read_row_groups(needed.tolist(), columns=held)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(file, error, where=file.parent.name) from error
    return table.take(pa.array(places - starts[group] + read_from[np.searchsorted(needed, group)]))


def _empty(files: Sequence[Path], columns: Sequence[str]) -> pa.Table:
    """Return no row, with the types that the files have; a column of no file is of no type."""
    try:
        schemas = [pq.read_schema(file) for file in files]
    except (OSError, pa.ArrowException) as error:
        raise unreadable(files[0], error, where=files[0].parent.name) from error
    types: dict[str, Any] = {field.name: field.type for schema in schemas for field in schema}
    return pa.table({column: pa.array([], types.get(column, pa.null())) for column in columns})


def unreadable(file: Path, error: Exception, *, where: str) -> StorageFailure:
    """Return the error of snapshots that cannot be read."""
    return StorageFailure(
        "store.snapshot_unreadable",
        f"{file.name} cannot be read ({type(error).__name__})",
        where=where,
        hint="build it again with `nextbest features`",
    )
