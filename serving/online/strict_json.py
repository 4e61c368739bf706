"""Strict JSON: no key twice, no NaN, no number beyond a double, no lone surrogate, no deep nesting."""

from __future__ import annotations

import json
import math
from typing import Any

from serving.online.problems import Refused, refuse


def check(body: bytes) -> None:
    """Refuse a body that lenient parsers accept and read differently.

    Raises
    ------
    Refused : 400 with ``body.encoding``, ``body.json``, ``body.duplicate_key``, ``body.not_finite``

    Examples
    --------
    >>> check(b'{"customer_id": "c1"}')
    >>> check(b'{"customer_id": "c1", "customer_id": "c2"}')
    Traceback (most recent call last):
    ...
    serving.online.problems.Refused: body.duplicate_key
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise refuse(400, "body.encoding", "the body is not UTF-8") from None
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
        if "\\u" in text:  # only an escape can hold half a character
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise refuse(400, "body.encoding", "a text holds half a character (a lone surrogate)") from None
    except (ValueError, RecursionError):
        raise refuse(400, "body.json", "the body is not JSON, or nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise refuse(400, "body.duplicate_key", "an object has the same key twice")
    return found


def _constant(_: str) -> float:
    raise _not_finite()


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _not_finite()
    return number


def _not_finite() -> Refused:
    return refuse(400, "body.not_finite", "NaN, Infinity and numbers beyond a double are not JSON numbers")
