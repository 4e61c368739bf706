"""The part in which each training row is held out: a customer is never in two parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from features.base.errors import BadData


def assign(
    target: NDArray[np.float64], *, groups: Sequence[Any] | NDArray[Any] | None, folds: int, seed: int
) -> NDArray[np.int64]:
    """Return the part of each row, stratified by label (scikit-learn's ``StratifiedGroupKFold``).

    Parameters
    ----------
    target : array of shape (rows,), 0 or 1
    groups : the customer of each row; rows of one customer share a part. None: each row is its own group
    folds : parts wanted; fewer are made where not every one could hold both labels
    seed : of the shuffle

    Raises
    ------
    BadData : ``label.few_groups`` if not even two parts can hold both labels

    Examples
    --------
    >>> customers = ["ann", "ann", "bob", "bob", "cem", "cem", "dee", "dee"]
    >>> part = assign(np.array([1.0, 1, 0, 0, 1, 0, 0, 0]), groups=customers, folds=2, seed=1)
    >>> [int(number) for number in np.bincount(part)], bool(part[0] == part[1])
    ([4, 4], True)
    """
    if groups is not None and len(groups) != len(target):
        raise BadData("label.groups", f"{len(groups)} groups for {len(target)} rows")
    _, member = np.unique(np.arange(len(target)) if groups is None else np.asarray(groups), return_inverse=True)
    positive = np.bincount(member, weights=target) > 0
    rare = int(min(positive.sum(), (~positive).sum()))
    single = len(positive) == len(target)
    for parts in range(min(folds, rare) if rare else min(folds, len(positive)), 1, -1):
        part = np.empty(len(target), dtype=np.int64)
        if single:
            halves = StratifiedKFold(n_splits=parts, shuffle=True, random_state=seed).split(target, target)
        else:
            by_group = StratifiedGroupKFold(n_splits=parts, shuffle=True, random_state=seed)
            halves = by_group.split(target, target, member)
        for number, (_, held_out) in enumerate(halves):
            part[held_out] = number
        hits, rows = np.bincount(part, weights=target, minlength=parts), np.bincount(part, minlength=parts)
        if (rows > 0).all() and (not rare or ((hits > 0) & (hits < rows)).all()):
            return part
    raise BadData(
        "label.few_groups",
        f"{len(positive)} customers cannot be split into parts that hold both labels",
        hint="widen the population or add earlier cutoffs",
    )
