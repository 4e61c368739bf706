"""Typed arrays with nulls, for the evaluation of expressions: loading, types, choosing, converting."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadConfiguration
from features.base.expressions.dialect import RefusedError

Kind = Literal["null", "bool", "int", "float", "text", "date", "time"]
DTYPES: dict[str, Any] = {
    "bool": np.bool_,
    "int": np.int64,
    "float": np.float64,
    "text": object,
    "date": "datetime64[D]",
    "time": "datetime64[us]",
}


class ConversionError(Exception):
    """A value that CAST or arithmetic cannot convert."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Values:
    """One value per row, and whether it is there; ``data`` means nothing where ``valid`` is false."""

    data: NDArray[Any]
    valid: NDArray[np.bool_]

    def is_true(self) -> NDArray[np.bool_]:
        """Return the rows where a condition holds; null counts as false.

        Raises
        ------
        BadConfiguration : if the values are text or times
        """
        if self.data.dtype.kind not in "bif":
            raise BadConfiguration(
                "expression", "a condition is expected, not text or a time", hint="compare it with something"
            )
        return self.data.astype(bool) & self.valid


class TypedValues(NamedTuple):
    """Values of one kind; a literal's ``data`` is a scalar; ``valid`` is None where nothing is null.

    A bool is False and a float is NaN where not valid: the operators rely on it.
    """

    kind: Kind
    data: Any
    valid: Any = None


NULL = TypedValues("null", None, np.False_)


def load(name: str, values: Any, rows: int) -> TypedValues:
    """Return a column as a vector.

    Raises
    ------
    RefusedError : on a wrong length, or values that are neither text, numbers, booleans nor times
    """
    array = values if type(values) is np.ndarray else np.asarray(values)
    if array.shape != (rows,):
        raise RefusedError(f"the column {name} has the shape {array.shape}; ({rows},) is expected")
    kind = array.dtype.kind
    if kind == "f":
        array = array if array.dtype == np.float64 else array.astype(np.float64)
        return TypedValues("float", array, array == array)
    if kind == "b":
        return TypedValues("bool", array)
    if kind in "iu":
        return TypedValues("int", array if array.dtype == np.int64 else array.astype(np.int64))
    if kind == "M":
        days = np.datetime_data(array.dtype)[0] == "D"
        return TypedValues(
            "date" if days else "time", array.astype(DTYPES["date" if days else "time"]), ~np.isnat(array)
        )
    if kind in "OUT":
        return _load_objects(name, array.astype(object))
    raise RefusedError(f"the column {name} has the type {array.dtype}, which is not supported")


def _load_objects(name: str, array: NDArray[Any]) -> TypedValues:
    items = array.tolist()
    types = set(map(type, items))
    if types == {str}:
        return TypedValues("text", array)
    valid = np.fromiter((item is not None and item == item for item in items), bool, len(items))
    if not valid.any():
        return NULL
    kinds = {type(item) for item, there in zip(items, valid.tolist(), strict=True) if there}
    if all(issubclass(kind, str) for kind in kinds):
        return TypedValues("text", np.where(valid, array, ""), valid)
    if kinds <= {bool, np.bool_}:
        return TypedValues("bool", np.where(valid, array, False).astype(bool), valid)
    if all(issubclass(kind, (int, np.integer)) for kind in kinds):
        return TypedValues("int", np.where(valid, array, 0).astype(np.int64), valid)
    if all(issubclass(kind, (int, float, np.integer, np.floating, Decimal)) for kind in kinds):
        return TypedValues("float", np.where(valid, array, np.nan).astype(np.float64), valid)
    if kinds == {date}:
        return TypedValues("date", _where_valid(valid, array).astype("datetime64[D]"), valid)
    if all(issubclass(kind, (datetime, np.datetime64)) for kind in kinds) and not any(
        getattr(item, "tzinfo", None) for item in items
    ):
        return TypedValues("time", _where_valid(valid, array).astype("datetime64[us]"), valid)
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise RefusedError(f"the column {name} holds {names}, which are not one type", "convert the column first")


def _where_valid(valid: NDArray[np.bool_], array: NDArray[Any]) -> NDArray[Any]:
    out = array.copy()
    out[~valid] = None
    return out


def finish(vector: TypedValues, rows: int) -> Values:
    """Return full arrays."""
    if vector.kind == "null":
        return Values(np.full(rows, np.nan), np.zeros(rows, bool))
    data, valid = vector.data, vector.valid
    if np.ndim(data) == 0:
        data = np.full(rows, data, dtype=DTYPES[vector.kind])
    if np.ndim(valid) == 0:
        valid = np.full(rows, valid is None or bool(valid))
    return Values(data, valid)


