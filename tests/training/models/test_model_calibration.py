"""A calibration keeps the order, mends what is off, and does not bend on noise."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from features.base.errors import BadData
from training.models import calibrator, held_out
from training.models.calibration_table import EDGE, IDENTITY, METHODS, CalibrationTable, Method
from training.models.parts import Part, Parts


def world(slope: float, shift: float, rows: int = 6000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    truth = rng.normal(-1.0, 1.5, rows)
    target = (rng.random(rows) < expit(truth)).astype(float)
    return (truth - shift) / slope, target, np.arange(rows) % 5


def parts_of(fold: np.ndarray) -> Parts:
    return Parts(tuple(Part(np.flatnonzero(fold != at), np.flatnonzero(fold == at)) for at in np.unique(fold)))


def test_scores_that_are_right_already_are_left_alone() -> None:
    raw, target, fold = world(slope=1.0, shift=0.0)
    assert calibrator.fit(raw, target, parts=parts_of(fold)).table == IDENTITY


def test_overconfident_scores_are_pulled_back_to_the_truth() -> None:
    raw, target, fold = world(slope=0.4, shift=0.7)
    found = calibrator.fit(raw, target, parts=parts_of(fold)).table
    assert found.method == "platt"
    slope = (found.calibrated[1] - found.calibrated[0]) / (2 * EDGE)
    assert slope == pytest.approx(0.4, abs=0.04)
    assert found.apply(raw).mean() == pytest.approx(target.mean(), abs=1e-3)


def test_a_step_that_no_curve_follows_is_met_by_isotonic() -> None:
    rng = np.random.default_rng(2)
    raw = rng.uniform(-4, 4, 8000)
    target = (rng.random(8000) < np.where(raw > 1.0, 0.9, 0.1)).astype(float)
    found = calibrator.fit(raw, target, parts=parts_of(np.arange(8000) % 5)).table
    assert found.method == "isotonic"
    assert found.apply(np.array([-2.0, 3.0])) == pytest.approx([0.1, 0.9], abs=0.03)


def test_weights_count_as_repeated_rows() -> None:
    raw, target, _ = world(slope=0.5, shift=0.0, rows=400)
    weight = np.where(target == 1, 1.0, 3.0)
    again = np.repeat(np.arange(400), weight.astype(int))
    for method in ("temperature", "platt", "beta"):
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


def test_tied_scores_in_one_pool_get_the_rate_of_the_pool_as_scikit_learn_gives_it() -> None:
    """The rates .1, .35, .2, .6 of four tied scores fall once: the two in the middle share one rate."""
    raw = np.repeat([-2.0, -1.0, 0.0, 1.0], 1000)
    target = np.concatenate([np.arange(1000) < 1000 * rate for rate in (0.1, 0.35, 0.2, 0.6)]).astype(float)
    found = calibrator.fit_method("isotonic", raw, target, np.ones(4000)).apply(raw)
    assert found[1500] == pytest.approx(0.275, abs=1e-3)  # was drawn towards the pool below: .226 for .277
    np.testing.assert_allclose(found, IsotonicRegression().fit(raw, target).predict(raw), atol=1e-3)
    assert len(np.unique(found)) == 4  # and still no two scores are tied


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(1, 4)), min_size=300, max_size=400))
def test_isotonic_is_scikit_learns_whatever_is_tied(rows: list[tuple[int, bool, int]]) -> None:
    raw, target, weight = (np.array([float(row[at]) for row in rows]) for at in range(3))
    target[:2] = [0.0, 1.0]
    many = np.tile(weight, 100)  # so that the one row that keeps a pure pool off 0 and 1 does not show
    found = calibrator.fit_method("isotonic", np.tile(raw, 100), np.tile(target, 100), many).apply(raw)
    wanted = IsotonicRegression().fit(raw, target, sample_weight=weight).predict(raw)
    np.testing.assert_allclose(found, wanted, atol=2e-2)


def test_temperature_changes_the_slope_alone() -> None:
    raw, target, _ = world(slope=0.5, shift=0.0)
    found = calibrator.fit_method("temperature", raw, target, np.ones(len(raw)))
    assert found.apply(np.array([0.0])) == pytest.approx(0.5)
    assert found.calibrated[1] / EDGE == pytest.approx(0.5, abs=0.05)


def in_time(shares: list[float], rows: int = 1500) -> tuple[np.ndarray, np.ndarray, Parts]:
    """Return scores without meaning, outcomes whose share changes from block to block, and forward parts."""
    rng = np.random.default_rng(3)
    raw = rng.normal(0.0, 0.01, rows * len(shares)) - 2.0
    target = np.concatenate([(rng.random(rows) < share).astype(float) for share in shares])
    parts = held_out.forward_in_time(target, np.arange(len(raw)), number=len(shares) - 1)
    assert parts is not None
    return raw, target, parts


def test_where_the_share_of_positives_drifts_the_latest_part_calibrates() -> None:
    raw, target, parts = in_time([0.05, 0.08, 0.14, 0.22, 0.33])
    found = calibrator.fit(raw, target, parts=parts)
    assert found.recent
    assert found.table.apply(np.array([-2.0])) == pytest.approx([0.33], abs=0.02)
    assert all(check.drifts and check.observed > check.predicted for check in found.checks)
    assert "3 of 3 later parts differ" in found.drift


def test_without_drift_all_rows_calibrate_and_nothing_is_reported() -> None:
    raw, target, parts = in_time([0.15] * 5)
    found = calibrator.fit(raw, target, parts=parts)
    assert not found.recent
    assert found.drift == ""
    assert len(found.checks) == 4


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
