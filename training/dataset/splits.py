"""How rows are held out: later cutoffs with an embargo, or whole customers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadData
from training.dataset import folds
from training.dataset.frame import Frame
from training.dataset.leaks.leak_report import ExaminedFrame, LeakLimits, examine_splits
from training.labels.label_settings import ModelSettings, Validation

Rows = NDArray[np.bool_]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Fold:
    """One judgement: rows to learn from, later or other rows to judge by.

    Parameters
    ----------
    name : the test cutoff, or the number of the part
    train, test : masks of shape (rows,)
    """

    name: str
    train: Rows
    test: Rows


def is_by_customer(settings: ModelSettings, validation: Validation) -> bool:
    """Return whether whole customers are held out, as declared, or as a label without later cutoffs needs it.

    Examples
    --------
    >>> settings = ModelSettings(label={"kind": "recorded", "field": "crm.left", "positive": "yes"})
    >>> is_by_customer(settings, Validation())
    True
    """
    return validation.scheme == "customer" or not settings.label.in_time


def split(frame: Frame, settings: ModelSettings, validation: Validation, *, embargo: timedelta) -> list[Fold]:
    """Return a model's folds: forward in time, or by customer.

    Parameters
    ----------
    frame : the rows
    settings, validation : as declared; how many folds of which kind, and the seed of a split by customer
    embargo : from a cutoff to the end of its outcome window

    Raises
    ------
    BadData : the rows cannot be split
    """
    if is_by_customer(settings, validation):
        return by_customer(frame, parts=validation.folds, seed=settings.seed)
    return by_time(frame, parts=validation.folds, embargo=embargo)


def check_split(
    frame: Frame, folds: Sequence[Fold], settings: ModelSettings, validation: Validation, limits: LeakLimits
) -> Frame:
    """Return the frame, with LK005 answered in its leak report where the split is by customer."""
    if not is_by_customer(settings, validation):
        return frame
    examined = ExaminedFrame(
        rows=frame.rows, features=frame.features, splits=[(fold.train, fold.test) for fold in folds]
    )
    return replace(frame, leaks=frame.leaks.with_result(examine_splits(examined, limits)))


def by_time(frame: Frame, *, parts: int, embargo: timedelta) -> list[Fold]:
    """Return one fold for each of the last `parts` cutoffs, each learnt from what was known by then.

    A cutoff may be learnt from only when its outcome window had closed at the test cutoff: that is the embargo.

    Parameters
    ----------
    frame : the rows
    parts : test cutoffs; fewer where there is too little history
    embargo : from a cutoff to the end of its outcome window

    Raises
    ------
    BadData : when not even the last cutoff has closed ones before it
    """
    cutoffs = frame.cutoffs
    gap = np.timedelta64(embargo // timedelta(microseconds=1), "us")
    moments = np.unique(cutoffs)
    chosen = [
        Fold(str(moment.astype("datetime64[D]")), cutoffs + gap <= moment, cutoffs == moment)
        for moment in moments[-parts:]
        if (cutoffs + gap <= moment).any()
    ]
    if not chosen:
        raise BadData(
            "split.no_fold",
            f"{len(moments)} cutoffs, and none lies {embargo.days} days after another",
            hint="take more snapshots, shorten the horizon, or deliver a longer history",
        )
    return chosen


def recency_weights(frame: Frame, *, half_life: timedelta | None) -> Array | None:
    """Return how much each row counts: one of the latest cutoff 1, one older by `half_life` a half.

    What customers do drifts with season and assortment, so the trees and the calibration lean on what closed last.

    Parameters
    ----------
    frame : the rows that are learnt from
    half_life : None when all count alike
    """
    if half_life is None:
        return None
    cutoffs = frame.cutoffs
    age = (cutoffs.max() - cutoffs) / np.timedelta64(half_life // timedelta(microseconds=1), "us")
    return np.asarray(0.5**age, dtype=np.float64)


def by_customer(frame: Frame, *, parts: int, seed: int) -> list[Fold]:
    """Return folds in which no customer is both learnt from and judged by."""
    each = frame.target.reshape(len(frame.rows), -1)
    taken = np.asarray(np.nanmax(each, axis=1), dtype=np.float64)  # of categories, any
    part = folds.assign(taken, groups=frame.customers, folds=parts, seed=seed)
    return list(_parts(part))


def _parts(part: NDArray[np.int64]) -> Iterator[Fold]:
    for number in range(int(part.max()) + 1):
        yield Fold(f"part {number + 1}", part != number, part == number)
