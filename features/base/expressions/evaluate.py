"""Evaluate expressions over arrays, one closure an operation; the same for one row and for many."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.base.expressions.dialect import Node, RefusedError, iso_time
from features.base.expressions.number_functions import (
    NUMBER_FUNCTIONS_1,
    NUMBER_FUNCTIONS_2,
    date_diff,
    round_half_away,
    shift,
)
from features.base.expressions.text_functions import TEXT_FUNCTIONS, like
from features.base.expressions.vectors import (
    NULL,
    Kind,
    TypedValues,
    Values,
    both,
    choose,
    common,
    convert,
    finish,
    load,
    to_kind,
    truth,
)

Columns = Mapping[str, TypedValues]
Run = Callable[[Columns], TypedValues]

_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_LITERALS: Mapping[type, tuple[Kind, Callable[[Any], Any]]] = {
    bool: ("bool", np.bool_),
    int: ("int", np.int64),
    float: ("float", np.float64),
    str: ("text", str),
}


def evaluate(run: Run, names: frozenset[str], columns: Mapping[str, NDArray[Any]], rows: int) -> Values:
    """Load the columns that are read, run, and return full arrays."""
    loaded = {}
    for name in names:
        if name not in columns:
            raise RefusedError(f"the column {name} is not there")
        loaded[name] = load(name, columns[name], rows)
    with np.errstate(all="ignore"):
        return finish(run(loaded), rows)


def compile_node(node: Node) -> Run:
    """Return the closure that computes the node."""
    if node.op == "column":
        return operator.itemgetter(node.value)
    if node.op == "literal":
        vector = literal(node.value)
        return lambda _: vector
    if node.op == "interval":
        return lambda _: NULL  # the operator that contains it reads the amount
    if node.op in ("+", "-") and node.args[1].op == "interval":
        return _apply1(shift(*node.args[1].value, sign=1 if node.op == "+" else -1), compile_node(node.args[0]))
    args = [compile_node(arg) for arg in node.args]
    if node.op in _COMPARISONS:
        return _apply2(partial(compare, node.op), *args)
    if node.op in ("and", "or"):
        return _connect(args, both_hold if node.op == "and" else one_holds)
    if node.op in ("case", "case_of", "coalesce"):
        lazy = ["cast" in _operations(arg) for arg in node.args]
        return _coalesce(args, lazy) if node.op == "coalesce" else _case(args, lazy, simple=node.op == "case_of")
    if node.op in ("least", "greatest"):
        return _extreme(args, node.op)
    if node.op == "in":
        return _in(args[0], [literal(value) for value in node.value])
    if node.op in ("like", "ilike"):
        return like(args[0], node.value, fold=node.op == "ilike")
    if node.op in ("cast", "try_cast"):
        return _apply1(lambda x: convert(x, node.value, lenient=node.op == "try_cast"), args[0])
    if node.op in TEXT_FUNCTIONS:
        return TEXT_FUNCTIONS[node.op](args, node.value)
    if node.op == "date_diff":
        return _apply2(lambda start, end: date_diff(node.value[0], start, end), *args)
    if node.op == "round":
        return _apply1(lambda x: round_half_away(x, node.value[0] or 0), args[0])
    if len(args) == 1:
        return _apply1(_UNARY[node.op], args[0])
    if node.op == "between":
        return lambda columns: _between(*(arg(columns) for arg in args))
    return _apply2(_BINARY[node.op], *args)


def literal(value: Any) -> TypedValues:
    if value is None:
        return NULL
    if isinstance(value, np.datetime64):
        return TypedValues("date" if np.datetime_data(value.dtype)[0] == "D" else "time", value)
    kind, make = _LITERALS[type(value)]
    return TypedValues(kind, make(value))


def _operations(node: Node) -> set[str]:
    return {node.op}.union(*(_operations(arg) for arg in node.args))


def _apply1(function: Callable[[TypedValues], TypedValues], arg: Run) -> Run:
    return lambda columns: function(arg(columns))


def _apply2(function: Callable[[TypedValues, TypedValues], TypedValues], left: Run, right: Run) -> Run:
    return lambda columns: function(left(columns), right(columns))


# --- conditions ------------------------------------------------------------------------------------------------------


def compare(op: str, left: TypedValues, right: TypedValues) -> TypedValues:
    kinds = left.kind, right.kind
    if kinds[0] != kinds[1]:
        if "null" in kinds:
            return TypedValues("bool", np.False_, np.False_)
        left, right = _dated(left, right), _dated(right, left)
        if not ({left.kind, right.kind} == {"bool", "float"} and op in ("=", "<>")):
            common({left.kind, right.kind}, doing=f"the comparison {op}")
    elif kinds[0] == "null":
        return TypedValues("bool", np.False_, np.False_)
    data = _COMPARISONS[op](left.data, right.data)
    if data is True or data is False:  # two literals
        data = np.bool_(data)
    valid = both(left.valid, right.valid)
    return TypedValues("bool", data if valid is None else data & valid, valid)


def _dated(vector: TypedValues, other: TypedValues) -> TypedValues:
    """Return a text literal that is compared with a date or a time as one of these."""
    if vector.kind == "text" and type(vector.data) is str and other.kind in ("date", "time"):
        moment = iso_time(vector.data, kind="DATE" if other.kind == "date" else "TIMESTAMP")
        if moment is None:
            raise RefusedError(f"a {other.kind} is compared with text that is not an ISO {other.kind}")
        return TypedValues(other.kind, moment)
    return vector


def both_hold(left: TypedValues, right: TypedValues) -> TypedValues:
    data = left.data & right.data
    if left.valid is None and right.valid is None:
        return TypedValues("bool", data)
    if left.valid is None:
        return TypedValues("bool", data, right.valid | ~left.data)
    if right.valid is None:
        return TypedValues("bool", data, left.valid | ~right.data)
    no = (left.valid & ~left.data) | (right.valid & ~right.data)
    return TypedValues("bool", data, (left.valid & right.valid) | no)


def one_holds(left: TypedValues, right: TypedValues) -> TypedValues:
    data = left.data | right.data
    valid = both(left.valid, right.valid)
    return TypedValues("bool", data, None if valid is None else valid | data)


def _connect(terms: Sequence[Run], connect: Callable[[TypedValues, TypedValues], TypedValues]) -> Run:
    first, *rest = terms

    def run(columns: Columns) -> TypedValues:
        result = truth(first(columns))
        for term in rest:
            result = connect(result, truth(term(columns)))
        return result

    return run


def _not(x: TypedValues) -> TypedValues:
    x = truth(x)
    return TypedValues("bool", ~x.data if x.valid is None else ~x.data & x.valid, x.valid)


def _is_null(x: TypedValues) -> TypedValues:
    return TypedValues("bool", np.False_ if x.valid is None else ~x.valid)


def _is_true(x: TypedValues) -> TypedValues:
    return TypedValues("bool", truth(x).data)


def _is_false(x: TypedValues) -> TypedValues:
    return TypedValues("bool", _not(x).data)


def _between(x: TypedValues, low: TypedValues, high: TypedValues) -> TypedValues:
    return both_hold(compare(">=", x, low), compare("<=", x, high))


_FEW = 8  # up to here comparing one by one beats a set


def _in(arg: Run, values: Sequence[TypedValues]) -> Run:
    there = [value for value in values if value.kind != "null"]
    has_null = len(there) < len(values)
    texts = frozenset(value.data for value in there) if there and there[0].kind == "text" else None
    numbers = np.array([value.data for value in there]) if there and there[0].kind in ("int", "float") else None

    def run(columns: Columns) -> TypedValues:
        x = arg(columns)
        if x.kind == "null" or not there:
            return TypedValues("bool", np.False_, np.False_)
        if texts is not None and x.kind == "text" and type(x.data) is not str:
            found = np.fromiter(map(texts.__contains__, x.data.tolist()), bool, len(x.data))
            result = TypedValues("bool", found if x.valid is None else found & x.valid, x.valid)
        elif numbers is not None and len(there) > _FEW and x.kind in ("int", "float"):
            found = np.isin(x.data, numbers)
            result = TypedValues("bool", found if x.valid is None else found & x.valid, x.valid)
        else:
            result = compare("=", x, there[0])
            for value in there[1:]:
                result = one_holds(result, compare("=", x, value))
        return result._replace(valid=result.data) if has_null else result

    return run


# --- choosing --------------------------------------------------------------------------------------------------------


def _some(columns: Columns, mask: NDArray[np.bool_]) -> Columns:
    """Return the rows of the mask only, so that a CAST in a branch runs for the rows of that branch, as in DuckDB."""

    def part(values: Any) -> Any:
        return values[mask] if type(values) is np.ndarray else values

    return {name: TypedValues(x.kind, part(x.data), part(x.valid)) for name, x in columns.items()}


def _spread(part: TypedValues, mask: NDArray[np.bool_]) -> TypedValues:
    if part.kind == "null" or (type(part.data) is not np.ndarray and type(part.valid) is not np.ndarray):
        return part
    small = finish(part, int(np.count_nonzero(mask)))
    data = finish(to_kind(NULL, part.kind), len(mask)).data
    data[mask] = small.data
    valid = np.zeros(len(mask), bool)
    valid[mask] = small.valid
    return TypedValues(part.kind, data, valid)


def _branch(run: Run, lazy: bool, columns: Columns, mask: Any) -> TypedValues:
    if lazy and type(mask) is np.ndarray:
        return _spread(run(_some(columns, mask)), mask)
    if lazy and not mask:
        return NULL
    return run(columns)


def _case(args: Sequence[Run], lazy: Sequence[bool], *, simple: bool) -> Run:
    operand = args[0] if simple else None
    offset = 1 if simple else 0
    pairs = [(args[i], lazy[i], args[i + 1], lazy[i + 1]) for i in range(offset, len(args) - 1, 2)]

    def run(columns: Columns) -> TypedValues:
        subject = operand(columns) if operand is not None else None
        left: Any = np.True_
        picks: list[tuple[Any, TypedValues]] = []
        for condition, lazy_condition, result, lazy_result in pairs:
            met = _branch(condition, lazy_condition, columns, left)
            holds = truth(met if subject is None else compare("=", subject, met)).data & left
            picks.append((holds, _branch(result, lazy_result, columns, holds)))
            left = left & ~holds
        default = _branch(args[-1], lazy[-1], columns, left)
        kind = common({default.kind, *(value.kind for _, value in picks)}, doing="CASE")
        merged = to_kind(default, kind) if kind != "null" else NULL
        for holds, value in reversed(picks):
            merged = choose(holds, to_kind(value, kind), merged) if kind != "null" else NULL
        return merged

    return run


def _coalesce(args: Sequence[Run], lazy: Sequence[bool]) -> Run:
    def run(columns: Columns) -> TypedValues:
        values, left = [], np.True_
        for arg, late in zip(args, lazy, strict=True):
            value = _branch(arg, late, columns, left)
            values.append(value)
            left = left & (np.False_ if value.valid is None else ~value.valid)
        kind = common({value.kind for value in values}, doing="COALESCE")
        if kind == "null":
            return NULL
        merged = to_kind(values[-1], kind)
        for value in reversed(values[:-1]):
            merged = choose(True if value.valid is None else value.valid, to_kind(value, kind), merged)
        return merged

    return run


def _extreme(args: Sequence[Run], op: str) -> Run:
    before = _COMPARISONS["<=" if op == "least" else ">="]

    def run(columns: Columns) -> TypedValues:
        values = [arg(columns) for arg in args]
        kind = common({value.kind for value in values}, doing=op)
        if kind == "null":
            return NULL
        best = to_kind(values[0], kind)
        for value in values[1:]:
            other = to_kind(value, kind)
            mine = np.True_ if best.valid is None else best.valid
            theirs = np.True_ if other.valid is None else other.valid
            best = choose(mine & (~theirs | np.asarray(before(best.data, other.data), bool)), best, other)
        return best

    return run


def _nullif(x: TypedValues, y: TypedValues) -> TypedValues:
    same = compare("=", x, y).data
    if x.kind == "null":
        return NULL
    return choose(same, to_kind(NULL, x.kind), x)


_UNARY: Mapping[str, Callable[[TypedValues], TypedValues]] = {
    **NUMBER_FUNCTIONS_1,
    "not": _not,
    "is_null": _is_null,
    "is_true": _is_true,
    "is_false": _is_false,
}
_BINARY: Mapping[str, Callable[[TypedValues, TypedValues], TypedValues]] = {**NUMBER_FUNCTIONS_2, "nullif": _nullif}
