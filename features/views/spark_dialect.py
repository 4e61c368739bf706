"""DuckDB SQL of a view → Spark SQL with the same result; only what a test compares is translated."""

from __future__ import annotations

from collections.abc import Collection

import sqlglot
from sqlglot import exp

#: What a statement may contain; for each of these a test compares Spark with DuckDB.
_SAME: tuple[type[exp.Expression], ...] = (
    *(exp.Select, exp.From, exp.Join, exp.Where, exp.Group, exp.With, exp.CTE, exp.Subquery),
    *(exp.Table, exp.TableAlias, exp.Column, exp.Identifier, exp.Alias, exp.Star),
    *(exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Tuple, exp.Cast, exp.DataType, exp.DataTypeParam),
    *(exp.And, exp.Or, exp.Not, exp.Is, exp.In, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE),
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Neg, exp.DPipe, exp.Case, exp.If, exp.Coalesce, exp.Nullif),
    *(exp.Filter, exp.Count, exp.Sum, exp.Min, exp.Max, exp.ArgMax, exp.ArgMin, exp.Trim, exp.Lower, exp.Length),
    *(exp.Replace, exp.Translate),
    *(exp.Struct, exp.PropertyEQ, exp.Dot, exp.ArrayAgg, exp.ArrayMax, exp.Lambda, exp.Transform, exp.Anonymous),
)
_TYPES = ("VARCHAR", "TEXT", "DOUBLE", "BIGINT", "INT", "DECIMAL")
#: Functions by the name that DuckDB, and Spark, has for them.
_NAMES = {"epoch_us": "unix_micros"}
_OURS = ("size", "filter")


def to_spark(select: str, *, numbers: Collection[str] = ()) -> str | None:
    """Return the statement for Spark, or None where it contains something that may mean something else to Spark.

    Parameters
    ----------
    select : DuckDB SQL over tables that hold text, numbers and times with a zone
    numbers : columns of those tables that hold numbers, which the engines write differently as text

    Examples
    --------
    >>> to_spark('SELECT "a" FROM t')
    'SELECT `a` FROM t'
    """
    tree = sqlglot.parse_one(select, read="duckdb")
    for place in list(tree.find_all(exp.Bracket)):
        _count_words(place)
    if not all(_is_same(node, numbers) for node in tree.walk()):
        return None
    for call in list(tree.find_all(exp.Anonymous)):
        call.set("this", _NAMES.get(call.name.lower(), call.name))
    for best in list(tree.find_all(exp.ArgMax, exp.ArgMin)):
        _pass_over_nulls(best)
    return str(tree.sql(dialect="spark"))


def tables_of(select: str) -> set[str]:
    """Return the tables that a statement in DuckDB's SQL reads, without those that it makes itself.

    Examples
    --------
    >>> sorted(tables_of("WITH x AS (SELECT * FROM a) SELECT * FROM x JOIN b USING (k)"))
    ['a', 'b']
    """
    tree = sqlglot.parse_one(select, read="duckdb")
    own = {cte.alias for cte in tree.find_all(exp.CTE)}
    return {table.name for table in tree.find_all(exp.Table)} - own


def _is_same(node: exp.Expression, numbers: Collection[str]) -> bool:
    if isinstance(node, exp.Anonymous):
        return node.name.lower() in (*_NAMES, *_OURS)
    if isinstance(node, exp.DataType):
        return node.this.name in _TYPES
    if isinstance(node, exp.Length):
        return not any(column.name in numbers for column in node.find_all(exp.Column))
    return isinstance(node, _SAME)


def _count_words(place: exp.Bracket) -> None:
    """Write ``map_extract(histogram(x), word)[1]`` as ``size(filter(collect_list(x), y -> y = word))``.

    Spark has no histogram of text.
    """
    extract = place.this
    if not (isinstance(extract, exp.Anonymous) and extract.name.lower() == "map_extract"):
        return
    counted, word = extract.expressions
    if not (isinstance(counted, exp.Filter) and counted.this.name.lower() == "histogram"):
        return
    listed = exp.Filter(this=exp.ArrayAgg(this=counted.this.expressions[0]), expression=counted.args["expression"])
    one = exp.to_identifier("y")
    equal = exp.Lambda(this=exp.EQ(this=one.copy(), expression=word), expressions=[one])
    kept = exp.Anonymous(this="filter", expressions=[listed, equal])
    place.replace(exp.Anonymous(this="size", expressions=[kept]))


def _pass_over_nulls(best: exp.ArgMax | exp.ArgMin) -> None:
    """Let ``max_by`` pass over rows whose value is null, as DuckDB's ``arg_max`` does; a struct never is."""
    if isinstance(best.this, exp.Struct):
        return
    filled = exp.Not(this=exp.Is(this=best.this.copy(), expression=exp.Null()))
    if isinstance(best.parent, exp.Filter):
        where = best.parent.args["expression"]
        where.set("this", exp.And(this=exp.Paren(this=where.this), expression=filled))
    else:
        best.replace(exp.Filter(this=best.copy(), expression=exp.Where(this=filled)))
