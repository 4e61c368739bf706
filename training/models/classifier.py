"""A calibrated probability of one thing: LightGBM, stopped early and calibrated on rows held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadData
from training.dataset import folds
from training.models import booster, calibrator
from training.models.booster import BoosterSettings, Task, Trees
from training.models.calibration_table import CalibrationTable
from training.models.feature_encoding import Encoding, Matrix
from training.models.scorers import Classifier

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
DEFAULTS = BoosterSettings()


@dataclass(frozen=True)
class FittedTrees:
    """Trees and their calibration, with the held-out scores that both were chosen by."""

    trees: Trees
    calibration: CalibrationTable
    rounds: int
    held_out: Array
    """Calibrated probability of each training row by trees that did not see its customer, shape (rows,).

    The calibration did see them: judge a model on rows of its own, not by these."""


def fit(
    frame: pd.DataFrame,
    target: Sequence[Any] | Array,
    *,
    weight: Sequence[float] | Array | None = None,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    settings: BoosterSettings = DEFAULTS,
    seed: int,
) -> Classifier:
    """Learn the probability that ``target`` is 1.

    The rows are cut into parts by customer. Trees grown without a part score it: those held-out scores say
    how many trees to grow and which calibration fits; then the trees are grown once more on every row.

    Parameters
    ----------
    frame : features, one row per (customer, cutoff)
    target : array of shape (rows,), 0 or 1
    weight : array of shape (rows,), positive; optional
    groups : the customer of each row; None if each row is its own customer
    seed : decides the parts and LightGBM's samples; same seed, same model text

    Raises
    ------
    BadData : ``label.one_class``, ``label.few_positives``, ``label.values``, ``features.*``

    Examples
    --------
    >>> model = fit(frame, churned, groups=frame_customers, seed=7)           # doctest: +SKIP
    >>> model.score(model.encoding.matrix(tomorrow))                          # doctest: +SKIP
    """
    answers = labels(target, rows=len(frame), min_positives=settings.min_positives)
    encoding = Encoding.fit(frame, max_levels=settings.max_levels)
    fitted = fit_matrix(
        encoding.matrix(frame),
        answers,
        categorical=encoding.categorical,
        weight=None if weight is None else np.asarray(weight, dtype=np.float64),
        groups=groups,
        settings=settings,
        seed=seed,
    )
    return Classifier(encoding, fitted.trees, fitted.calibration)


def fit_matrix(
    matrix: Matrix,
    target: Array,
    *,
    categorical: Sequence[int],
    weight: Array | None = None,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    settings: BoosterSettings = DEFAULTS,
    seed: int,
) -> FittedTrees:
    """Learn from numbers that are already encoded; see `fit`."""
    if weight is not None and not (weight.shape == target.shape and np.isfinite(weight).all() and (weight > 0).all()):
        raise BadData("weight.values", "weights must be positive, finite, and one per row")
    fold = folds.assign(target, groups=groups, folds=settings.parts(len(target)), seed=seed)
    task = Task(matrix, target, fold, categorical, weight)
    raw, rounds = booster.cross_fit(task, settings=settings, seed=seed)
    calibrated = calibrator.fit(raw, target, fold=fold, weight=weight)
    trees = booster.train(task, rounds=rounds, settings=settings, seed=seed)
    return FittedTrees(trees, calibrated, rounds, calibrated.apply(raw))


def labels(target: Sequence[Any] | Array, *, rows: int, min_positives: int) -> Array:
    """Return the answers as 0.0 and 1.0, or refuse what cannot be learnt from.

    Raises
    ------
    BadData : ``label.values`` (length, missing, other than 0 and 1), ``label.one_class``, ``label.few_positives``

    Examples
    --------
    >>> labels([0, 1, 1, 0], rows=4, min_positives=2).tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    answers = np.asarray(target, dtype=np.float64)
    if answers.shape != (rows,):
        raise BadData("label.values", f"{answers.size} labels for {rows} rows")
    wrong = int((~np.isin(answers, (0.0, 1.0))).sum())
    if wrong:
        raise BadData("label.values", f"{wrong} labels are neither 0 nor 1", hint="drop rows without a label first")
    positive = int(answers.sum())
    rarer = min(positive, rows - positive)
    if rarer == 0:
        raise BadData(
            "label.one_class",
            f"all {rows} labels are {'1' if positive else '0'}",
            hint="check the label's horizon and population: nothing can be learnt from one outcome",
        )
    if rarer < min_positives:
        raise BadData(
            "label.few_positives",
            f"{positive} positive and {rows - positive} negative labels: {min_positives} of each are needed",
            hint="lengthen the horizon, widen the population, or lower min_positives knowingly",
        )
    return answers
