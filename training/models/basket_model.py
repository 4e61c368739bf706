"""The probability that an item is in a customer's next basket: LightGBM over pairs, calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from training.evaluate.array_checks import Array
from training.models.booster import Trees
from training.models.feature_encoding import Matrix

PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.06,
    "num_leaves": 15,
    "min_data_in_leaf": 100,
    "lambda_l2": 10.0,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
ROUNDS = 150


@dataclass(frozen=True)
class BasketModel:
    """Trees of several splits, and the slope and shift of their log-odds for new items and for repeats."""

    splits: tuple[Trees, ...]
    slope: tuple[float, float]
    shift: tuple[float, float]
    threads: int

    def score(self, matrix: Matrix, repeat: NDArray[np.bool_], *, part: NDArray[np.int64]) -> Array:
        """Return the probability of each pair, shape (pairs,).

        Parameters
        ----------
        part : the part that held the pair's customer out in the fit, whose trees did not see it; -1: none, and the
            mean of all is taken
        """
        by_split = np.column_stack(
            [trees.booster.predict(matrix, raw_score=True, num_threads=self.threads) for trees in self.splits]
        )
        raw = np.where(part >= 0, by_split[np.arange(len(matrix)), part], by_split.mean(axis=1))
        return self.calibrated(raw, repeat)

    def calibrated(self, raw: Array, repeat: NDArray[np.bool_]) -> Array:
        """Return probabilities of raw log-odds."""
        at = repeat.astype(np.int64)
        return np.asarray(expit(np.array(self.slope)[at] * raw + np.array(self.shift)[at]), dtype=np.float64)


def fit(
    matrix: Matrix, taken: Array, repeat: NDArray[np.bool_], *, fold: NDArray[np.int64], threads: int, seed: int
) -> tuple[BasketModel, Array]:
    """Return a model, and the probability of each pair by trees that did not see its customer.

    Parameters
    ----------
    matrix : features of the pairs, shape (pairs, features)
    taken : array of shape (pairs,), 1 where the item was in the next basket
    repeat : array of shape (pairs,), whether the customer had bought the item before
    fold : the part of each pair's customer

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> x, repeat = rng.normal(size=(4000, 1)), rng.random(4000) < 0.5
    >>> taken = (rng.random(4000) < expit(x[:, 0] + repeat - 2)).astype(float)
    >>> model, held_out = fit(x, taken, repeat, fold=np.arange(4000) % 3, threads=1, seed=1)
    >>> bool(abs(held_out[repeat].mean() - taken[repeat].mean()) < 0.01)
    True

    References
    ----------
    Platt (1999).
    """
    raw, splits = np.empty(len(taken)), []
    for part in np.unique(fold):
        seen, held = fold != part, fold == part
        data = lightgbm.Dataset(matrix[seen], taken[seen])
        booster = lightgbm.train(PARAMETERS | {"seed": seed, "num_threads": threads}, data, num_boost_round=ROUNDS)
        splits.append(Trees.load(booster.model_to_string()))
        raw[held] = splits[-1].booster.predict(matrix[held], raw_score=True, num_threads=threads)
    slope, shift = [1.0, 1.0], [0.0, 0.0]
    for at, group in enumerate((~repeat, repeat)):
        if len(np.unique(taken[group])) == 2:
            platt = LogisticRegression(C=1e6).fit(raw[group, None], taken[group])
            slope[at], shift[at] = max(float(platt.coef_[0, 0]), 0.0), float(platt.intercept_[0])
    model = BasketModel(tuple(splits), (slope[0], slope[1]), (shift[0], shift[1]), threads)
    return model, model.calibrated(raw, repeat)
