"""Types of the arrays of the simulation, and their conversion to text and times."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Table = Any  # pyarrow.Table: pyarrow ships no types
Text = Any  # pyarrow.StringArray

NEVER = np.iinfo(np.int64).max
"""A time (seconds since 1970) that is never reached."""

Rows = TypeVar("Rows")


def stacked(parts: Sequence[Rows]) -> Rows:
    """Return one dataclass of arrays from many of the same kind, end to end."""
    kind: Any = type(parts[0])
    names = [field.name for field in dataclasses.fields(kind)]
    joined: Rows = kind(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
    return joined


def chosen(rows: Rows, keep: Flags | Ints) -> Rows:
    """Return the rows of a dataclass of arrays that a mask or an index picks."""
    kind: Any = type(rows)
    picked: Rows = kind(**{field.name: getattr(rows, field.name)[keep] for field in dataclasses.fields(kind)})
    return picked


def text(values: npt.NDArray[Any] | Sequence[str]) -> Text:
    """Return an Arrow text array: numbers written out, text as it is."""
    array = pa.array(values)
    return array if pa.types.is_string(array.type) else pc.cast(array, pa.string())


def padded(numbers: Ints, *, width: int) -> Text:
    """Return whole numbers as text with leading zeros.

    Examples
    --------
    >>> padded(np.array([7, 42]), width=3).to_pylist()
    ['007', '042']
    """
    return pc.utf8_lpad(text(numbers), width=width, padding="0")


def joined(*parts: Text | str, between: str = "") -> Text:
    """Return texts joined element by element.

    Examples
    --------
    >>> joined(pa.array(["a", "b"]), "!", between=" ").to_pylist()
    ['a !', 'b !']
    """
    return pc.binary_join_element_wise(*parts, between)


def word(words: Sequence[str], codes: Ints) -> Text:
    """Return the word of each code.

    Examples
    --------
    >>> word(("no", "yes"), np.array([1, 0])).to_pylist()
    ['yes', 'no']
    """
    return pa.array(words, pa.string()).take(pa.array(codes))


def instants(seconds: Ints, *, missing: Flags | None = None) -> Any:
    """Return UTC timestamps from seconds since 1970; ``NEVER`` and masked ones are null."""
    empty = seconds == NEVER if missing is None else missing | (seconds == NEVER)
    return pa.array(np.where(empty, 0, seconds), pa.timestamp("s", "UTC"), mask=empty)


def wall_clock(seconds: Ints, *, missing: Flags | None = None, zone: str = "Europe/London") -> Any:
    """Return naive local timestamps, as a system without a time zone would write them."""
    empty = seconds == NEVER if missing is None else missing | (seconds == NEVER)
    utc = pd.to_datetime(np.where(empty, 0, seconds), unit="s", utc=True)
    local = utc.tz_convert(zone).tz_localize(None).to_numpy().astype("datetime64[s]")
    return pa.array(local, pa.timestamp("s"), mask=empty)


def days(seconds: Ints, *, missing: Flags | None = None) -> Any:
    """Return dates from seconds since 1970; ``NEVER`` and masked ones are null."""
    empty = seconds == NEVER if missing is None else missing | (seconds == NEVER)
    return pa.array((np.where(empty, 0, seconds) // 86_400).astype(np.int32), pa.int32(), mask=empty).cast(pa.date32())
