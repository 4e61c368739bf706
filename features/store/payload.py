"""How values and layouts are written down in the online store: compact JSON, the same in every backend; no Feast."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from features.store.online_records import Layout, Plain

_IDENTITY_LENGTH = 16


def payload(values: Sequence[Plain]) -> str:
    """Return a block's values as they are stored.

    Examples
    --------
    >>> payload([1, 2.5, "gold", None])
    '[1,2.5,"gold",null]'
    """
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def values_of(text: str) -> tuple[Plain, ...]:
    """Return the values that `payload` wrote.

    Examples
    --------
    >>> values_of(payload([1, 2.5, "gold", None]))
    (1, 2.5, 'gold', None)
    """
    return tuple(json.loads(text))


def layout_text(layout: Layout) -> tuple[str, str]:
    """Return a layout's identity (the digest of its text) and its text.

    Examples
    --------
    >>> layout_text((("age", "INT64"),))[1]
    '[["age", "INT64"]]'
    """
    text = json.dumps(layout)
    return hashlib.sha256(text.encode()).hexdigest()[:_IDENTITY_LENGTH], text


def layout_from(text: str) -> Layout:
    """Return the layout that `layout_text` wrote.

    Examples
    --------
    >>> layout_from('[["age", "INT64"]]')
    (('age', 'INT64'),)
    """
    return tuple((name, kind) for name, kind in json.loads(text))
