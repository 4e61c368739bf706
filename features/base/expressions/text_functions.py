"""Text functions and LIKE over arrays, with the same results as DuckDB's."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from features.base.expressions.dialect import RefusedError
from features.base.expressions.vectors import NULL, TypedValues, as_texts, both, per_text, to_kind

Run = Callable[[Mapping[str, TypedValues]], TypedValues]
Make = Callable[[Sequence[Run], Any], Run]

_SPACES = "".join(chr(code) for code in range(0x3001) if unicodedata.category(chr(code)) == "Zs")


def _upper_character(character: str) -> str:
    """Return one character for one, as DuckDB does: Python would return STRASSE for straße."""
    for candidate in (character.upper(), character.title()):
        if len(candidate) == 1:
            return candidate
    return "ẞ" if character == "ß" else character


def _lower_character(character: str) -> str:
    lowered = character.lower()
    return lowered if len(lowered) == 1 else lowered[0]


def upper(text: str) -> str:
    return text.upper() if text.isascii() else "".join(map(_upper_character, text))


def lower(text: str) -> str:
    return text.lower() if text.isascii() else "".join(map(_lower_character, text))


def _left(count: int, text: str) -> str:
    return text[:count]


def _right(count: int, text: str) -> str:
    return text[max(len(text) - count, 0) :] if count >= 0 else text[-count:]


def _substr(start: int, length: int | None, text: str) -> str:
    first = start - 1 if start > 0 else len(text) + start if start < 0 else -1
    if length is None:
        return text[max(first, 0) :]
    low, high = (first, first + length) if length >= 0 else (first + length, first)
    return text[max(low, 0) : max(high, 0)]


def like(arg: Run, pattern: str, *, fold: bool) -> Run:
    """Return LIKE; each part between two % is searched once, so that no pattern is slow."""
    if fold:
        pattern = lower(pattern)
    matches = _matcher(pattern)

    def run(columns: Mapping[str, TypedValues]) -> TypedValues:
        x = arg(columns)
        if x.kind == "null":
            return TypedValues("bool", np.False_, np.False_)
        _need_text(x, "LIKE")
        data = per_text((lambda text: matches(lower(text))) if fold else matches, x, np.bool_)
        return TypedValues("bool", data if x.valid is None else data & x.valid, x.valid)

    return run


def _matcher(pattern: str) -> Callable[[str], bool]:
    first, *rest = pattern.split("%")
    parts = [re.compile("".join("." if c == "_" else re.escape(c) for c in part), re.DOTALL) for part in [first, *rest]]
    if not rest:
        return lambda text: parts[0].fullmatch(text) is not None
    last_length = len(rest[-1])

    def matches(text: str) -> bool:
        start = parts[0].match(text)
        if start is None:
            return False
        at = start.end()
        for part in parts[1:-1]:
            found = part.search(text, at)
            if found is None:
                return False
            at = found.end()
        tail = len(text) - last_length
        return tail >= at and parts[-1].match(text, tail) is not None

    return matches


def _need_text(x: TypedValues, doing: str) -> None:
    if x.kind not in ("text", "null"):
        raise RefusedError(f"{doing} needs text, not a {x.kind}", "CAST(x AS VARCHAR)")


def _of_one(
    name: str, function: Callable[[str], Any], args: Sequence[Run], *, kind: Any = "text", dtype: Any = object
) -> Run:
    arg = args[0]

    def run(columns: Mapping[str, TypedValues]) -> TypedValues:
        x = arg(columns)
        _need_text(x, f"{name}()")
        return to_kind(NULL, kind) if x.kind == "null" else TypedValues(kind, per_text(function, x, dtype), x.valid)

    return run


def _of_many(name: str, function: Callable[..., Any], args: Sequence[Run], *, kind: Any, dtype: Any) -> Run:
    def run(columns: Mapping[str, TypedValues]) -> TypedValues:
        vectors = [arg(columns) for arg in args]
        for x in vectors:
            _need_text(x, f"{name}()")
        return _zipped(function, vectors, kind, dtype)

    return run


def _zipped(function: Callable[..., Any], vectors: Sequence[TypedValues], kind: Any, dtype: Any) -> TypedValues:
    if any(x.kind == "null" for x in vectors):
        return to_kind(NULL, kind)
    valid = None
    for x in vectors:
        valid = both(valid, x.valid)
    lengths = [len(x.data) for x in vectors if type(x.data) is not str]
    if not lengths:
        result = function(*(x.data for x in vectors))
        return TypedValues(kind, result if dtype is object else np.bool_(result), valid)
    out = np.empty(lengths[0], dtype=dtype)
    lists = [[x.data] * lengths[0] if type(x.data) is str else x.data.tolist() for x in vectors]
    out[:] = [function(*items) for items in zip(*lists, strict=True)]
    return TypedValues(kind, out if dtype is object or valid is None else out & valid, valid)


def _concatenate(args: Sequence[Run], _: Any) -> Run:
    def run(columns: Mapping[str, TypedValues]) -> TypedValues:
        vectors = [arg(columns) for arg in args]
        texts = [x if x.kind in ("text", "null") else TypedValues("text", as_texts(x), x.valid) for x in vectors]
        return _zipped(lambda *items: "".join(items), texts, "text", object)

    return run


def _replace(text: str, old: str, new: str) -> str:
    return text.replace(old, new) if old else text


TEXT_FUNCTIONS: Mapping[str, Make] = {
    "lower": lambda args, _: _of_one("lower", lower, args),
    "upper": lambda args, _: _of_one("upper", upper, args),
    "trim": lambda args, _: _of_one("trim", lambda text: text.strip(_SPACES), args),
    "length": lambda args, _: _of_one("length", len, args, kind="int", dtype=np.int64),
    "left": lambda args, values: _of_one("left", partial(_left, values[0]), args),
    "right": lambda args, values: _of_one("right", partial(_right, values[0]), args),
    "substr": lambda args, values: _of_one("substr", partial(_substr, *values), args),
    "replace": lambda args, _: _of_many("replace", _replace, args, kind="text", dtype=object),
    "starts_with": lambda args, _: _of_many("starts_with", str.startswith, args, kind="bool", dtype=np.bool_),
    "contains": lambda args, _: _of_many("contains", str.__contains__, args, kind="bool", dtype=np.bool_),
    "||": _concatenate,
}
