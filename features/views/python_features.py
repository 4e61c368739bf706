"""Features that are written in Python beside the YAML: a named Ibis expression over rows that were known by then

    from features.views.python_features import feature

    @feature(type="float", unit="GBP", description="money a basket")
    def spend_per_basket(rows):
        return rows.amount.sum() / rows.text.nunique()

The expression aggregates the rows of one customer as of one cutoff, of one window: that is all that `rows` holds. It is
compiled like every other feature, so DuckDB, Spark and the worker run it.
"""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from features.base.clock import DAY_US
from features.base.errors import BadConfiguration, Problem
from features.base.workspace import Workspace
from features.config.loading import did_you_mean
from features.config.views_file import ViewsFile
from features.views.catalogue import Feature, FeatureType, feature_name
from features.views.measures import EXACT

_KEYS = ("customer_id", "as_of")
#: A text that grows from row to row in the order of time, feed and record; no two rows have the same.
ORDER = "order"
#: Columns of every row, whatever its table: microseconds since 1970, and how long before the cutoff it happened.
_OF_ROWS = {"customer_id": "string", "as_of": "int64", "event_time": "int64", "days_ago": "float64"}
#: Operations that depend on the order of rows, which is not the same on every engine.
_ORDERED = (ops.First, ops.Last, ops.Arbitrary, ops.ArrayCollect, ops.GroupConcat)
_TYPES = {"int": "int64", "float": "float64", "string": "string"}


@dataclass(frozen=True)
class PythonFeature:
    """A feature as its author declared it.

    Parameters
    ----------
    name : of the function; the feature is called ``view__name_window``
    type, unit, description : of the feature
    empty : the value where there are no rows
    compute : rows → an Ibis expression that aggregates them
    line : of the file in which the function stands
    """

    name: str
    type: FeatureType
    unit: str
    description: str
    empty: float | str | None
    compute: Callable[[Any], Any]
    line: int


