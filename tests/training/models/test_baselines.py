"""The peers do what their names say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.base.errors import BadData
from training.baselines import classifiers
from training.evaluate.ranking import auc
from training.models.feature_encoding import Encoding


def world() -> tuple[Encoding, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    number = rng.normal(size=800)
    frame = pd.DataFrame(
        {
            "number": np.where(rng.random(800) < 0.2, np.nan, number),
            "level": rng.choice(["a", "b", "c"], 800),
            "empty": np.full(800, np.nan),
        }
    )
    target = (number + (frame["level"] == "a").to_numpy() + rng.normal(size=800) > 0.5).astype(float)
    encoding = Encoding.fit(frame)
    return encoding, encoding.matrix(frame), target


def test_logistic_regression_copes_with_missing_values_levels_and_empty_columns() -> None:
    encoding, matrix, target = world()
    model = classifiers.fit_logistic(matrix[:600], target[:600], encoding=encoding)
    assert auc(target[600:], model.score(matrix[600:])) > 0.75
    unseen = matrix[:1].copy()
    unseen[0, 1] = np.nan
    assert 0 < model.score(unseen)[0] < 1


def test_lightgbm_as_it_comes_learns_and_repeats() -> None:
    encoding, matrix, target = world()
    first, second = (
        classifiers.fit_plain_boosting(matrix[:600], target[:600], encoding=encoding, seed=1, threads=1)
        for _ in range(2)
    )
    assert auc(target[600:], first.score(matrix[600:])) > 0.7
    assert (first.score(matrix) == second.score(matrix)).all()


def test_whoever_came_longest_ago_leaves_first() -> None:
    score = classifiers.recency(np.array([3.0, 90.0, np.nan]))
    assert score.argsort().tolist() == [0, 1, 2]


def test_popularity_is_the_share_among_those_who_could() -> None:
    taken = np.array([[1.0, 0.0, np.nan], [1.0, np.nan, np.nan]])
    assert classifiers.popularity(taken, rows=2).tolist() == [[1.0, 0.0, 0.0]] * 2


def test_own_habit_comes_first_and_popularity_breaks_ties() -> None:
    popular = np.tile([0.1, 0.9, 0.5], (2, 1))
    score = classifiers.own_most_frequent(np.array([[1.0, 0.0, np.nan], [2.0, 2.0, 3.0]]), popular=popular)
    assert (-score).argsort(axis=1).tolist() == [[0, 1, 2], [2, 1, 0]]
    with pytest.raises(BadData, match=r"baseline\.shape"):
        classifiers.own_most_frequent(np.zeros((1, 3)), popular=popular)
