"""One cutoff in bulk, straight from the snapshot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from features.base.errors import BadConfiguration, BadData
from features.store.repository import Store

JAN = datetime(2026, 1, 1, tzinfo=UTC)
FEB = datetime(2026, 2, 1, tzinfo=UTC)
SPEND = {"spend__sum": "float", "spend__count": "int"}


def test_every_customer_of_the_cutoff_comes_once_in_order(store: Store, write_view) -> None:
    spend = write_view("spend", SPEND, {JAN: [("zoe", 9.0, 9)], FEB: [("bob", 2.0, 2), ("ann", 1.0, 1)]})
    visits = write_view("visits", {"visits__n": "int"}, {FEB: [("ann", 5), ("cem", 7)]})
    store.apply([spend, visits])
    frame = store.latest(["visits__n", "spend__sum"], as_of=FEB)
    assert frame.columns.tolist() == ["customer_id", "visits__n", "spend__sum"]
    assert frame["customer_id"].tolist() == ["ann", "bob", "cem"]
    assert frame["visits__n"].fillna(-1).tolist() == [5, -1, 7]
    assert frame["spend__sum"].fillna(-1).tolist() == [1.0, 2.0, -1]


def test_it_equals_the_point_in_time_join_at_the_same_moment(store: Store, write_view) -> None:
    rows = [(f"c{number:02d}", number / 3, number) for number in range(40)]
    store.apply([write_view("spend", SPEND, {JAN: rows[::2], FEB: rows})])
    latest = store.latest(["spend__count", "spend__sum"], as_of=FEB)
    asked = latest[["customer_id"]].assign(as_of=FEB)
    history = store.historical(asked, ["spend__count", "spend__sum"]).frame.drop(columns="as_of")
    assert latest.to_dict("list") == history.to_dict("list")


def test_a_cutoff_that_was_not_built_is_refused_with_the_nearest_one(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)]})])
    with pytest.raises(BadData, match="the newest one before it is 2026-01-01T00:00:00Z"):
        store.latest(["spend__sum"], as_of=FEB)
    with pytest.raises(BadData, match="none before it"):
        store.latest(["spend__sum"], as_of=JAN - timedelta(days=1))


def test_no_feature_is_refused(store: Store) -> None:
    with pytest.raises(BadConfiguration, match=r"store\.no_feature"):
        store.latest([], as_of=JAN)
