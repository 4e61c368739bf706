"""Where a feed's files lie: paths, globs and folders here, or objects in a store; and when two are the same file."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs

from features.base.errors import BadData
from features.base.storage import digest_file, digest_of
from features.config.feed import Feed
from features.ingest.object_store import fetch, list_objects

#: Files that systems leave in folders, which are no rows.
_NO_ROWS = ("_", ".")


@dataclass(frozen=True)
class Found:
    """One file.

    Parameters
    ----------
    name : its own name, for messages
    path : where it lies; of an object, where it will be fetched to
    modified : when it was written
    digest : equal digests mean equal bytes; of an object: its address, size and time, since it is not read to tell
    store, key : the object store and the address in it, for objects
    """

    name: str
    path: Path
    modified: datetime
    digest: str
    store: pafs.FileSystem | None = None
    key: str = ""

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix.lower()

    def open(self) -> Any:
        """Return what pyarrow reads the bytes from, piece by piece."""
        return self.path if self.store is None or self.path.is_file() else self.store.open_input_file(self.key)

    def local(self, feed: str) -> Path:
        """Return the path of the bytes on this machine; an object is fetched once."""
        if self.store is not None and not self.path.is_file():
            fetch(self.store, self.key, self.path, feed=feed)
        return self.path


@dataclass(frozen=True)
class Located:
    """A feed's files in name order, each once.

    Parameters
    ----------
    files : the files
    repeated : names of further files that hold the same bytes as one of them
    """

    files: tuple[Found, ...]
    repeated: tuple[str, ...]


@dataclass(frozen=True)
class FeedFiles:
    """What the sources that are files have in common.

    Parameters
    ----------
    feed, declared : the feed's name and declaration
    located : its files
    rows : how many rows are read, from the first; all if left out
    """

    feed: str
    declared: Feed
    located: Located
    rows: int | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found about the files' shape, one sentence each."""
        return ()

    @property
    def number_columns(self) -> frozenset[str]:
        """Columns of text in which every value is stored as a number."""
        return frozenset()

    @cached_property
    def delivered(self) -> tuple[Path, ...]:
        """The files on this machine; objects are fetched the first time."""
        return tuple(file.local(self.feed) for file in self.located.files)

    @property
    def files(self) -> tuple[Path, ...]:
        """What the engine has to be allowed to read."""
        return self.delivered

    @property
    def footers(self) -> tuple[str, ...]:
        """Lines of text below the last row of each file."""
        return ()

    @property
    def names(self) -> tuple[str, ...]:
        """What the files are called, for messages."""
        return tuple(file.name for file in self.located.files)

    @property
    def dated(self) -> bool:
        return True

    @property
    def loaded_at(self) -> datetime:
        return max(file.modified for file in self.located.files)

    @property
    def repeated(self) -> Sequence[str]:
        return self.located.repeated

    def fingerprint(self) -> str:
        """Return the digests of all the files."""
        return "-".join(file.digest for file in self.located.files)

    def close(self) -> None:
        """Remove what was fetched."""
        for file in self.located.files:
            if file.store is not None:
                file.path.unlink(missing_ok=True)


def locate(name: str, feed: Feed, patterns: Sequence[str], root: Path, *, compare: bool = True) -> Located:
    """Find a feed's files.

    Parameters
    ----------
    name, feed : the feed
    patterns : its sources, secrets revealed
    root : the workspace, which relative patterns start from
    compare : whether files are read to find equal ones

    Raises
    ------
    BadData : nothing is there, or a file is empty
    Unreachable : the object store does not answer
    """
    found: list[Found] = []
    for pattern in patterns:
        objects = "://" in pattern
        found += _objects(name, feed, pattern, root) if objects else _paths(name, pattern, root, compare=compare)
    first: dict[str, Found] = {}
    repeated = []
    for file in found:
        if first.setdefault(file.digest, file) is not file:
            repeated.append(file.name)
    return Located(tuple(first.values()), tuple(repeated))


def _paths(name: str, pattern: str, root: Path, *, compare: bool) -> list[Found]:
    within = str(root / pattern) if root.is_dir() else os.path.normpath(root / pattern)  # no .. leads out of nowhere
    matches = sorted(Path(match) for match in glob.glob(within, recursive=True))  # noqa: PTH207 - a pattern may be absolute or climb with ..
    paths = [path.resolve() for match in matches for path in _files(match)]
    if not paths:
        raise _missing(name, f"no file matches {pattern!r}")
    for path in paths:
        if path.stat().st_size == 0:
            raise BadData("feed.empty", f"{path.name} is empty", where=f"feed {name}", hint="deliver the file again")
    digests = [digest_file(path) if compare else str(path) for path in paths]
    return [
        Found(path.name, path, _moment(path.stat().st_mtime), digest)
        for path, digest in zip(paths, digests, strict=True)
    ]


def _files(match: Path) -> list[Path]:
    """Return the file, or all the files of a folder and its folders, in name order."""
    if match.is_file():
        return [match]
    inside = sorted(path for path in match.rglob("*") if path.is_file())
    return [path for path in inside if not any(part.startswith(_NO_ROWS) for part in path.relative_to(match).parts)]


def _objects(name: str, feed: Feed, pattern: str, root: Path) -> list[Found]:
    store, objects = list_objects(name, feed, pattern, root)
    if not objects:
        raise _missing(name, "no object is there")
    folder = root / "state" / "staged" / ".objects"
    found = []
    for one in objects:
        digest = digest_of([pattern, one.path, one.size, str(one.mtime_ns)])
        path = folder / f"{digest[:32]}{Path(one.path).suffix.lower()}"
        found.append(Found(Path(one.path).name, path, one.mtime.astimezone(UTC), digest, store, one.path))
    return found


def _missing(name: str, message: str) -> BadData:
    return BadData(
        "feed.missing",
        message,
        where=f"feed {name}",
        hint="check `source` in features/feeds.yaml; it starts from the workspace's folder",
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
