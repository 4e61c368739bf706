"""Encode feature columns as one float64 matrix, in training and in serving alike (numpy only)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from math import isinf, isnan
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadData

if TYPE_CHECKING:
    import pandas as pd

Matrix = NDArray[np.float64]
Kind = Literal["numeric", "categorical"]
_NUMERIC_KINDS = "fiub"
_TEXT_KINDS = "OUST"
_MISSING_TYPES = frozenset({"NoneType", "NAType", "NaTType"})  # pandas' own, without importing pandas


@dataclass(frozen=True)
class Column:
    """How one feature becomes a number.

    A categorical value becomes the position of its level. ``other``: training also met levels too
    rare to keep: they, and levels never met, share the code ``len(levels)``. Without it (every level was kept)
    a level never met is missing, because no tree could have learnt anything about it.
    """

    name: str
    kind: Kind
    levels: tuple[str, ...] = ()
    other: bool = False

    @cached_property
    def codes(self) -> dict[str, float]:
        return {level: float(code) for code, level in enumerate(self.levels)}

    @property
    def unseen(self) -> float:
        return float(len(self.levels)) if self.other else np.nan

    def decode(self, value: float) -> float | str | None:
        """Return what stood in the column: a number, a level, ``"other"``, or ``None`` for missing.

        Examples
        --------
        >>> city = Column("city", "categorical", levels=("Bath", "York"), other=True)
        >>> [city.decode(code) for code in (1.0, 2.0, float("nan"))]
        ['York', 'other', None]
        """
        if isnan(value):
            return None
        if self.kind == "numeric":
            return float(value)
        return self.levels[int(value)] if int(value) < len(self.levels) else "other"


@dataclass(frozen=True)
class Encoding:
    """The ordered features of a model and how each becomes a number."""

    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def categorical(self) -> tuple[int, ...]:
        """Return the positions of the categorical features."""
        return tuple(at for at, column in enumerate(self.columns) if column.kind == "categorical")

    @classmethod
    def fit(cls, frame: pd.DataFrame, *, max_levels: int = 64, min_count: int = 5) -> Encoding:
        """Learn the kind of each column, and the levels of the categorical ones, from training rows.

        Parameters
        ----------
        frame : training rows; every column becomes a feature, in this order
        max_levels : the most frequent levels that are kept per column
        min_count : a level with fewer rows is not kept (nothing to learn, and it may identify a person)

        Raises
        ------
        BadData : ``features.none``, ``features.duplicate``, ``features.type`` (a date, a list, …)

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"age": [30, 40] * 5, "city": ["Bath", "York"] * 5})
        >>> [(column.name, column.kind, column.levels) for column in Encoding.fit(frame).columns]
        [('age', 'numeric', ()), ('city', 'categorical', ('Bath', 'York'))]
        """
        names = [str(name) for name in frame.columns]
        if not names:
            raise BadData("features.none", "there is no column to learn from", hint="declare features in views.yaml")
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise BadData("features.duplicate", f"two columns share a name: {', '.join(twice)}", where=twice[0])
        fitted = (_fit(name, frame.iloc[:, at], max_levels, min_count) for at, name in enumerate(names))
        return cls(tuple(fitted))

    def matrix(self, columns: Mapping[str, Sequence[Any]] | pd.DataFrame) -> Matrix:
        """Return the rows as numbers.

        Parameters
        ----------
        columns : a DataFrame, or feature name → values; ``None``, NaN and pandas' NA are missing.
            Columns that are no features are ignored.

        Returns
        -------
        array of shape (rows, features), float64, NaN for missing

        Raises
        ------
        BadData : ``features.missing``, ``features.length``, ``features.type``, ``features.infinite``

        Examples
        --------
        >>> encoding = Encoding((Column("age", "numeric"), Column("city", "categorical", ("Bath", "York"))))
        >>> encoding.matrix({"age": [30, None], "city": ["York", "Oslo"]})
        array([[30.,  1.],
               [nan, nan]])
        """
        absent = [name for name in self.names if name not in columns]
        if absent:
            raise BadData(
                "features.missing",
                f"{len(absent)} of {len(self.columns)} features are not there: {', '.join(absent[:5])}",
                where=absent[0],
                hint="rebuild the features, or train the model again on the ones that exist",
            )
        found = [columns[name] for name in self.names]
        rows = len(found[0])
        out = np.empty((rows, len(found)), dtype=np.float64)
        for at, (column, values) in enumerate(zip(self.columns, found, strict=True)):
            if len(values) != rows:
                raise BadData(
                    "features.length", f"{len(values)} values where {rows} rows are expected", where=column.name
                )
            out[:, at] = _numbers(column.name, values) if column.kind == "numeric" else _codes(column, values)
        _refuse_infinity(self.names, out)  # once for all columns: a single row must stay cheap to encode
        return out

    def select(self, names: Sequence[str]) -> Encoding:
        """Return the encoding of some of the features, in the given order.

        Examples
        --------
        >>> Encoding((Column("age", "numeric"), Column("spend", "numeric"))).select(["spend"]).names
        ('spend',)
        """
        by_name = {column.name: column for column in self.columns}
        return Encoding(tuple(by_name[name] for name in names))

    def to_json(self) -> list[dict[str, Any]]:
        return [{"name": c.name, "kind": c.kind, "levels": list(c.levels), "other": c.other} for c in self.columns]

    @classmethod
    def from_json(cls, document: Sequence[Mapping[str, Any]]) -> Encoding:
        """Return the encoding that ``to_json`` described.

        Raises
        ------
        BadData : ``encoding.document`` where it is not such a description
        """
        try:
            columns = tuple(
                Column(str(d["name"]), _kind(d["kind"]), tuple(str(level) for level in d["levels"]), bool(d["other"]))
                for d in document
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadData("encoding.document", "this does not describe an encoding") from error
        return cls(columns)


def _kind(value: object) -> Kind:
    if value == "numeric":
        return "numeric"
    if value == "categorical":
        return "categorical"
    raise ValueError(value)


def _fit(name: str, series: pd.Series[Any], max_levels: int, min_count: int) -> Column:
    kind = series.dtype.kind
    if series.dtype.name == "category":
        values = series.tolist()
    elif kind in _NUMERIC_KINDS:
        return Column(name, "numeric")
    elif kind in _TEXT_KINDS:
        values = series.tolist()
        # declared text stays text where no row fills it: it may be filled by the time the model is used
        if series.dtype.name != "string" and all(
            isinstance(value, (int, float, Decimal, np.number, np.bool_)) for value in values if not _missing(value)
        ):
            return Column(name, "numeric")
    else:
        raise BadData(
            "features.type",
            f"a column of type {series.dtype} is no feature",
            where=name,
            hint="derive a number from it (days until the cutoff, for example) or exclude it",
        )
    counts = Counter(_level(name, value) for value in values if not _missing(value))
    frequent = sorted(counts, key=lambda level: (-counts[level], level))
    kept = [level for level in frequent[:max_levels] if counts[level] >= min_count]
    return Column(name, "categorical", tuple(kept), other=len(kept) < len(counts))


def _missing(value: object) -> bool:
    if type(value).__name__ in _MISSING_TYPES:
        return True
    return isinstance(value, (float, np.floating)) and isnan(value)


def _level(name: str, value: object) -> str:
    """Return a level's one spelling: 3, 3.0 and numpy's 3 are one level, in training and when serving."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating, Decimal)):
        number = float(value)
        return str(int(number)) if number.is_integer() else repr(number)
    raise BadData(
        "features.type", f"a value of type {type(value).__name__} is no category", where=name, hint="exclude the column"
    )


