"""The reward expected of each action in each logged decision, by models that did not see the decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from training.models.feature_encoding import Encoding, Matrix

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
PARAMETERS: dict[str, Any] = {
    "learning_rate": 0.05,
    "num_leaves": 8,
    "min_data_in_leaf": 50,
    "lambda_l2": 10.0,
    "cat_smooth": 50.0,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
ROUNDS = 60


def expected_rewards(
    context: pd.DataFrame | None,
    action: NDArray[np.int64],
    reward: Array,
    *,
    actions: int,
    customers: Sequence[Any] | NDArray[Any] | None = None,
    folds: int = 3,
    seed: int,
) -> Array:
    """Return the reward expected of every action in every decision, shape (decisions, actions).

    Parameters
    ----------
    context : what was known at each decision; None or without columns: the actions' rewards alone
    customers : the customer of each decision; all decisions of one are predicted by models of the others
    folds : parts of the customers

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> action = rng.integers(2, size=900)
    >>> reward = (rng.random(900) < 0.2 + 0.5 * action).astype(float)
    >>> expected = expected_rewards(None, action, reward, actions=2, seed=1)
    >>> bool((expected[:, 1] > expected[:, 0]).all())
    True

    References
    ----------
    Dudík, Langford and Li (2011); Chernozhukov et al. (2018) on cross-fitting.
    """
    categorical: tuple[int, ...] = ()
    matrix: Matrix = np.empty((len(action), 0))
    if context is not None and context.shape[1]:
        encoding = Encoding.fit(context)
        matrix, categorical = encoding.matrix(context), encoding.categorical
    own = np.arange(len(action)) if customers is None else np.asarray(customers)
    _, member = np.unique(own, return_inverse=True)
    part = np.random.default_rng(seed).permutation(int(member.max()) + 1)[member] % folds
    binary = bool(np.isin(reward, (0.0, 1.0)).all())
    out = np.empty((len(action), actions))
    for held in range(folds):
        at, seen = np.flatnonzero(part == held), part != held
        design = np.column_stack([matrix[seen], action[seen]])
        data = lightgbm.Dataset(design, reward[seen], categorical_feature=[*categorical, design.shape[1] - 1])
        parameters = PARAMETERS | {"objective": "binary" if binary else "regression", "seed": seed}
        booster = lightgbm.train(parameters, data, num_boost_round=ROUNDS)
        for number in range(actions):
            each = np.column_stack([matrix[at], np.full(len(at), float(number))])
            out[at, number] = booster.predict(each, num_threads=1)
    return out
