"""The point-in-time join keeps every row, in order, and sees nothing from the future."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from features.base.errors import BadConfiguration, BadData, NextbestError
from features.store.historical import _refuse_leaks
from features.store.repository import Store

JAN = datetime(2026, 1, 1, tzinfo=UTC)
FEB = datetime(2026, 2, 1, tzinfo=UTC)
MAR = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SPEND = {"spend__sum": "float", "spend__count": "int"}


def ask(*rows: tuple[str, datetime]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["customer_id", "as_of"])


def test_each_row_gets_the_newest_snapshot_at_or_before_its_moment(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)], FEB: [("ann", 2.0, 2)]})])
    entities = ask(("ann", FEB), ("ann", FEB - timedelta(microseconds=1)), ("ann", MAR))
    history = store.historical(entities, ["spend__sum"])
    assert history.frame["spend__sum"].tolist() == [2.0, 1.0, 2.0]
    assert history.snapshot_times["spend"].tolist() == [FEB, JAN, FEB]


def test_repeated_rows_and_rows_before_any_snapshot_stay_in_their_place(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, {FEB: [("ann", 2.0, 2)]})])
    entities = ask(("ann", MAR), ("bob", MAR), ("ann", MAR), ("ann", JAN), ("ann", MAR))
    history = store.historical(entities, ["spend__sum"])
    assert history.frame["customer_id"].tolist() == entities["customer_id"].tolist()
    assert history.frame["as_of"].tolist() == entities["as_of"].tolist()
    assert history.frame["spend__sum"].fillna(-1).tolist() == [2.0, -1, 2.0, -1, 2.0]
    assert history.snapshot_times["spend"].isna().tolist() == [False, True, False, True, False]


def test_thousands_of_rows_come_back_in_their_order(store: Store, write_view) -> None:
    # Feast's own answer comes back in another order from about this size on; 5,000 rows keep theirs.
    people = [(f"c{number}", number) for number in range(2000)]
    weekly = {JAN + 7 * week * DAY: people for week in range(13)}
    store.apply([write_view(name, {f"{name}__n": "int"}, weekly) for name in ("spend", "visits")])
    numbers = [place % 2100 for place in range(40_000)]
    rows = [(f"c{number}", JAN + (place % 13 * 7 + place % 5) * DAY) for place, number in enumerate(numbers)]
    frame = store.historical(ask(*rows), ["spend__n", "visits__n"]).frame
    expected = [number if number < 2000 else -1 for number in numbers]
    assert frame["spend__n"].fillna(-1).tolist() == frame["visits__n"].fillna(-1).tolist() == expected


def test_columns_come_in_the_asked_order_across_views(store: Store, write_view) -> None:
    spend = write_view("spend", SPEND, {JAN: [("ann", 1.0, 5)]})
    visits = write_view("visits", {"visits__n": "int", "visits__page": "string"}, {JAN: [("ann", 3, "home")]})
    store.apply([spend, visits])
    features = ["visits__page", "spend__count", "visits__n", "spend__sum"]
    frame = store.historical(ask(("ann", JAN)), features).frame
    assert frame.columns.tolist() == ["customer_id", "as_of", *features]
    assert frame[features].iloc[0].tolist() == ["home", 5, 3, 1.0]


def test_the_index_and_the_frame_that_was_given_are_left_alone(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)]})])
    entities = ask(("ann", JAN), ("bob", JAN)).set_index(pd.Index([7, 3])).assign(label=1)
    before = entities.copy()
    history = store.historical(entities, ["spend__sum"])
    assert history.frame.index.tolist() == history.snapshot_times.index.tolist() == [7, 3]
    pd.testing.assert_frame_equal(entities, before)


def test_a_backfill_is_not_seen_before_it_was_written(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)], FEB: [("ann", 2.0, 2)]}, created={FEB: MAR})])
    history = store.historical(ask(("ann", FEB + DAY), ("ann", MAR)), ["spend__sum"])
    assert history.frame["spend__sum"].tolist() == [1.0, 2.0]


def test_a_snapshot_older_than_the_ttl_counts_as_missing(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)]}, ttl=7 * DAY)])
    history = store.historical(ask(("ann", JAN + 7 * DAY), ("ann", JAN + 8 * DAY)), ["spend__sum"])
    assert history.frame["spend__sum"].fillna(-1).tolist() == [1.0, -1]


def test_times_without_a_zone_are_utc(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)]})])
    history = store.historical(ask(("ann", datetime(2026, 1, 1))), ["spend__sum"])  # noqa: DTZ001
    assert history.frame["spend__sum"].tolist() == [1.0]
    assert str(history.frame["as_of"].dtype) == "datetime64[us, UTC]"


def test_no_rows_asked_gives_no_rows_with_the_same_columns(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)]})])
    history = store.historical(ask().iloc[:0], ["spend__sum"])
    assert history.frame.columns.tolist() == ["customer_id", "as_of", "spend__sum"]
    assert history.frame.empty
    assert history.snapshot_times.empty


@pytest.mark.parametrize("row", [(None, JAN), ("ann", None)])
def test_a_row_without_a_customer_or_a_moment_is_refused(store: Store, write_view, row) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)]})])
    with pytest.raises(BadData, match="1 rows have no"):
        store.historical(ask(("ann", JAN), row), ["spend__sum"])


def test_an_unknown_feature_is_refused_with_the_nearest_known_one(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)]})])
    with pytest.raises(BadConfiguration, match="did you mean 'spend__sum'"):
        store.historical(ask(("ann", JAN)), ["spend__summ"])


def test_nothing_is_written_to_standard_output(store: Store, write_view, capsys: pytest.CaptureFixture[str]) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 1)]})])
    store.historical(ask(("ann", JAN)), ["spend__sum"])
    store.materialize(as_of=JAN)
    store.online(["ann"], ["spend__sum"], as_of=JAN)
    assert capsys.readouterr().out == ""


def test_the_join_agrees_with_a_plain_search_through_all_snapshots(store: Store, write_view) -> None:
    chance = random.Random(7)
    customers = [f"c{number}" for number in range(30)]
    cutoffs = [JAN + number * 7 * DAY for number in range(8)]
    created = {cutoff: cutoff + chance.choice([0, 0, 10]) * DAY for cutoff in cutoffs}
    value = {(who, cutoff): chance.random() for cutoff in cutoffs for who in customers if chance.random() < 0.7}
    snapshots = {
        cutoff: [(who, value[who, cutoff], 0) for who in customers if (who, cutoff) in value] for cutoff in cutoffs
    }
    ttl = 20 * DAY
    store.apply([write_view("spend", SPEND, snapshots, ttl=ttl, created=created)])
    rows = [(chance.choice([*customers, "nobody"]), JAN + chance.randint(-5, 80) * DAY) for _ in range(400)]

    def expected(who: str, moment: datetime) -> datetime | None:
        usable = [c for c in cutoffs if (who, c) in value and c <= moment <= c + ttl and created[c] <= moment]
        return max(usable, default=None)

    history = store.historical(ask(*rows), ["spend__sum"])
    times = [None if pd.isna(time) else time.to_pydatetime() for time in history.snapshot_times["spend"]]
    assert times == [expected(*row) for row in rows]
    got = [None if pd.isna(one) else one for one in history.frame["spend__sum"]]
    assert got == [None if time is None else value[row[0], time] for row, time in zip(rows, times, strict=True)]


def test_a_join_that_leaks_is_a_defect_and_stops_the_retrieval() -> None:
    as_of = pd.Series(pd.to_datetime([FEB, FEB, FEB]))
    fine = pd.DataFrame({"spend": pd.Series([JAN, FEB, None], dtype="datetime64[us, UTC]")})
    _refuse_leaks(fine, as_of)
    with pytest.raises(NextbestError, match="1 rows were joined with a snapshot from after their moment") as caught:
        _refuse_leaks(fine.assign(visits=pd.Series([JAN, MAR, None], dtype="datetime64[us, UTC]")), as_of)
    assert caught.value.first.where == "visits"


def test_retrievals_from_many_threads_do_not_mix(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [(f"c{number}", float(number), number) for number in range(50)]})])

    def one(start: int) -> bool:
        numbers = [(start + step) % 50 for step in range(20)]
        frame = store.historical(ask(*((f"c{number}", FEB) for number in numbers)), ["spend__sum"]).frame
        return bool(frame["spend__sum"].tolist() == [float(number) for number in numbers])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(16)))
