"""Error, order, deciles and coverage of predicted amounts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, root_mean_squared_error

from features.base.errors import BadData
from training.evaluate import value_accuracy

RNG = np.random.default_rng(1)
ACTUAL = RNG.gamma(1.0, 50.0, size=300) * (RNG.random(300) < 0.6)
PREDICTED = ACTUAL + RNG.normal(0, 30, size=300)


def test_the_error_is_scikit_learns() -> None:
    assert value_accuracy.rmse(ACTUAL, PREDICTED) == pytest.approx(root_mean_squared_error(ACTUAL, PREDICTED), abs=1e-9)


def test_the_gini_of_zeros_and_ones_is_that_of_the_auc() -> None:
    came = (ACTUAL > 0).astype(float)
    tied = np.round(PREDICTED, -1)
    for score in (PREDICTED, tied):
        assert value_accuracy.normalised_gini(came, score) == pytest.approx(
            2 * roc_auc_score(came, score) - 1, abs=1e-9
        )


def test_the_deciles_hold_everybody_once() -> None:
    found = value_accuracy.decile_table(ACTUAL, PREDICTED)
    assert found.customers.tolist() == [30] * 10
    assert found.share.sum() == pytest.approx(1)
    assert (np.diff(found.predicted) < 0).all()
    assert found.actual.mean() == pytest.approx(ACTUAL.mean())


def test_the_ends_of_an_interval_count_as_inside() -> None:
    assert value_accuracy.coverage([0.0, 1.0, 2.0, 3.0], [0, 0, 0, 0], [0, 1, 1, 1]) == 0.5
    with pytest.raises(BadData, match=r"metric\.interval"):
        value_accuracy.coverage([1.0], [2.0], [1.0])


def test_bad_amounts_are_refused() -> None:
    for actual, predicted, code in [
        ([1.0], [1.0, 2.0], "metric.shape"),
        ([], [], "metric.empty"),
        ([np.nan], [1.0], "metric.missing"),
    ]:
        with pytest.raises(BadData) as refused:
            value_accuracy.rmse(actual, predicted)
        assert refused.value.first.code == code
    with pytest.raises(BadData, match=r"metric\.amounts"):
        value_accuracy.normalised_gini([-1.0, 2.0], [1.0, 2.0])
    assert value_accuracy.rank_correlation([1.0, 1.0], [1.0, 2.0]) == 0.0
