"""What each treatment changes for each customer: S-, T- and DR-learners over LightGBM, cross-fitted.

References
----------
Künzel, Sekhon, Bickel and Yu (2019), "Metalearners for estimating heterogeneous treatment effects" (S and T);
Kennedy (2023), "Towards optimal doubly robust estimation of heterogeneous causal effects" (DR);
Chernozhukov et al. (2018), "Double/debiased machine learning" (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import lightgbm
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from training.evaluate.array_checks import Array
from training.evaluate.effect_heterogeneity import doubly_robust_score
from training.models import linear_outcome
from training.models.booster import Trees
from training.models.feature_encoding import Matrix
from training.models.linear_outcome import LinearOutcome

Rows = NDArray[np.int64]
SMALLEST_PROPENSITY = 0.02  # an estimated propensity below it would let single rows decide
INNER_PARTS = 2  # of the training rows, for the means that the DR-learner's scores are made with


class UpliftSettings(BaseModel):
    """How the learners are fitted: few leaves and strong penalties, because effects are small beside outcomes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folds: int = Field(default=3, ge=2, le=20, description="parts of the customers; each is predicted by the others")
    seeds: int = Field(default=3, ge=1, le=50, description="times that parts are drawn and everything is fitted")
    learning_rate: float = Field(default=0.05, gt=0, le=1, description="step of each tree")
    num_leaves: int = Field(default=4, ge=2, le=256, description="leaves per tree")
    min_share_in_leaf: float = Field(default=0.01, gt=0, le=0.5, description="share of the rows that a leaf must hold")
    lambda_l2: float = Field(default=10.0, ge=0, description="L2 penalty on leaf values")
    max_rounds: int = Field(default=300, ge=1, le=5000, description="trees of outcomes at most")
    effect_rounds: int = Field(default=60, ge=1, le=5000, description="trees of effects")
    num_threads: int = Field(default=1, ge=1, description="threads of LightGBM")


@dataclass(frozen=True)
class Experiment:
    """Who got what, and what came of it.

    Parameters
    ----------
    matrix : features, shape (rows, features)
    outcome : array of shape (rows,), 0 or 1 where ``binary``, else an amount
    arm : array of shape (rows,), 0 for control, then 1, 2, … for each treatment
    arms : number of arms, control among them
    propensity : probability of each arm, shape (rows, arms)
    customer : array of shape (rows,), the number of the row's customer
    """

    matrix: Matrix
    outcome: Array
    arm: Rows
    arms: int
    propensity: Array
    customer: Rows
    binary: bool
    categorical: tuple[int, ...]

    def folds(self, parts: int, seed: int, *, rows: Rows | None = None) -> Rows:
        """Return the part of each row: every arm (and outcome, where binary) is in all; customers stay whole."""
        at = np.arange(len(self.arm)) if rows is None else rows
        _, first, member = np.unique(self.customer[at], return_index=True, return_inverse=True)
        stratum = self.arm[at][first] * 2 + (self.outcome[at][first] * self.binary).astype(np.int64)
        order = np.lexsort((np.random.default_rng(seed).random(len(first)), stratum))
        part = np.empty(len(first), dtype=np.int64)
        part[order] = np.arange(len(first)) % parts
        return np.asarray(part[member], dtype=np.int64)


@dataclass(frozen=True)
class EffectModels:
    """The learners of one split.

    Parameters
    ----------
    shared, shared_linear : outcome by features and arm, where the arm shifts everybody's log-odds alike (trees, and
        logistic regression); amounts alike for a numeric outcome
    single : S-learner, trees of outcomes by features and arm
    by_arm : T-learner, a regression of outcomes for each arm
    effect, effect_linear : DR-learner, trees and a ridge regression of the scores of each treatment
    """

    shared: Trees
    shared_linear: LinearOutcome
    single: Trees
    by_arm: tuple[LinearOutcome, ...]
    effect: tuple[Trees, ...]
    effect_linear: tuple[LinearOutcome, ...]
    threads: int

    def effects(self, matrix: Matrix) -> Array:
        """Return the effect of each treatment by a shared shift, S, T and DR, shape (rows, treatments, 4)."""
        arms = len(self.by_arm)
        shared = shared_means(self.shared, self.shared_linear, matrix, arms, self.threads)
        designs = [with_arm(matrix, arm, arms) for arm in range(arms)]
        single = np.column_stack([_predict(self.single, design, self.threads) for design in designs])
        by_arm = np.column_stack([model.predict(matrix) for model in self.by_arm])
        trees = np.column_stack([_predict(model, matrix, self.threads) for model in self.effect])
        linear = np.column_stack([model.predict(matrix) for model in self.effect_linear])
        by_means = [means[:, 1:] - means[:, :1] for means in (shared, single, by_arm)]
        return np.stack([*by_means, (trees + linear) / 2], axis=2)

    def means(self, matrix: Matrix) -> Array:
        """Return the outcome expected under each arm when the arm shifts everybody alike, shape (rows, arms)."""
        return shared_means(self.shared, self.shared_linear, matrix, len(self.by_arm), self.threads)


