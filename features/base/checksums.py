"""Page checksums of Parquet files: whether a file has them, and whether its bytes still match."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_I32 = 0x15  # thrift's compact protocol: the next field, a whole number of 32 bits


def damaged_column(path: Path, columns: Sequence[str] | None = None) -> str | None:
    """Return the first column whose pages do not match their checksums, or None; files without checksums pass.

    DuckDB does not verify checksums, and may read other values from a damaged file without an error. So they are
    verified here before it reads the file.

    Parameters
    ----------
    path : a Parquet file
    columns : top-level columns to look at (all, when left out); names that the file does not have are ignored
    """
    try:
        parquet = pq.ParquetFile(path, page_checksum_verification=True)
        if not _has_checksums(path, parquet.metadata):
            return None
        names = parquet.schema_arrow.names
        wanted = [name for name in (names if columns is None else columns) if name in names]
    except (pa.ArrowException, OSError):
        return "(the footer)"
    if _reads(parquet, wanted):
        return None
    return next((name for name in wanted if not _reads(parquet, [name])), "(the file)")


def _reads(parquet: pq.ParquetFile, columns: list[str]) -> bool:
    try:
        for _ in parquet.iter_batches(batch_size=1 << 17, columns=columns):
            pass
    except (pa.ArrowException, OSError):
        return False
    return True


def _has_checksums(path: Path, metadata: Any) -> bool:
    """Say whether the first page's header has its fourth field, the checksum."""
    if metadata.num_row_groups == 0 or metadata.num_columns == 0:
        return False
    chunk = metadata.row_group(0).column(0)
    offsets = [chunk.data_page_offset, chunk.dictionary_page_offset if chunk.has_dictionary_page else None]
    start = min(offset for offset in offsets if offset is not None)
    with path.open("rb") as stream:
        stream.seek(start)
        header = stream.read(32)
    place = 0
    for _ in range(3):  # page type, size unpacked, size packed
        if place >= len(header) or header[place] != _I32:
            return False
        place += 1
        while place < len(header) and header[place] & 0x80:
            place += 1
        place += 1
    return place < len(header) and header[place] == _I32
