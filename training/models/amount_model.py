"""A future amount of each customer: hurdle (comes back at all) times spread (how much then), with an interval.

References
----------
Mullahy (1986), hurdle models; Romano, Patterson and Candès (2019), "Conformalized quantile regression"; Wilson (1927).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from training.evaluate.array_checks import Array
from training.models.booster import Trees
from training.models.feature_encoding import Matrix

Rows = NDArray[np.int64]
PARAMETERS: dict[str, Any] = {
    "learning_rate": 0.05,
    "num_leaves": 6,
    "min_data_in_leaf": 20,
    "lambda_l2": 5.0,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
ROUNDS = {"return": 80, "spread": 80, "quantile": 120}
SMALLEST = 1e-6


@dataclass(frozen=True)
class AmountTrees:
    """The trees of one split: probability of any amount, the amount then, and its low and high quantile (log scale)."""

    comes: Trees
    spread: Trees
    low: Trees
    high: Trees
    tail: float
    threads: int

    def predict(self, matrix: Matrix, start: Array) -> Array:
        """Return probability, expected amount, and quantiles, shape (4, customers).

        Parameters
        ----------
        start : the amount that a simple model expects; the spread corrects it
        """
        comes = self._raw(self.comes, matrix, raw=False)
        spread = np.exp(np.log(np.maximum(start, SMALLEST)) + self._raw(self.spread, matrix, raw=True))
        low, high = (np.expm1(np.maximum(self._raw(trees, matrix, raw=True), 0.0)) for trees in (self.low, self.high))
        low = np.where(1 - comes >= self.tail, 0.0, low)  # so many do not come back that the low quantile is 0
        return np.stack([comes, comes * spread, low, np.maximum(low, high)])

    def _raw(self, trees: Trees, matrix: Matrix, *, raw: bool) -> Array:
        return np.asarray(trees.booster.predict(matrix, raw_score=raw, num_threads=self.threads), dtype=np.float64)


@dataclass(frozen=True)
class AmountPrediction:
    """What is expected of each customer; each with an interval."""

    probability: Array
    probability_low: Array
    probability_high: Array
    amount: Array
    low: Array
    high: Array


@dataclass(frozen=True)
class AmountModel:
    """Trees of several splits, and how far intervals must reach so that they cover what was held out.

    Parameters
    ----------
    splits : trees, their predictions are averaged
    scale : expected amounts are multiplied by it, so that held-out ones have the right sum
    reach : widening of the log intervals where the low end is 0, and where it is above
    edges, customers : bins of the held-out probability and how many training customers lie in each
    covered : share of the training customers within their held-out interval
    """

    splits: tuple[AmountTrees, ...]
    scale: float
    reach: tuple[float, float]
    edges: Array
    customers: Array
    level: float
    covered: float

    def predict(self, matrix: Matrix, start: Array) -> AmountPrediction:
        """Return expectations and intervals, each of shape (customers,)."""
        parts = [split.predict(matrix, start) for split in self.splits]
        probability, amount, low, high = np.mean(parts, axis=0)
        lower, upper = widened(low, high, self.reach)
        rows = self.customers[np.searchsorted(self.edges, probability, side="right")]
        p_low, p_high = wilson(probability, rows, level=self.level)
        return AmountPrediction(probability, p_low, p_high, amount * self.scale, lower, upper)


def fit(
    matrix: Matrix,
    amount: Array,
    start: Array,
    *,
    categorical: tuple[int, ...] = (),
    level: float = 0.8,
    folds: int = 5,
    threads: int = 1,
    seed: int,
) -> AmountModel:
    """Learn amounts of the period after the cutoff; each part of the customers is predicted by the others.

    Parameters
    ----------
    matrix : features as of the cutoff, one row per customer
    amount : array of shape (customers,), 0 where the customer did not come back
    start : array of shape (customers,), what a simple model expects, above 0

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> rate = rng.gamma(2.0, 1.0, size=600)
    >>> model = fit(rate[:, None], rng.poisson(rate).astype(float), rate, seed=1)
    >>> 0.7 < model.covered < 0.95, int(model.predict(np.array([[0.2], [6.0]]), np.array([0.2, 6.0])).amount.argmax())
    (True, 1)
    """
    part = np.random.default_rng(seed).permutation(len(amount)) % folds
    out = np.empty((4, len(amount)))
    splits = []
    for held in range(folds):
        seen, at = part != held, part == held
        split = _fit_split(
            matrix[seen], amount[seen], start[seen], categorical=categorical, level=level, threads=threads, seed=seed
        )
        out[:, at] = split.predict(matrix[at], start[at])
        splits.append(split)
    probability, expected, low, high = out
    reach = _reach(amount, low, high, level=level)
    lower, upper = widened(low, high, reach)
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, 11)[1:-1]))
    customers = np.bincount(np.searchsorted(edges, probability, side="right"), minlength=len(edges) + 1)
    return AmountModel(
        splits=tuple(splits),
        scale=float(np.clip(amount.sum() / max(expected.sum(), SMALLEST), 0.5, 2.0)),
        reach=reach,
        edges=edges,
        customers=customers.astype(np.float64),
        level=level,
        covered=float(((lower <= amount) & (amount <= upper)).mean()),
    )


def widened(low: Array, high: Array, reach: tuple[float, float]) -> tuple[Array, Array]:
    """Return interval ends moved on the log scale; a low end of 0 stays.

    Examples
    --------
    >>> low, high = widened(np.array([0.0, 9.0]), np.array([9.0, 99.0]), (0.0, np.log(2)))
    >>> low.round(1).tolist(), high.round(1).tolist()
    ([0.0, 4.0], [9.0, 199.0])
    """
    away = low > 0
    moved = np.where(away, reach[1], reach[0])
    lower = np.where(away, np.expm1(np.maximum(np.log1p(low) - moved, 0.0)), 0.0)
    return lower, np.maximum(lower, np.expm1(np.maximum(np.log1p(high) + moved, 0.0)))


def wilson(share: Array, rows: Array, *, level: float) -> tuple[Array, Array]:
    """Return Wilson's interval of shares of so many customers.

    Examples
    --------
    >>> [round(float(end[0]), 2) for end in wilson(np.array([0.5]), np.array([100.0]), level=0.95)]
    [0.4, 0.6]
    """
    z = float(norm.ppf((1 + level) / 2))
    n = np.maximum(rows, 1.0)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.minimum(share, centre - half).clip(0, 1), np.maximum(share, centre + half).clip(0, 1)


def _reach(amount: Array, low: Array, high: Array, *, level: float) -> tuple[float, float]:
    """Return by how much intervals must move so that they cover ``level`` of the held-out customers, in both groups."""
    y, lower, upper = np.log1p(amount), np.log1p(low), np.log1p(high)
    away = low > 0
    miss = np.where(away, np.maximum(lower - y, y - upper), y - upper)
    found = []
    for group in (~away, away):
        rows = int(group.sum())
        rank = min(rows, int(np.ceil((rows + 1) * level)))
        found.append(float(np.sort(miss[group])[rank - 1]) if rows else 0.0)
    return found[0], found[1]


def _fit_split(
    matrix: Matrix, amount: Array, start: Array, *, categorical: tuple[int, ...], level: float, threads: int, seed: int
) -> AmountTrees:
    comes = amount > 0
    share = float(np.clip(comes.mean(), SMALLEST, 1 - SMALLEST))
    base = PARAMETERS | {"seed": seed, "num_threads": threads}
    columns = list(categorical)

    def trained(of: NDArray[np.bool_], target: Array, rounds: int, own: dict[str, Any], init: Array | None) -> Trees:
        data = lightgbm.Dataset(matrix[of], target, init_score=init, categorical_feature=columns)
        return Trees.load(lightgbm.train(base | own, data, num_boost_round=rounds).model_to_string())

    everybody = np.ones(len(amount), dtype=bool)
    if comes.all() or not comes.any():
        returns = trained(everybody, np.full(len(amount), share), 1, {"objective": "regression"}, None)
    else:
        returns = trained(everybody, comes.astype(np.float64), ROUNDS["return"], {"objective": "binary"}, None)
    log_start = np.log(np.maximum(start, SMALLEST))
    spread = trained(comes, amount[comes], ROUNDS["spread"], {"objective": "gamma"}, log_start[comes])
    tails = [
        trained(
            everybody,
            np.log1p(amount),
            ROUNDS["quantile"],
            {"objective": "quantile", "alpha": alpha},
            None,
        )
        for alpha in ((1 - level) / 2, (1 + level) / 2)
    ]
    return AmountTrees(returns, spread, tails[0], tails[1], (1 - level) / 2, threads)
