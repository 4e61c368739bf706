"""Which rows are learnt from and which are held out, in turn: by customer, or forward in time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.base.errors import BadData
from training.dataset import folds
from training.models.parts import Part, Parts

Array = NDArray[np.float64]
FEW = 10  # a part of fewer rows of one label judges nothing


def by_customer(target: Array, *, groups: Sequence[Any] | NDArray[Any] | None, number: int, seed: int) -> Parts:
    """Return parts in which no customer is both learnt from and held out; every row is held out once.

    Parameters
    ----------
    target : array of shape (rows,), 0 or 1
    groups : the customer of each row; None: each row is its own customer
    number : parts wanted

    Examples
    --------
    >>> parts = by_customer(np.array([1.0, 0, 1, 0]), groups=None, number=2, seed=1)
    >>> sorted(row for part in parts for row in part.held.tolist())
    [0, 1, 2, 3]
    """
    part = folds.assign(target, groups=groups, folds=number, seed=seed)
    return Parts(tuple(Part(np.flatnonzero(part != at), np.flatnonzero(part == at)) for at in np.unique(part)))


def forward_in_time(
    target: Array, times: Sequence[Any] | NDArray[Any], *, number: int, embargo: timedelta | float | None = None
) -> Parts | None:
    """Return parts that follow each other in time, each learnt from the rows before it; None where time is too short.

    The rows are cut into ``number`` + 1 blocks of about as many rows, equal times together; the first is only
    learnt from.

    Parameters
    ----------
    target : array of shape (rows,), 0 or 1
    times : array of shape (rows,), the moment or the ordinal number of each row
    number : parts wanted; those that hold too few rows of a label are left out
    embargo : how long after its time a row's outcome is known; later ones are not learnt from

    Raises
    ------
    BadData : ``label.times``

    Examples
    --------
    >>> parts = forward_in_time(np.tile([0.0, 1.0], 40), np.arange(80), number=3)
    >>> [(len(part.train), int(part.held[0])) for part in parts]
    [(20, 20), (40, 40), (60, 60)]
    """
    moment = np.asarray(times)
    if moment.shape != target.shape:
        raise BadData("label.times", f"{moment.size} times for {len(target)} rows")
    if pd.isna(moment).any():
        raise BadData("label.times", "a time is missing")
    distinct, rank, count = np.unique(moment, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - count / 2
    block = (middle * (number + 1) // len(moment)).astype(np.int64)[rank]
    known = moment if embargo is None else moment + embargo
    found = []
    for at in np.unique(block)[1:]:
        held = np.flatnonzero(block == at)
        start = distinct[rank[held].min()]
        train = np.flatnonzero((block < at) & (known <= start))
        if all(FEW <= target[rows].sum() <= len(rows) - FEW for rows in (train, held)):
            found.append(Part(train, held))
    return Parts(tuple(found), forward=True) if len(found) > 1 else None
