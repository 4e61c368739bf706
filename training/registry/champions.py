"""Which version of each model decides, and the ledger of how that came to be. No MLflow here: serving reads this."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from features.base.clock import iso
from features.base.errors import BadData, StorageFailure
from features.base.workspace import Workspace
from features.base.workspace_lock import workspace_lock

Move = Literal["promote", "rollback"]


@dataclass(frozen=True)
class Champion:
    """The version of a model that decides.

    Parameters
    ----------
    model : its name
    version : in the registry
    digest : SHA-256 of the bundle; what decisions are logged with
    """

    model: str
    version: int
    digest: str

    def folder(self, workspace: Workspace) -> Path:
        """Return the bundle's folder."""
        return bundle_folder(workspace, self.model, self.digest)


@dataclass(frozen=True)
class Deployment:
    """One entry of the ledger: which version became champion when, instead of which, and why."""

    at: str
    move: Move
    model: str
    version: int
    digest: str
    instead_of: int | None
    reason: str


def bundle_folder(workspace: Workspace, model: str, digest: str) -> Path:
    """Return where the bundle of one version of a model lies.

    Examples
    --------
    >>> bundle_folder(Workspace(Path("shop")), "churn", "0123456789abcdef" * 4).name
    '0123456789abcdef'
    """
    return workspace.models / model / digest[:16]


def read_champions(workspace: Workspace) -> dict[str, Champion]:
    """Return the champion of every model that has one, by model name: the version of its last entry in the ledger.

    Examples
    --------
    >>> read_champions(Workspace(Path("an empty folder")))
    {}
    """
    last = {entry.model: Champion(entry.model, entry.version, entry.digest) for entry in read_deployments(workspace)}
    return dict(sorted(last.items()))


def read_deployments(workspace: Workspace) -> list[Deployment]:
    """Return the ledger, oldest entry first.

    A last line without its end was being written when its process was killed: it never became an entry.

    Raises
    ------
    StorageFailure : when a line of it is damaged

    Examples
    --------
    >>> read_deployments(Workspace(Path("an empty folder")))
    []
    """
    path = _ledger(workspace)
    if not path.is_file():
        return []
    try:
        return [Deployment(**json.loads(line)) for line in path.read_bytes().split(b"\n")[:-1]]
    except (ValueError, TypeError) as error:
        raise StorageFailure(
            "deployments.damaged", "the deployment ledger is damaged", where=path.name, hint="restore it from a backup"
        ) from error


def set_champion(workspace: Workspace, champion: Champion, *, move: Move, reason: str, at: datetime) -> Deployment:
    """Make one version the champion by an entry in the ledger, which is written whole or not at all.

    The workspace is locked meanwhile, so that two processes that do this at the same time both end in the ledger.

    Raises
    ------
    StorageFailure : another command is writing the workspace and did not end in time
    """
    with workspace_lock(workspace, move):
        before = read_champions(workspace).get(champion.model)
        entry = Deployment(
            at=iso(at),
            move=move,
            model=champion.model,
            version=champion.version,
            digest=champion.digest,
            instead_of=before.version if before else None,
            reason=reason,
        )
        _append(_ledger(workspace), asdict(entry))
    return entry


def previous_champion(workspace: Workspace, model: str) -> Champion:
    """Return the version that decided before the present champion did.

    Raises
    ------
    BadData : the model has no earlier champion
    """
    now = read_champions(workspace).get(model)
    entries = [entry for entry in read_deployments(workspace) if entry.model == model]
    undone = 0
    for entry in reversed(entries):
        if entry.move == "rollback":
            undone += 1
        elif undone:
            undone -= 1
        elif now is None or entry.digest != now.digest:
            return Champion(entry.model, entry.version, entry.digest)
    raise BadData(
        "registry.no_earlier_champion",
        f"{model} has no earlier champion to go back to",
        hint="`nextbest promote` names a version",
    )


def _ledger(workspace: Workspace) -> Path:
    return workspace.models / "deployments.jsonl"


def _append(path: Path, entry: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as stream:
        stream.seek(0)
        stream.truncate(stream.read().rfind(b"\n") + 1)  # an entry whose writing was interrupted
        stream.write(json.dumps(entry, sort_keys=True).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
