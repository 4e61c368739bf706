"""The embedded database engine DuckDB, hardened: it reads and writes the folders that it is given, and nothing else."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from features.base.errors import BadConfiguration, StorageFailure
from features.base.file_locks import OpenFile, open_to_lock, remove_unless_locked, take_lock
from features.base.machine import available_memory, available_processors, format_size
from features.base.telephone import register_telephones

#: The least memory that is taken by default, where the machine has it.
_LEAST_MEMORY = 512_000_000
_FOLDER = "engine-"


def default_memory() -> int:
    """Return the bytes that an engine may use where nothing is configured: half of what this process may use.

    Examples
    --------
    >>> default_memory() > 0
    True
    """
    available = available_memory()
    return max(available // 2, min(available * 3 // 4, _LEAST_MEMORY))


@dataclass(frozen=True)
class EngineResources:
    """What an engine may use.

    Parameters
    ----------
    memory : bytes of memory; what does not fit is written to `spill`
    threads : worker threads
    spill : the folder for what does not fit into memory; the system's temporary folder if left out

    Examples
    --------
    >>> EngineResources(memory=2_000_000_000, threads=2).threads
    2
    """

    memory: int = field(default_factory=default_memory)
    threads: int = field(default_factory=available_processors)
    spill: Path | None = None


@contextmanager
def open_engine(
    *, folders: Sequence[Path], resources: EngineResources | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a DuckDB connection that may read and write only below `folders`.

    Parameters
    ----------
    folders : folders (or single files) that statements may touch
    resources : memory, threads and the folder to spill to, most often `engine_resources(workspace)` of
        `features.config.engine_settings`; the defaults of this machine if left out

    Raises
    ------
    StorageFailure : memory or disk ran out while the connection was used

    Examples
    --------
    >>> with open_engine(folders=[]) as engine:
    ...     engine.execute("SELECT 40 + 2").fetchall()
    [(42,)]
    """
    resources = resources or EngineResources()
    engine = duckdb.connect(":memory:")
    try:
        with _spill_folder(resources.spill) as spill:
            engine.execute("SET TimeZone = 'UTC'")
            engine.execute(f"SET memory_limit = '{resources.memory:d}B'")
            engine.execute(f"SET threads = {resources.threads:d}")
            engine.execute("SET preserve_insertion_order = true")
            engine.execute("SET autoinstall_known_extensions = false")
            engine.execute("SET autoload_known_extensions = false")
            engine.execute("SET allow_community_extensions = false")
            engine.execute("SET python_enable_replacements = false")
            engine.execute("SET temp_directory = ?", [str(spill)])
            allowed = [f"{folder.resolve()}/" for folder in (*folders, spill) if not folder.is_file()]
            files = [str(folder.resolve()) for folder in folders if folder.is_file()]
            engine.execute("SET allowed_directories = ?", [allowed])
            engine.execute("SET allowed_paths = ?", [files])
            engine.execute("SET enable_external_access = false")
            engine.execute("SET lock_configuration = true")
            register_telephones(engine)
            try:
                yield engine
            finally:
                engine.close()
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        raise _failure(error, resources) from None
    finally:
        engine.close()


def ran_out(error: duckdb.Error) -> bool:
    """Return whether a statement failed because memory or the disk ran out, whatever it read.

    Code that translates an engine's errors lets these pass: `open_engine` reports them.

    Examples
    --------
    >>> ran_out(duckdb.OutOfMemoryException("failed to allocate")), ran_out(duckdb.BinderException("no column"))
    (True, False)
    """
    return isinstance(error, duckdb.OutOfMemoryException) or (
        isinstance(error, duckdb.IOException) and ("No space left" in str(error) or "duckdb_temp" in str(error))
    )


def _failure(error: duckdb.Error, resources: EngineResources) -> StorageFailure:
    text = str(error)  # never shown: it may quote what was read
    if isinstance(error, duckdb.OutOfMemoryException) and "max_temp_directory_size" not in text:
        return StorageFailure(
            "engine.memory",
            f"the database engine needs more than its memory limit of {format_size(resources.memory)}",
            hint="raise it in features/feeds.yaml, such as `engine: {memory: "
            f"{format_size(2 * resources.memory)}}}` (this process may use {format_size(available_memory())}), "
            "or use fewer threads: each needs memory of its own",
        )
    if isinstance(error, duckdb.OutOfMemoryException) or ran_out(error):
        return StorageFailure(
            "engine.disk",
            "the disk is full to which the database engine writes what does not fit into memory",
            where=str(resources.spill or tempfile.gettempdir()),
            hint="free some space, or name a folder on a larger disk in features/feeds.yaml: `engine: {spill: FOLDER}`",
        )
    return StorageFailure(
        "engine.files",
        f"the database engine cannot read or write a file ({type(error).__name__})",
        hint="check that the files under state/ are there, the free space, and the permissions",
    )


@contextmanager
def _spill_folder(parent: Path | None) -> Iterator[Path]:
    """Yield a folder for one connection alone: two that share one overwrite each other's files.

    What processes that were killed have left in `parent` is removed.
    """
    try:
        if parent is None:
            folder, handle = _new_folder(None)
        else:
            parent.mkdir(parents=True, exist_ok=True)
            guard = open_to_lock(parent)
            try:
                take_lock(guard, parent, wait=True)
                for abandoned in parent.glob(f"{_FOLDER}*"):
                    remove_unless_locked(abandoned)
                folder, handle = _new_folder(parent)
            finally:
                guard.close()
    except OSError as error:
        raise StorageFailure(
            "engine.spill",
            f"the folder for what does not fit into memory cannot be made ({error.strerror or type(error).__name__})",
            where=str(parent or tempfile.gettempdir()),
            hint="check its permissions, or name another in features/feeds.yaml: `engine: {spill: FOLDER}`",
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        handle.close()


def _new_folder(parent: Path | None) -> tuple[Path, OpenFile]:
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER, dir=parent))
    handle = open_to_lock(folder)
    take_lock(handle, folder)
    return folder, handle


def quoted(name: str) -> str:
    """Return `name` as a quoted SQL identifier.

    Raises
    ------
    BadConfiguration : the name holds a NUL character

    Examples
    --------
    >>> print(quoted("order"), quoted('a"b'))
    "order" "a""b"
    """
    if "\x00" in name:
        raise BadConfiguration("sql.name", "a name holds a NUL character", hint="rename the column")
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return `text` as a quoted SQL string.

    Raises
    ------
    BadConfiguration : the text holds a NUL character

    Examples
    --------
    >>> literal("O'Neill")
    "'O''Neill'"
    """
    if "\x00" in text:
        raise BadConfiguration("sql.text", "a text holds a NUL character", hint="remove it")
    return "'" + text.replace("'", "''") + "'"


def one_row(engine: duckdb.DuckDBPyConnection, select: str) -> tuple[Any, ...]:
    """Return the only row of a statement that gives one; the result is closed before other work begins.

    Examples
    --------
    >>> with open_engine(folders=[]) as engine:
    ...     one_row(engine, "SELECT 1, 'a'")
    (1, 'a')
    """
    (row,) = engine.execute(select).fetchall()
    return tuple(row)
