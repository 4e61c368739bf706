"""A calibrated probability of one thing: LightGBM, blended with a sum of curves where that helps, and calibrated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadData
from training.models import additive_fit, booster, calibrator, held_out, target_statistics, tuning
from training.models.additive_table import AdditiveTable
from training.models.booster import BoosterSettings, Task, Trees
from training.models.calibrator import Calibrated
from training.models.feature_encoding import Encoding, Matrix
from training.models.scorers import Classifier
from training.models.target_statistics import TargetStatistics
from training.models.tuning import Search, Tuned

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Direction = Literal["up", "down"]
DEFAULTS = BoosterSettings()
MOST_NUMBERS = 4_000_000  # rows × features from which a blend is not tried: it helps small tables, and costs time


@dataclass(frozen=True)
class Learned:
    """What a classifier is made of, and how each part was chosen.

    Parameters
    ----------
    trees, additive, statistics : as `Classifier` holds them
    calibrated : the calibration and how it did on held-out rows
    held_out : calibrated probability of each training row by models that did not see its part, NaN where no model
        did; the calibration did see them: judge a model on rows of its own, not by these
    settings, rounds : of the trees
    tuned : the search for the settings; None where none was made
    """

    trees: Trees
    additive: AdditiveTable | None
    statistics: TargetStatistics
    calibrated: Calibrated
    held_out: Array
    settings: BoosterSettings
    rounds: int
    tuned: Tuned | None

    def classifier(self, encoding: Encoding) -> Classifier:
        """Return what scores rows that ``encoding`` made."""
        return Classifier(encoding, self.trees, self.calibrated.table, self.statistics, self.additive)


def fit(
    frame: pd.DataFrame,
    target: Sequence[Any] | Array,
    *,
    weight: Sequence[float] | Array | None = None,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    times: Sequence[Any] | NDArray[Any] | None = None,
    embargo: timedelta | float | None = None,
    monotone: Mapping[str, Direction] | None = None,
    settings: BoosterSettings = DEFAULTS,
    search: Search | None = None,
    advance: Callable[[], None] = lambda: None,
    seed: int,
) -> Classifier:
    """Learn the probability that ``target`` is 1; see `learn` for the parameters.

    Examples
    --------
    >>> model = fit(frame, churned, groups=frame_customers, seed=7)           # doctest: +SKIP
    >>> model.score(model.encoding.matrix(tomorrow))                          # doctest: +SKIP
    """
    encoding, learned = learn(
        frame,
        target,
        weight=weight,
        groups=groups,
        times=times,
        embargo=embargo,
        monotone=monotone,
        settings=settings,
        search=search,
        advance=advance,
        seed=seed,
    )
    return learned.classifier(encoding)


def learn(
    frame: pd.DataFrame,
    target: Sequence[Any] | Array,
    *,
    weight: Sequence[float] | Array | None = None,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    times: Sequence[Any] | NDArray[Any] | None = None,
    embargo: timedelta | float | None = None,
    monotone: Mapping[str, Direction] | None = None,
    settings: BoosterSettings = DEFAULTS,
    search: Search | None = None,
    advance: Callable[[], None] = lambda: None,
    seed: int,
) -> tuple[Encoding, Learned]:
    """Learn the probability that ``target`` is 1, and return how with it.

    The rows are held out in turn: by customer, or forward in time where times are given and long enough. Trees
    grown without a part score it: those scores choose the settings, the number of trees, whether a sum of curves
    is blended in, and the calibration; then all is fitted once more on every row.

    Parameters
    ----------
    frame : features, one row per (customer, cutoff)
    target : array of shape (rows,), 0 or 1
    weight : array of shape (rows,), positive; optional
    groups : the customer of each row; None if each row is its own customer
    times : the moment or ordinal number of each row, to hold out later rows instead of other customers
    embargo : how long after its time a row's outcome is known
    monotone : columns whose rise may only raise (``up``) or lower (``down``) the score
    settings : how trees are grown
    search : for better settings; None keeps those given
    advance : called after each trial of the search
    seed : decides the parts and LightGBM's samples; same seed, same model text

    Raises
    ------
    BadData : ``label.*``, ``features.*``, ``weight.values``, ``monotone.column``
    """
    answers = labels(target, rows=len(frame), min_positives=settings.min_positives)
    encoding = Encoding.fit(frame, max_levels=max(settings.max_levels, settings.max_share_levels))
    many = {
        at: len(encoding.columns[at].levels) + 1
        for at in encoding.categorical
        if len(encoding.columns[at].levels) > settings.max_levels
    }
    learned = fit_matrix(
        encoding.matrix(frame),
        answers,
        categorical=encoding.categorical,
        many_levels=many,
        monotone=directions(encoding, monotone or {}),
        weight=None if weight is None else np.asarray(weight, dtype=np.float64),
        groups=groups,
        times=times,
        embargo=embargo,
        blend=True,
        settings=settings,
        search=search,
        advance=advance,
        seed=seed,
    )
    return encoding, learned


def fit_matrix(
    matrix: Matrix,
    target: Array,
    *,
    categorical: Sequence[int],
    many_levels: Mapping[int, int] | None = None,
    monotone: Sequence[int] = (),
    weight: Array | None = None,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    times: Sequence[Any] | NDArray[Any] | None = None,
    embargo: timedelta | float | None = None,
    blend: bool = False,
    settings: BoosterSettings = DEFAULTS,
    search: Search | None = None,
    advance: Callable[[], None] = lambda: None,
    seed: int,
) -> Learned:
    """Learn from numbers that are already encoded; see `learn`.

    Parameters
    ----------
    categorical : positions of the features that are codes
    many_levels : of these, position → number of codes of those that are learnt as shares of positives
    monotone : 1, -1 or 0 for each feature; empty when none is constrained
    blend : whether a sum of curves is tried beside the trees
    """
    if weight is not None and not (weight.shape == target.shape and np.isfinite(weight).all() and (weight > 0).all()):
        raise BadData("weight.values", "weights must be positive, finite, and one per row")
    counts = np.ones(len(target)) if weight is None else weight
    number = settings.parts(len(target))
    forward = None
    if times is not None:
        forward = held_out.forward_in_time(target, times, number=number, embargo=embargo)
    parts = forward or held_out.by_customer(target, groups=groups, number=number, seed=seed)
    statistics, numbers = target_statistics.fit(matrix, target, columns=many_levels or {}, parts=parts, weight=counts)
    codes = [at for at in categorical if at not in (many_levels or {})]
    task = Task(numbers, target, parts, codes, weight, monotone)
    found = None
    if search is not None and search.trials:
        found = tuning.tune(task, settings=settings, search=search, seed=seed, advance=advance)
        settings = found.settings
    raw, rounds = booster.cross_fit(task, settings=settings, seed=seed)
    additive = None
    if blend and numbers.size <= MOST_NUMBERS:
        raw, additive = _blended(raw, task, counts, seed=seed)
    calibrated = calibrator.fit(raw, target, parts=parts, weight=weight)
    trees = booster.train(task, rounds=rounds, settings=settings, seed=seed)
    probability = calibrated.table.apply(raw)
    return Learned(trees, additive, statistics, calibrated, probability, settings, rounds, found)


def _blended(raw: Array, task: Task, weight: Array, *, seed: int) -> tuple[Array, AdditiveTable | None]:
    """Return the held-out log-odds of trees and curves together, and the curves; the trees' where those do."""
    fitted = additive_fit.fit(
        task.matrix,
        task.target,
        parts=task.parts,
        categorical=task.categorical,
        monotone=task.monotone,
        weight=weight,
        seed=seed,
    )
    share = calibrator.blend_share(raw, fitted.held_out, task.target, weight=weight)
    if share == 0.0:
        return raw, None
    return (1 - share) * raw + share * fitted.held_out, replace(fitted.table, share=share)


def directions(encoding: Encoding, monotone: Mapping[str, Direction]) -> tuple[int, ...]:
    """Return 1, -1 or 0 for each feature; empty when none is constrained.

    Raises
    ------
    BadData : ``monotone.column`` : no such feature, or a category

    Examples
    --------
    >>> from training.models.feature_encoding import Column
    >>> directions(Encoding((Column("age", "numeric"), Column("calls", "numeric"))), {"calls": "up"})
    (0, 1)
    """
    numeric = {column.name for column in encoding.columns if column.kind == "numeric"}
    for name in monotone:
        if name not in numeric:
            raise BadData(
                "monotone.column",
                "this is a category, which has no order" if name in encoding.names else "there is no such feature",
                where=name,
                hint="declare a direction for numeric features only",
            )
    if not monotone:
        return ()
    return tuple({"up": 1, "down": -1}.get(monotone.get(name, ""), 0) for name in encoding.names)


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
