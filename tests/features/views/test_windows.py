"""Windowed aggregates equal a literal, slow reading of the contract, row by row."""

from __future__ import annotations

import re
import statistics
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from features.config.feeds_file import FeedsFile
from features.config.loading import Lines
from features.config.views_file import ViewsFile
from features.views.compute import create_entity_rows_at, embedded
from features.views.plan import plan_views
from tests.features.views import reference
from tests.features.views.reference import Asked
from tests.features.views.world import DAY, FEEDS, day, engine_with, snapshots
from tests.features.views.worlds import MOMENTS, TICK, differences

WINDOWS = {"1d": DAY, "7d": 7 * DAY}
VIEW = """\
views:
  v:
    from: events
    WHERE
    aggregates:
      "*": [count, trend, recency, tenure]
      amount: [sum, mean, min, max, std, first, last, nunique, trend]
      item: [nunique, first, last]
    windows: [1d, 7d]
"""


events = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from(["ann", "bob"]),
        "event_time": MOMENTS,
        "late": st.sampled_from([timedelta(0), TICK, DAY, 5 * DAY]),
        "amount": st.none() | st.integers(-(10**6), 10**6).map(lambda cents: cents / 100) | st.just(1e10),
        "feed": st.sampled_from(["crm", "crm_2"]),
        "item": st.sampled_from([None, "tea", "Tea", "milk"]),
        "event": st.sampled_from(["buy", "buy", "return"]),
    }
)
cutoff_lists = st.lists(MOMENTS, min_size=1, max_size=4, unique=True).map(sorted)


ASKED = Asked(aggregates=yaml.safe_load(VIEW.replace("WHERE", ""))["views"]["v"]["aggregates"], windows=WINDOWS)


def known(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**row, "known_at": row["event_time"] + row["late"], "record_id": str(number)}
        for number, row in enumerate(rows)
    ]


def expected(
    asked: Asked, rows: list[dict[str, Any]], cutoffs: list[datetime]
) -> dict[tuple[str, datetime], dict[str, Any]]:
    return {
        (who, as_of): {f"v__{name}": value for name, value in reference.windowed(asked, rows, who, as_of).items()}
        for who, as_of in reference.entity_rows([rows], cutoffs)
    }


