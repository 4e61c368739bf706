"""Parquet files with page checksums, written atomically and verified when they are read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.base.errors import StorageFailure
from features.base.storage import atomic_file


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write one table as zstd Parquet with page checksums, times in microseconds, atomically.

    Examples
    --------
    >>> write_parquet(pa.table({"rows": [1, 2]}), folder / "demo.parquet")
    >>> read_parquet(folder / "demo.parquet").to_pydict()
    {'rows': [1, 2]}
    """
    with atomic_file(path) as part:
        pq.write_table(
            table, part, compression="zstd", write_page_checksum=True, coerce_timestamps="us", store_schema=True
        )


def stream_parquet(reader: pa.RecordBatchReader, path: Path) -> int:
    """Write a stream of record batches as `write_parquet` would, without holding it; return its rows."""
    rows = 0
    with (
        atomic_file(path) as part,
        pq.ParquetWriter(
            part, reader.schema, compression="zstd", write_page_checksum=True, coerce_timestamps="us"
        ) as writer,
    ):
        for batch in reader:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a table that `write_parquet` wrote, with its page checksums verified.

    Raises
    ------
    StorageFailure : when the file is absent, truncated or does not match its checksums
    """
    try:
        return pq.read_table(path, columns=columns, page_checksum_verification=True, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise StorageFailure(
            "storage.unreadable",
            f"cannot be read ({type(error).__name__})",
            where=path.name,
            hint="remove it and run the step that writes it again",
        ) from error
