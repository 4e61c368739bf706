"""The secret from which new customer ids are made, and how one is made of it."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from features.base.errors import StorageFailure

#: Shorter keys could be found by trying.
KEY_BYTES = 32
_LETTERS = 16


def load_key(path: Path) -> bytes:
    """Return the key at `path`; a new one is drawn and kept, readable by its owner only, where there is none.

    Raises
    ------
    StorageFailure : the file cannot be written or read, or holds fewer than 32 bytes
    """
    try:
        keep_key(path, secrets.token_hex(KEY_BYTES))
        key = path.read_bytes().strip()
    except OSError as error:
        raise StorageFailure(
            "identity.key",
            f"the key of the customer ids cannot be read or made ({error.strerror or type(error).__name__})",
            where=path.name,
            hint="check the rights of state/keys",
        ) from error
    if len(key) < KEY_BYTES:
        raise StorageFailure(
            "identity.key",
            f"the key of the customer ids is shorter than {KEY_BYTES} bytes",
            where=path.name,
            hint="restore it from a copy, or remove it: known customers keep their ids, new ones get ids of a new key",
        )
    return key


def keep_key(path: Path, key: str) -> None:
    """Keep a key at `path`, unless there is one: of two processes at the same time the first wins.

    A company whose ids are to be the same whenever it is made anew (a simulated one) keeps a key that is no secret.

    Raises
    ------
    OSError : the file cannot be written
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write(key)
        stream.flush()
        os.fsync(stream.fileno())
    with suppress(FileExistsError):
        os.link(part, path)  # unlike a rename, never replaces the key of another process
    part.unlink()


def new_ids(key: bytes, records: Sequence[str], ordinal: int) -> list[str]:
    """Return the pseudonymous ids of customers that are born with these records.

    Parameters
    ----------
    key : the secret; without it nobody can tell an id from a record, or find an id by trying records
    records : each customer's first record, as ``feed:key``
    ordinal : how many ids were tried before for the same records; another ordinal gives other ids

    Returns
    -------
    list of str : ``c`` and sixteen hexadecimal letters
    """
    tail = f"\x00{ordinal:d}".encode()
    digest = hashlib.sha256
    return ["c" + hmac.digest(key, record.encode() + tail, digest).hex()[:_LETTERS] for record in records]
