"""Objects of JSON as rows: nested objects parted into columns, lists unwrapped where that loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_DEEP = 20
#: What the name of an attribute is called in a list of attributes, and the most members that such an object has.
_KEYS = ("key", "name", "code", "attribute_code", "field", "id")
_MEMBERS = 4
#: A list of more different attributes stays text.
_ATTRIBUTES = 200


@dataclass
class _Seen:
    """What the lists at one path hold, over all rows."""

    longest: int = 0
    attributes: bool = True
    names: set[str] = field(default_factory=set)


class ListShapes:
    """How the lists of all rows are read: alone, as attributes, or as JSON text.

    A list that has at most one element in every row is that element. A list of objects with a key and a value, such as
    ``[{"key": "page", "value": "/shop"}]``, gives a column for each key. Any other list stays JSON text.

    Examples
    --------
    >>> shapes = ListShapes()
    >>> params = [{"key": "x", "value": {"int": 1, "text": None}}]
    >>> row = {"mail": [{"id": "a@b.c"}], "params": params, "tags": ["a", "b"]}
    >>> shapes.observe(row)
    >>> shapes.flatten(row)
    {'mail.id': 'a@b.c', 'params.x': 1, 'tags': '["a", "b"]'}
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    @property
    def any(self) -> bool:
        """Whether some row holds a list."""
        return bool(self._seen)

    def observe(self, row: dict[str, Any]) -> None:
        """Note the lists of a row.

        Raises
        ------
        RecursionError : it is nested too deeply
        """
        self._observe(row, "", _DEEP)

    def flatten(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return a row's columns; a nested object's have dotted names."""
        return dict(self._leaves(row, "", _DEEP))

    def _observe(self, value: Any, path: str, deep: int) -> None:
        if deep == 0:
            raise RecursionError
        if isinstance(value, dict):
            for key, inner in value.items():
                if isinstance(inner, (dict, list)):
                    self._observe(inner, f"{path}.{key}" if path else key, deep - 1)
        elif isinstance(value, list):
            seen = self._seen.setdefault(path, _Seen())
            seen.longest = max(seen.longest, len(value))
            if seen.attributes:
                names = [_attribute(item) for item in value]
                seen.names.update(name for name in names if name is not None)
                seen.attributes = None not in names and len(set(names)) == len(names) and len(seen.names) <= _ATTRIBUTES
            for item in value:
                self._observe(item, path, deep - 1)

    def _leaves(self, value: Any, path: str, deep: int) -> Iterator[tuple[str, Any]]:
        if deep == 0:
            raise RecursionError
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from self._leaves(inner, f"{path}.{key}" if path else key, deep - 1)
        elif isinstance(value, list):
            seen = self._seen.get(path, _Seen(longest=2, attributes=False))
            if seen.attributes and seen.names:
                yield from ((f"{path}.{_attribute(item)}", _value_of(item["value"])) for item in value)
            elif seen.longest <= 1:
                yield from self._leaves(value[0] if value else None, path, deep - 1)
            else:
                yield path, json.dumps(value, ensure_ascii=False)
        elif isinstance(value, bool):
            yield path, "true" if value else "false"
        else:
            yield path, value


def _attribute(item: Any) -> str | None:
    """Return the name of an attribute; none where an object is no attribute."""
    if not isinstance(item, dict) or "value" not in item or len(item) > _MEMBERS:
        return None
    return next((item[key] for key in _KEYS if isinstance(item.get(key), str) and item[key]), None)


def _value_of(value: Any) -> Any:
    """Return an attribute's value: the only member that is set, where one is kept for each type."""
    if isinstance(value, dict):
        members = [inner for inner in value.values() if inner is not None]
        value = members[0] if len(members) == 1 else value if members else None
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else value
