"""Registry, online store and snapshots out of step: each case is mended by filling or reconciling, Feast's ways too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from features.base.errors import BadConfiguration
from features.store.online_differences import Kind
from features.store.repository import Store, open_store

JAN = datetime(2026, 1, 1, tzinfo=UTC)
FEB = datetime(2026, 2, 1, tzinfo=UTC)
MAR = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SPEND = {"spend__sum": "float", "spend__count": "int"}
ROWS = {JAN: [("ann", 1.0, 1), ("bob", 1.0, 1)], FEB: [("ann", 2.0, 2), ("cat", 3.0, 3)]}


def totals(store: Store, *customers: str) -> list[object]:
    return [row.values["spend__sum"] for row in store.online(customers, ["spend__sum"], as_of=MAR)]


def counts(store: Store, *, as_of: datetime, repair: bool = False) -> dict[str, dict[Kind, int]]:
    return {one.view: dict(one.counts) for one in store.reconcile(as_of=as_of, repair=repair)}


def test_feasts_own_materialize_fills_the_store_alike(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, ROWS)])
    store.feast.materialize(JAN - DAY, FEB, feature_views=["spend"])
    assert totals(store, "ann", "cat") == [2.0, 3.0]
    # Feast takes each customer's last row, ours the last snapshot: bob had left by then.
    assert counts(store, as_of=FEB) == {"spend": {"extra": 1}}
    (done,) = store.materialize(as_of=FEB)
    assert (done.written, done.dropped) == (0, 1)
    assert counts(store, as_of=FEB) == {"spend": {}}


def test_feasts_incremental_materialization_goes_on_from_our_watermark(store: Store, write_view) -> None:
    """However late the moment that was asked for: the mark is the cutoff that lies online, not the moment."""
    store.apply([write_view("spend", SPEND, {JAN: ROWS[JAN]})])
    store.materialize(as_of=MAR)
    assert store.feast.get_feature_view("spend").most_recent_end_time == JAN
    store.materialize(as_of=MAR)
    assert len(store.feast.get_feature_view("spend").materialization_intervals) == 1
    write_view("spend", SPEND, {FEB: ROWS[FEB]})
    store.feast.materialize_incremental(MAR, feature_views=["spend"])
    assert totals(store, "ann", "cat") == [2.0, 3.0]


@pytest.fixture
def emptied(workspace: Path, store: Store, write_view) -> Iterator[Store]:
    """Return a store that was filled, and whose online part was removed since."""
    store.apply([write_view("spend", SPEND, ROWS)])
    store.materialize(as_of=FEB)
    store.close()
    for file in (workspace / "state" / "feast").glob("online.db*"):
        file.unlink()
    again = open_store(workspace)
    yield again
    again.close()


def test_an_online_store_that_was_removed_is_filled_again(emptied: Store) -> None:
    assert emptied.online(["ann"], ["spend__sum"], as_of=MAR)[0].status == {"spend__sum": "missing"}
    (done,) = emptied.materialize(as_of=FEB)
    assert (done.written, totals(emptied, "ann", "cat")) == (2, [2.0, 3.0])


def test_an_online_store_that_was_removed_is_reconciled(emptied: Store) -> None:
    assert counts(emptied, as_of=FEB) == {"spend": {"missing": 2}}
    assert counts(emptied, as_of=FEB, repair=True) == {"spend": {"missing": 2}}
    assert counts(emptied, as_of=FEB) == {"spend": {}}
    assert totals(emptied, "ann", "cat") == [2.0, 3.0]


def test_a_registry_that_was_removed_is_said_and_made_again(
    workspace: Path, store: Store, write_view, empty_registry: Path
) -> None:
    spend = write_view("spend", SPEND, ROWS)
    store.apply([spend])
    store.materialize(as_of=FEB)
    store.close()
    (workspace / "state" / "feast" / "registry.db").write_bytes(empty_registry.read_bytes())
    again = open_store(workspace)
    assert again.views() == ()
    with pytest.raises(BadConfiguration, match="run `nextbest features` first"):
        again.features("spend")
    # What lies online is of a view that nobody registered.
    assert counts(again, as_of=FEB) == {"spend": {"extra": 2}}
    again.apply([spend])
    (done,) = again.materialize(as_of=FEB)
    assert (done.written, done.cutoff) == (0, FEB)
    assert again.feast.get_feature_view("spend").most_recent_end_time == FEB
    assert totals(again, "ann", "cat") == [2.0, 3.0]
    again.close()


def test_what_was_written_over_at_the_same_moment_is_mended(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, ROWS)])
    store.materialize(as_of=FEB)
    row = {"customer_id": ["ann"], "event_timestamp": [pd.Timestamp(FEB)], "created_timestamp": [pd.Timestamp(FEB)]}
    store.feast.write_to_online_store("spend", pd.DataFrame(row | {"spend__sum": [9.0], "spend__count": [9]}))
    assert totals(store, "ann") == [9.0]
    assert store.materialize(as_of=FEB)[0].written == 0  # the snapshot lies there, says the watermark
    assert counts(store, as_of=FEB, repair=True) == {"spend": {"different": 1}}
    assert totals(store, "ann") == [2.0]
