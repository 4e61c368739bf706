"""The classifier learns, is calibrated, repeats itself, and refuses what cannot be learnt from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from features.base.errors import BadData
from training.dataset import folds
from training.evaluate.calibration import ece
from training.evaluate.ranking import auc
from training.models import classifier, explanation
from training.models.booster import BoosterSettings
from training.models.feature_encoding import Encoding

QUICK = BoosterSettings(learning_rate=0.1, max_rounds=150, patience=10, folds=3, num_threads=1)


def world(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return features, labels, and the true probabilities: by tenure (missing for some) and plan."""
    rng = np.random.default_rng(seed)
    tenure = rng.uniform(0, 10, rows)
    plan = rng.choice(["basic", "plus", "max"], rows)
    truth = expit(1.5 - 0.5 * tenure + 1.5 * (plan == "basic"))
    seen = np.where(rng.random(rows) < 0.1, np.nan, tenure)
    frame = pd.DataFrame({"tenure, months": seen, "plan": plan, "noise": rng.normal(size=rows)})
    return frame, (rng.random(rows) < truth).astype(float), truth


def test_a_model_orders_new_customers_and_its_probabilities_come_true() -> None:
    frame, target, _ = world(4000, seed=1)
    fresh, came, truth = world(4000, seed=2)
    model = classifier.fit(frame, target, settings=QUICK, seed=3)
    p = model.score(model.encoding.matrix(fresh))
    assert auc(came, p) > auc(came, truth) - 0.04  # one tenure in ten is hidden
    assert ece(came, p) < 0.03


def test_the_same_seed_gives_the_same_model_and_another_does_not() -> None:
    frame, target, _ = world(600, seed=1)
    first, second, other = (classifier.fit(frame, target, settings=QUICK, seed=seed) for seed in (3, 3, 4))
    assert first == second
    assert first.trees.text != other.trees.text


def test_a_customer_is_never_on_both_sides() -> None:
    customers = np.repeat(np.arange(40), 3)
    target = (customers % 4 == 0).astype(float)
    part = folds.assign(target, groups=customers, folds=5, seed=1)
    assert all(len(set(part[customers == c])) == 1 for c in range(40))
    assert all(0 < target[part == p].sum() < (part == p).sum() for p in range(5))


def test_rows_of_one_customer_cannot_vouch_for_each_other() -> None:
    """Labels are a coin per customer: with its own rows held out together, nothing can be learnt."""
    apart: list[float] = []
    mixed: list[float] = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        customers = np.repeat(np.arange(300), 4)
        target = rng.integers(0, 2, 300).astype(float)[customers]
        matrix = rng.normal(size=300)[customers][:, None]
        for groups, found in ((customers, apart), (None, mixed)):
            fitted = classifier.fit_matrix(matrix, target, categorical=(), groups=groups, settings=QUICK, seed=1)
            found.append(auc(target, fitted.held_out))
    assert np.mean(apart) == pytest.approx(0.5, abs=0.06)
    assert np.mean(mixed) > 0.65


def test_weights_move_the_base_rate() -> None:
    frame, target, _ = world(1500, seed=1)
    weight = np.where(target == 1, 1.0, 5.0)
    model = classifier.fit(frame, target, weight=weight, settings=QUICK, seed=3)
    p = model.score(model.encoding.matrix(frame))
    assert np.average(p, weights=weight) == pytest.approx(np.average(target, weights=weight), abs=0.02)


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        (np.zeros(200), "label.one_class"),
        (np.ones(200), "label.one_class"),
        (np.r_[np.ones(5), np.zeros(195)], "label.few_positives"),
        (np.r_[np.zeros(5), np.ones(195)], "label.few_positives"),
        (np.r_[np.nan, np.zeros(99), np.ones(100)], "label.values"),
        (np.r_[2.0, np.zeros(99), np.ones(100)], "label.values"),
        (np.ones(199), "label.values"),
    ],
)
def test_labels_that_cannot_be_learnt_from_are_refused(labels: np.ndarray, code: str) -> None:
    frame, _, _ = world(200, seed=1)
    with pytest.raises(BadData) as error:
        classifier.fit(frame, labels, seed=1)
    assert error.value.first.code == code


def test_too_few_positives_are_counted_and_the_way_out_is_named() -> None:
    frame, _, _ = world(200, seed=1)
    with pytest.raises(BadData, match="5 positive and 195 negative labels: 30 of each") as error:
        classifier.fit(frame, np.r_[np.ones(5), np.zeros(195)], seed=1)
    assert "horizon" in error.value.first.hint


def test_one_customer_with_all_the_positives_is_refused() -> None:
    frame, target, _ = world(200, seed=1)
    with pytest.raises(BadData, match=r"label\.few_groups"):
        classifier.fit(frame, target, groups=target, settings=QUICK, seed=1)


def test_wrong_weights_and_groups_are_refused() -> None:
    frame, target, _ = world(200, seed=1)
    with pytest.raises(BadData, match=r"weight\.values"):
        classifier.fit(frame, target, weight=np.zeros(200), seed=1)
    with pytest.raises(BadData, match=r"label\.groups"):
        classifier.fit(frame, target, groups=[1, 2], seed=1)


def test_no_rows_score_to_nothing() -> None:
    frame, target, _ = world(400, seed=1)
    model = classifier.fit(frame, target, settings=QUICK, seed=3)
    empty = model.encoding.matrix(frame.head(0))
    assert model.score(empty).shape == (0,)
    assert model.trees.contributions(empty).shape == (0, 4)


def test_reasons_name_the_feature_its_value_and_its_direction() -> None:
    frame, target, _ = world(3000, seed=1)
    model = classifier.fit(frame, target, settings=QUICK, seed=3)
    two: dict[str, list[Any]] = {"tenure, months": [0.2, 9.8], "plan": ["basic", None], "noise": [0.0, 0.0]}
    matrix = model.encoding.matrix(two)
    contributions = model.trees.contributions(matrix)
    np.testing.assert_allclose(contributions.sum(axis=1), model.trees.raw(matrix), atol=1e-9)
    new, old = explanation.reasons(contributions, matrix, model.encoding, top=2)
    assert {(r.feature, r.value, r.direction) for r in new} == {
        ("tenure, months", 0.2, "raises"),
        ("plan", "basic", "raises"),
    }
    assert (old[0].feature, old[0].value, old[0].direction) == ("tenure, months", 9.8, "lowers")
    assert abs(old[0].contribution) >= abs(old[1].contribution)
    assert (
        next(
            r.value for r in explanation.reasons(contributions, matrix, model.encoding, top=3)[1] if r.feature == "plan"
        )
        is None
    )


def test_features_that_moved_nothing_are_no_reasons() -> None:
    encoding = Encoding.fit(world(50, seed=1)[0])
    still = np.array([[0.0, 0.3, 0.0, 1.0]])
    assert [r.feature for r in explanation.reasons(still, np.zeros((1, 3)), encoding, top=3)[0]] == ["plan"]


def test_leaves_grow_with_the_table_unless_they_are_set() -> None:
    assert [BoosterSettings().leaves(rows) for rows in (100, 8_000, 16_000, 1_000_000)] == [8, 8, 16, 31]
    assert BoosterSettings(num_leaves=4).leaves(1_000_000) == 4
