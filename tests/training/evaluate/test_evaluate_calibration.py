"""Log loss and Brier as scikit-learn has them; bins and ECE by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from features.base.errors import BadData
from training.evaluate import calibration


@given(st.lists(st.tuples(st.booleans(), st.floats(0.0, 1.0, width=32)), min_size=1, max_size=60))
def test_log_loss_and_brier_equal_scikit_learns(rows: list[tuple[bool, float]]) -> None:
    y, p = np.array([float(label) for label, _ in rows]), np.array([probability for _, probability in rows])
    assert calibration.log_loss(y, p) == pytest.approx(
        metrics.log_loss(y, np.clip(p, 1e-15, 1 - 1e-15), labels=[0, 1]), rel=1e-6
    )
    assert calibration.brier(y, p) == pytest.approx(np.mean((p - y) ** 2))


def test_a_certain_and_wrong_probability_costs_finitely_much() -> None:
    assert calibration.log_loss([1], [0.0]) == pytest.approx(-np.log(1e-15))


def test_ece_is_the_mean_gap_between_said_and_come_true() -> None:
    y = [0, 0, 0, 1, 1, 1, 1, 0]
    p = [0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.9]
    curve = calibration.reliability(y, p, bins=2)
    assert curve.predicted == pytest.approx([0.1, 0.9])
    assert curve.observed == pytest.approx([0.25, 0.75])
    assert curve.rows.tolist() == [4, 4]
    assert calibration.ece(y, p, bins=2) == pytest.approx(0.15)


def test_equal_probabilities_share_a_bin() -> None:
    assert calibration.reliability([0, 1, 0, 1], [0.5] * 4, bins=4).rows.tolist() == [4]
    assert calibration.ece([0, 1, 0, 1], [0.5] * 4) == 0.0


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=1, max_size=60),
    st.integers(1, 20),
)
def test_bins_hold_every_row_once_and_rise(rows: list[tuple[bool, int]], bins: int) -> None:
    y, p = [float(label) for label, _ in rows], [tenth / 10 for _, tenth in rows]
    curve = calibration.reliability(y, p, bins=bins)
    assert curve.rows.sum() == len(rows)
    assert len(curve.rows) <= bins
    assert (np.diff(curve.predicted) > 0).all()
    assert curve.rows @ curve.observed == pytest.approx(sum(y))


def test_bins_hold_equally_many_rows() -> None:
    p = np.linspace(0, 1, 105)
    rows = calibration.reliability(np.zeros(105), p, bins=10).rows
    assert rows.min() >= 10
    assert rows.max() <= 11


@pytest.mark.parametrize("p", [-0.1, 1.1, np.inf])
def test_what_is_no_probability_is_refused(p: float) -> None:
    for metric in (calibration.log_loss, calibration.brier, calibration.ece):
        with pytest.raises(BadData, match=r"metric\.range"):
            metric([1, 0], [p, 0.5])


def test_no_bins_are_refused() -> None:
    with pytest.raises(BadData, match=r"metric\.bins"):
        calibration.ece([1, 0], [0.1, 0.5], bins=0)
