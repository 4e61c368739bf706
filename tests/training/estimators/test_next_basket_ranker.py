"""Habits are learnt, new items apart from repeats, for customers of the fit and for others by their own baskets."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from features.base.errors import BadData
from training.baselines import tifu_knn
from training.estimators import NextBasketRanker

ITEMS, CUSTOMERS, VISITS = 40, 300, 8


@functools.cache
def baskets() -> pd.DataFrame:
    """Return weekly baskets: two of four habits, one item every fourth week, one by chance."""
    rng = np.random.default_rng(1)
    rows = []
    for customer in range(CUSTOMERS):
        group = customer % 2
        habits = rng.choice(10, size=4, replace=False) + 10 * group
        due = int(rng.integers(4))
        for visit in range(VISITS):
            items = [*rng.choice(habits, 2, replace=False).tolist(), int(rng.integers(8)) + 30]
            if visit % 4 == due:
                items.append(20 + customer % 10)
            rows.append((customer, pd.Timestamp("2026-01-01") + pd.Timedelta(weeks=visit), items))
    return pd.DataFrame(rows, columns=["customer", "time", "items"])


@functools.cache
def fitted() -> NextBasketRanker:
    return NextBasketRanker(k=5, popular=40).fit(baskets())


def test_the_report_holds_repeats_and_new_items_apart_beside_the_simple_rules() -> None:
    report = fitted().report_
    models = ["nextbest", "own_most_frequent", "tifu_knn", "popularity"]
    assert report.index.tolist() == [(items, model) for items in ("all", "repeat", "new") for model in models]
    ndcg = dict(zip(report.index.tolist(), report["ndcg_5"].tolist(), strict=True))
    assert ndcg[("all", "nextbest")] > ndcg[("all", "popularity")]
    assert ndcg[("repeat", "nextbest")] > ndcg[("repeat", "own_most_frequent")]
    assert 0 < report["customers"].iloc[-1] < CUSTOMERS


def test_recommendations_are_ranked_propensities() -> None:
    found = fitted().recommend([3, 200], k=4)
    assert found["customer"].tolist() == [3] * 4 + [200] * 4
    assert found["rank"].tolist() == [1, 2, 3, 4] * 2
    assert found["propensity"].between(0, 1).all()
    assert (found.groupby("customer")["propensity"].diff().dropna() <= 0).all()
    assert len(fitted().recommend()) == CUSTOMERS * 5


def test_the_propensities_are_calibrated() -> None:
    known = baskets()[baskets()["time"] < pd.Timestamp("2026-02-19")]
    last = baskets()[baskets()["time"] >= pd.Timestamp("2026-02-19")]
    found = NextBasketRanker(popular=40).fit(known).recommend(k=3)
    taken = dict(zip(last["customer"], last["items"], strict=True))
    hits = [item in taken[customer] for customer, item in zip(found["customer"], found["item"], strict=True)]
    assert np.mean(hits) == pytest.approx(found["propensity"].mean(), abs=0.07)


def test_other_customers_are_given_by_their_own_baskets() -> None:
    own = baskets()[baskets()["customer"] == 7].assign(customer="someone")
    found = fitted().recommend(own, k=5)
    assert set(found["customer"]) == {"someone"}
    assert found["repeat"].any()
    with pytest.raises(BadData, match=r"baskets\.customer"):
        fitted().recommend(["someone"])
    with pytest.raises(BadData, match=r"baskets\.k"):
        fitted().recommend(k=0)


def test_an_order_does_as_well_as_a_time_and_rows_may_be_mixed() -> None:
    order = baskets().assign(order=baskets()["time"].dt.dayofyear).drop(columns="time")
    mixed = order.sample(frac=1, random_state=1)
    one, two = (NextBasketRanker(k=5, popular=40).fit(table) for table in (order, mixed))
    pd.testing.assert_frame_equal(one.report_, two.report_)


def test_a_clone_is_unfitted() -> None:
    again = clone(fitted())
    assert again.get_params() == fitted().get_params()
    with pytest.raises(NotFittedError):
        again.recommend([1])


@pytest.mark.parametrize(
    ("table", "code"),
    [
        (pd.DataFrame({"customer": [1], "items": [["a"]]}), "baskets.columns"),
        (pd.DataFrame({"customer": [1], "time": ["2026-01-01"]}), "baskets.columns"),
        (pd.DataFrame({"customer": [1], "order": [1], "items": ["tea"]}), "baskets.values"),
        (pd.DataFrame({"customer": [None], "order": [1], "items": [["tea"]]}), "baskets.values"),
        (pd.DataFrame({"customer": [1], "time": ["soon"], "items": [["tea"]]}), "baskets.values"),
        (pd.DataFrame({"customer": [1], "order": [1], "items": [[]]}), "baskets.empty"),
        (pd.DataFrame({"customer": [1, 1], "order": [1, 2], "items": [["tea"], ["tea"]]}), "baskets.few"),
    ],
)
def test_bad_baskets_are_refused(table: pd.DataFrame, code: str) -> None:
    with pytest.raises(BadData) as refused:
        NextBasketRanker().fit(table)
    assert refused.value.first.code == code


def test_the_vectors_of_tifu_are_the_papers() -> None:
    """Five baskets in two groups: the later holds three, the earlier two; worked out by hand."""
    settings = tifu_knn.TifuSettings(groups=2)
    item = np.zeros(5, dtype=np.int64)
    found = tifu_knn.vectors(item, np.arange(5), item, customers=1, items=1, settings=settings)
    later, earlier = (1 + 0.9 + 0.81) / 3, (1 + 0.9) / 2
    assert found[0, 0] == pytest.approx((later + 0.7 * earlier) / 2)
