"""What a database's types are here: rows of Python values as Arrow batches of one schema, nothing rounded."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from features.base.errors import BadData

_ARROW: dict[str, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "time": pa.timestamp("us"),
    "instant": pa.timestamp("us", "UTC"),
    "text": pa.string(),
}


@dataclass(frozen=True)
class TypedColumn:
    """One column and what it holds.

    Parameters
    ----------
    name : the column
    holds : ``integer``, ``number``, ``boolean``, ``date``, ``time``, ``instant``, ``text``; ``unknown`` where only
        the values tell
    """

    name: str
    holds: str

    @classmethod
    def of(cls, column: sa.ColumnElement[Any], dialect: str, *, known: bool) -> TypedColumn:
        """Return a column of a reflected table, or of a query (then only its name is known)."""
        name, kind = str(column.key), column.type
        if not known:
            return cls(name, "unknown")
        match kind:
            case sa.Boolean():
                holds = "boolean"
            case sa.Integer():
                holds = "integer"
            case sa.Numeric() | sa.Float():
                holds = "number"
            case _ if dialect == "sqlite":  # it keeps times as whatever was put in: read as text, typed here
                holds = "text"
            case sa.DateTime():
                holds = "instant" if kind.timezone else "time"
            case sa.Date():
                holds = "date"
            case _:
                holds = "text"
        return cls(name, holds)

    def selected(self, relation: sa.FromClause) -> Any:
        """Return the column as it is asked for: what would be parsed on the way comes as it is stored."""
        column = relation.c[self.name]
        if self.holds == "text" and not isinstance(column.type, sa.String):
            return sa.type_coerce(column, sa.types.NullType()).label(self.name)
        return column

    def decides(self, kind: str, op: str) -> bool:
        """Say whether the database's answer to a comparison with a literal of this kind is ours."""
        if kind == "none":
            return True
        if kind == "number":
            return self.holds in ("integer", "number")
        if kind == "text":
            return self.holds == "text" and op in ("=", "in")  # a looser collation only lets more rows through
        return kind in ("date", "time") and self.holds in ("date", "time")


@dataclass(frozen=True)
class ArrowColumns:
    """Turns rows into Arrow batches.

    Parameters
    ----------
    feed : its name, for messages
    columns : the columns in the order of the rows' values
    exact : columns that name records: numbers in them stay digit for digit
    """

    feed: str
    columns: Sequence[TypedColumn]
    exact: frozenset[str]

    def schema(self, first: Sequence[Sequence[Any]]) -> pa.Schema:
        """Return the schema; columns of a query are typed by the values of the first rows."""
        fields = []
        for place, column in enumerate(self.columns):
            holds = column.holds if column.holds != "unknown" else _seen([row[place] for row in first])
            if column.name in self.exact and holds == "number":
                holds = "text"
            fields.append(pa.field(column.name, _ARROW[holds]))
        return pa.schema(fields)

    def batch(self, rows: Sequence[Sequence[Any]], schema: pa.Schema, *, start: int) -> pa.RecordBatch:
        """Return one batch.

        Raises
        ------
        BadData : a value is not of its column's type, naming column and row
        """
        arrays = []
        for place, field in enumerate(schema):
            convert = _converter(field.type)
            values = [None if row[place] is None else row[place] for row in rows]
            try:
                converted = [None if value is None else convert(value) for value in values]
                arrays.append(pa.array(converted, field.type))
            except (pa.ArrowException, ValueError, TypeError, OverflowError, ArithmeticError):
                row = start + _first_odd(values, convert, field.type)
                raise BadData(
                    "feed.type",
                    f"the column {field.name!r} holds another type from row {row} on than {_plain(field.type)}",
                    where=f"feed {self.feed}",
                    hint=f"mend the row, or use `query:` with CAST({field.name} AS …)",
                ) from None
        return pa.record_batch(arrays, schema=schema)


def _seen(values: Sequence[Any]) -> str:
    kinds = {_kind_of(value) for value in values if value is not None}
    if kinds <= {"integer", "number"} and kinds:
        return "number" if "number" in kinds else "integer"
    return kinds.pop() if len(kinds) == 1 else "text"


def _kind_of(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case int():
            return "integer" if -(2**63) <= value < 2**63 else "text"
        case float() | Decimal():
            return "number"
        case datetime():
            return "time" if value.tzinfo is None else "instant"
        case date():
            return "date"
        case _:
            return "text"


def _converter(kind: pa.DataType) -> Callable[[Any], Any]:
    if pa.types.is_string(kind):
        return _text
    if pa.types.is_floating(kind):
        return _number
    if pa.types.is_integer(kind):
        return _integer
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return lambda value: value.astimezone(UTC)
    return lambda value: value


def _number(value: Any) -> float:
    if isinstance(value, (str, bytes)):
        raise TypeError
    return float(value)


def _integer(value: Any) -> int:
    if isinstance(value, (str, bytes)) or value != int(value):
        raise TypeError
    return int(value)


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case Decimal():
            return format(value.normalize() + 0, "f")
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case dict() | list():
            return json.dumps(value, ensure_ascii=False, default=str)
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 2**53:
            return str(int(value))
        case datetime():
            return value.isoformat(sep=" ")
        case _:
            return str(value)


def _first_odd(values: Sequence[Any], convert: Callable[[Any], Any], kind: pa.DataType) -> int:
    for place, value in enumerate(values):
        try:
            pa.scalar(None if value is None else convert(value), kind)
        except (pa.ArrowException, ValueError, TypeError, OverflowError, ArithmeticError):
            return place
    return 0


def _plain(kind: pa.DataType) -> str:
    return "whole numbers" if pa.types.is_integer(kind) else str(kind)
