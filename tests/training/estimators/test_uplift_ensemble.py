"""Effects that are there are found, effects that are not are refused, and bad experiments are named."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from features.base.errors import BadData
from training.estimators import UpliftEnsemble
from training.models.uplift_learners import UpliftSettings

QUICK = UpliftSettings(seeds=1, effect_rounds=30, max_rounds=60)


@functools.cache
def experiment(kind: str, rows: int = 6000) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Return features, outcome, treatment and the true effect of a random call."""
    rng = np.random.default_rng(7)
    months, plan = rng.integers(1, 60, size=rows), rng.choice(["basic", "plus"], size=rows)
    frame = pd.DataFrame({"months": months, "plan": plan, "calls": rng.poisson(1, size=rows)})
    called = rng.integers(2, size=rows)
    sleeping = (months > 45) & (plan == "plus")
    effects = {"none": np.zeros(rows), "same": np.full(rows, 0.15), "dogs": np.where(sleeping, -0.3, 0.15)}
    effect = effects[kind]
    stays = (rng.random(rows) < 0.4 + 0.002 * months + called * effect).astype(int)
    return frame, stays, called, effect


@functools.cache
def fitted(kind: str) -> UpliftEnsemble:
    frame, stays, called, _ = experiment(kind)
    return UpliftEnsemble(settings=QUICK).fit(frame, stays, called)


def test_sleeping_dogs_are_found_and_left_alone() -> None:
    frame, _, _, effect = experiment("dogs")
    model = fitted("dogs")
    assert model.detectable_
    assert model.p_value_ < 0.01
    predicted = model.predict(frame)
    assert predicted.shape == (len(frame), 1)
    assert np.corrcoef(predicted[:, 0], effect)[0, 1] > 0.8
    chosen = model.choose(frame, value=100.0, cost=2.0)
    assert (chosen[effect < 0] == 0).mean() > 0.8
    assert (chosen[effect > 0] == 1).mean() > 0.9
    row = model.summary_.iloc[0]
    assert 0 < row["harmed"] <= 1.5 * (effect < 0).sum()
    assert row["persuadable"] > 0.5 * (effect > 0).sum()
    segments = model.segments(frame)[:, 0]
    assert (effect[segments == "harmed"] < 0).mean() > 0.6
    assert (effect[segments == "persuadable"] > 0).mean() > 0.95


@pytest.mark.parametrize("kind", ["none", "same"])
def test_without_a_difference_nobody_is_chosen_by_effect(kind: str) -> None:
    frame, _, _, effect = experiment(kind)
    model = fitted(kind)
    assert not model.detectable_
    assert model.p_value_ > 0.05
    assert len(np.unique(model.predict(frame))) == 1
    row = model.summary_.iloc[0]
    assert row["low"] <= effect[0] <= row["high"]
    assert (row["average_p_value"] < 0.001) == (kind == "same")
    assert row["harmed"] == 0
    with pytest.raises(BadData, match=r"uplift\.no_effect"):
        model.choose(frame)


def test_several_treatments_and_an_amount() -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"age": rng.uniform(20, 80, size=6000), "noise": rng.normal(size=6000)})
    arm = rng.choice(["none", "call", "mail"], size=6000)
    effect = np.where(arm == "call", np.where(frame["age"] > 50, 12.0, -4.0), np.where(arm == "mail", 3.0, 0.0))
    spent = 20 + effect + rng.normal(0, 10, size=6000)
    model = UpliftEnsemble(settings=QUICK).fit(frame, spent, arm)
    assert model.treatments_ == ("call", "mail")
    assert model.summary_["detectable"].tolist() == [True, False]
    young_and_old = pd.DataFrame({"age": [30.0, 70.0], "noise": [0.0, 0.0]})
    found = model.predict(young_and_old)
    np.testing.assert_allclose(found, [[-4, 3], [12, 3]], atol=2.5)
    assert model.choose(young_and_old).tolist() == ["mail", "call"]


