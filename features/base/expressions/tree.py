"""Text → syntax tree of the dialect: parsed with sqlglot, every node checked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from features.base.expressions.dialect import (
    ALLOWED_FUNCTIONS,
    DIFF_UNITS,
    INTERVAL_UNITS,
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_NESTING,
    TRUNC_UNITS,
    TYPES,
    Node,
    RefusedError,
    check_tokens,
    describe,
    iso_time,
)


def read(text: str) -> Node:
    """Read one expression.

    Raises
    ------
    RefusedError : naming the first thing that is outside the dialect
    """
    if not isinstance(text, str) or not text.strip():
        raise RefusedError("the expression is empty")
    if len(text) > MAX_LENGTH:
        raise RefusedError(f"the expression has {len(text):,} characters; at most {MAX_LENGTH:,} are read")
    try:
        dialect = sqlglot.Dialect.get_or_raise("duckdb")
        tokens = dialect.tokenize(text)
        check_tokens(tokens)
        trees = dialect.parser(error_level=sqlglot.ErrorLevel.IMMEDIATE).parse_into(exp.Condition, tokens, text)
        if len(trees) != 1 or trees[0] is None:
            raise RefusedError("one expression is expected")
        return _Reader().read(trees[0], 0)
    except RecursionError:
        raise RefusedError(f"the expression is nested too deeply (at most {MAX_NESTING} levels)") from None
    except TokenError:
        raise RefusedError("a quotation mark is not closed") from None
    except ParseError as error:
        spot = error.errors[0] if error.errors else {}
        near = f" near '{spot['highlight']}' (column {spot.get('col')})" if spot.get("highlight") else ""
        raise RefusedError(f"the expression cannot be read{near}", f"allowed: {describe()}") from None


_BINARY = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
}
_CHAINS = {exp.And: "and", exp.Or: "or", exp.DPipe: "||"}
# function → its operands in order; those after the bar must be literals
_CALLS: Mapping[type, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    exp.Abs: ("abs", ("this",), ()),
    exp.Ceil: ("ceil", ("this",), ()),
    exp.Coalesce: ("coalesce", ("this", "expressions"), ()),
    exp.Contains: ("contains", ("this", "expression"), ()),
    exp.DateDiff: ("date_diff", ("expression", "this"), ("unit",)),
    exp.DateTrunc: ("date_trunc", ("this",), ("unit",)),
    exp.TimestampTrunc: ("date_trunc", ("this",), ("unit",)),
    exp.Day: ("day", ("this",), ()),
    exp.Exp: ("exp", ("this",), ()),
    exp.Floor: ("floor", ("this",), ()),
    exp.Greatest: ("greatest", ("this", "expressions"), ()),
    exp.Least: ("least", ("this", "expressions"), ()),
    exp.Left: ("left", ("this",), ("expression",)),
    exp.Length: ("length", ("this",), ()),
    exp.Ln: ("ln", ("this",), ()),
    exp.Lower: ("lower", ("this",), ()),
    exp.Month: ("month", ("this",), ()),
    exp.Nullif: ("nullif", ("this", "expression"), ()),
    exp.Pow: ("power", ("this", "expression"), ()),
    exp.RegexpExtract: ("regexp_extract", ("this",), ("expression", "group")),
    exp.RegexpLike: ("regexp_matches", ("this",), ("expression",)),
    exp.Replace: ("replace", ("this", "expression", "replacement"), ()),
    exp.Right: ("right", ("this",), ("expression",)),
    exp.Round: ("round", ("this",), ("decimals",)),
    exp.Sqrt: ("sqrt", ("this",), ()),
    exp.StartsWith: ("starts_with", ("this", "expression"), ()),
    exp.StrToTime: ("strptime", ("this",), ("format",)),
    exp.Substring: ("substr", ("this",), ("start", "length")),
    exp.Trim: ("trim", ("this",), ()),
    exp.Upper: ("upper", ("this",), ()),
    exp.Year: ("year", ("this",), ()),
}
_CONSTANTS: Mapping[
    str, tuple[tuple[type, ...], ...]
] = {  # per function, the type of each constant; None may be left out
    "date_diff": ((str,),),
    "date_trunc": ((str,),),
    "left": ((int,),),
    "right": ((int,),),
    "round": ((int, type(None)),),
    "substr": ((int,), (int, type(None))),
    "regexp_matches": ((str,),),
    "regexp_extract": ((str,), (int, type(None))),
    "strptime": ((str,),),
}
# attributes of sqlglot's nodes that change nothing here
_IGNORE = frozenset(
    {"safe", "typed", "big_int", "ignore_nulls", "null_if_pos_overflow", "date_part_boundary", "negate"}
)


class _Reader:
    """sqlglot's tree → the dialect's; a node without a method here is refused."""

    def read(self, tree: Any, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise RefusedError(f"the expression is nested too deeply (at most {MAX_DEPTH} operations)")
        while isinstance(tree, exp.Paren):
            self._only(tree, "this")
            tree = tree.this
        kind = type(tree)
        below = depth + 1
        if kind in _BINARY:
            self._only(tree, "this", "expression")
            return _binary(_BINARY[kind], self._operand(tree.this, below), self._operand(tree.expression, below))
        if kind in _CHAINS:
            return Node(_CHAINS[kind], tuple(self.read(term, below) for term in _chain(tree, kind)))
        if kind in _CALLS:
            return self._call(tree, below)
        method = getattr(self, f"_{kind.__name__.lower()}", None)
        if method is None:
            raise _refusal(tree)
        node: Node = method(tree, below)
        return node

    def _operand(self, tree: Any, depth: int) -> Node:
        """Return an operand of arithmetic, the only place of an INTERVAL."""
        return self._interval_of(tree) if isinstance(tree, exp.Interval) else self.read(tree, depth)

    def _only(self, tree: Any, *names: str) -> None:
        for name, value in tree.args.items():
            if value not in (None, False, []) and name not in names and name not in _IGNORE:
                raise RefusedError(f"{name.upper()} is not allowed in {_name_of(tree)}", f"allowed: {describe()}")

    def _column(self, tree: Any, _: int) -> Node:
        self._only(tree, "this", "table", "db", "catalog")
        if not all(isinstance(part, exp.Identifier) for part in tree.parts):
            raise _refusal(tree.this)
        return Node("column", value=".".join(part.this for part in tree.parts))

    def _dot(self, tree: Any, _: int) -> Node:
        parts = list(tree.flatten())
        names = [part.name for part in (parts[0].parts if isinstance(parts[0], exp.Column) else parts[:1])]
        if not all(isinstance(part, exp.Identifier) for part in parts[1:]) or not isinstance(parts[0], exp.Column):
            raise RefusedError("a name of this shape is not allowed", 'write dotted.name or "quoted name"')
        return Node("column", value=".".join([*names, *(part.name for part in parts[1:])]))

    def _literal(self, tree: Any, _: int) -> Node:
        if tree.is_string:
            if "\x00" in tree.this:
                raise RefusedError("a text literal may not hold a zero byte")
            return Node("literal", value=tree.this)
        if re.match(r"\d{1,18}\Z", tree.this):
            return Node("literal", value=int(tree.this))
        try:
            number = float(tree.this)
        except ValueError:
            number = math.inf
        if not math.isfinite(number):
            raise RefusedError(f"'{tree.this[:30]}' is not a number that can be held")
        return Node("literal", value=number)

    def _boolean(self, tree: Any, _: int) -> Node:
        return Node("literal", value=bool(tree.this))

    def _null(self, _tree: Any, _: int) -> Node:
        return Node("literal", value=None)

    def _neg(self, tree: Any, depth: int) -> Node:
        inner = self.read(tree.this, depth)
        if inner.op == "literal" and type(inner.value) in (int, float):
            return Node("literal", value=-inner.value)
        return Node("neg", (inner,))

    def _not(self, tree: Any, depth: int) -> Node:
        return Node("not", (self.read(tree.this, depth),))

    def _is(self, tree: Any, depth: int) -> Node:
        right = tree.expression
        ops = {True: "is_true", False: "is_false"}
        if isinstance(right, exp.Null):
            return Node("is_null", (self.read(tree.this, depth),))
        if isinstance(right, exp.Boolean):
            return Node(ops[bool(right.this)], (self.read(tree.this, depth),))
        raise RefusedError("after IS only [NOT] NULL, TRUE or FALSE is allowed")

    def _in(self, tree: Any, depth: int) -> Node:
        self._only(tree, "this", "expressions")
        values = tuple(self.read(item, depth) for item in tree.expressions)
        if not values or any(item.op != "literal" for item in values):
            raise RefusedError("IN takes a list of literals", "compare columns with = and OR")
        kinds = {type(item.value) for item in values} - {type(None)}
        if len(kinds) > 1 and not kinds <= {int, float}:
            raise RefusedError("IN mixes literals of different types")
        return Node("in", (self.read(tree.this, depth),), value=tuple(item.value for item in values))

    def _between(self, tree: Any, depth: int) -> Node:
        self._only(tree, "this", "low", "high")
        return Node("between", tuple(self.read(tree.args[name], depth) for name in ("this", "low", "high")))

    def _like(self, tree: Any, depth: int, op: str = "like") -> Node:
        self._only(tree, "this", "expression")
        pattern = tree.expression
        if not (isinstance(pattern, exp.Literal) and pattern.is_string):
            raise RefusedError(f"{op.upper()} takes a pattern in single quotes")
        node = Node(op, (self.read(tree.this, depth),), value=pattern.this)
        return Node("not", (node,)) if tree.args.get("negate") else node

    def _ilike(self, tree: Any, depth: int) -> Node:
        return self._like(tree, depth, "ilike")

    def _case(self, tree: Any, depth: int) -> Node:
        self._only(tree, "this", "ifs", "default")
        parts = [] if tree.this is None else [self.read(tree.this, depth)]
        for branch in tree.args["ifs"]:
            parts += [self.read(branch.this, depth), self.read(branch.args["true"], depth)]
        default = tree.args.get("default")
        parts.append(Node("literal") if default is None else self.read(default, depth))
        if len(parts) < 3:
            raise RefusedError("CASE needs at least one WHEN … THEN …")
        return Node("case" if tree.this is None else "case_of", tuple(parts))

    def _interval(self, _tree: Any, _: int) -> Node:
        raise RefusedError("INTERVAL may only be added to or subtracted from a time")

    def _interval_of(self, tree: Any) -> Node:
        unit = (tree.unit.name if tree.unit is not None else "").lower().removesuffix("s")
        amount = tree.this.name if isinstance(tree.this, exp.Literal) else ""
        if not re.match(r"\d{1,6}\Z", amount) or unit not in INTERVAL_UNITS:
            raise RefusedError("this INTERVAL is not allowed", f"INTERVAL '30' DAY; units: {', '.join(INTERVAL_UNITS)}")
        return Node("interval", value=(int(amount), unit))

    def _cast(self, tree: Any, depth: int, op: str = "cast") -> Node:
        self._only(tree, "this", "to")
        kind = TYPES.get(tree.to.this.name if hasattr(tree.to.this, "name") else str(tree.to.this))
        if kind is None or tree.to.expressions:
            written = tree.to.sql("duckdb")
            raise RefusedError(
                f"the type {written} is not allowed", f"allowed: {', '.join(sorted(set(TYPES.values())))}"
            )
        inner = self.read(tree.this, depth)
        if inner.op == "literal" and isinstance(inner.value, str) and kind in ("DATE", "TIMESTAMP"):
            moment = iso_time(inner.value, kind=kind)
            if moment is None:
                raise RefusedError(
                    f"'{inner.value[:40]}' is not an ISO {kind.lower()}", "2026-01-31 or 2026-01-31 10:20:30"
                )
            return Node("literal", value=moment)
        return Node(op, (inner,), value=kind)

    def _trycast(self, tree: Any, depth: int) -> Node:
        return self._cast(tree, depth, "try_cast")

    def _call(self, tree: Any, depth: int) -> Node:
        name, operands, constants = _CALLS[type(tree)]
        self._only(tree, *operands, *constants)
        args: list[Node] = []
        for key in operands:
            item = tree.args.get(key)
            for each in item if isinstance(item, list) else [item]:
                if each is None:
                    raise RefusedError(f"{name}() lacks an argument", ALLOWED_FUNCTIONS[name])
                args.append(self.read(each, depth))
        values = tuple(self._constant(name, tree.args.get(key), depth) for key in constants)
        kinds = _CONSTANTS.get(name, ())
        if any(type(value) not in kind for value, kind in zip(values, kinds, strict=True)):
            raise RefusedError(f"{name}() takes literals there", ALLOWED_FUNCTIONS[name])
        units = {"date_diff": DIFF_UNITS, "date_trunc": TRUNC_UNITS}.get(name)
        if units is not None:
            values = (values[0].lower(),)
            if values[0] not in units:
                raise RefusedError(f"{name}() does not know the unit '{values[0][:30]}'", f"units: {', '.join(units)}")
        if name == "round" and not 0 <= (values[0] or 0) <= 15:
            raise RefusedError("round() takes 0 to 15 digits")
        return Node(name, tuple(args), value=values or None)

    def _constant(self, name: str, tree: Any, depth: int) -> Any:
        if tree is None:
            return None
        if isinstance(tree, exp.Var):
            return tree.name
        node = self.read(tree, depth)
        if node.op != "literal":
            raise RefusedError(f"{name}() takes literals there", ALLOWED_FUNCTIONS[name])
        return node.value


def _binary(op: str, left: Node, right: Node) -> Node:
    intervals = (left.op == "interval") + (right.op == "interval")
    allowed = intervals == 0 or (intervals == 1 and (op == "+" or (op == "-" and right.op == "interval")))
    if not allowed:
        raise RefusedError("INTERVAL may only be added to or subtracted from a time")
    return Node(op, (right, left) if left.op == "interval" else (left, right))


def _chain(tree: Any, kind: type) -> list[Any]:
    terms: list[Any] = []
    stack: list[Any] = [tree]
    while stack:
        term = stack.pop()
        same = type(term) is kind
        if same:
            stack += [term.expression, term.this]
        else:
            terms.append(term)
    return terms


def _name_of(tree: Any) -> str:
    if isinstance(tree, exp.Anonymous):
        return f"the function {tree.name.lower()}()"
    if isinstance(tree, exp.Func):
        return f"the function {tree.sql_name().lower()}()"
    if isinstance(tree, exp.Star):
        return "*"
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(tree).__name__).upper()


def _refusal(tree: Any) -> RefusedError:
    return RefusedError(f"{_name_of(tree)} is not allowed", f"allowed: {describe()}")
