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
from features.base.storage import read_json, write_json
from features.base.workspace import Workspace
from features.base.workspace_lock import workspace_lock

Move = Literal["promote", "rollback"]
#: How long a move of a champion waits for another writer, in seconds: it is short, and worth waiting for.
WAIT_S = 30.0


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
    """Return the champion of every model that has one, by model name.

    Examples
    --------
    >>> read_champions(Workspace(Path("an empty folder")))
    {}
    """
    path = _present(workspace)
    if not path.is_file():
        return {}
    return {name: Champion(**entry) for name, entry in sorted(read_json(path).items())}


def read_deployments(workspace: Workspace) -> list[Deployment]:
    """Return the ledger, oldest entry first.

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
        return [Deployment(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (ValueError, TypeError) as error:
        raise StorageFailure(
            "deployments.damaged", "the deployment ledger is damaged", where=path.name, hint="restore it from a backup"
        ) from error


def set_champion(workspace: Workspace, champion: Champion, *, move: Move, reason: str, at: datetime) -> Deployment:
    """Make one version the champion: append to the ledger, then replace it in ``champions.json``.

    The workspace is locked from the reading to the writing, so that two processes that do this at the same time
    both end in the ledger, and each keeps the champions that the other one set.

    Raises
    ------
    StorageFailure : another command is writing the workspace and did not end in time
    """
    with workspace_lock(workspace, move, wait_s=WAIT_S):
        champions = read_champions(workspace)
        before = champions.get(champion.model)
        entry = Deployment(
            at=iso(at),
            move=move,
            model=champion.model,
            version=champion.version,
            digest=champion.digest,
            instead_of=before.version if before else None,
            reason=reason,
        )
        _append(_ledger(workspace), asdict(entry))  # first, so that no move is without an entry
        champions[champion.model] = champion
        write_json(_present(workspace), {name: asdict(each) for name, each in sorted(champions.items())})
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


def _present(workspace: Workspace) -> Path:
    return workspace.models / "champions.json"


def _ledger(workspace: Workspace) -> Path:
    return workspace.models / "deployments.jsonl"


def _append(path: Path, entry: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(entry, sort_keys=True) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
