"""A calibration keeps the order, mends what is off, and does not bend on noise."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from features.base.errors import BadData
from training.models import calibrator
from training.models.calibration_table import EDGE, IDENTITY, METHODS, CalibrationTable, Method


def world(slope: float, shift: float, rows: int = 6000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    truth = rng.normal(-1.0, 1.5, rows)
    target = (rng.random(rows) < expit(truth)).astype(float)
    return (truth - shift) / slope, target, np.arange(rows) % 5


def test_scores_that_are_right_already_are_left_alone() -> None:
    raw, target, fold = world(slope=1.0, shift=0.0)
    assert calibrator.fit(raw, target, fold=fold) == IDENTITY


def test_overconfident_scores_are_pulled_back_to_the_truth() -> None:
    raw, target, fold = world(slope=0.4, shift=0.7)
    found = calibrator.fit(raw, target, fold=fold)
    assert found.method == "platt"
    slope = (found.calibrated[1] - found.calibrated[0]) / (2 * EDGE)
    assert slope == pytest.approx(0.4, abs=0.04)
    assert found.apply(raw).mean() == pytest.approx(target.mean(), abs=1e-3)


def test_a_step_that_no_curve_follows_is_met_by_isotonic() -> None:
    rng = np.random.default_rng(2)
    raw = rng.uniform(-4, 4, 8000)
    target = (rng.random(8000) < np.where(raw > 1.0, 0.9, 0.1)).astype(float)
    found = calibrator.fit(raw, target, fold=np.arange(8000) % 5)
    assert found.method == "isotonic"
    assert found.apply(np.array([-2.0, 3.0])) == pytest.approx([0.1, 0.9], abs=0.03)


def test_weights_count_as_repeated_rows() -> None:
    raw, target, _ = world(slope=0.5, shift=0.0, rows=400)
    weight = np.where(target == 1, 1.0, 3.0)
    again = np.repeat(np.arange(400), weight.astype(int))
    for method in ("platt", "beta"):
        weighted = calibrator.fit_method(method, raw, target, weight).apply(raw)
        repeated = calibrator.fit_method(method, raw[again], target[again], np.ones(len(again))).apply(raw)
        np.testing.assert_allclose(weighted, repeated, atol=1e-4)


@given(
    st.sampled_from(METHODS),
    st.lists(st.tuples(st.floats(-60, 60), st.booleans()), min_size=4, max_size=40),
)
def test_every_method_keeps_the_order_and_gives_probabilities(method: Method, rows: list[tuple[float, bool]]) -> None:
    raw, target = np.array([r for r, _ in rows]), np.array([float(t) for _, t in rows])
    target[:2] = [0.0, 1.0]
    found = calibrator.fit_method(method, raw, target, np.ones(len(raw)))
    p = found.apply(np.linspace(-50, 50, 501))
    assert (np.diff(p) >= 0).all()
    assert p.min() >= 0
    assert p.max() <= 1


def test_isotonic_does_not_tie_customers_above_the_last_pool() -> None:
    raw = np.array([-2.0, -1.0, 0.0, 1.0])
    found = calibrator.fit_method("isotonic", raw, np.array([0.0, 0.0, 1.0, 1.0]), np.ones(4))
    p = found.apply(np.array([1.0, 2.0, 3.0]))
    assert p[0] < p[1] < p[2] < 1


def test_isotonic_pools_equal_scores_as_scikit_learn_does() -> None:
    rng = np.random.default_rng(4)
    raw = rng.choice([-2.0, -1.0, 0.0, 1.0], 4000)
    target = (rng.random(4000) < expit(1.3 * raw - 0.4)).astype(float)
    found = calibrator.fit_method("isotonic", raw, target, np.ones(4000)).apply(raw)
    wanted = IsotonicRegression().fit(raw, target).predict(raw)
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_scores_that_order_nothing_get_the_mean_rate_as_scikit_learn_gives_it() -> None:
    raw, target = np.repeat([-1.0, 1.0], 50), np.tile([1.0, 0.0, 0.0, 0.0, 0.0], 20)
    found = calibrator.fit_method("isotonic", raw, target, np.ones(100))
    assert found.apply(raw) == pytest.approx(IsotonicRegression().fit(raw, target).predict(raw))


def test_the_order_of_rows_with_equal_scores_does_not_change_the_isotonic_fit() -> None:
    raw, target = np.repeat([-1.0, 1.0], 50), np.tile([1.0, 0.0, 0.0, 1.0, 0.0], 20)
    again = np.lexsort((-target, raw))
    first, second = (
        calibrator.fit_method("isotonic", raw[at], target[at], np.ones(100)) for at in (slice(None), again)
    )
    assert first == second


def test_a_table_survives_json_exactly() -> None:
    raw, target, _ = world(slope=0.3, shift=0.2, rows=500)
    for method in METHODS:
        found = calibrator.fit_method(method, raw, target, np.ones(500))
        assert CalibrationTable.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"method": "spline", "raw": [0, 1], "calibrated": [0, 1]}, "calibration.method"),
        ({"method": "platt", "raw": [0, 1]}, "calibration.table"),
        ({"method": "platt", "raw": [1, 0], "calibrated": [0, 1]}, "calibration.table"),
        ({"method": "platt", "raw": [0, 1], "calibrated": [1, 0]}, "calibration.table"),
        ({"method": "platt", "raw": [0], "calibrated": [1]}, "calibration.table"),
        ({"method": "platt", "raw": [0, 1], "calibrated": [0, float("nan")]}, "calibration.table"),
        ({"method": "platt", "raw": ["x", 1], "calibrated": [0, 1]}, "calibration.table"),
    ],
)
def test_a_table_that_is_none_is_refused(document: dict[str, object], code: str) -> None:
    with pytest.raises(BadData) as error:
        CalibrationTable.from_json(document)
    assert error.value.first.code == code
