"""AUC, average precision, lift and gain: as scikit-learn has them, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from features.base.errors import BadData
from training.evaluate import ranking

ROWS = st.lists(st.tuples(st.booleans(), st.integers(-4, 4)), min_size=2, max_size=60).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


@given(ROWS)
def test_auc_and_average_precision_equal_scikit_learns_with_ties(rows: list[tuple[bool, int]]) -> None:
    y, s = np.array([float(label) for label, _ in rows]), np.array([float(score) for _, score in rows])
    assert ranking.auc(y, s) == pytest.approx(metrics.roc_auc_score(y, s))
    assert ranking.average_precision(y, s) == pytest.approx(metrics.average_precision_score(y, s))


def test_lift_counts_the_top_against_a_random_pick() -> None:
    y = [1, 1, 0, 1, 0, 0, 0, 0, 0, 0]
    s = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert ranking.lift(y, s, share=0.2) == pytest.approx(1.0 / 0.3)
    assert ranking.lift(y, s, share=0.3) == pytest.approx((2 / 3) / 0.3)
    assert ranking.lift(y, s, share=1.0) == pytest.approx(1.0)


def test_rows_tied_at_the_edge_count_by_their_average() -> None:
    assert ranking.lift([1, 0, 0, 0], [5, 5, 1, 1], share=0.25) == pytest.approx(2.0)
    assert ranking.lift([0, 1, 0, 0], [5, 5, 1, 1], share=0.25) == pytest.approx(2.0)
    assert ranking.lift([1, 0, 1, 0], [3, 3, 3, 3], share=0.25) == pytest.approx(1.0)


def test_the_gain_curve_runs_from_nothing_to_all() -> None:
    curve = ranking.gain_curve([1, 0, 1, 0], [4, 3, 2, 1], points=5)
    assert curve.share.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert curve.found.tolist() == [0.0, 0.5, 0.5, 1.0, 1.0]


def test_a_feature_that_gives_the_answer_away_reaches_one() -> None:
    y = np.array([0.0, 0.0, 1.0, 1.0])
    matrix = np.column_stack(
        [[4.0, 3.0, 2.0, 1.0], [1.0, 0.0, 1.0, 0.0], [np.nan, np.nan, 5.0, 6.0], [0.0, 2.0, 1.0, np.nan], np.ones(4)]
    )
    found = ranking.single_feature_aucs(matrix, y, categorical=(3,))
    assert found.tolist() == [1.0, 0.5, 1.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("target", "score", "code"),
    [
        ([0, 1], [0.1], "metric.shape"),
        ([[0, 1]], [[0.1, 0.2]], "metric.shape"),
        ([], [], "metric.empty"),
        ([0, 1], [0.1, np.nan], "metric.missing"),
        ([0, 2], [0.1, 0.2], "metric.labels"),
        ([0, np.nan], [0.1, 0.2], "metric.labels"),
        ([1, 1], [0.1, 0.2], "metric.one_class"),
        ([0, 0], [0.1, 0.2], "metric.one_class"),
    ],
)
def test_arrays_that_cannot_be_judged_are_refused(target: list[float], score: list[float], code: str) -> None:
    for metric in (ranking.auc, ranking.average_precision, ranking.lift):
        with pytest.raises(BadData) as error:
            metric(target, score)
        assert error.value.first.code == code


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_lies_between_nothing_and_all(share: float) -> None:
    with pytest.raises(BadData, match=r"metric\.share"):
        ranking.lift([0, 1], [0, 1], share=share)