def feature(
    *, type: FeatureType, unit: str = "", description: str = "", empty: float | str | None = None
) -> Callable[[Callable[[Any], Any]], PythonFeature]:
    """Declare the function below to be a feature.

    Parameters
    ----------
    type : ``int``, ``float`` or ``string``; the expression has to give it
    unit : of the values, or empty
    description : one sentence; the first line of the docstring, if left out
    empty : the value where there are no rows, such as 0 for a count; missing, if left out
    """

    def declare(compute: Callable[[Any], Any]) -> PythonFeature:
        sentence = description or (compute.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        return PythonFeature(compute.__name__, type, unit, sentence, empty, compute, compute.__code__.co_firstlineno)

    return declare


def load_functions(workspace: Workspace, views: ViewsFile) -> dict[str, PythonFeature]:
    """Return the features that the workspace declares in Python, by the functions' names.

    Raises
    ------
    BadConfiguration : the file is not there, or cannot be run
    """
    return load_python(workspace.file(views.python), name=views.python) if views.python else {}


def load_python(path: Path, *, name: str) -> dict[str, PythonFeature]:
    """Run a workspace's Python file and return the features that it declares, in order.

    Parameters
    ----------
    path : the file; it is trusted as the workspace's code is
    name : of the file in ``features/views.yaml``, for errors

    Raises
    ------
    BadConfiguration : there is no such file, it cannot be run, or declares nothing
    """
    if not path.is_file():
        raise BadConfiguration(
            "python.no_file", f"there is no {name}", where="features/views.yaml", hint="create it, or correct `python:`"
        )
    spec = importlib.util.spec_from_file_location(f"workspace_features_{abs(hash(path)):x}", path)
    if spec is None or spec.loader is None:
        raise BadConfiguration(
            "python.no_module", f"{name} is no Python file", where="features/views.yaml", hint="it has to end in .py"
        )
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadConfiguration(
            "python.fails",
            _message(error),
            where=f"{name}:{_line(error, path)}",
            hint="correct it, and run it with `python`",
        ) from error
    found = {value.name: value for value in vars(module).values() if isinstance(value, PythonFeature)}
    if not found:
        raise BadConfiguration(
            "python.nothing", "declares no feature", where=f"{name}:1", hint="put @feature(type=…) before a function"
        )
    return found


def rows_table(columns: Mapping[str, str]) -> Any:
    """Return the table that a function is given, before any window.

    Parameters
    ----------
    columns : name → Ibis type of the columns of the view's rows

    Examples
    --------
    >>> rows_table({"amount": "float64"}).columns
    ('amount', 'customer_id', 'as_of', 'event_time', 'days_ago')
    """
    return ibis.table({**columns, **_OF_ROWS}, name="known")


def check_python(
    view: str, functions: Sequence[PythonFeature], columns: Mapping[str, str], *, file: str
) -> tuple[list[Problem], frozenset[str]]:
    """Return what is wrong with a view's functions, and the columns that they read.

    Parameters
    ----------
    view : the view
    functions : those that it takes
    columns : name → Ibis type of the columns of the view's rows
    file : in which the functions stand, for errors
    """
    problems = []
    used: set[str] = set()
    for function in functions:
        rows = rows_table(columns)
        where = f"{file}:{function.line}"
        try:
            expression = function.compute(rows)
        except Exception as error:  # noqa: BLE001 - any error of an author's function is reported as its own
            hint = "rows has the columns of the view's table; see features/README.md"
            if isinstance(error, AttributeError) and error.name:
                hint = did_you_mean(str(error.name), sorted({*columns, *_OF_ROWS}))
            problems.append(Problem("python.fails", f"view {view}: {function.name}: {_message(error)}", where, hint))
            continue
        wrong = _wrong(function, expression, rows)
        if wrong is not None:
            problems.append(Problem(wrong[0], f"view {view}: {function.name} {wrong[1]}", where, wrong[2]))
            continue
        used |= {field.name for field in expression.op().find(ops.Field)}
    return problems, frozenset(used)


def python_features(
    view: str, functions: Sequence[PythonFeature], windows: Sequence[str], sources: Mapping[str, Collection[str]]
) -> list[Feature]:
    """Return the features of a view whose functions stand in Python, window by window.

    Parameters
    ----------
    sources : function → the columns that it reads
    """
    return [
        Feature(
            name=feature_name(view, function.name, window),
            view=view,
            type=function.type,
            unit=function.unit,
            description=f"{function.description}{f', in the last {window}' if window else ''}",
            sources=tuple(sorted(sources[function.name])),
        )
        for function in functions
        for window in windows or [""]
    ]


def python_select(
    view: str,
    functions: Sequence[PythonFeature],
    columns: Mapping[str, str],
    *,
    windows: Mapping[str, timedelta | None],
    hidden: Sequence[str] = (),
    expiring: bool = False,
) -> Any:
    """Return a view's features for every (customer, cutoff) of the entity rows, as `windowed` does.

    Parameters
    ----------
    view, functions : the view and what it takes; they have passed `check_python`
    columns : name → Ibis type of the columns of the source that the functions may read
    windows : as they stand in names → how long; an empty name is all history
    hidden : columns of times that are missing until they have come
    expiring : whether a row counts only while ``as_of`` is before its ``known_until`` (if it has one)

    Returns
    -------
    ibis Table over ``entity_rows``, ``cutoffs`` and ``source``
    """
    times = {"event_time": "int64", "known_at": "int64"} | ({"known_until": "int64"} if expiring else {})
    source = ibis.table({"customer_id": "string", **times, **columns}, name="source")
    entity_rows = ibis.table({"customer_id": "string", "as_of": "int64"}, name="entity_rows")
    cutoffs = ibis.table({"as_of": "int64"}, name="cutoffs")
    within = [source.event_time <= cutoffs.as_of, source.known_at <= cutoffs.as_of]
    if expiring:
        within.append(source.known_until.isnull() | (source.known_until > cutoffs.as_of))
    joined = source.join(cutoffs, within)
    as_of = joined.as_of
    seen = joined.select(
        **{
            column: ibis.cases((joined[column] <= as_of, joined[column])) if column in hidden else joined[column]
            for column in columns
        },
        customer_id=joined.customer_id,
        as_of=as_of,
        event_time=joined.event_time,
        days_ago=(as_of - joined.event_time) / DAY_US,
    )
    rows = rows_table(columns)
    wide = entity_rows
    for name, span in windows.items():
        inside = rows if span is None else rows.filter(rows.event_time > rows.as_of - span // timedelta(microseconds=1))
        found = inside.group_by(list(_KEYS)).aggregate(
            **{
                feature_name(view, function.name, name): _exact(function.compute(inside)).cast(_TYPES[function.type])
                for function in functions
            }
        )
        # The functions were given an empty table; here it is replaced by the rows that were known by the cutoff.
        known = found.op().replace({rows.op(): seen.op()}).to_expr()
        wide = wide.left_join(known, list(_KEYS), rname="{name}__right").drop("customer_id__right", "as_of__right")
    empty = {
        feature_name(view, function.name, name): function.empty
        for function in functions
        for name in windows
        if function.empty is not None
    }
    return wide.fill_null(empty) if empty else wide


def _wrong(function: PythonFeature, expression: Any, rows: Any) -> tuple[str, str, str] | None:
    """Return code, message and hint of what is wrong with an expression; None where nothing is."""
    if not isinstance(expression, ibis.expr.types.Scalar):
        what = type(expression).__name__
        return "python.no_aggregate", f"gives {what}, not one value a customer", "aggregate: rows.amount.sum()"
    node = expression.op()
    if any(relation != rows.op() for relation in node.find(ops.Relation)):
        return (
            "python.other_rows",
            "reads rows that it was not given",
            "use `where=` in the aggregate in place of filter or another table: only the rows given are known by then",
        )
    if node.find(ops.Impure):
        return (
            "python.impure",
            "uses the clock, random numbers or code of its own",
            "use rows.as_of and Ibis's own functions",
        )
    if node.find(ops.WindowFunction) or node.find(ops.Analytic):
        return "python.over_rows", "looks from one row at others (over, lag, rank)", "aggregate the rows instead"
    if node.find(_ORDERED):
        return "python.unordered", "depends on the order of rows", "the last value is `rows.COLUMN.argmax(rows.order)`"
    if not _fits(expression.type(), function.type):
        return "python.type", f"gives {expression.type()}, but declares {function.type}", "cast it, or correct `type=`"
    return None


def _exact(expression: Any) -> Any:
    """Return an expression whose sums and means of fractions are added as decimals, as those of all features are."""

    def added(node: Any, changed: Any) -> Any:
        again = node.__recreate__(changed) if changed else node
        if not isinstance(again, ops.Sum | ops.Mean) or not again.arg.dtype.is_floating():
            return again
        column, where = again.arg.to_expr(), None if again.where is None else again.where.to_expr()
        total = column.cast(EXACT).sum(where=where).cast("float64")
        if isinstance(again, ops.Mean):
            total = total / column.count(where=where).nullif(0)
        return total.op()

    return expression.op().replace(added).to_expr()


def _fits(found: dt.DataType, declared: FeatureType) -> bool:
    match declared:
        case "int":
            return bool(found.is_integer() or found.is_boolean())
        case "float":
            return bool(found.is_numeric())
        case "string":
            return bool(found.is_string())


def _message(error: Exception) -> str:
    """Return the error's name, and its message where that cannot quote a value."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, AttributeError | NameError | SyntaxError | ImportError) else name


def _line(error: Exception, path: Path) -> int:
    """Return the line of the file at which it failed."""
    if isinstance(error, SyntaxError) and error.lineno:
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return (lines[-1] if lines else None) or 1
