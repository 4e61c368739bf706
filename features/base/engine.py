"""The embedded database engine, hardened: it reads the folders it is given and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from features.base.errors import BadConfiguration, StorageFailure

MEMORY_LIMIT = "2GB"
THREADS = 2


@contextmanager
def open_engine(
    *, folders: Sequence[Path], memory_limit: str = MEMORY_LIMIT, threads: int = THREADS, scratch: Path | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a DuckDB connection that may read and write only below `folders`.

    Parameters
    ----------
    folders : folders (or single files) that statements may touch
    memory_limit : DuckDB's limit, such as ``2GB``
    threads : worker threads
    scratch : where what does not fit into memory is spilled; none when left out

    Raises
    ------
    StorageFailure : memory or disk ran out while the connection was used
    """
    engine = duckdb.connect(":memory:")
    try:
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute(f"SET memory_limit = '{memory_limit}'")
        engine.execute(f"SET threads = {threads:d}")
        engine.execute("SET preserve_insertion_order = true")
        engine.execute("SET autoinstall_known_extensions = false")
        engine.execute("SET autoload_known_extensions = false")
        engine.execute("SET allow_community_extensions = false")
        engine.execute("SET python_enable_replacements = false")
        allowed = [f"{folder.resolve()}/" for folder in folders if not folder.is_file()]
        files = [str(folder.resolve()) for folder in folders if folder.is_file()]
        engine.execute("SET temp_directory = ?", [str(scratch or "")])  # left alone, it spills where we stand
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
            allowed.append(f"{scratch.resolve()}/")
        engine.execute("SET allowed_directories = ?", [allowed])
        engine.execute("SET allowed_paths = ?", [files])
        engine.execute("SET enable_external_access = false")
        engine.execute("SET lock_configuration = true")
        yield engine
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        raise StorageFailure(
            "engine.resources",
            f"the database engine ran out of memory or disk, or cannot reach a file ({type(error).__name__})",
            hint=f"free some space; the engine takes {memory_limit} of memory and spills the rest to state/",
        ) from None
    finally:
        engine.close()


def quoted(name: str) -> str:
    """Return `name` as a quoted SQL identifier."""
    if "\x00" in name:
        raise BadConfiguration("sql.name", "a name holds a NUL character", hint="rename the column")
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return `text` as a quoted SQL string."""
    if "\x00" in text:
        raise BadConfiguration("sql.text", "a text holds a NUL character", hint="remove it")
    return "'" + text.replace("'", "''") + "'"


def one_row(engine: duckdb.DuckDBPyConnection, select: str) -> tuple[Any, ...]:
    """Return the only row of a statement that gives one; the result is closed before other work begins."""
    (row,) = engine.execute(select).fetchall()
    return tuple(row)
