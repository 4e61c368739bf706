"""The manifest of a build's snapshots: a file a view and cutoff, each with the digest of its bytes."""

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

MANIFEST = "manifest.json"


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
    definitions : of each view a digest of its definition
    hashed_with : of each purpose a digest of the settings that its row hashes were made with
    since : the first cutoff; what became known by then is one time bucket
    files : of each file its path below the folder of snapshots
    """

    definitions: Mapping[str, str] = field(default_factory=dict)
    hashed_with: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    files: Mapping[str, SnapshotFile] = field(default_factory=dict)

    def intact(self, folder: Path) -> frozenset[str]:
        """Return those of the files that are there as they were written."""
        names = sorted(self.files)

        def same(name: str) -> bool:
            written, path = self.files.get(name), folder / name
            try:
                same_size = written is not None and path.stat().st_size == written.size
                return written is not None and same_size and digest_file(path) == written.digest
            except OSError:
                return False

        with ThreadPoolExecutor(2) as threads:
            return frozenset(name for name, good in zip(names, threads.map(same, names), strict=True) if good)

    def there(self, folder: Path) -> frozenset[str]:
        """Return the files that are there and those that should be: a foreign file must not be read as a snapshot."""
        found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        return frozenset({*self.files, *found} - {MANIFEST, REPORT})


def name_of(view: str, cutoff: datetime) -> str:
    """Return where a snapshot lies below the folder of snapshots."""
    return f"{view}/{file_of(cutoff)}"


def row_hashes_of(purpose: str) -> str:
    """Return where the row hashes of a purpose lie below the folder of snapshots."""
    return f"{purpose or 'any'}.row_hashes"


def read_manifest(folder: Path) -> SnapshotManifest:
    """Return the manifest of the last build; an empty one where there is none, or it is damaged."""
    try:
        document: Mapping[str, Any] = read_json(folder / MANIFEST)
        return SnapshotManifest(
            definitions=dict(document["definitions"]),
            hashed_with=dict(document["hashed_with"]),
            since=datetime.fromisoformat(document["since"]),
            files={name: SnapshotFile(**file) for name, file in document["files"].items()},
        )
    except (StorageFailure, KeyError, TypeError, ValueError):
        return SnapshotManifest()


def write_manifest(
    folder: Path,
    *,
    definitions: Mapping[str, str],
    hashed_with: Mapping[str, str],
    since: datetime,
    before: SnapshotManifest,
) -> None:
    """Write the manifest of a folder; the digest of a file that is linked from the last build is not made again."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, size = path.relative_to(folder).as_posix(), path.stat()
        known = before.files.get(name)
        linked = known is not None and size.st_nlink > 1 and size.st_size == known.size
        files[name] = known if known is not None and linked else SnapshotFile(size.st_size, digest_file(path))
    document = {
        "definitions": dict(definitions),
        "hashed_with": dict(hashed_with),
        "since": iso(since),
        "files": {name: asdict(file) for name, file in files.items()},
    }
    write_json(folder / MANIFEST, document)