def shared_means(trees: Trees, linear: LinearOutcome, matrix: Matrix, arms: int, threads: int) -> Array:
    """Return the mean of both regressions for each arm, shape (rows, arms)."""
    designs = [with_arm(matrix, arm, arms) for arm in range(arms)]
    return np.column_stack([(_predict(trees, design, threads) + linear.predict(design)) / 2 for design in designs])


@dataclass(frozen=True)
class CrossFit:
    """What one seed gives: models, and for every row what models without its customer predict.

    Parameters
    ----------
    models : one for each part
    shared : effects where the arm shifts everybody's log-odds alike, shape (rows, treatments)
    own : mean effect of S, T and DR, shape (rows, treatments)
    score : doubly robust scores, shape (rows, treatments)
    """

    models: tuple[EffectModels, ...]
    shared: Array
    own: Array
    score: Array


def cross_fit(experiment: Experiment, *, settings: UpliftSettings, rounds: int, seed: int) -> CrossFit:
    """Fit all learners once without each part of the customers, and predict that part.

    Parameters
    ----------
    rounds : trees of outcomes, as `outcome_rounds` gives
    seed : draws the parts and LightGBM's samples
    """
    fold = experiment.folds(settings.folds, seed)
    shape = (len(fold), experiment.arms - 1)
    shared, own, score = np.empty(shape), np.empty(shape), np.empty(shape)
    models = []
    for part in range(settings.folds):
        seen, held = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
        fitted = _fit_models(experiment, seen, settings=settings, rounds=rounds, seed=seed * settings.folds + part)
        shared[held], own[held] = both_effects(fitted.effects(experiment.matrix[held]))
        score[held] = _scores(experiment, held, fitted.means(experiment.matrix[held]))
        models.append(fitted)
    return CrossFit(tuple(models), shared, own, score)


def both_effects(by_learner: Array) -> tuple[Array, Array]:
    """Return the effects by a shared shift, and the mean of S, T and DR, each of shape (rows, treatments)."""
    return by_learner[:, :, 0], np.asarray(by_learner[:, :, 1:].mean(axis=2), dtype=np.float64)


def outcome_rounds(experiment: Experiment, *, settings: UpliftSettings, seed: int) -> int:
    """Return the number of trees with the least held-out loss of the outcome, the arm being a feature."""
    fold = experiment.folds(settings.folds, seed)
    parts = [(np.flatnonzero(fold != part), np.flatnonzero(fold == part)) for part in range(settings.folds)]
    found = lightgbm.cv(
        _parameters(settings, len(fold), binary=experiment.binary, seed=seed),
        _dataset(
            with_arm(experiment.matrix, experiment.arm, experiment.arms), experiment.outcome, experiment.categorical
        ),
        num_boost_round=settings.max_rounds,
        folds=parts,
        callbacks=[lightgbm.early_stopping(20, verbose=False)],
    )
    return max(10, len(next(iter(found.values()))))


def held_out_propensity(experiment: Experiment, *, settings: UpliftSettings, seed: int) -> Array:
    """Return the probability of each arm by models of the features that did not see the row, shape (rows, arms)."""
    fold = experiment.folds(settings.folds, seed)
    out = np.empty((len(fold), experiment.arms))
    for part in range(settings.folds):
        seen, held = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
        parameters = _parameters(settings, len(seen), binary=False, seed=seed) | {
            "objective": "multiclass",
            "num_class": experiment.arms,
            "metric": "None",
        }
        data = _dataset(experiment.matrix[seen], experiment.arm[seen].astype(np.float64), experiment.categorical)
        booster = lightgbm.train(parameters, data, num_boost_round=settings.effect_rounds)
        out[held] = booster.predict(experiment.matrix[held], num_threads=settings.num_threads)
    return out


def clipped(propensity: Array) -> Array:
    """Return propensities that are no smaller than ``SMALLEST_PROPENSITY`` (nearly), each row summing to 1.

    Examples
    --------
    >>> clipped(np.array([[0.001, 0.999]])).round(3).tolist()
    [[0.02, 0.98]]
    """
    kept = np.clip(propensity, SMALLEST_PROPENSITY, 1.0)
    return np.asarray(kept / kept.sum(axis=1, keepdims=True), dtype=np.float64)


def with_arm(matrix: Matrix, arm: Rows | int, arms: int) -> Matrix:
    """Return the features with a column of 0 and 1 for each treatment.

    Examples
    --------
    >>> with_arm(np.array([[5.0], [6.0]]), np.array([0, 2]), 3).tolist()
    [[5.0, 0.0, 0.0], [6.0, 0.0, 1.0]]
    """
    given = np.broadcast_to(np.asarray(arm), (len(matrix),))[:, None] == np.arange(1, arms)
    return np.hstack([matrix, given.astype(np.float64)])