def test_the_same_seed_gives_the_same_model_and_a_clone_is_unfitted() -> None:
    frame, stays, called, _ = experiment("dogs")
    model = fitted("dogs")
    again = clone(model)
    assert again.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        again.predict(frame)
    again.fit(frame, stays, called)
    np.testing.assert_array_equal(again.predict(frame.head(50)), model.predict(frame.head(50)))


def test_arrays_are_read_as_tables() -> None:
    frame, stays, called, _ = experiment("dogs")
    numbers = frame[["months", "calls"]].to_numpy()[:2000]
    model = UpliftEnsemble(settings=QUICK).fit(numbers, stays[:2000], called[:2000] == 1)
    assert model.predict(numbers[:3]).shape == (3, 1)


def test_a_treatment_that_features_predict_is_refused_unless_it_was_logged() -> None:
    frame, stays, called, _ = experiment("dogs", 3000)
    leaking = frame.assign(call_minutes=called * 5)
    with pytest.raises(BadData, match=r"treatment\.predicted"):
        UpliftEnsemble(settings=QUICK).fit(leaking, stays, called)
    rng = np.random.default_rng(5)
    share = np.where(frame["months"] > 30, 0.9, 0.1)
    chosen = (rng.random(len(frame)) < share).astype(int)
    outcome = (rng.random(len(frame)) < 0.4 + 0.01 * frame["months"] / 6 + 0.1 * chosen).astype(int)
    with pytest.raises(BadData, match=r"treatment\.predicted"):
        UpliftEnsemble(settings=QUICK).fit(frame, outcome, chosen)
    logged = np.column_stack([1 - share, share])
    row = UpliftEnsemble(settings=QUICK).fit(frame, outcome, chosen, propensity=logged).summary_.iloc[0]
    assert row["low"] < 0.1 < row["high"]


def test_a_treatment_by_features_is_corrected() -> None:
    rng = np.random.default_rng(6)
    frame = pd.DataFrame({"months": rng.integers(1, 60, size=6000)})
    chosen = (rng.random(6000) < np.where(frame["months"] > 30, 0.65, 0.35)).astype(int)
    outcome = (rng.random(6000) < np.where(frame["months"] > 30, 0.7, 0.3) + 0.1 * chosen).astype(int)
    row = UpliftEnsemble(settings=QUICK).fit(frame, outcome, chosen).summary_.iloc[0]
    plain = outcome[chosen == 1].mean() - outcome[chosen == 0].mean()
    assert plain > 0.18
    assert row["low"] < 0.1 < row["high"] < plain


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"treatment": np.ones(3000)}, "treatment.control"),
        ({"treatment": np.zeros(3000)}, "treatment.values"),
        ({"treatment": np.array(["a", "b"] * 1500)}, "treatment.control"),
        ({"treatment": np.array([0, 1] * 1499 + [0, 2])}, "treatment.few"),
        ({"treatment": np.array([0.0, 1.0] * 1499 + [0.0, np.nan])}, "treatment.values"),
        ({"treatment": np.zeros(2999)}, "treatment.values"),
        ({"y": np.zeros(3000)}, "label.one_class"),
        ({"y": np.array([0.0] * 2999 + [1.0])}, "label.one_class"),
        ({"y": np.full(3000, np.nan)}, "label.values"),
        ({"propensity": np.full((3000, 2), 0.6)}, "treatment.propensity"),
        ({"propensity": np.full((3000, 3), 0.3)}, "treatment.propensity"),
        ({"groups": [1, 2]}, "treatment.values"),
    ],
)
def test_a_bad_experiment_is_refused(change: dict, code: str) -> None:
    frame, stays, called, _ = experiment("none", 3000)
    given = {"y": stays, "treatment": called} | change
    with pytest.raises(BadData) as refused:
        UpliftEnsemble(settings=QUICK).fit(frame, **given)
    assert refused.value.first.code == code
