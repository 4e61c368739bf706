"""One small SQL dialect for feeds, views, offers and populations: parsed once, run in DuckDB or over arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadConfiguration, BadData
from features.base.expressions.dialect import ALLOWED_FUNCTIONS, SQL_ONLY, Node, RefusedError, describe
from features.base.expressions.evaluate import Run, compile_node, evaluate
from features.base.expressions.tree import read
from features.base.expressions.vectors import ConversionError, Values

__all__ = ["ALLOWED_FUNCTIONS", "SQL_ONLY", "Expression", "Values", "describe_dialect", "parse"]


@dataclass(frozen=True)
class Expression:
    """A checked expression; two are equal when their text is.

    Attributes
    ----------
    text : as written
    columns : the names it reads; ``crm_sales.segment`` is one column of that name
    where : the place for errors, such as ``serving/offers.yaml:12``
    sql_only : functions in it that only DuckDB can run
    """

    text: str
    columns: frozenset[str] = field(compare=False)
    where: str = field(compare=False, repr=False)
    sql_only: tuple[str, ...] = field(compare=False, repr=False)
    _tree: Node = field(compare=False, repr=False)
    _run: Run = field(compare=False, repr=False)

    def require_evaluable(self) -> Expression:
        """Return the expression itself, or refuse it where it would have to run without DuckDB.

        Raises
        ------
        BadConfiguration : naming the functions that only DuckDB can run
        """
        if self.sql_only:
            names = ", ".join(f"{name}()" for name in self.sql_only)
            raise BadConfiguration(
                "expression",
                f"{names} cannot run online, in: {_short(self.text)}",
                where=self.where,
                hint="compute it as a field of the feed or the view, and use that column here",
            )
        return self

    def sql(self) -> str:
        """Return DuckDB SQL with every identifier quoted."""
        return _to_sql(self._tree)

    def evaluate(self, columns: Mapping[str, NDArray[Any]], *, rows: int) -> Values:
        """Return one value per row, as DuckDB would.

        Parameters
        ----------
        columns : arrays of shape (rows,): bool, int, float, datetime64 or object (text); NaN, NaT and None are null
        rows : number of rows

        Raises
        ------
        BadConfiguration : if a column is missing, or its type does not fit
        BadData : if CAST meets a value that cannot be converted, or integers overflow
        """
        if self.sql_only:
            self.require_evaluable()
        try:
            return evaluate(self._run, self.columns, columns, rows)
        except RefusedError as error:
            message = f"{error}, in: {_short(self.text)}"
            raise BadConfiguration("expression", message, where=self.where, hint=error.hint) from None
        except ConversionError as error:
            message = f"{error}, in: {_short(self.text)}"
            raise BadData("expression", message, where=self.where, hint=error.hint) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(parse, where=self.where), (self.text,)


def parse(text: str, *, where: str = "") -> Expression:
    """Parse and check one expression.

    Parameters
    ----------
    text : SQL in the dialect that `describe_dialect` names
    where : the place for errors

    Raises
    ------
    BadConfiguration : code ``expression``, naming what is outside the dialect

    Examples
    --------
    >>> parse("crm_sales.segment = 'gold' and spend > 3").sql()
    '(("crm_sales.segment" = \\'gold\\') AND ("spend" > 3))'
    """
    try:
        tree = read(text)
    except RefusedError as error:
        message = f"{error}, in: {_short(text)}" if str(text).strip() else str(error)
        raise BadConfiguration("expression", message, where=where, hint=error.hint) from None
    sql_only = tuple(sorted(_operations_of(tree) & SQL_ONLY))
    run = compile_node(tree) if not sql_only else compile_node(Node("literal"))
    return Expression(text, _columns_of(tree), where, sql_only, tree, run)


def describe_dialect() -> str:
    """Return the dialect as Markdown, for the generated configuration reference."""
    lines = [describe().split("; and the functions")[0] + ".", "", "| function | meaning | where |", "|---|---|---|"]
    for name, usage in ALLOWED_FUNCTIONS.items():
        call, _, meaning = usage.replace("|", "\\|").partition(")")
        place = "feeds and views only" if name in SQL_ONLY else "everywhere"
        lines.append(f"| `{call})` | {meaning.lstrip(':; ')} | {place} |")
    lines += [
        "",
        "Null follows SQL: a comparison with null is null, and a null condition counts as false. Division by zero, "
        "`ln` of what is not positive and `sqrt` of a negative number are null. Numbers with a point are DOUBLE.",
    ]
    return "\n".join(lines)


def _short(text: str) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= 120 else line[:117] + "…"


def _columns_of(node: Node) -> frozenset[str]:
    if node.op == "column":
        return frozenset((node.value,))
    return frozenset().union(*(_columns_of(arg) for arg in node.args))


def _operations_of(node: Node) -> frozenset[str]:
    return frozenset((node.op,)).union(*(_operations_of(arg) for arg in node.args))


def _to_sql(node: Node) -> str:
    """Return the tree as DuckDB SQL."""
    if node.op == "column":
        return '"' + str(node.value).replace('"', '""') + '"'
    if node.op == "literal":
        return _literal_sql(node.value)
    if node.op == "interval":
        return f"INTERVAL {node.value[0]} {node.value[1].upper()}"
    args = [_to_sql(arg) for arg in node.args]
    if node.op in _SHAPES:
        return _SHAPES[node.op].format(*args)
    if node.op in ("and", "or"):
        return "(" + f" {node.op.upper()} ".join(args) + ")"
    if node.op == "||":
        return "(" + " || ".join(f"CAST({arg} AS VARCHAR)" for arg in args) + ")"
    if node.op == "in":
        return f"({args[0]} IN ({', '.join(map(_literal_sql, node.value))}))"
    if node.op in ("like", "ilike"):
        return f"({args[0]} {node.op.upper()} {_literal_sql(node.value)})"
    if node.op in ("cast", "try_cast"):
        cast = f"{node.op.upper()}({args[0]} AS {node.value})"
        return f"NULLIF({cast}, {_NAN})" if node.value == "DOUBLE" else cast  # the text 'NaN' is a null in evaluate
    if node.op in ("case", "case_of"):
        operand = args.pop(0) + " " if node.op == "case_of" else ""
        pairs = zip(args[:-1:2], args[1::2], strict=True)
        whens = " ".join(f"WHEN {condition} THEN {result}" for condition, result in pairs)
        return f"CASE {operand}{whens} ELSE {args[-1]} END"
    if node.op == "round":
        return f"round(CAST({args[0]} AS DOUBLE), {node.value[0] or 0})"
    constants = [_literal_sql(value) for value in node.value or () if value is not None]
    ordered = constants + args if node.op in ("date_diff", "date_trunc") else args + constants
    return f"{node.op}({', '.join(ordered)})"


_NAN = "CAST('nan' AS DOUBLE)"
_SHAPES = {op: f"({{0}} {op} {{1}})" for op in ("=", "<>", "<", "<=", ">", ">=", "+", "-", "*")} | {
    "/": "({0} / NULLIF({1}, 0))",
    "%": "({0} % NULLIF({1}, 0))",
    "neg": "(-{0})",
    "not": "(NOT {0})",
    "is_null": "({0} IS NULL)",
    "is_true": "({0} IS TRUE)",
    "is_false": "({0} IS FALSE)",
    "between": "({0} BETWEEN {1} AND {2})",
    "floor": "floor(CAST({0} AS DOUBLE))",
    "ceil": "ceil(CAST({0} AS DOUBLE))",
    "exp": "exp(CAST({0} AS DOUBLE))",
    # outside their domain DuckDB raises: greatest() passes over nulls, so the domain's edge becomes the null
    "ln": "ln(NULLIF(greatest(CAST({0} AS DOUBLE), 0e0), 0e0))",
    "sqrt": "sqrt(NULLIF(greatest(CAST({0} AS DOUBLE), -5e-324), -5e-324))",
    "power": f"NULLIF(power(CAST({{0}} AS DOUBLE), CAST({{1}} AS DOUBLE)), {_NAN})",
}


def _literal_sql(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, np.datetime64):
        kind = "DATE" if np.datetime_data(value.dtype)[0] == "D" else "TIMESTAMP"
        return f"{kind} '{str(value).replace('T', ' ')}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, int):
        return str(value) if value >= 0 else f"({value})"
    written = repr(value) if "e" in repr(value) else f"{value!r}e0"  # with an exponent: DOUBLE, never DECIMAL
    return written if value >= 0 else f"({written})"