def _fit_models(
    experiment: Experiment, rows: Rows, *, settings: UpliftSettings, rounds: int, seed: int
) -> EffectModels:
    """Fit all learners on some rows; DR's scores take their means from the other part of the rows."""
    score = np.empty((len(rows), experiment.arms - 1))
    inner = experiment.folds(INNER_PARTS, seed, rows=rows)
    for part in range(INNER_PARTS):
        held = rows[inner == part]
        shared = _fit_shared(experiment, rows[inner != part], settings=settings, rounds=rounds, seed=seed)
        means = shared_means(*shared, experiment.matrix[held], experiment.arms, settings.num_threads)
        score[inner == part] = _scores(experiment, held, means)
    parameters = _parameters(settings, len(rows), binary=False, seed=seed)
    matrix, categorical = experiment.matrix[rows], experiment.categorical
    effect = tuple(
        _train(matrix, of, parameters=parameters, rounds=settings.effect_rounds, categorical=categorical)
        for of in score.T
    )
    linear = tuple(linear_outcome.fit(matrix, of, categorical=categorical, logistic=False) for of in score.T)
    by_arm = tuple(
        linear_outcome.fit(
            experiment.matrix[own], experiment.outcome[own], categorical=categorical, logistic=experiment.binary
        )
        for own in (rows[experiment.arm[rows] == arm] for arm in range(experiment.arms))
    )
    single = _train(
        with_arm(matrix, experiment.arm[rows], experiment.arms),
        experiment.outcome[rows],
        parameters=_parameters(settings, len(rows), binary=experiment.binary, seed=seed),
        rounds=rounds,
        categorical=categorical,
    )
    shared = _fit_shared(experiment, rows, settings=settings, rounds=rounds, seed=seed)
    return EffectModels(*shared, single, by_arm, effect, linear, settings.num_threads)


def _fit_shared(
    experiment: Experiment, rows: Rows, *, settings: UpliftSettings, rounds: int, seed: int
) -> tuple[Trees, LinearOutcome]:
    """Fit outcomes by features and arm, no tree holding both."""
    width = experiment.matrix.shape[1]
    design = with_arm(experiment.matrix[rows], experiment.arm[rows], experiment.arms)
    apart = [list(range(width)), list(range(width, design.shape[1]))]
    parameters = _parameters(settings, len(rows), binary=experiment.binary, seed=seed)
    outcome, categorical = experiment.outcome[rows], experiment.categorical
    trees = _train(
        design,
        outcome,
        parameters=parameters | {"interaction_constraints": apart},
        rounds=rounds,
        categorical=categorical,
    )
    return trees, linear_outcome.fit(design, outcome, categorical=categorical, logistic=experiment.binary)


def _scores(experiment: Experiment, rows: Rows, means: Array) -> Array:
    """Return the doubly robust scores of some rows, shape (rows, treatments)."""
    arm, outcome, propensity = experiment.arm[rows], experiment.outcome[rows], experiment.propensity[rows]
    control = (arm == 0).astype(np.float64)
    return np.column_stack(
        [
            doubly_robust_score(
                outcome,
                (arm == at).astype(np.float64),
                control,
                means=means[:, [0, at]],
                propensity=propensity[:, [0, at]],
            )
            for at in range(1, experiment.arms)
        ]
    )


def _train(
    matrix: Matrix, target: Array, *, parameters: Mapping[str, object], rounds: int, categorical: tuple[int, ...]
) -> Trees:
    booster = lightgbm.train(dict(parameters), _dataset(matrix, target, categorical), num_boost_round=rounds)
    return Trees.load(booster.model_to_string())


def _dataset(matrix: Matrix, target: Array, categorical: tuple[int, ...]) -> lightgbm.Dataset:
    return lightgbm.Dataset(
        matrix, target, categorical_feature=list(categorical), params={"verbosity": -1}, free_raw_data=False
    )


def _predict(trees: Trees, matrix: Matrix, threads: int) -> Array:
    """Return probabilities or amounts, shape (rows,)."""
    if not len(matrix):
        return np.empty(0)
    return np.asarray(trees.booster.predict(matrix, num_threads=threads), dtype=np.float64)


def _leaf(settings: UpliftSettings, rows: int) -> int:
    return max(5, int(rows * settings.min_share_in_leaf))


def _parameters(settings: UpliftSettings, rows: int, *, binary: bool, seed: int) -> dict[str, object]:
    return {
        "objective": "binary" if binary else "regression",
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.num_leaves,
        "min_data_in_leaf": _leaf(settings, rows),
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l2": settings.lambda_l2,
        "max_cat_to_onehot": 8,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": settings.num_threads,
        "verbosity": -1,
    }