@settings(max_examples=settings().max_examples // 3)  # test_parity.py draws many more, for one query
@given(rows=st.lists(events, min_size=1, max_size=8), cutoffs=cutoff_lists, where=st.booleans())
def test_every_aggregate_equals_a_literal_reading(
    rows: list[dict[str, Any]], cutoffs: list[datetime], where: bool
) -> None:
    rows = known(rows)
    found = snapshots(VIEW.replace("WHERE", "where: event = 'buy'" if where else ""), cutoffs, events=rows)
    asked = replace(ASKED, where=lambda row: row["event"] == "buy" or not where)
    assert differences(found, expected(asked, rows, cutoffs)) == []


@settings(max_examples=settings().max_examples // 3)  # each example plans several views
@given(rows=st.lists(events, min_size=1, max_size=8), cutoffs=cutoff_lists)
def test_by_category_each_column_is_the_aggregate_of_that_category_alone(
    rows: list[dict[str, Any]], cutoffs: list[datetime]
) -> None:
    rows = known(rows)
    text = """\
views:
  v: {from: events, by: event, categories: [buy, return, never], windows: [7d],
      aggregates: {"*": [count, share, trend, recency], amount: [sum, mean, std, share], item: [last]}}
"""
    asked = Asked(
        aggregates=yaml.safe_load(text)["views"]["v"]["aggregates"],
        windows={"7d": 7 * DAY},
        by="event",
        categories={name: name for name in ("buy", "return", "never")},
    )
    found = snapshots(text, cutoffs, events=rows)
    assert differences(found, expected(asked, rows, cutoffs)) == []


@settings(max_examples=settings().max_examples // 3)  # each example plans several views
@given(
    rows=st.lists(events, min_size=1, max_size=8), later=st.lists(events, min_size=1, max_size=4), cutoffs=cutoff_lists
)
def test_nothing_that_happens_or_comes_to_light_after_a_cutoff_changes_its_snapshot(
    rows: list[dict[str, Any]], later: list[dict[str, Any]], cutoffs: list[datetime]
) -> None:
    rows, last = known(rows), cutoffs[-1]
    future = [row for row in known(later) if row["known_at"] > last]
    text = (
        VIEW.replace("WHERE", "")
        + '  g: {from: events, by: item, categories: [tea], aggregates: {"*": [count]}, windows: [7d]}\n'
    )
    without, with_future = (snapshots(text, cutoffs, events=given) for given in (rows, rows + future))
    assert without == with_future


def test_the_edges_of_a_window_count_to_the_microsecond() -> None:
    cutoff, text = day(10), 'views:\n  v: {from: events, aggregates: {"*": [count]}, windows: [1d]}\n'
    edges = {cutoff - DAY: 0, cutoff - DAY + TICK: 1, cutoff: 1, cutoff + TICK: 0}
    for moment, count in edges.items():
        rows = [{"customer_id": "ann", "event_time": moment}, {"customer_id": "ann", "event_time": day(0)}]
        assert snapshots(text, [cutoff], events=rows)["ann", cutoff] == {"v__count_1d": count}


def test_an_empty_window_is_zero_for_counts_and_sums_and_missing_otherwise() -> None:
    rows = [{"customer_id": "ann", "event_time": day(0), "amount": 5.0}]
    found = snapshots(VIEW.replace("WHERE", "where: event = 'never'"), [day(1)], events=rows)["ann", day(1)]
    assert {name.removeprefix("v__") for name, value in found.items() if value == 0} == {
        f"{name}_{window}" for name in ("count", "amount_sum", "amount_nunique", "item_nunique") for window in WINDOWS
    }
    assert {value for value in found.values() if value != 0} == {None}


def test_equal_values_deviate_by_nothing_and_nearly_equal_ones_by_as_little_as_they_do() -> None:
    text = "views:\n  v: {from: events, aggregates: {amount: [std]}, windows: [7d]}\n"
    for values in ([0.1, 0.1, 0.1], [1e9, 1e9, 1e9 + 0.5], [1e-6, 0.0, 0.0], [99_999_999_999.0, -99_999_999_999.0]):
        rows = [{"customer_id": "ann", "event_time": day(0), "amount": value} for value in values]
        found = snapshots(text, [day(1)], events=rows)["ann", day(1)]["v__amount_std_7d"]
        assert found == pytest.approx(statistics.stdev(values), rel=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
def test_sums_are_exact_and_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    values = [0.1, 1e15, -1e15, 0.2, 1e-9] * 40_000
    rows = [{"customer_id": "ann", "event_time": day(0), "amount": value} for value in values]
    text = "views:\n  v: {from: events, aggregates: {amount: [sum, mean]}, windows: [7d]}\n"
    found = snapshots(text, [day(1)], threads=threads, events=rows)["ann", day(1)]
    assert found["v__amount_sum_7d"] == 12000.00004
    assert found["v__amount_mean_7d"] == pytest.approx(12000.00004 / len(values), rel=1e-15)


def test_a_row_is_compared_with_its_own_day_and_not_with_all_days_of_a_long_window() -> None:
    text = 'views:\n  v: {from: events, aggregates: {"*": [count, recency], amount: [std]}, windows: [1d, 365d]}\n'
    rows = [{"customer_id": f"c{n % 9}", "event_time": day(n % 300), "amount": float(n)} for n in range(900)]
    file = ViewsFile.model_validate(yaml.safe_load(text))
    feeds = FeedsFile.model_validate(yaml.safe_load(FEEDS))
    with engine_with(1, events=rows) as (engine, columns):
        create_entity_rows_at(engine, columns, [day(301)])
        (view,) = plan_views(file, Lines("views.yaml"), feeds, columns=columns, fitted={})
        statement = f"EXPLAIN (ANALYZE, FORMAT json) SELECT * FROM {embedded(engine, view)}"
        ((_, profile),) = engine.execute(statement).fetchall()
    handed_over = [int(rows) for rows in re.findall(r'"intermediate_rows": ?(\d+)', profile)]
    assert len(rows) <= max(handed_over) < 2 * len(rows)
