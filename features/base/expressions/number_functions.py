"""Arithmetic, rounding and time of the expression evaluator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from features.base.expressions.dialect import RefusedError
from features.base.expressions.vectors import NULL, ConversionError, TypedValues, both, to_kind

_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {"+": np.add, "-": np.subtract, "*": np.multiply}
_NUMBERS = ("int", "float", "null")


def _number(x: TypedValues, doing: str) -> Any:
    """Return float data, NaN where null."""
    if x.kind not in _NUMBERS:
        raise RefusedError(f"{doing} needs a number, not a {x.kind}")
    return to_kind(x, "float").data


def _floats(data: Any) -> TypedValues:
    return TypedValues("float", data, data == data)


def _arithmetic(op: str) -> Callable[[TypedValues, TypedValues], TypedValues]:
    function = _ARITHMETIC[op]

    def run(left: TypedValues, right: TypedValues) -> TypedValues:
        if left.kind == "float" and right.kind == "float":
            return _floats(function(left.data, right.data))
        kinds = (left.kind, right.kind)
        if kinds == ("date", "date") and op == "-":
            valid = both(left.valid, right.valid)
            days = (left.data - right.data).astype(np.int64)
            return TypedValues("int", days if valid is None else np.where(valid, days, 0), valid)
        if "date" in kinds or "time" in kinds:
            raise RefusedError(f"{op} between {' and '.join(kinds)}", "use INTERVAL '1' DAY, or date_diff('day', a, b)")
        if left.kind == "int" and right.kind == "int":
            return _whole(op, left, right)
        if "null" in kinds and kinds != ("null", "null"):
            _number(left, op), _number(right, op)
            return to_kind(NULL, right.kind if left.kind == "null" else left.kind)
        return _floats(function(_number(left, op), _number(right, op)))

    return run


def _whole(op: str, left: TypedValues, right: TypedValues) -> TypedValues:
    data = _ARITHMETIC[op](left.data, right.data)
    valid = both(left.valid, right.valid)
    near = _ARITHMETIC[op](np.asarray(left.data, np.float64), np.asarray(right.data, np.float64))
    wrapped = np.abs(near - data) > 2.0**62  # int64 wraps by 2**64 at a time
    if np.any(wrapped if valid is None else wrapped & valid):
        raise ConversionError(f"{op} between whole numbers exceeds 64 bits", "CAST one side to DOUBLE")
    return TypedValues("int", data, valid)


def _divide(left: TypedValues, right: TypedValues) -> TypedValues:
    divisor = _number(right, "/")
    return _floats(np.where(divisor == 0, np.nan, _number(left, "/") / divisor)[()])


def _modulo(left: TypedValues, right: TypedValues) -> TypedValues:
    if left.kind == "int" and right.kind == "int":
        zero = right.data == 0
        data = np.fmod(left.data, np.where(zero, 1, right.data))
        return TypedValues("int", data, both(both(left.valid, right.valid), ~zero))
    divisor = _number(right, "%")
    return _floats(np.where(divisor == 0, np.nan, np.fmod(_number(left, "%"), divisor))[()])


def _negate(x: TypedValues) -> TypedValues:
    if x.kind == "int":
        return _whole("-", TypedValues("int", np.int64(0)), x)
    return _floats(-_number(x, "-"))


def _absolute(x: TypedValues) -> TypedValues:
    return TypedValues("int", np.abs(x.data), x.valid) if x.kind == "int" else _floats(np.abs(_number(x, "abs()")))


def round_half_away(x: TypedValues, digits: int) -> TypedValues:
    number = _number(x, "round()")
    scale = 10.0**digits
    scaled = number * scale
    whole = np.trunc(scaled)
    away = whole + np.where(np.abs(scaled - whole) >= 0.5, np.copysign(1.0, scaled), 0.0)
    return _floats(np.where(np.isfinite(away / scale) & np.isfinite(scaled), away / scale, number)[()])


def _float_function(name: str, function: Callable[[Any], Any]) -> Callable[[TypedValues], TypedValues]:
    return lambda x: _floats(function(_number(x, f"{name}()")))


def _power(left: TypedValues, right: TypedValues) -> TypedValues:
    # pow(1, NaN) and pow(NaN, 0) are 1 in C, while null stays null in SQL
    base, exponent = _number(left, "power()"), _number(right, "power()")
    missing = (base != base) | (exponent != exponent)
    return _floats(np.where(missing, np.nan, np.power(base, exponent))[()])


_STEPS: Mapping[str, np.timedelta64] = {
    "second": np.timedelta64(1, "s"),
    "minute": np.timedelta64(1, "m"),
    "hour": np.timedelta64(1, "h"),
    "day": np.timedelta64(1, "D"),
    "week": np.timedelta64(7, "D"),
}


def shift(amount: int, unit: str, *, sign: int) -> Callable[[TypedValues], TypedValues]:
    def run(x: TypedValues) -> TypedValues:
        if x.kind == "null":
            return to_kind(NULL, "time")
        if x.kind not in ("date", "time"):
            raise RefusedError(f"INTERVAL is added to a {x.kind}; it needs a date or a time")
        moment = to_kind(x, "time").data
        if unit in _STEPS:
            return TypedValues("time", moment + _STEPS[unit] * (sign * amount), x.valid)
        months = sign * amount * (12 if unit == "year" else 1)
        day = moment.astype("datetime64[D]")
        month = day.astype("datetime64[M]")
        target = month + months
        last = (target + 1).astype("datetime64[D]") - np.timedelta64(1, "D")
        shifted = np.minimum(target.astype("datetime64[D]") + (day - month.astype("datetime64[D]")), last)
        return TypedValues("time", shifted.astype("datetime64[us]") + (moment - day.astype("datetime64[us]")), x.valid)

    return run


_UNITS = {"day": "D", "hour": "h", "month": "M", "year": "Y"}


def _moment(x: TypedValues, doing: str) -> TypedValues:
    if x.kind not in ("date", "time"):
        raise RefusedError(f"{doing} needs a date or a time, not a {x.kind}", "CAST(x AS DATE)")
    return to_kind(x, "time")


def date_diff(unit: str, start: TypedValues, end: TypedValues) -> TypedValues:
    if "null" in (start.kind, end.kind):
        return to_kind(NULL, "int")
    code = f"datetime64[{_UNITS[unit]}]"
    before, after = (_moment(x, "date_diff()").data.astype(code) for x in (start, end))
    valid = both(start.valid, end.valid)
    count = (after - before).astype(np.int64)
    return TypedValues("int", count if valid is None else np.where(valid, count, 0)[()], valid)


def _part(name: str) -> Callable[[TypedValues], TypedValues]:
    def run(x: TypedValues) -> TypedValues:
        if x.kind == "null":
            return to_kind(NULL, "int")
        day = _moment(x, f"{name}()").data.astype("datetime64[D]")
        month, year = day.astype("datetime64[M]"), day.astype("datetime64[Y]")
        number = {
            "year": lambda: year.astype(np.int64) + 1970,
            "month": lambda: (month - year.astype("datetime64[M]")).astype(np.int64) + 1,
            "day": lambda: (day - month.astype("datetime64[D]")).astype(np.int64) + 1,
        }[name]()
        return TypedValues("int", number if x.valid is None else np.where(x.valid, number, 0)[()], x.valid)

    return run


NUMBER_FUNCTIONS_1: Mapping[str, Callable[[TypedValues], TypedValues]] = {
    "neg": _negate,
    "abs": _absolute,
    "floor": _float_function("floor", np.floor),
    "ceil": _float_function("ceil", np.ceil),
    "exp": _float_function("exp", np.exp),
    "ln": _float_function("ln", lambda x: np.log(np.where(x > 0, x, np.nan))),
    "sqrt": _float_function("sqrt", np.sqrt),
    "year": _part("year"),
    "month": _part("month"),
    "day": _part("day"),
}
NUMBER_FUNCTIONS_2: Mapping[str, Callable[[TypedValues, TypedValues], TypedValues]] = {
    **{op: _arithmetic(op) for op in _ARITHMETIC},
    "/": _divide,
    "%": _modulo,
    "power": _power,
}
