"""A cutoff is learnt from once every feed that its outcome is read from has reached past the outcome window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from features.base.database_engine import open_engine
from features.base.errors import BadConfiguration, BadData
from features.config.feeds_file import FeedsFile
from training.labels.build import build
from training.labels.label_settings import ModelSettings
from training.labels.labelled_rows import Labels

NOW = datetime(2026, 7, 25, tzinfo=UTC)
CUTOFFS = [NOW - timedelta(days=7 * weeks) for weeks in range(30, -1, -1)]


def orders(feed: str, customers: str, *, until: datetime, every: int = 10) -> pd.DataFrame:
    """Return orders of each customer, the last of them on the day `until`."""
    days = pd.date_range(end=until, periods=25, freq=f"{every}D")
    rows = [
        {
            "customer_id": customer,
            "feed": feed,
            "record_id": f"{feed}{customer}{at}",
            "event": "purchase",
            "item": "tea",
        }
        | {"event_time": day, "known_at": day}
        for customer in customers
        for at, day in enumerate(days)
    ]
    return pd.DataFrame(rows)


def labels(events: pd.DataFrame, *, ended: bool = False, **settings: Any) -> Labels:
    feed = {
        "source": "x.csv",
        "kind": "events",
        "event": "purchase",
        "event_time": "at",
        "customer": "crm.id = till.id",
    }
    crm = {"source": "c.csv", "kind": "customers", "key": "id"}
    feeds = FeedsFile.model_validate({"feeds": {"crm": crm, "till": {**feed, "ended": ended}}})
    label = {"kind": "inactivity", "event": "purchase", "horizon": "30d"}
    cutoffs = {"warm_up": "30d", "at_most": 50}
    with open_engine(folders=[]) as engine:
        engine.register("rows", pa.Table.from_pandas(events, preserve_index=False))
        times = ", ".join(f"CAST({name} AS TIMESTAMPTZ) AS {name}" for name in ("event_time", "known_at"))
        engine.execute(f"CREATE VIEW events AS SELECT * REPLACE ({times}) FROM rows")
        engine.execute(
            "CREATE VIEW customers AS SELECT customer_id, known_at, NULL::TIMESTAMPTZ AS known_until FROM events"
        )
        model = ModelSettings.model_validate({"label": label, "cutoffs": cutoffs} | settings)
        return build(engine, model, CUTOFFS, feeds)


def last(found: Labels) -> str:
    return f"{found.rows['as_of'].max():%m-%d}"


def test_no_outcome_is_read_beyond_the_end_of_its_feed() -> None:
    found = labels(orders("till", "abc", until=datetime(2026, 6, 29, 9, tzinfo=UTC)))
    assert (last(found), found.target.sum()) == ("05-30", 0)
    why = "the events of feed till end on 2026-06-30: the cutoff 2026-06-06 and later ones are not learnt from"
    assert found.waits == why


def test_the_feed_that_ends_first_decides() -> None:
    ahead = orders("web", "abc", until=datetime(2026, 7, 24, tzinfo=UTC))
    behind = orders("till", "xyz", until=datetime(2026, 6, 29, tzinfo=UTC))
    assert [last(labels(rows)) for rows in (ahead, pd.concat([ahead, behind]))] == ["06-20", "05-30"]
    assert last(labels(pd.concat([ahead, behind]), ended=True)) == "06-20"


def test_late_rows_are_waited_for() -> None:
    rows = orders("till", "abc", until=datetime(2026, 7, 24, 9, tzinfo=UTC))
    assert [last(labels(rows, settle=settle)) for settle in ("0d", "4d", "5d", "6d")] == [
        "06-20",
        "06-20",
        "06-20",
        "06-13",
    ]


def test_the_embargo_holds_the_gap_the_horizon_and_the_time_to_settle() -> None:
    rows = orders("till", "abc", until=datetime(2026, 7, 24, 9, tzinfo=UTC))
    label = {"kind": "inactivity", "event": "purchase", "horizon": "30d", "gap": "7d"}
    assert labels(rows, label=label, settle="5d").closes_after == timedelta(days=42)


def test_an_order_for_next_month_is_not_the_end_of_its_feed() -> None:
    rows = orders("till", "abc", until=datetime(2026, 6, 29, 9, tzinfo=UTC))
    ahead = rows.tail(1).assign(event_time=pd.Timestamp("2026-07-20", tz="UTC"), record_id="ahead")
    assert last(labels(pd.concat([rows, ahead]))) == "05-30"


def test_the_feed_is_named_where_no_cutoff_is_left() -> None:
    with pytest.raises(BadData, match=r"feed till end on 2026-01-30: the cutoff 2026-01-31"):
        labels(orders("till", "abc", until=datetime(2026, 1, 30, tzinfo=UTC), every=1))


def test_categories_that_would_share_a_name_are_named() -> None:
    rows = orders("till", "abc", until=datetime(2026, 6, 29, tzinfo=UTC))
    rows.loc[::2, "item"] = "Tea"
    label = {"kind": "acquisition", "of": "item", "horizon": "30d"}
    with pytest.raises(BadConfiguration, match="'Tea' and 'tea' would both be tea"):
        labels(rows, label=label)
