"""The sum of curves predicts, explains itself, keeps declared directions, and survives JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from features.base.errors import BadData
from training.evaluate.ranking import auc
from training.models import additive_fit, held_out, logistic_fit
from training.models.additive_fit import AdditiveFit
from training.models.additive_table import AdditiveTable


def world(rows: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Return a number with a bent effect and missing values, a code, a constant, and a column without any value."""
    rng = np.random.default_rng(2)
    number, code = rng.uniform(-3, 3, rows), rng.integers(0, 5, rows).astype(float)
    target = (rng.random(rows) < expit(np.abs(number) - 1.5 + (code == 3))).astype(float)
    number[rng.random(rows) < 0.1] = np.nan
    return np.column_stack([number, code, np.ones(rows), np.full(rows, np.nan)]), target


def fitted(matrix: np.ndarray, target: np.ndarray, monotone: tuple[int, ...] = ()) -> AdditiveFit:
    parts = held_out.by_customer(target, groups=None, number=3, seed=1)
    weight = np.ones(len(target))
    return additive_fit.fit(matrix, target, parts=parts, categorical=(1,), monotone=monotone, weight=weight, seed=1)


def test_curves_find_a_bent_effect_out_of_fold() -> None:
    matrix, target = world()
    found = fitted(matrix, target)
    assert auc(target, found.held_out) > 0.65
    assert auc(target, found.table.raw(matrix)) > 0.65
    assert found.table.raw(matrix).mean() == pytest.approx(found.table.base, abs=1e-9)


def test_parts_of_the_features_add_up_to_the_score() -> None:
    matrix, target = world()
    table = fitted(matrix, target).table
    rows = np.vstack([matrix[:100], [[np.nan, np.nan, 5.0, 7.0], [99.0, 4.0, 1.0, np.nan]]])
    np.testing.assert_allclose(table.contributions(rows).sum(axis=1), table.raw(rows), atol=1e-12)
    assert (table.contributions(rows)[:, 2:4] == 0).all()  # a constant and an empty column have no part


@pytest.mark.parametrize("direction", [1, -1])
def test_a_declared_direction_is_kept(direction: int) -> None:
    matrix, target = world()
    table = fitted(matrix, target, (direction, 0, 0, 0)).table
    line = np.tile(matrix[0], (100, 1))
    line[:, 0] = np.linspace(-4, 4, 100)
    assert (direction * np.diff(table.raw(line)) >= -1e-12).all()


def test_a_table_survives_json_exactly() -> None:
    table = fitted(*world(600)).table
    assert AdditiveTable.from_json(json.loads(json.dumps(table.to_json()))) == table


@pytest.mark.parametrize(
    "wrong",
    [
        {"base": 0.0, "share": 0.0, "curves": []},
        {"base": float("inf"), "share": 0.5, "curves": []},
        {"base": 0.0, "share": 0.5},
        {"base": 0.0, "share": 0.5, "curves": [{"position": 0, "knots": [1, 0], "parts": [0, 0], "missing": 0}]},
        {"base": 0.0, "share": 0.5, "curves": [{"position": -1, "knots": [0], "parts": [0], "missing": 0}]},
        {"base": 0.0, "share": 0.5, "curves": [{"position": 0, "knots": [0], "parts": [0, 1], "missing": 0}]},
    ],
)
def test_a_document_that_is_no_table_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadData, match=r"additive\."):
        AdditiveTable.from_json(wrong)


def test_without_bounds_it_is_scikit_learns_logistic_regression() -> None:
    rng = np.random.default_rng(4)
    design = rng.normal(size=(500, 4))
    target = (rng.random(500) < expit(design @ [1.0, -0.5, 0.0, 0.2] - 1)).astype(float)
    free = np.full(5, np.inf)
    found = logistic_fit.fit_logistic(design, target, np.ones(500), low=-free, high=free, penalty=4.0)
    wanted = LogisticRegression(C=0.25, tol=1e-10, max_iter=1000).fit(design, target)
    np.testing.assert_allclose(found, [*wanted.coef_[0], wanted.intercept_[0]], atol=2e-4)
