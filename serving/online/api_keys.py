"""The keys of the roles: made where they are missing, readable by their owner only."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

from features.base.errors import StorageFailure
from features.base.workspace import Workspace
from serving.online.roles import load_roles

_FILE = re.compile(r"\$\{file:([^}]+)\}")
KEY_BYTES = 32


def _new_key() -> str:
    return secrets.token_urlsafe(KEY_BYTES)


def ensure_keys(workspace: Workspace, *, new_key: Callable[[], str] = _new_key) -> list[Path]:
    """Make each key file that ``serving/roles.yaml`` names inside ``state/`` and that is not there.

    Parameters
    ----------
    new_key : gives a fresh key

    Returns
    -------
    the files made; those that were there are left as they are

    Raises
    ------
    StorageFailure : when a file cannot be written
    """
    settings, _ = load_roles(workspace)
    state = workspace.state.resolve()
    made = []
    for role in settings.roles.values():
        match = _FILE.fullmatch(role.key)
        path = (workspace.root / match.group(1)).resolve() if match else None
        if path is not None and path.is_relative_to(state) and not path.exists():
            _write(path, new_key())
            made.append(path)
    return made


def _write(path: Path, key: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(key + "\n")
    except OSError as error:
        raise StorageFailure(
            "keys.unwritable",
            f"the key cannot be written ({error.strerror or type(error).__name__})",
            where=path.name,
            hint="check the permissions of state/keys",
        ) from error
