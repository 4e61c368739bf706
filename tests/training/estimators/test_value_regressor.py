"""Value is predicted ahead of BG/NBD, with intervals that cover as they should, from tables that are checked."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from features.base.errors import BadData
from training.baselines import gamma_gamma
from training.estimators import ValueRegressor
from training.estimators.purchase_features import features_of, outcomes, purchase_days
from training.evaluate import value_accuracy

CUTOFF, HORIZON = pd.Timestamp("2025-12-31"), pd.Timedelta(weeks=26)


@functools.cache
def shop(customers: int = 1500, first: int = 0) -> pd.DataFrame:
    """Return the purchases of customers with a rhythm of their own, some of whom leave for good."""
    rng = np.random.default_rng(first + 1)
    gap, spends = rng.gamma(3.0, 12.0, size=customers) + 3, rng.gamma(4.0, 10.0, size=customers)
    leaves = rng.exponential(400, size=customers)
    rows = []
    for customer in range(customers):
        at = rng.uniform(0, 200)
        while at < min(550, leaves[customer] + 200):
            rows.append((first + customer, at, rng.gamma(5.0, spends[customer] / 5)))
            at += rng.gamma(4.0, gap[customer] / 4)
    log = pd.DataFrame(rows, columns=["customer", "at", "amount"])
    return log.assign(time=pd.Timestamp("2025-01-01") + pd.to_timedelta(log["at"], unit="D")).drop(columns="at")


@functools.cache
def fitted() -> ValueRegressor:
    return ValueRegressor(horizon="26W").fit(shop(), CUTOFF)


def test_other_customers_are_predicted_ahead_of_the_simple_model_and_covered() -> None:
    others = shop(1000, 10_000)
    found = fitted().predict(others, as_of=CUTOFF)
    days = purchase_days(others)
    actual = outcomes(days, CUTOFF, horizon=HORIZON, customers=found.index)
    simple = features_of(days, CUTOFF, horizon=HORIZON, models=fitted().purchase_models_)
    for name, peer in (("purchases", "bgnbd_purchases"), ("spend", "bgnbd_spend")):
        truth = actual[name]
        assert value_accuracy.rmse(truth, found[name]) < value_accuracy.rmse(truth, simple[peer])
        assert value_accuracy.rank_correlation(truth, found[name]) > value_accuracy.rank_correlation(
            truth, simple[peer]
        )
        covered = value_accuracy.coverage(truth, found[f"{name}_low"], found[f"{name}_high"])
        most = 0.91 if name == "purchases" else 0.86  # whole numbers: many customers lie on the end of an interval
        assert 0.75 <= covered <= most
        assert 0.79 <= fitted().coverage_[name] <= most
    assert found["p_return"].mean() == pytest.approx((actual["purchases"] > 0).mean(), abs=0.05)
    assert (found["p_return_low"] <= found["p_return"]).all()
    assert (found["p_return"] <= found["p_return_high"]).all()


def test_what_comes_after_the_moment_is_not_looked_at() -> None:
    others = shop(1000, 10_000)
    known = others[others["time"] < CUTOFF + pd.Timedelta(days=1)]
    pd.testing.assert_frame_equal(
        fitted().predict(others, as_of=CUTOFF).head(50), fitted().predict(known, as_of=CUTOFF).head(50)
    )


def test_the_order_of_the_rows_and_the_zone_of_the_times_do_not_matter() -> None:
    others = shop(1000, 10_000)
    mixed = others.sample(frac=1, random_state=1)
    mixed = mixed.assign(time=mixed["time"].dt.tz_localize("UTC"))
    expected = fitted().predict(others, as_of=CUTOFF)
    pd.testing.assert_frame_equal(fitted().predict(mixed, as_of="2025-12-31T00:00:00Z"), expected)


def test_a_clone_has_the_settings_and_nothing_learnt() -> None:
    again = clone(fitted())
    assert again.get_params() == fitted().get_params()
    assert not hasattr(again, "models_")


@pytest.mark.parametrize(
    ("change", "cutoff", "code"),
    [
        ({"amount": None}, CUTOFF, "transactions.columns"),
        ({"amount": np.inf}, CUTOFF, "transactions.values"),
        ({"amount": "a lot"}, CUTOFF, "transactions.values"),
        ({"time": "some day"}, CUTOFF, "transactions.values"),
        ({"customer": np.nan}, CUTOFF, "transactions.values"),
        ({"amount": -5.0}, CUTOFF, "transactions.empty"),
        ({}, pd.Timestamp("2026-03-31"), "value.cutoff"),
        ({}, pd.Timestamp("2020-01-01"), "value.cutoff"),
        ({}, pd.NaT, "value.cutoff"),
    ],
)
def test_bad_transactions_are_refused(change: dict, cutoff: pd.Timestamp, code: str) -> None:
    log = shop().drop(columns=[name for name, value in change.items() if value is None])
    log = log.assign(**{name: value for name, value in change.items() if value is not None})
    with pytest.raises(BadData) as refused:
        ValueRegressor(horizon="26W").fit(log, cutoff)
    assert refused.value.first.code == code


def test_a_horizon_that_is_none_and_too_few_who_return_are_refused() -> None:
    for horizon in ("soon", "3h"):
        with pytest.raises(BadData, match=r"value\.horizon"):
            ValueRegressor(horizon=horizon).fit(shop(), CUTOFF)
    few = shop()[shop()["customer"] < 30]
    with pytest.raises(BadData, match=r"value\.few"):
        ValueRegressor(horizon="1W").fit(few, CUTOFF)


def test_gamma_gamma_finds_its_own_parameters() -> None:
    rng = np.random.default_rng(1)
    p, q, v, purchases = 6.0, 4.0, 15.0, rng.integers(1, 12, size=20_000).astype(float)
    nu = rng.gamma(q, 1 / v, size=20_000)
    means = rng.gamma(p * purchases, 1 / nu) / purchases
    found = gamma_gamma.fit(purchases, means)
    assert (found.p, found.q, found.v) == pytest.approx((p, q, v), rel=0.1)
    with pytest.raises(BadData, match=r"gammagamma\.values"):
        gamma_gamma.fit(np.array([1.0]), np.array([-1.0]))
