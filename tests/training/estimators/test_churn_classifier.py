"""`ChurnClassifier` keeps scikit-learn's contract, reads mixed columns, and refuses what cannot be learnt from."""

from __future__ import annotations

from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import estimator_checks_generator

from features.base.errors import BadData
from training.estimators import ChurnClassifier, LeakWarning


@pytest.mark.filterwarnings(f"ignore::{LeakWarning.__module__}.{LeakWarning.__name__}")
@pytest.mark.parametrize(  # none is expected to fail
    ("estimator", "check"),
    list(estimator_checks_generator(ChurnClassifier(trials=1, min_positives=2, max_rounds=20))),
    ids=lambda value: value.func.__name__ if isinstance(value, partial) else "",
)
def test_scikit_learns_contract(estimator: Any, check: Any) -> None:
    check(estimator)


def world(rows: int = 600, seed: int = 1) -> tuple[pd.DataFrame, np.ndarray]:
    """Return columns of every kind and whether the customer left."""
    rng = np.random.default_rng(seed)
    months, plan = rng.integers(0, 60, rows), rng.choice(["basic", "plus", "max"], rows)
    left = rng.random(rows) < expit(1.5 - months / 12 + (plan == "basic"))
    frame = pd.DataFrame(
        {
            "months": pd.Series(months, dtype="Int64").mask(rng.random(rows) < 0.1),
            "plan": pd.Categorical(plan),
            "city": pd.Series(rng.choice(["Bath", "York", ""], rows), dtype="string").replace("", pd.NA),
            "paperless": rng.random(rows) < 0.5,
            "score": rng.normal(size=rows),
        }
    )
    return frame, np.where(left, "left", "stays")


def quick(**settings: Any) -> ChurnClassifier:
    return ChurnClassifier(**{"trials": 0, "max_rounds": 60, **settings})


def test_columns_of_every_kind_are_learnt_from() -> None:
    frame, outcome = world()
    fresh, came = world(seed=2)
    model = quick(trials=2).fit(frame, outcome)
    assert model.classes_.tolist() == ["left", "stays"]
    assert roc_auc_score(came == "stays", model.predict_proba(fresh)[:, 1]) > 0.7
    assert set(model.predict(fresh)) == {"left", "stays"}
    assert model.learned_.tuned is not None
    assert model.learned_.tuned.finished == 2


def test_columns_in_another_order_and_further_ones_change_nothing() -> None:
    frame, outcome = world()
    model = quick().fit(frame, outcome)
    turned = frame[frame.columns[::-1]].assign(further=1)
    np.testing.assert_array_equal(model.predict_proba(turned), model.predict_proba(frame))
    with pytest.raises(ValueError, match=r"1 of 5 columns of the fit are not there: plan"):
        model.predict_proba(frame.drop(columns="plan"))


def test_levels_that_were_not_seen_are_scored() -> None:
    frame, outcome = world()
    model = quick().fit(frame, outcome)
    p = model.predict_proba(frame.head(3).assign(plan=pd.Series(["new", None, "basic"]), city="Oslo"))
    assert np.isfinite(p).all()


def test_empty_constant_and_equal_columns_do_no_harm() -> None:
    frame, outcome = world()
    more = frame.assign(empty=np.nan, none=None, constant=3, word="same", again=frame["months"], zero=0.0)
    assert roc_auc_score(outcome == "stays", quick().fit(more, outcome).predict_proba(more)[:, 1]) > 0.7


def test_numbers_and_texts_in_one_column_are_levels() -> None:
    frame, outcome = world()
    mixed = frame.assign(code=pd.Series([1, "A", 2.0, True, None, "1"] * 100, dtype=object))
    model = quick().fit(mixed, outcome)
    assert set(model.classifier_.encoding.columns[-1].levels) == {"1", "2", "A", "true"}
    assert np.isfinite(model.predict_proba(mixed)).all()


def test_a_column_that_is_the_outcome_is_pointed_out() -> None:
    frame, outcome = world()
    with pytest.warns(LeakWarning, match="reason: alone gives the outcome away"):
        quick().fit(frame.assign(reason=pd.Series(outcome).replace({"left": "moved", "stays": None})), outcome)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pd.date_range("2025-01-01", periods=600), "derive a number from it"),
        ([date(2025, 1, 1)] * 600, "exclude the column"),
        ([["a", "list"]] * 600, "exclude the column"),
        (pd.to_timedelta(np.arange(600), unit="D"), "derive a number from it"),
        (np.r_[np.inf, np.zeros(599)], "infinite"),
    ],
)
def test_columns_that_are_no_features_are_refused_with_what_to_do(column: Any, message: str) -> None:
    frame, outcome = world()
    with pytest.raises(ValueError, match=message) as error:
        quick().fit(frame.assign(opened=column), outcome)
    assert isinstance(error.value, BadData)
    assert error.value.first.where == "opened"


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (["stays"] * 600, "one class"),
        (["left"] * 10 + ["stays"] * 590, "30 of each are needed"),
        (["left", "stays", "moved"] * 200, "Only binary classification is supported"),
        (["left", "stays"] * 250, "inconsistent numbers of samples"),
        ([np.nan] + [0.0, 1.0] * 299 + [1.0], "NaN"),
    ],
)
def test_outcomes_that_cannot_be_learnt_are_refused(outcome: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quick().fit(world()[0], outcome)


def test_rows_of_a_customer_stay_together_and_later_rows_judge() -> None:
    frame, outcome = world()
    customers = np.repeat(np.arange(200), 3)
    by_customer = quick().fit(frame, outcome, groups=customers)
    assert np.isfinite(by_customer.learned_.held_out).all()
    forward = quick().fit(frame, outcome, times=np.arange(600))
    assert np.isnan(forward.learned_.held_out[:90]).all()  # the first are only learnt from
    assert len(forward.learned_.calibrated.checks) > 1


def test_a_declared_direction_is_kept() -> None:
    frame, outcome = world()
    model = quick(monotone={"score": "up"}).fit(frame, outcome)
    rows = pd.concat([frame.head(1)] * 50).assign(score=np.linspace(-3, 3, 50))
    assert (np.diff(model.predict_proba(rows)[:, 1]) >= 0).all()
    for wrong, message in (({"plan": "up"}, "a category, which has no order"), ({"age": "up"}, "no such feature")):
        with pytest.raises(ValueError, match=message):
            quick(monotone=wrong).fit(frame, outcome)


def test_a_search_is_kept_in_a_folder_and_goes_on(tmp_path: Path) -> None:
    frame, outcome = world(300)
    first = quick(trials=2, study_folder=tmp_path).fit(frame, outcome)
    more = quick(trials=4, study_folder=tmp_path).fit(frame, outcome)
    done = [fit.learned_.tuned for fit in (first, more)]
    assert [tuned and tuned.finished + tuned.pruned for tuned in done] == [2, 4]
    assert more.learned_.settings == quick(trials=4).fit(frame, outcome).learned_.settings


def test_it_stands_in_a_pipeline_and_a_grid_search() -> None:
    frame, outcome = world(300)
    pipeline = make_pipeline(FunctionTransformer(lambda rows: rows.drop(columns="score")), quick())
    assert cross_val_score(pipeline, frame, outcome, cv=2, scoring="roc_auc").mean() > 0.6
    directions = {"monotone": [{"months": "down"}, {"months": "up"}]}
    grid = GridSearchCV(quick(), directions, cv=2, scoring="neg_log_loss").fit(frame, outcome)
    assert grid.best_params_ == {"monotone": {"months": "up"}}, "customers who have stayed long stay"
