"""The test of differences between customers keeps its level, and groups are sure only where they are."""

from __future__ import annotations

import numpy as np
import pytest

from features.base.errors import BadData
from training.evaluate import effect_heterogeneity as heterogeneity


def cross_fitted(score: np.ndarray, features: np.ndarray, rng: np.random.Generator, parts: int = 3) -> np.ndarray:
    """Return least-squares predictions of every row by the other parts."""
    part = rng.permutation(len(score)) % parts
    out = np.empty(len(score))
    for held in range(parts):
        weights, *_ = np.linalg.lstsq(features[part != held], score[part != held], rcond=None)
        out[part == held] = features[part == held] @ weights
    return out


@pytest.mark.parametrize("width", [2, 12])
def test_a_difference_is_found_by_chance_no_oftener_than_allowed(width: int) -> None:
    rng = np.random.default_rng(width)
    found = 0
    for _ in range(400):
        features = np.column_stack([np.ones(600), rng.normal(size=(600, width - 1))])
        score = rng.normal(0.1, 1.0, size=600)
        effect = np.mean([cross_fitted(score, features, rng) for _ in range(3)], axis=0)
        found += heterogeneity.calibration(score, effect, customers=np.arange(600)).p_value <= 0.05
    assert found <= 400 * 0.07


def test_a_true_difference_is_found() -> None:
    rng = np.random.default_rng(1)
    features = np.column_stack([np.ones(2000), rng.normal(size=(2000, 3))])
    score = rng.normal(0.2 * features[:, 1], 1.0)
    found = heterogeneity.calibration(score, cross_fitted(score, features, rng), customers=np.arange(2000))
    assert found.p_value < 0.001
    assert found.slope == pytest.approx(1.0, abs=0.3)


def test_a_constant_prediction_foretells_nothing() -> None:
    found = heterogeneity.calibration(np.arange(9.0), np.full(9, 0.3), customers=range(9))
    assert (found.slope, found.p_value) == (0.0, 1.0)


def test_rows_of_one_customer_count_as_one() -> None:
    rng = np.random.default_rng(2)
    score = rng.normal(size=300)
    alone = heterogeneity.average_effect(score, customers=np.arange(300))
    tenfold = heterogeneity.average_effect(np.repeat(score, 10), customers=np.repeat(np.arange(300), 10))
    assert (alone.low, alone.high) == pytest.approx((tenfold.low, tenfold.high))


def test_the_score_of_an_experiment_has_the_mean_of_the_effect() -> None:
    rng = np.random.default_rng(3)
    treated = rng.integers(2, size=20_000).astype(float)
    outcome = (rng.random(20_000) < 0.3 + 0.1 * treated).astype(float)
    wrong = np.tile([0.9, 0.1], (20_000, 1))  # any model of the means: the propensities are right
    score = heterogeneity.doubly_robust_score(
        outcome, treated, 1 - treated, means=wrong, propensity=np.full((20_000, 2), 0.5)
    )
    assert heterogeneity.average_effect(score, customers=np.arange(20_000)).low < 0.1 < score.mean() + 0.05


def test_groups_are_sure_where_their_effect_is_large() -> None:
    rng = np.random.default_rng(4)
    effect = np.repeat([-0.5, 0.0, 0.6], 2000)
    groups = heterogeneity.effect_groups(rng.normal(effect, 1.0), effect, customers=np.arange(6000), groups=3)
    assert groups.verdict.tolist() == [-1, 0, 1]
    assert groups.rows.tolist() == [2000, 2000, 2000]
    assert groups.of(np.array([-0.6, -0.5, 0.0, 0.1, 0.6])).tolist() == [-1, -1, 0, 0, 1]
    none = heterogeneity.effect_groups(rng.normal(size=6000), np.zeros(6000), customers=np.arange(6000))
    assert none.verdict.tolist() == [0]
    with pytest.raises(BadData, match=r"uplift\.groups"):
        heterogeneity.effect_groups(np.zeros(2), np.arange(2.0), customers=[1, 2])
