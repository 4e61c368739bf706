"""Fit a regularised logistic regression on piecewise linear curves, to be blended with trees where that helps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.models.additive_table import AdditiveTable, Curve
from training.models.logistic_fit import fit_logistic, log_losses
from training.models.parts import Parts, Rows

Array = NDArray[np.float64]
KNOTS = 6  # of a number's curve at most, at quantiles
PENALTIES = (100.0, 30.0, 10.0, 3.0, 1.0)
MOST_ROWS = 20_000  # are learnt from: so few coefficients need no more


@dataclass(frozen=True)
class _Basis:
    """How a feature becomes columns: a number one ramp between each two knots, a category one 0/1 column a code."""

    position: int
    knots: Array
    categorical: bool
    neutral: Array  # what stands in the columns where the value is missing
    has_missing: bool

    @property
    def width(self) -> int:
        return len(self.neutral) + self.has_missing

    def columns(self, values: Array) -> Array:
        missing = np.isnan(values)
        if self.categorical:
            found = (values[:, None] == self.knots).astype(np.float64)
        else:
            found = np.clip((values[:, None] - self.knots[:-1]) / np.diff(self.knots), 0.0, 1.0)
        found[missing] = self.neutral
        return np.column_stack([found, missing]) if self.has_missing else found

    def curve(self, coefficients: Array, mean: float) -> Curve:
        """Return the coefficients as a curve whose mean part is 0."""
        own = coefficients[: len(self.neutral)]
        parts = own if self.categorical else np.append(0.0, np.cumsum(own))
        missing = self.neutral @ own + (coefficients[-1] if self.has_missing else 0.0)
        return Curve(self.position, tuple(self.knots.tolist()), tuple((parts - mean).tolist()), float(missing - mean))


@dataclass(frozen=True)
class AdditiveFit:
    """A fitted table and the log-odds that tables learnt without a part gave it; NaN where there are none."""

    table: AdditiveTable
    held_out: Array


def fit(
    matrix: Array,
    target: Array,
    *,
    parts: Parts,
    categorical: Collection[int],
    monotone: Sequence[int],
    weight: Array,
    seed: int,
) -> AdditiveFit:
    """Return the table with the penalty that predicts held-out rows best.

    Parameters
    ----------
    matrix : array of shape (rows, features), NaN for missing
    target : array of shape (rows,), 0 or 1
    parts : which rows are held out in turn
    categorical : positions of features that are codes
    monotone : 1, -1 or 0 for each feature; empty when none is constrained
    weight : array of shape (rows,), positive
    seed : which rows are drawn where there are more than are learnt from
    """
    rng = np.random.default_rng(seed)
    bases = _bases(matrix, categorical)
    low, high = _bounds(bases, monotone)
    held_out = np.full((len(PENALTIES), len(target)), np.nan)
    for part in parts:
        rows = _drawn(part.train, rng)
        design = _design(bases, matrix[rows])
        theta = None
        judged = _design(bases, matrix[part.held])
        for at, penalty in enumerate(PENALTIES):
            theta = fit_logistic(design, target[rows], weight[rows], low=low, high=high, penalty=penalty, start=theta)
            held_out[at, part.held] = judged @ theta[:-1] + theta[-1]
    scored = np.isfinite(held_out[0])
    losses = [np.average(log_losses(raw[scored], target[scored]), weights=weight[scored]) for raw in held_out]
    best = int(np.argmin(losses))
    rows = _drawn(np.arange(len(target)), rng)
    design = _design(bases, matrix[rows])
    theta = fit_logistic(design, target[rows], weight[rows], low=low, high=high, penalty=PENALTIES[best])
    return AdditiveFit(_table(bases, theta, design), held_out[best])


def _bases(matrix: Array, categorical: Collection[int]) -> list[_Basis]:
    """Return the features that vary, with knots at quantiles of a number and at each code of a category."""
    bases = []
    for position in range(matrix.shape[1]):
        missing = np.isnan(matrix[:, position])
        known = matrix[~missing, position]
        codes = position in categorical
        knots = np.unique(known)
        if len(knots) > KNOTS and not codes:
            knots = np.unique(np.quantile(known, np.linspace(0.0, 1.0, KNOTS)))
        if len(knots) < 2 and not (len(knots) == 1 and missing.any()):
            continue
        if len(knots) < 2:  # only whether there is a value
            knots = np.append(knots, knots + 1.0)
        draft = _Basis(position, knots, codes, np.zeros(len(knots) if codes else len(knots) - 1), has_missing=False)
        neutral = draft.columns(known).mean(axis=0)
        bases.append(_Basis(position, knots, codes, neutral, bool(missing.any())))
    return bases


def _design(bases: Sequence[_Basis], matrix: Array) -> Array:
    return np.column_stack([np.empty((len(matrix), 0)), *(basis.columns(matrix[:, basis.position]) for basis in bases)])


def _bounds(bases: Sequence[_Basis], monotone: Sequence[int]) -> tuple[Array, Array]:
    low, high = [], []
    for basis in bases:
        direction = monotone[basis.position] if monotone else 0
        ramps = len(basis.neutral)
        low += [0.0 if direction > 0 else -np.inf] * ramps + [-np.inf] * basis.has_missing
        high += [0.0 if direction < 0 else np.inf] * ramps + [np.inf] * basis.has_missing
    return np.array([*low, -np.inf]), np.array([*high, np.inf])


def _table(bases: Sequence[_Basis], theta: Array, design: Array) -> AdditiveTable:
    base, at, curves = float(theta[-1]), 0, []
    means = design.mean(axis=0)
    for basis in bases:
        own = slice(at, at + basis.width)
        mean = float(means[own] @ theta[own])
        curves.append(basis.curve(theta[own], mean))
        base, at = base + mean, at + basis.width
    return AdditiveTable(base, tuple(curves))


def _drawn(rows: Rows, rng: np.random.Generator) -> Rows:
    return rows if len(rows) <= MOST_ROWS else np.sort(rng.choice(rows, MOST_ROWS, replace=False))
