"""Generations of a folder of tables: a new one is published in one step, and a reader stays with the one it opened."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from features.base.errors import BadData, StorageFailure
from features.base.file_locks import open_to_lock, remove_unless_locked, take_lock
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
    remove_earlier(folder, but=before)


def hold_generation(owner: object, generation: Path) -> None:
    """Keep a generation on disk for as long as `owner`, such as a database connection, is in use."""
    with suppress(OSError, StorageFailure):  # nothing is published, or this process writes it, or may only read it
        handle = open_to_lock(generation)
        weakref.finalize(owner, handle.close)
        take_lock(handle, generation, shared=True)


def remove_earlier(folder: Path, *, but: Path | None = None) -> None:
    """Remove every generation but the published one, those that a reader holds, and `but`.

    The caller holds the workspace lock. Where nothing is published, nothing is removed.
    """
    published = current_generation(folder)
    if not published.is_dir():
        return
    names = {CURRENT, published.name, but.name if but else ""}
    for path in folder.iterdir():
        if path.name in names or path.name.startswith("."):
            continue
        with suppress(OSError):  # a dangling link, or another user's folder: the new generation is published anyway
            remove_unless_locked(path)


def not_published(code: str, folder: Path, what: str, command: str) -> BadData:
    """Return the error that a folder has no published generation: nothing was written yet, or by an earlier version.

    Parameters
    ----------
    code : of the error
    folder : of the generations
    what : name of what they hold, such as ``features``
    command : the command that writes them, such as ``features``
    """
    if (folder / CURRENT).is_file() or not any(folder.glob("[!.]*")):
        return BadData(code, f"there are no {what} yet", hint=f"run `nextbest {command}` first")
    commands = " and then ".join(f"`nextbest {name}`" for name in dict.fromkeys(["unify", command]))
    return BadData(
        code,
        f"the {what} were written by an earlier version, which stored them in another way",
        where=f"state/{folder.name}",
        hint=f"run {commands} again",
    )
