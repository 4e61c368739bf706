"""Hit, recall, NDCG and MRR by hand, and NDCG as scikit-learn has it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from features.base.errors import BadData
from training.evaluate import recommendation

SCORE = [[0.9, 0.5, 0.1, 0.0], [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]]
TAKEN = [[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 1]]


def test_tiny_examples_by_hand() -> None:
    assert recommendation.hit(SCORE, TAKEN, k=1).value.tolist() == [0.0, 1.0]
    assert recommendation.hit(SCORE, TAKEN, k=2).value.tolist() == [1.0, 1.0]
    assert recommendation.recall(SCORE, TAKEN, k=2).value.tolist() == [0.5, 0.5]
    assert recommendation.recall(SCORE, TAKEN, k=99).value.tolist() == [1.0, 1.0]
    assert recommendation.reciprocal_rank(SCORE, TAKEN).value.tolist() == [0.5, 1.0]
    log3 = 1 / np.log2(3)
    assert recommendation.ndcg(SCORE, TAKEN, k=2).value == pytest.approx([log3 / (1 + log3), 1 / (1 + log3)])


def test_customers_who_took_nothing_are_left_out_and_counted() -> None:
    found = recommendation.hit(SCORE, TAKEN, k=1)
    assert found.excluded == 1
    assert found.judged.tolist() == [True, False, True]
    assert found.mean == 0.5


@pytest.mark.parametrize("k", [1, 3, 10, 50])
def test_ndcg_equals_scikit_learns(k: int) -> None:
    rng = np.random.default_rng(k)
    score, taken = rng.random((200, 12)), (rng.random((200, 12)) < 0.2).astype(float)
    found = recommendation.ndcg(score, taken, k=k)
    assert found.mean == pytest.approx(metrics.ndcg_score(taken[found.judged], score[found.judged], k=k))


def test_what_may_not_be_offered_comes_last() -> None:
    assert recommendation.reciprocal_rank([[-np.inf, 0.1]], [[1, 0]]).mean == 0.5


def test_ties_keep_the_order_of_the_columns() -> None:
    assert recommendation.reciprocal_rank([[0.5, 0.5, 0.5]], [[0, 0, 1]]).mean == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("score", "taken", "k", "code"),
    [
        ([[1.0]], [[1, 0]], 1, "metric.shape"),
        ([1.0], [1], 1, "metric.shape"),
        (np.empty((0, 3)), np.empty((0, 3)), 1, "metric.shape"),
        ([[np.nan, 1.0]], [[1, 0]], 1, "metric.missing"),
        ([[0.5, 1.0]], [[2, 0]], 1, "metric.labels"),
        ([[0.5, 1.0]], [[0, 0]], 1, "metric.no_positive"),
        ([[0.5, 1.0]], [[1, 0]], 0, "metric.k"),
    ],
)
def test_what_cannot_be_judged_is_refused(score: object, taken: object, k: int, code: str) -> None:
    for metric in (recommendation.hit, recommendation.recall, recommendation.ndcg):
        with pytest.raises(BadData) as error:
            metric(score, taken, k=k)  # type: ignore[arg-type]
        assert error.value.first.code == code
