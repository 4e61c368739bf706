"""Which part holds each training row out: a customer is never on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadData


def assign(
    target: NDArray[np.float64], *, groups: Sequence[Any] | NDArray[Any] | None, folds: int, seed: int
) -> NDArray[np.int64]:
    """Return the part of each row, stratified by whether its group has a positive.

    Parameters
    ----------
    target : array of shape (rows,), 0 or 1
    groups : the customer of each row; rows of one customer share a part. None: each row is its own group
    folds : parts asked; fewer are made where there are fewer groups of the rarer kind

    Raises
    ------
    BadData : ``label.few_groups`` if not every part can hold both labels
    """
    if groups is not None and len(groups) != len(target):
        raise BadData("label.groups", f"{len(groups)} groups for {len(target)} rows")
    _, member = np.unique(np.arange(len(target)) if groups is None else np.asarray(groups), return_inverse=True)
    positive = np.bincount(member, weights=target) > 0
    rare = int(min(positive.sum(), (~positive).sum()))
    parts = min(folds, rare) if rare else min(folds, len(positive))
    if parts < 2:
        raise BadData(
            "label.few_groups",
            f"{len(positive)} customers cannot be split into parts that hold both labels",
            hint="widen the population or add earlier cutoffs",
        )
    shuffle = np.random.default_rng(seed)
    part = np.empty(len(positive), dtype=np.int64)
    for kind in (True, False):
        chosen = np.flatnonzero(positive == kind)
        part[shuffle.permutation(chosen)] = np.arange(len(chosen)) % parts
    return part[member]
