"""Keyed digests (HMAC-SHA256): of values that have to be compared, and may not be found by trying likely ones."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

import duckdb

from features.base.database_engine import literal
from features.base.errors import StorageFailure

#: Shorter keys could be found by trying.
KEY_BYTES = 32
_BLOCK = 64  # bytes of a block of SHA-256, to which HMAC pads its key


def load_key(path: Path) -> bytes:
    """Return the key in a file; where there is no file, one with a new random key is written.

    Raises
    ------
    StorageFailure : the file cannot be written or read, or holds fewer than 32 bytes

    Examples
    --------
    >>> load_key(folder / "keys" / "demo.key") == load_key(folder / "keys" / "demo.key")
    True
    """
    try:
        store_key(path, secrets.token_hex(KEY_BYTES))
        key = path.read_bytes().strip()
    except OSError as error:
        raise StorageFailure(
            "identity.key",
            f"the key file cannot be read or written ({error.strerror or type(error).__name__})",
            where=path.name,
            hint="check the permissions of state/keys",
        ) from error
    if len(key) < KEY_BYTES:
        raise StorageFailure(
            "identity.key",
            f"the key is shorter than {KEY_BYTES} bytes",
            where=path.name,
            hint="restore the file from a copy; without identity.key known customers keep their ids, and new ones get "
            "ids of a new key",
        )
    return key


def store_key(path: Path, key: str) -> None:
    """Write a key, readable by its owner only, unless the file exists: of two processes the first one wins.

    A simulated company, whose ids have to be the same in every run, stores a key that is no secret.

    Raises
    ------
    OSError : the file cannot be written

    Examples
    --------
    >>> store_key(folder / "demo.key", "first")
    >>> store_key(folder / "demo.key", "second")
    >>> (folder / "demo.key").read_text()
    'first'
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


def register_key(engine: duckdb.DuckDBPyConnection, name: str, key: bytes) -> None:
    """Store a key in an engine under a name, for `keyed_digest`; its bytes never become part of a statement's text.

    Examples
    --------
    >>> engine = duckdb.connect()
    >>> register_key(engine, "demo", b"0123456789abcdef0123456789abcdef")
    >>> engine.sql("SELECT octet_length(getvariable('key_demo_inner'))").fetchall()
    [(64,)]
    """
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\x00")
    for side, pad in (("inner", 0x36), ("outer", 0x5C)):
        engine.execute(f"SET VARIABLE key_{name}_{side} = ?::BLOB", [bytes(byte ^ pad for byte in block)])


def keyed_digest(value: str, *, domain: str, key: str) -> str:
    """Return SQL of the HMAC-SHA256 of a text, as 64 hexadecimal letters; null where the text is null.

    Parameters
    ----------
    value : SQL of the text
    domain : SQL of what the text is, such as ``'email'``; the same text of another domain has another digest
    key : the name under which `register_key` stored the key

    Examples
    --------
    >>> import duckdb
    >>> engine = duckdb.connect()
    >>> register_key(engine, "demo", b"0123456789abcdef0123456789abcdef")
    >>> select = f"SELECT {keyed_digest('?', domain=literal('email'), key='demo')}"
    >>> (digest,) = engine.execute(select, ["a@b.example"]).fetchone()
    >>> import hmac
    >>> digest == hmac.digest(b"0123456789abcdef0123456789abcdef", b"email\\x00a@b.example", "sha256").hex()
    True
    """
    inner, outer = (f"getvariable({literal(f'key_{key}_{side}')})" for side in ("inner", "outer"))
    message = f"encode({domain}) || '\\x00'::BLOB || encode({value})"
    return f"sha256({outer} || unhex(sha256({inner} || {message})))"
