"""Parquet: judged by its footer before a page is unpacked; page checksums verified where the file has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from features.base.checksums import damaged_column
from features.base.database_engine import literal, quoted
from features.base.errors import BadData
from features.base.parquet import stream_parquet
from features.ingest.location import FeedFiles, Found
from features.ingest.reader import RAW, check_names, empty

SUFFIXES = (".parquet", ".pq")
#: Below this nobody runs out of memory, whatever the ratio.
_HARMLESS_BYTES = 256 << 20
_HARMLESS_CELLS = 100_000_000


class ParquetFiles(FeedFiles):
    """Parquet files of one feed, their columns united by name; nested columns are parted or kept as JSON text."""

    is_text = False
    is_table_text = False
    may_sniff_decimal = False

    @cached_property
    def _schemas(self) -> tuple[pa.Schema, ...]:
        return tuple(self._sound(file) for file in self.located.files)

    @cached_property
    def _leaves(self) -> dict[str, tuple[str, ...]]:
        """Every column by name, and the path to it inside structs."""
        leaves: dict[str, tuple[str, ...]] = {}
        for schema in self._schemas:
            for field in schema:
                leaves |= {".".join(path): path for path in _paths(field)}
        check_names(self.feed, list(leaves))
        return leaves

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self._leaves)

    def load(self, engine: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> None:
        """Create ``raw_rows``, reading these columns only."""
        paths = [self._needed(file, columns) for file in self.located.files]
        for path, name in zip(paths, self.names, strict=True) if self.rows is None else ():
            self._verify(path, name, columns)
        files = "[" + ", ".join(literal(str(path)) for path in paths) + "]"
        selected = ", ".join(f"{_inside(self._leaves[column])} AS {quoted(column)}" for column in columns)
        engine.execute(
            f"""
            CREATE TEMP TABLE {RAW} AS
            SELECT row_number() OVER () AS __row, {selected}
            FROM read_parquet({files}, union_by_name = true)
            {"" if self.rows is None else f"LIMIT {self.rows:d}"}
            """
        )

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The files, and the folder that what is fetched of objects will lie in."""
        return tuple(file.path if file.store is None else file.path.parent for file in self.located.files)

    def _needed(self, file: Found, columns: Sequence[str]) -> Path:
        """Return the file, or, of an object, one of the needed columns only, read from the store piece by piece."""
        if file.store is None or file.path.is_file():
            return file.path
        parquet = pq.ParquetFile(file.open(), page_checksum_verification=True)
        wanted = sorted({self._leaves[column][0] for column in columns} & set(parquet.schema_arrow.names))
        schema = pa.schema([parquet.schema_arrow.field(name) for name in wanted])
        batches = (pa.record_batch(batch.columns, schema=schema) for batch in self._batches(parquet, wanted, file.name))
        stream_parquet(pa.RecordBatchReader.from_batches(schema, batches), file.path)
        return file.path

    def _batches(self, parquet: pq.ParquetFile, columns: list[str], name: str) -> Iterator[Any]:
        try:
            yield from (batch.select(columns) for batch in parquet.iter_batches(columns=columns))
        except (pa.ArrowException, OSError):
            raise _damaged(self.feed, f"{name} cannot be read to its end") from None

    def _verify(self, path: Path, name: str, columns: Sequence[str]) -> None:
        wanted = sorted({self._leaves[column][0] for column in columns})
        column = damaged_column(path, wanted)
        if column is not None:
            raise _damaged(self.feed, f"{name} does not match its checksums in the column {column!r}")

    def _sound(self, file: Found) -> pa.Schema:
        """Return a file's schema after judging its footer."""
        try:
            parquet = pq.ParquetFile(file.open())
            metadata, schema = parquet.metadata, parquet.schema_arrow
        except (pa.ArrowException, OSError):
            raise BadData(
                "feed.truncated",
                f"{file.name} is not a whole Parquet file",
                where=f"feed {self.feed}",
                hint="it is truncated or damaged: deliver it again",
            ) from None
        if metadata.num_rows == 0:
            raise empty(self.feed, f"{file.name} has no rows")
        self._refuse_bomb(file, metadata)
        for group in range(metadata.num_row_groups):
            for column in range(metadata.num_columns):
                chunk = metadata.row_group(group).column(column)
                if chunk.compression == "BROTLI":
                    raise BadData(
                        "feed.codec",
                        f"{file.name} is compressed with Brotli (column {chunk.path_in_schema!r})",
                        where=f"feed {self.feed}",
                        hint="write it with zstd",
                    )
        return schema

    def _refuse_bomb(self, file: Found, metadata: Any) -> None:
        """Refuse a file that takes out of proportion once unpacked, by what its footer declares."""
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        unpacked = sum(group.total_byte_size for group in groups)
        chunks = [group.column(number) for group in groups for number in range(metadata.num_columns)]
        packed = max(1, sum(chunk.total_compressed_size for chunk in chunks))
        limit = self.declared.expands_at_most
        cells = metadata.num_rows * metadata.num_columns
        bytes_too_many = unpacked > _HARMLESS_BYTES and unpacked > limit * packed
        cells_too_many = cells > _HARMLESS_CELLS and cells > limit * packed
        if bytes_too_many or cells_too_many:
            what = f"{unpacked // packed:,} times its size" if bytes_too_many else f"{cells:,} values"
            raise BadData(
                "feed.bomb",
                f"{file.name} unpacks to {what}: nothing of it was read",
                where=f"feed {self.feed}",
                hint=f"deliver it again, or raise `expands_at_most` (now {limit}) if it is meant",
            )


def _damaged(feed: str, message: str) -> BadData:
    return BadData(
        "feed.damaged", message, where=f"feed {feed}", hint="a byte was changed on the way: deliver it again"
    )


def _paths(field: pa.Field) -> Iterator[tuple[str, ...]]:
    if pa.types.is_struct(field.type):
        for inner in field.type:
            yield from ((field.name, *path) for path in _paths(inner))
    else:
        yield (field.name,)


def _inside(path: Sequence[str]) -> str:
    column = quoted(path[0])
    for name in path[1:]:
        column = f"struct_extract({column}, {literal(name)})"
    return column
