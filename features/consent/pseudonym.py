"""Keyed pseudonyms of identifiers that must be matched and may not be kept: HMAC-SHA256 under a secret."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path

from features.base.errors import StorageFailure
from features.identity.id_key import load_key

_LETTERS = 32


def pseudonym_key(path: Path, *, needed: bool) -> bytes:
    """Return the workspace's secret; a new one is drawn where there is none.

    Parameters
    ----------
    path : of the key
    needed : whether pseudonyms exist that only the old key can match

    Raises
    ------
    StorageFailure : the key cannot be read or made, or is gone though it is needed
    """
    if needed and not path.is_file():
        raise StorageFailure(
            "consent.key",
            "the key of the consent ledger's subjects is gone, so that no word in it can be matched",
            where=path.name,
            hint="restore state/keys/pseudonym.key from a copy",
        )
    return load_key(path)


def pseudonyms(values: Iterable[str], *, domain: str, key: bytes) -> list[str]:
    """Return a pseudonym of each value; equal values of one domain have equal ones, and nobody without the key can try.

    Parameters
    ----------
    values : identifiers as they are compared
    domain : what they identify, such as ``email``; the same value elsewhere has another pseudonym
    key : the secret
    """
    label = domain.encode() + b"\x00"
    return [hmac.digest(key, label + value.encode(), hashlib.sha256).hex()[:_LETTERS] for value in values]
