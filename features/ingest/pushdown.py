"""The part of a feed's ``where`` that a database can decide just as we would; the rest is decided here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from features.base.expressions.dialect import Node, RefusedError
from features.base.expressions.tree import read

_MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True)
class Condition:
    """One condition on one column; a row for which it is not true is not wanted.

    Parameters
    ----------
    column : the column
    op : ``=``, ``<``, ``<=``, ``>``, ``>=``, ``in``, ``is_null`` or ``is_not_null``
    values : what it is compared with, of one kind; empty for the last two
    """

    column: str
    op: str
    values: tuple[Any, ...] = ()

    @property
    def kind(self) -> str:
        """What the values are: ``number``, ``text``, ``date``, ``time``, ``none``; ``mixed`` cannot be translated."""
        kinds = {_kind(value) for value in self.values}
        return "none" if not kinds else kinds.pop() if len(kinds) == 1 else "mixed"


def conditions(where: str | None, columns: Sequence[str]) -> list[Condition]:
    """Return the translatable conditions that all have to hold; a row that meets them may still be left out here.

    Examples
    --------
    >>> conditions("paid > 3 AND lower(place) = 'bath' AND 'web' = channel", ["paid", "place", "channel"])
    [Condition(column='paid', op='>', values=(3,)), Condition(column='channel', op='=', values=('web',))]
    """
    if where is None or where in columns:
        return []
    try:
        tree = read(where)
    except RefusedError:  # the mapping's check says what is wrong with it
        return []
    terms = tree.args if tree.op == "and" else (tree,)
    found = [_condition(term) for term in terms]
    return [one for one in found if one is not None and one.column in columns and one.kind != "mixed"]


def _condition(node: Node) -> Condition | None:
    match node:
        case Node(op, (Node("column", (), column), Node("literal", (), value))) if (
            op in _MIRRORED and value is not None
        ):
            return Condition(column, op, (_plain(value),))
        case Node(op, (Node("literal", (), value), Node("column", (), column))) if (
            op in _MIRRORED and value is not None
        ):
            return Condition(column, _MIRRORED[op], (_plain(value),))
        case Node("between", (Node("column", (), column), Node("literal", (), low), Node("literal", (), _))) if (
            low is not None
        ):
            return Condition(column, ">=", (_plain(low),))
        case Node("in", (Node("column", (), column),), values) if None not in values:
            return Condition(column, "in", tuple(_plain(value) for value in values))
        case Node("is_null", (Node("column", (), column),)):
            return Condition(column, "is_null")
        case Node("not", (Node("is_null", (Node("column", (), column),)),)):
            return Condition(column, "is_not_null")
        case _:
            return None


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.datetime64) else value


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "mixed"
        case int() | float():
            return "number"
        case str():
            return "text"
        case datetime():
            return "time"
        case date():
            return "date"
        case _:
            return "mixed"