def both(left: Any, right: Any) -> Any:
    """Return where both are valid."""
    if left is None:
        return right
    return left if right is None else left & right


def common(kinds: set[Kind], *, doing: str) -> Kind:
    """Return the one kind that values of these kinds can share, as DuckDB does.

    Raises
    ------
    RefusedError : where DuckDB needs a cast, or would make one from text without being asked
    """
    kinds = kinds - {"null"}
    if len(kinds) <= 1:
        return next(iter(kinds), "null")
    if kinds == {"int", "float"}:
        return "float"
    if kinds == {"bool", "int"}:
        return "int"
    if kinds == {"date", "time"}:
        return "time"
    raise RefusedError(f"{doing} mixes {' and '.join(sorted(kinds))}", "make them one type with CAST(x AS …)")


def to_kind(vector: TypedValues, kind: Kind) -> TypedValues:
    """Return the vector in the kind that `common` gave."""
    if vector.kind == kind:
        return vector
    if vector.kind == "null":
        blank = {"text": "", "float": np.float64("nan"), "int": np.int64(0), "bool": np.False_}
        return TypedValues(kind, blank.get(kind, np.datetime64("NaT", "us" if kind == "time" else "D")), np.False_)
    data = vector.data.astype(DTYPES[kind])
    if kind == "float" and vector.valid is not None:
        data = np.where(vector.valid, data, np.nan)[()]
    return TypedValues(kind, data, vector.valid)


def choose(mask: Any, left: TypedValues, right: TypedValues) -> TypedValues:
    """Return left where the mask holds, else right; both of one kind."""
    if left.kind == "null":
        return NULL
    data = np.where(mask, boxed(left), boxed(right))
    valid = None
    if left.valid is not None or right.valid is not None:
        valid = np.where(mask, True if left.valid is None else left.valid, True if right.valid is None else right.valid)
    return TypedValues(left.kind, data if data.ndim else data[()], valid if valid is None or valid.ndim else valid[()])


def boxed(vector: TypedValues) -> Any:
    """Return data for numpy's functions, as an object where it is one text."""
    return np.array(vector.data, dtype=object) if type(vector.data) is str else vector.data


def truth(vector: TypedValues) -> TypedValues:
    """Return a vector as a condition: a number holds where it is not 0."""
    if vector.kind == "bool":
        return vector
    if vector.kind == "null":
        return TypedValues("bool", np.False_, np.False_)
    if vector.kind in ("int", "float"):
        holds = vector.data != 0
        return TypedValues("bool", holds if vector.valid is None else holds & vector.valid, vector.valid)
    raise RefusedError(f"a condition is expected, not a {vector.kind}", "compare it with something")


def per_text(function: Callable[[str], Any], vector: TypedValues, dtype: Any = object) -> Any:
    """Return the function of each text (rows that are null hold an empty one)."""
    if type(vector.data) is str:
        result = function(vector.data)
        return result if dtype is object else np.dtype(dtype).type(result)
    out = np.empty(len(vector.data), dtype=dtype)
    out[:] = [function(item) for item in vector.data.tolist()]
    return out


# --- CAST ------------------------------------------------------------------------------------------------------------

_DIGITS = r"\d+(?:_\d+)*"
_NUMBER = re.compile(rf"\s*([+-]?(?:{_DIGITS}\.?(?:{_DIGITS})?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?)\s*\Z", re.ASCII)
_INFINITE = re.compile(r"\s*([+-]?)inf(inity)?\s*\Z", re.IGNORECASE | re.ASCII)
_DATE = r"\s*(\d{1,4})([-/\\ ])(\d{1,2})\2(\d{1,2})"
_TIME = re.compile(rf"{_DATE}(?:[ T](\d{{1,2}}):(\d{{1,2}})(?::(\d{{1,2}})(?:\.(\d{{1,9}}))?)?)?\s*Z?\s*\Z", re.ASCII)
_WORDS = dict.fromkeys(("true", "t", "yes", "y", "1"), True) | dict.fromkeys(("false", "f", "no", "n", "0"), False)
_TARGETS: dict[str, Kind] = {
    "DOUBLE": "float",
    "BIGINT": "int",
    "VARCHAR": "text",
    "DATE": "date",
    "TIMESTAMP": "time",
    "BOOLEAN": "bool",
}


