"""What a build left on disk that the next one may keep: a file a view and cutoff, each with the digest of its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from features.base.clock import iso
from features.base.errors import StorageFailure
from features.base.storage import digest_file, read_json, write_json
from features.snapshots.build_report import REPORT
from features.views.compute import file_of

KEPT = "kept.json"


@dataclass(frozen=True)
class SnapshotFile:
    """A file as it was written: how large, and the SHA-256 of its bytes."""

    size: int
    digest: str


@dataclass(frozen=True)
class SnapshotManifest:
    """The files of a build.

    Parameters
    ----------
    made_of : of each view a digest of its definition
    cells : of each purpose a digest of what its marks were made with
    since : the first cutoff; what became known by then is one cell of the marks
    files : of each file its path below the folder of snapshots
    """

    made_of: Mapping[str, str] = field(default_factory=dict)
    cells: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    files: Mapping[str, SnapshotFile] = field(default_factory=dict)

    def intact(self, folder: Path) -> frozenset[str]:
        """Return those of the files that are there as they were written."""
        names = sorted(self.files)

        def same(name: str) -> bool:
            kept, path = self.files.get(name), folder / name
            try:
                return kept is not None and path.stat().st_size == kept.size and digest_file(path) == kept.digest
            except OSError:
                return False

        with ThreadPoolExecutor(2) as threads:
            return frozenset(name for name, good in zip(names, threads.map(same, names), strict=True) if good)

    def there(self, folder: Path) -> frozenset[str]:
        """Return the files that lie there, and those that should; one that is none of ours must not be read as one."""
        found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        return frozenset({*self.files, *found} - {KEPT, REPORT})


def name_of(view: str, cutoff: datetime) -> str:
    """Return where a snapshot lies below the folder of snapshots."""
    return f"{view}/{file_of(cutoff)}"


def marks_of(purpose: str) -> str:
    """Return where the marks of a purpose lie below the folder of snapshots."""
    return f"{purpose or 'any'}.marks"


def read_kept(folder: Path) -> SnapshotManifest:
    """Return what the last build wrote; nothing of it where that is not there, or damaged."""
    try:
        document: Mapping[str, Any] = read_json(folder / KEPT)
        return SnapshotManifest(
            made_of=dict(document["made_of"]),
            cells=dict(document["cells"]),
            since=datetime.fromisoformat(document["since"]),
            files={name: SnapshotFile(**kept) for name, kept in document["files"].items()},
        )
    except (StorageFailure, KeyError, TypeError, ValueError):
        return SnapshotManifest()


def write_kept(
    folder: Path, *, made_of: Mapping[str, str], cells: Mapping[str, str], since: datetime, before: SnapshotManifest
) -> None:
    """Write what the files of a folder are; of one that is the same file as before, the digest is not made again."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, size = path.relative_to(folder).as_posix(), path.stat()
        known = before.files.get(name)
        linked = known is not None and size.st_nlink > 1 and size.st_size == known.size
        files[name] = known if known is not None and linked else SnapshotFile(size.st_size, digest_file(path))
    document = {
        "made_of": dict(made_of),
        "cells": dict(cells),
        "since": iso(since),
        "files": {name: asdict(kept) for name, kept in files.items()},
    }
    write_json(folder / KEPT, document)
