"""Files that are whole or not there: atomic writes, digests, checksummed Parquet."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.base.errors import StorageFailure
from features.base.folder_swap import swap


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes its place in one step.

    A process killed at any moment leaves the old file or the new one, never half of one; what those that were killed
    have left beside `path` is removed.

    Raises
    ------
    StorageFailure : when the disk is full or the folder cannot be written
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        yield part
        _sync(part)
        part.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise _failure(path, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes the place of `path` in one step.

    What processes that were killed have left beside `path` is removed.

    Raises
    ------
    StorageFailure : when the disk is full or the folder cannot be written
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _sweep(path)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        for file in part.rglob("*"):
            _sync(file)
        swap(part, path)
        _sync(path.parent)
    except OSError as error:
        raise _failure(path, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document, atomically, keys sorted."""
    with atomic_file(path) as part:
        part.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON document that `write_json` wrote.

    Raises
    ------
    StorageFailure : when the file is absent or damaged
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageFailure(
            "storage.unreadable",
            f"cannot be read ({type(error).__name__})",
            where=path.name,
            hint="run the step that writes it again",
        ) from error


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write one table as zstd Parquet with page checksums, times in microseconds, atomically."""
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


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a JSON-able value, independent of key order."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_done(path: Path, digest: str) -> Any | None:
    """Return the JSON document at `path` when it carries this digest; None when the work has to be done (again).

    A damaged document counts as none: the step that asks is the one that writes it anew.
    """
    try:
        document = read_json(path)
    except StorageFailure:
        return None
    return document if isinstance(document, dict) and document.get("digest") == digest else None


def _sweep(path: Path) -> None:
    """Remove the temporary files and folders of processes that no longer live."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        process = left.name.split(".")[-2]
        if not process.isdigit() or _lives(int(process)):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _failure(path: Path, error: OSError) -> StorageFailure:
    return StorageFailure(
        "storage.unwritable",
        f"cannot be written ({error.strerror or type(error).__name__})",
        where=path.name,
        hint="check the free space and the permissions of the folder",
    )
