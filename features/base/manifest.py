"""The files of a generation as they were written, each with its size and the digest of its bytes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from features.base.errors import StorageFailure
from features.base.storage import digest_file, read_json

MANIFEST = "generation.json"


@dataclass(frozen=True)
class WrittenFile:
    """A file as it was written: how large, and the SHA-256 of its bytes."""

    size: int
    digest: str


@dataclass(frozen=True)
class Manifest:
    """The files of a generation.

    Parameters
    ----------
    files : by their path below the generation's folder
    besides : files that are not part of it, such as a report that is completed later
    state : digest of what the generation was made of, once its run has ended; empty before
    """

    files: Mapping[str, WrittenFile] = field(default_factory=dict)
    besides: tuple[str, ...] = ()
    state: str = ""

    @classmethod
    def of(cls, folder: Path, before: Path, manifest: Manifest, *, besides: Collection[str]) -> Manifest:
        """Return the manifest of a folder; a file that is linked from the generation before is not digested again."""
        files = {}
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder).as_posix()
            known, size = manifest.files.get(name), path.stat().st_size
            linked = known is not None and size == known.size and _is_link(path, before / name)
            files[name] = known if known is not None and linked else WrittenFile(size, digest_file(path))
        return cls({name: file for name, file in files.items() if name not in besides}, tuple(besides))

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Return the manifest of a generation; an empty one where there is none, or it is damaged."""
        try:
            document: Mapping[str, Any] = read_json(folder / MANIFEST)
            files = {name: WrittenFile(**file) for name, file in document["files"].items()}
            return cls(files, tuple(document["besides"]), document["state"])
        except (StorageFailure, KeyError, TypeError, AttributeError):
            return cls()

    def complete(self, state: str) -> Manifest:
        """Return the manifest of a run that has ended."""
        return replace(self, state=state)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def intact(self, folder: Path, names: Iterable[str] | None = None) -> frozenset[str]:
        """Return those of the files that are there as they were written.

        Parameters
        ----------
        folder : of the generation
        names : of files to look at; all, when left out
        """
        wanted = sorted(self.files if names is None else names)

        def same(name: str) -> bool:
            written, path = self.files.get(name), folder / name
            try:
                return (
                    written is not None and path.stat().st_size == written.size and digest_file(path) == written.digest
                )
            except OSError:
                return False

        with ThreadPoolExecutor(2) as threads:
            return frozenset(name for name, good in zip(wanted, threads.map(same, wanted), strict=True) if good)

    def intact_in(self, folder: Path) -> bool:
        """Return whether the folder holds these files as they were written, and no other."""
        found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        return found - {MANIFEST, *self.besides} == set(self.files) == self.intact(folder)


def _is_link(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False
