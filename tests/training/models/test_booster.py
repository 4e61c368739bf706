"""Runs with other samples are averaged in one model text, and a declared direction is kept."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from training.models import booster, held_out
from training.models.booster import BoosterSettings, Task, Trees

QUICK = BoosterSettings(learning_rate=0.1, max_rounds=40, patience=10, num_threads=1, bags=1)


def world(rows: int = 1200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    matrix = np.column_stack([rng.normal(size=rows), rng.integers(0, 4, rows), rng.normal(size=rows)])
    matrix[rng.random(rows) < 0.1, 0] = np.nan
    target = (rng.random(rows) < expit(np.nan_to_num(matrix[:, 0]) + (matrix[:, 1] == 2))).astype(float)
    return matrix, target


def test_one_text_holds_the_mean_of_several_runs() -> None:
    matrix, target = world()
    task = Task(matrix, target, categorical=(1,))
    runs = [booster.train(task, rounds=20, settings=QUICK, seed=seed) for seed in (5, 6, 7)]
    mean = booster.train(task, rounds=20, settings=QUICK.model_copy(update={"bags": 3}), seed=5)
    np.testing.assert_allclose(mean.raw(matrix), np.mean([run.raw(matrix) for run in runs], axis=0), atol=1e-12)
    np.testing.assert_allclose(mean.contributions(matrix).sum(axis=1), mean.raw(matrix), atol=1e-9)
    assert mean.gain().sum() == pytest.approx(np.sum([run.gain() for run in runs]), rel=1e-5)
    assert Trees.load(mean.text).text == mean.text


def test_held_out_scores_of_bags_are_the_mean_of_theirs() -> None:
    matrix, target = world(600)
    task = Task(matrix, target, held_out.by_customer(target, groups=None, number=3, seed=1), (1,))
    one, rounds = booster.cross_fit(task, settings=QUICK, seed=5)
    fixed = QUICK.model_copy(update={"max_rounds": rounds, "patience": rounds})
    two, _ = booster.cross_fit(task, settings=fixed, seed=6)
    both, _ = booster.cross_fit(task, settings=QUICK.model_copy(update={"bags": 2}), seed=5)
    np.testing.assert_allclose(both, (one + two) / 2, atol=1e-12)


@pytest.mark.parametrize("direction", [1, -1])
def test_a_declared_direction_is_kept_everywhere(direction: int) -> None:
    matrix, target = world()
    trees = booster.train(Task(matrix, target, monotone=(0, 0, direction)), rounds=40, settings=QUICK, seed=1)
    for row in matrix[:50]:
        line = np.tile(row, (60, 1))
        line[:, 2] = np.linspace(-3, 3, 60)
        assert (direction * np.diff(trees.raw(line)) >= -1e-12).all()