def convert(vector: TypedValues, target: str, *, lenient: bool) -> TypedValues:
    """Return CAST, or TRY_CAST where ``lenient``.

    Raises
    ------
    ConversionError : if a value cannot be converted and ``lenient`` is false
    RefusedError : between kinds that have no conversion
    """
    kind = _TARGETS[target]
    if vector.kind in (kind, "null"):
        return to_kind(vector, kind)
    if kind == "text":
        return TypedValues("text", as_texts(vector), vector.valid)
    if vector.kind == "text":
        return _from_text(vector, kind, target, lenient)
    numbers = ("bool", "int", "float")
    if kind == "int" and vector.kind == "float":
        rounded = np.rint(vector.data)
        fits = vector.valid & (np.abs(rounded) < 2.0**63) if vector.valid is not None else np.abs(rounded) < 2.0**63
        return _checked(vector, kind, np.where(fits, rounded, 0).astype(np.int64), fits, target, lenient)
    if kind == "bool" and vector.kind in numbers:
        return truth(vector)
    if (kind in numbers and vector.kind in numbers) or {kind, vector.kind} == {"date", "time"}:
        return to_kind(vector, kind)
    raise RefusedError(f"CAST from {vector.kind} to {target} has no meaning")


def _from_text(vector: TypedValues, kind: Kind, target: str, lenient: bool) -> TypedValues:
    parsers: dict[str, Callable[[str], Any]] = {
        "float": _float_of,
        "int": _int_of,
        "bool": lambda text: _WORDS.get(text.lower()),
        "date": lambda text: None if (moment := _time_of(text)) is None else moment.astype("datetime64[D]"),
        "time": _time_of,
    }
    if type(vector.data) is str:
        vector = TypedValues("text", np.array([vector.data], dtype=object), vector.valid)
        one = _from_text(vector, kind, target, lenient)
        return TypedValues(kind, one.data[0], one.valid if one.valid is None else one.valid[0])
    parsed = [parsers[kind](item) for item in vector.data.tolist()]
    fits = np.array([item is not None for item in parsed], dtype=bool)
    fits = fits if vector.valid is None else fits & vector.valid
    blank = to_kind(NULL, kind).data
    data = np.array([blank if item is None else item for item in parsed], dtype=DTYPES[kind])
    converted = _checked(vector, kind, data, fits, target, lenient)
    # the text 'nan' was converted, to what is a null here
    return converted._replace(valid=fits & (data == data)) if kind == "float" else converted


def _checked(vector: TypedValues, kind: Kind, data: Any, fits: Any, target: str, lenient: bool) -> TypedValues:
    if not lenient:
        misfit = ~fits if vector.valid is None else vector.valid & ~fits
        count = int(np.count_nonzero(misfit))
        if count:
            raise ConversionError(
                f"{count} value(s) cannot be converted to {target}", "TRY_CAST gives null for what cannot be converted"
            )
    return TypedValues(kind, data if np.ndim(data) else data[()], fits)


def _float_of(text: str) -> float | None:
    if match := _NUMBER.match(text):
        value = float(match[1])
        return value if np.isfinite(value) else None
    if match := _INFINITE.match(text):
        return float(match[1] + "inf")
    return float("nan") if text.strip(" \t\n\r\f\v").lower() in ("nan", "+nan", "-nan") else None


def _int_of(text: str) -> int | None:
    match = _NUMBER.match(text)
    if match is None:
        return None
    number = Decimal(match[1].replace("_", ""))
    if abs(number.adjusted()) > 40:  # far outside BIGINT, and slow to write out
        return 0 if number.adjusted() < 0 or not number else None
    whole = int(number.to_integral_value(rounding=ROUND_HALF_UP))
    return whole if -(2**63) <= whole < 2**63 else None


def _time_of(text: str) -> Any:
    match = _TIME.match(text)
    if match is None:
        return None
    year, _, month, day, hour, minute, second, fraction = match.groups()
    try:
        moment = datetime(  # noqa: DTZ001 — all times are UTC, and numpy holds them without a zone
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0)
        )
    except ValueError:
        return None
    return np.datetime64(moment, "us") + np.timedelta64(int((fraction or "0")[:6].ljust(6, "0")), "us")


def as_texts(vector: TypedValues) -> Any:
    """Return the values written as DuckDB writes them."""
    if type(vector.data) is not np.ndarray:
        array = np.array([vector.data], dtype=DTYPES[vector.kind])
        return as_texts(TypedValues(vector.kind, array, vector.valid))[0]
    out = np.empty(len(vector.data), dtype=object)
    if vector.kind == "bool":
        out[:] = ["true" if item else "false" for item in vector.data.tolist()]
    elif vector.kind == "time":
        texts = [text.replace("T", " ") for text in np.datetime_as_string(vector.data, unit="us").tolist()]
        out[:] = [text.rstrip("0").rstrip(".") if not text.endswith(".000000") else text[:-7] for text in texts]
    elif vector.kind == "date":
        out[:] = np.datetime_as_string(vector.data, unit="D").tolist()
    else:
        out[:] = [str(item) for item in vector.data.tolist()]
    return out
