"""The id ledger on disk: a folder that is replaced as a whole, each version naming the one before it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from features.base.errors import StorageFailure
from features.base.parquet import read_parquet, write_parquet
from features.base.storage import atomic_folder, digest_file, digest_of, read_json, write_json
from features.identity.id_ledger import ASSIGNMENTS, EVENTS, JUDGEMENTS, IdLedger

MANIFEST = "ledger.json"
_TABLES = {"assignments": ASSIGNMENTS, "events": EVENTS, "judgements": JUDGEMENTS}


@dataclass(frozen=True)
class StoredLedger:
    """The ledger as it lies on disk.

    Parameters
    ----------
    ledger : its content
    version : how often it was written; 0 where it never was
    digest : of its files; empty where there are none
    """

    ledger: IdLedger
    version: int
    digest: str


def ledger_digest(folder: Path) -> str:
    """Return the digest of the ledger in this folder without reading it all; empty where there is none.

    Raises
    ------
    StorageFailure : the folder is there, but its manifest cannot be read
    """
    return str(_manifest(folder)["digest"]) if (folder / MANIFEST).exists() else ""


def read_ledger(folder: Path) -> StoredLedger:
    """Read the ledger, every file proven against the digest that was written with it.

    Raises
    ------
    StorageFailure : a file is missing, damaged, or not the one that the manifest names
    """
    if not (folder / MANIFEST).exists():
        if any((folder / f"{name}.parquet").exists() for name in _TABLES):
            raise _damaged(MANIFEST)
        return StoredLedger(IdLedger.empty(), 0, "")
    manifest = _manifest(folder)
    tables: dict[str, pa.Table] = {}
    for name, schema in _TABLES.items():
        path = folder / f"{name}.parquet"
        if not path.exists() or digest_file(path) != manifest["files"][name]:
            raise _damaged(path.name)
        tables[name] = read_parquet(path).cast(schema)
    return StoredLedger(IdLedger(**tables), int(manifest["version"]), str(manifest["digest"]))


def write_ledger(
    folder: Path, ledger: IdLedger, before: StoredLedger, *, beside: Callable[[Path], None] | None = None
) -> str:
    """Put a new version of the ledger in the place of the one before; return its digest.

    A process killed at any moment leaves the version before or the new one. Other files of the folder stay.

    Parameters
    ----------
    folder : the workspace's ``state/identity``
    ledger : holds every row of `before`
    before : the version that was read
    beside : writes further files that belong to this version into the folder it is given

    Raises
    ------
    StorageFailure : another process has written a version meanwhile, or the folder cannot be written
    """
    if ledger_digest(folder) != before.digest:
        raise StorageFailure(
            "identity.concurrent",
            "another process has written the id ledger meanwhile",
            where=MANIFEST,
            hint="run the command again",
        )
    with atomic_folder(folder) as part:
        part.chmod(0o700)  # hashes of names and addresses lie here, too
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_file() and path.name != MANIFEST and path.stem not in _TABLES:
                os.link(path, part / path.name)
        if beside is not None:
            beside(part)
        if ledger is before.ledger and before.version:
            for name in (MANIFEST, *(f"{name}.parquet" for name in _TABLES)):
                os.link(folder / name, part / name)
            return before.digest
        files = {}
        for name in _TABLES:
            write_parquet(getattr(ledger, name), part / f"{name}.parquet")
            files[name] = digest_file(part / f"{name}.parquet")
        digest = digest_of([before.digest, files])
        manifest = {"version": before.version + 1, "digest": digest, "previous": before.digest, "files": files}
        write_json(part / MANIFEST, manifest)
    return digest


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        found = read_json(folder / MANIFEST)
    except StorageFailure:
        raise _damaged(MANIFEST) from None
    if not isinstance(found, dict) or not {"version", "digest", "files"} <= set(found):
        raise _damaged(MANIFEST)
    return found


def _damaged(name: str) -> StorageFailure:
    return StorageFailure(
        "identity.damaged",
        "a file of the id ledger is missing, or is not the one that was written",
        where=f"state/identity/{name}",
        hint="restore the folder state/identity from a copy: ids cannot be made again from the feeds",
    )