def _numbers(name: str, values: Any) -> Matrix:
    array = np.asarray(values)
    if array.ndim != 1:
        raise BadData("features.type", "each row must hold one value", where=name)
    if array.dtype.kind in _NUMERIC_KINDS:
        out = array.astype(np.float64)
    elif array.dtype.kind == "O":
        out = np.array([_number(name, value) for value in array], dtype=np.float64)
    else:
        raise _not_a_number(name, str(array.dtype))
    return out


def _refuse_infinity(names: Sequence[str], matrix: Matrix) -> None:
    infinite = np.isinf(matrix)
    if infinite.any():
        count = infinite.sum(axis=0)
        at = int(count.argmax())
        raise BadData(
            "features.infinite",
            f"{int(count[at])} values are infinite",
            where=names[at],
            hint="a division by zero upstream? make them missing in the view's expression",
        )


def _number(name: str, value: object) -> float:
    if _missing(value):
        return np.nan
    if isinstance(value, (int, float, Decimal, np.number, np.bool_)):
        return float(value)
    raise _not_a_number(name, type(value).__name__)


def _not_a_number(name: str, kind: str) -> BadData:
    return BadData(
        "features.type",
        f"the model learnt numbers here and is given {kind}",
        where=name,
        hint="cast the column in the view, or train the model again",
    )


def _codes(column: Column, values: Any) -> Matrix:
    codes = column.codes
    unseen = column.unseen
    known: dict[object, float] = {}
    out = np.empty(len(values), dtype=np.float64)
    for at, value in enumerate(values.tolist() if hasattr(values, "tolist") else values):
        if isinstance(value, str):
            out[at] = codes.get(value, unseen)
        elif _missing(value):
            out[at] = np.nan
        else:
            if isinstance(value, float) and isinf(value):
                raise BadData("features.infinite", "a category is infinite", where=column.name)
            code = known.get(value)
            if code is None:
                code = known[value] = codes.get(_level(column.name, value), unseen)
            out[at] = code
    return out
