"""Generations of a folder of tables: a new one is published in one step, and a reader stays with the one it opened."""

from __future__ import annotations

import fcntl
import os
import shutil
import weakref
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from features.base.storage import atomic_file, atomic_folder

#: The file that names the published generation.
CURRENT = "current"
_NONE = "000000"


def current_generation(folder: Path) -> Path:
    """Return the folder of the published generation; one that does not exist where none was published yet.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> current_generation(folder).is_dir()
    False
    >>> with new_generation(folder) as new:
    ...     _ = (new / "table.txt").write_text("rows")
    >>> current_generation(folder).name
    '000001'
    """
    with suppress(OSError, ValueError):
        return folder / f"{int((folder / CURRENT).read_text(encoding='utf-8')):06d}"
    return folder / _NONE


def is_published(path: Path) -> bool:
    """Return whether a table, or a folder of tables, belongs to the published generation of its folder.

    A path that lies in no generation counts as published.
    """
    generation = path.parent
    if not generation.name.isdigit() or not (generation.parent / CURRENT).is_file():
        return True
    return current_generation(generation.parent).name == generation.name


@contextmanager
def new_generation(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; on success it is published as the next generation of `folder`.

    The caller holds the workspace lock. The generation before stays until the next one is published, for a reader that
    has just found its path; an older one stays as long as a reader holds it, see `hold_generation`.

    Raises
    ------
    StorageFailure : the disk is full or the folder cannot be written; the last generation stays published
    """
    numbers = [int(path.name) for path in folder.glob("*") if path.name.isdigit()]
    before, path = current_generation(folder), folder / f"{max(numbers, default=0) + 1:06d}"
    with atomic_folder(path) as part:
        yield part
    with atomic_file(folder / CURRENT) as pointer:
        pointer.write_text(f"{path.name}\n", encoding="utf-8")
    _remove_all_but(folder, {before.name, path.name})


def hold_generation(owner: object, generation: Path) -> None:
    """Keep a generation on disk for as long as `owner`, such as a database connection, is in use."""
    with suppress(OSError):  # nothing is published, or it is still being written: by whoever reads it, too
        handle = os.open(generation, os.O_RDONLY)
        weakref.finalize(owner, os.close, handle)
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _remove_all_but(folder: Path, names: Collection[str]) -> None:
    for path in folder.iterdir():
        if path.name in names or path.name == CURRENT or path.name.startswith("."):
            continue
        try:
            handle = os.open(path, os.O_RDONLY)
        except OSError:  # a dangling link, or another user's folder: the new generation is published all the same
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        finally:
            os.close(handle)
