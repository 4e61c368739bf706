"""Files that are complete or absent: atomic writes, JSON, digests."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from features.base.errors import StorageFailure
from features.base.file_locks import lock_at_once, remove, remove_unless_locked
from features.base.folder_swap import swap


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes its place in one step.

    A process killed at any moment leaves the old file or the new one, never half of one; temporary files that killed
    processes left beside `path` are removed.

    Raises
    ------
    StorageFailure : when the disk is full or the folder cannot be written

    Examples
    --------
    >>> with atomic_file(folder / "demo.txt") as path:
    ...     _ = path.write_text("whole")
    >>> (folder / "demo.txt").read_text()
    'whole'
    """
    with _replacing(path, Path.touch, Path.replace) as part:
        yield part


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes the place of `path` in one step.

    Temporary folders that killed processes left beside `path` are removed.

    Raises
    ------
    StorageFailure : when the disk is full or the folder cannot be written

    Examples
    --------
    >>> with atomic_folder(folder / "demo") as path:
    ...     _ = (path / "a.txt").write_text("a")
    >>> [file.name for file in (folder / "demo").iterdir()]
    ['a.txt']
    """
    with _replacing(path, Path.mkdir, swap) as part:
        yield part


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document, atomically, keys sorted.

    Examples
    --------
    >>> write_json(folder / "demo.json", {"b": 1, "a": 2})
    >>> list(read_json(folder / "demo.json"))
    ['a', 'b']
    """
    with atomic_file(path) as part:
        part.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON document that `write_json` wrote.

    Raises
    ------
    StorageFailure : when the file is absent or damaged

    Examples
    --------
    >>> write_json(folder / "demo.json", {"rows": 3})
    >>> read_json(folder / "demo.json")
    {'rows': 3}
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


def digest_of(value: Any) -> str:
    """Return the SHA-256 of a JSON-able value, independent of key order.

    Examples
    --------
    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes.

    Examples
    --------
    >>> _ = (folder / "empty").write_bytes(b"")
    >>> digest_file(folder / "empty")[:8]
    'e3b0c442'
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_done(path: Path, digest: str) -> Any | None:
    """Return the JSON document at `path` when it carries this digest; None when the work has to be done (again).

    A damaged document counts as none, since the caller writes it again.

    Examples
    --------
    >>> write_json(folder / "done.json", {"digest": "d1", "rows": 3})
    >>> read_done(folder / "done.json", "d2") is None
    True
    """
    try:
        document = read_json(path)
    except StorageFailure:
        return None
    return document if isinstance(document, dict) and document.get("digest") == digest else None


@contextmanager
def _replacing(path: Path, create: Callable[[Path], None], replace: Callable[[Path, Path], object]) -> Iterator[Path]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path, create) as part:
            yield part
            for written in part.rglob("*") if part.is_dir() else [part]:
                _sync(written)
            replace(part, path)
            _sync(path.parent)
    except OSError as error:
        raise StorageFailure(
            "storage.unwritable",
            f"cannot be written ({error.strerror or type(error).__name__})",
            where=path.name,
            hint="check the free space and the permissions of the folder",
        ) from error


@contextmanager
def _temporary(path: Path, create: Callable[[Path], None]) -> Iterator[Path]:
    """Create a temporary file or folder beside `path`, locked while it is in use, and remove it at the end.

    A process id in place of the lock would name another process in another container.
    """
    for abandoned in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        remove_unless_locked(abandoned)
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    handle = None
    try:
        while handle is None:
            create(part)
            handle = lock_at_once(part)  # fails where another process removed it before it was locked
        yield part
    finally:
        with suppress(OSError):
            remove(part)
        if handle is not None:
            handle.close()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
