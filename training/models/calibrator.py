"""Fit the calibration of a model's scores, and choose the method that predicts held-out rows best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit
from sklearn.isotonic import IsotonicRegression

from training.models.calibration_table import EDGE, IDENTITY, METHODS, CalibrationTable, Method
from training.models.logistic_fit import fit_logistic, log_losses
from training.models.parts import Part, Parts, Rows

Array = NDArray[np.float64]
MIN_GAIN = 2e-4  # nats per row that a more flexible method must win before it displaces a simpler one
SURE = 3.0  # standard errors between the predicted and the observed share that are called drift
TILT = 1e-6  # log-odds per log-odds by which isotonic pools rise inside, so that no two customers are tied


@dataclass(frozen=True)
class CalibrationCheck:
    """How a calibration learnt before a part of the rows predicted that part: shares of positives.

    Parameters
    ----------
    predicted, observed : the mean probability, and the share of positives
    error : standard error of their difference when the probabilities are right
    rows : of the part
    """

    predicted: float
    observed: float
    error: float
    rows: int

    @property
    def drifts(self) -> bool:
        """Whether the difference is more than chance.

        Examples
        --------
        >>> CalibrationCheck(predicted=0.10, observed=0.16, error=0.01, rows=900).drifts
        True
        """
        return abs(self.observed - self.predicted) > SURE * self.error


@dataclass(frozen=True)
class Calibrated:
    """The chosen calibration, and how the choice did on each part that followed.

    Parameters
    ----------
    table : the calibration
    recent : whether it was fitted on the latest part alone, because that predicted later rows better
    checks : forward in time, one for each part that was predicted from the rows before it; else one for all rows
    """

    table: CalibrationTable
    recent: bool
    checks: tuple[CalibrationCheck, ...]

    @property
    def drift(self) -> str:
        """Return a sentence on the parts whose share of positives was not as predicted; empty where there is none.

        Examples
        --------
        >>> check = CalibrationCheck(predicted=0.10, observed=0.16, error=0.01, rows=900)
        >>> Calibrated(IDENTITY, recent=False, checks=(check,)).drift
        '1 of 1 later parts differ from their prediction; the latest: 10.0 % predicted, 16.0 % observed'
        """
        moved = [check for check in self.checks if check.drifts]
        if not moved:
            return ""
        last = self.checks[-1]
        return (
            f"{len(moved)} of {len(self.checks)} later parts differ from their prediction; "
            f"the latest: {last.predicted:.1%} predicted, {last.observed:.1%} observed".replace("%", " %")
        )


@dataclass(frozen=True)
class _Trial:
    """One way to calibrate: its method, the rows it is fitted on, and how it predicted each later part."""

    method: Method
    recent: bool
    log_odds: Array  # NaN for rows that are never predicted


def fit(raw: Array, target: Array, *, parts: Parts, weight: Array | None = None) -> Calibrated:
    """Choose and fit the calibration that predicts held-out rows best.

    Each method is fitted on the rows learnt from for a part and judged on the part by log loss; a more flexible
    method must win by ``MIN_GAIN`` per row over the simpler ones, so that noise alone does not bend the scores.
    Forward in time each is also fitted on the latest part before the judged one alone: where the share of
    positives drifts, that predicts better.

    Parameters
    ----------
    raw : array of shape (rows,), log-odds from models that have not seen the row; NaN where there are none
    target : array of shape (rows,), 0 or 1
    parts : which rows are held out in turn
    weight : array of shape (rows,), optional

    References
    ----------
    Platt (1999); Zadrozny and Elkan (2002); Kull, Silva Filho and Flach (2017); Guo et al. (2017) on temperature.
    """
    weights = np.ones(len(raw)) if weight is None else weight
    scored = np.isfinite(raw)
    trials = [
        _Trial(method, recent, _predicted(method, raw, target, weights, parts, scored, recent=recent))
        for recent in ((False, True) if parts.forward else (False,))
        for method in (METHODS[1:] if recent else METHODS)
    ]
    common = np.logical_and.reduce([np.isfinite(trial.log_odds) for trial in trials])  # all are judged on these
    chosen, least = trials[0], np.inf
    for trial in trials if common.any() else ():
        loss = float(np.average(log_losses(trial.log_odds[common], target[common]), weights=weights[common]))
        if loss < least - (MIN_GAIN if np.isfinite(least) else 0.0):
            chosen, least = trial, loss
    final = parts.parts[-1].held if chosen.recent else np.flatnonzero(scored)
    table = fit_method(chosen.method, raw[final], target[final], weights[final])
    return Calibrated(table, chosen.recent, tuple(_checks(chosen, target, parts)))


def _predicted(
    method: Method,
    raw: Array,
    target: Array,
    weight: Array,
    parts: Parts,
    scored: NDArray[np.bool_],
    *,
    recent: bool,
) -> Array:
    """Return calibrated log-odds of each part by the rows learnt from for it; NaN where there are none."""
    log_odds = np.full(len(raw), np.nan)
    for known, part in _judged(parts, scored, recent=recent):
        table = fit_method(method, raw[known], target[known], weight[known])
        log_odds[part.held] = table.log_odds(raw[part.held])
    return log_odds


def blend_share(first: Array, second: Array, target: Array, *, weight: Array) -> float:
    """Return the share of the second model in a blend of log-odds; 0 where it predicts held-out rows no better.

    The shares are tenths: fitted weights would be less sure than the models they weigh, where positives are few.

    Parameters
    ----------
    first, second : arrays of shape (rows,), log-odds from models that have not seen the row, NaN where there are none

    Examples
    --------
    >>> target, sure = np.tile([0.0, 1.0], 50), np.tile([-2.0, 2.0], 50)
    >>> blend_share(np.zeros(100), sure, target, weight=np.ones(100)), blend_share(
    ...     sure, np.zeros(100), target, weight=np.ones(100)
    ... )
    (0.9, 0.0)
    """
    scored = np.isfinite(first) & np.isfinite(second)
    ours, theirs, answers = first[scored], second[scored], target[scored]
    shares = np.arange(10) / 10
    blends = [(1 - share) * ours + share * theirs for share in shares]
    losses = [float(np.average(log_losses(blend, answers), weights=weight[scored])) for blend in blends]
    best = int(np.argmin(losses))
    return float(shares[best]) if losses[best] < losses[0] - MIN_GAIN else 0.0


def _judged(parts: Parts, scored: NDArray[np.bool_], *, recent: bool) -> Iterator[tuple[Rows, Part]]:
    """Yield the rows to fit on and the part to judge on; a part with no scored row before it is passed over."""
    before: Rows | None = None
    for part in parts:
        known = part.train[scored[part.train]]
        if recent:
            known = np.intersect1d(known, before) if before is not None else known[:0]
        if len(known):
            yield known, part
        before = part.held


def _checks(chosen: _Trial, target: Array, parts: Parts) -> Iterator[CalibrationCheck]:
    each = [part.held for part in parts]
    for held in each if parts.forward else [np.concatenate(each)]:
        rows = held[np.isfinite(chosen.log_odds[held])]
        if len(rows):
            p = IDENTITY.apply(chosen.log_odds[rows])
            error = float(np.sqrt((p * (1 - p)).sum()) / len(rows))
            yield CalibrationCheck(float(p.mean()), float(target[rows].mean()), error, len(rows))


def fit_method(method: Method, raw: Array, target: Array, weight: Array) -> CalibrationTable:
    """Return one method's knots, fitted on all rows given.

    Examples
    --------
    >>> raw, target = np.repeat([-1.0, 1.0], 50), np.tile([1.0, 0.0, 0.0, 0.0, 0.0], 20)
    >>> table = fit_method("isotonic", raw, target, np.ones(100))
    >>> table.apply(raw[:1]).round(3).tolist()
    [0.2]
    """
    raw = np.clip(raw, -EDGE + 1.0, EDGE - 1.0)
    ends = np.array([-EDGE, EDGE])
    match method:
        case "identity":
            return IDENTITY
        case "temperature":
            (slope,) = _slopes(raw[:, None], target, weight, shifts=False)[:-1]
            return _table(method, ends, slope * ends)
        case "platt":
            slope, shift = _slopes(raw[:, None], target, weight)
            return _table(method, ends, slope * ends + shift)
        case "beta":
            a, b, shift = _slopes(np.column_stack([log_expit(raw), -log_expit(-raw)]), target, weight)
            knots = np.concatenate([[-EDGE, -20.0], np.linspace(-12.0, 12.0, 193), [20.0, EDGE]])
            return _table(method, knots, a * log_expit(knots) - b * log_expit(-knots) + shift)
        case "isotonic":
            return _isotonic(raw, target, weight)


def _slopes(design: Array, target: Array, weight: Array, *, shifts: bool = True) -> Array:
    """Return slopes above zero, so that the order is kept, and the shift, 0 where it is fixed."""
    slopes = design.shape[1]
    edge = EDGE if shifts else 0.0
    low, high = np.append(np.full(slopes, 1e-3), -edge), np.append(np.full(slopes, 100.0), edge)
    return fit_logistic(design, target, weight, low=low, high=high, start=np.append(np.ones(slopes), 0.0))


def _isotonic(raw: Array, target: Array, weight: Array) -> CalibrationTable:
    """Fit scikit-learn's isotonic regression; a knot stands at each end of a pool.

    A pool rises inside by ``TILT`` only: every score in it keeps the pool's rate, and customers their order. The
    rate is drawn towards the mean of all rows by one row, which keeps a pure pool off 0 and 1.
    """
    fitted = IsotonicRegression().fit_transform(raw, target, sample_weight=weight)
    _, pool = np.unique(fitted, return_inverse=True)
    mass, hits = (np.bincount(pool, weights=values) for values in (weight, weight * target))
    first, last = np.full(len(mass), np.inf), np.full(len(mass), -np.inf)
    np.minimum.at(first, pool, raw)
    np.maximum.at(last, pool, raw)
    unit, mean = weight.mean(), target @ weight / weight.sum()
    rate = np.maximum.accumulate((hits + mean * unit) / (mass + unit))
    level = np.log(rate) - np.log1p(-rate)
    # the ends of a pool in turn; one score alone has one knot
    x = np.column_stack([first, last]).ravel()
    y = np.column_stack([level + TILT * (first - last) / 2, level + TILT * (last - first) / 2]).ravel()
    distinct = np.append(True, np.diff(x) > 1e-9)
    x, y = x[distinct], np.maximum.accumulate(y[distinct])
    # outside the rows seen, a step in raw log-odds is a step in calibrated ones
    return _table(
        "isotonic",
        np.concatenate([[-EDGE], x, [EDGE]]),
        np.concatenate([[y[0] - x[0] - EDGE], y, [y[-1] + EDGE - x[-1]]]),
    )


def _table(method: Method, raw: Array, calibrated: Array) -> CalibrationTable:
    rising = np.maximum.accumulate(calibrated)
    return CalibrationTable(method, tuple(raw.tolist()), tuple(rising.tolist()))
