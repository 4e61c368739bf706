"""Windowed aggregates equal a literal, slow reading of the contract, row by row."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.features.transforms.world import DAY, day, snapshots

TICK = timedelta(microseconds=1)
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


def change(this: float, before: float) -> float | None:
    return (this - before) / (abs(this) + abs(before)) if this or before else None


def reference(rows: Sequence[dict[str, Any]], as_of: datetime) -> dict[str, Any]:
    """Return what the contract says, for one customer at one cutoff."""
    seen = [r for r in rows if r["event_time"] <= as_of and r["known_at"] <= as_of]
    last = max((r["event_time"] for r in seen), default=None)
    first = min((r["event_time"] for r in seen), default=None)
    out: dict[str, Any] = {
        "recency": None if last is None else (as_of - last) / DAY,
        "tenure": None if first is None else (as_of - first) / DAY,
    }
    seen = sorted(seen, key=lambda row: (row["event_time"], row["feed"], row["record_id"]))
    for name, span in WINDOWS.items():
        inside = [r for r in seen if r["event_time"] > as_of - span]
        before = [r for r in seen if as_of - 2 * span < r["event_time"] <= as_of - span]
        items = [r["item"] for r in inside if r["item"] is not None]
        amounts = [r["amount"] for r in inside if r["amount"] is not None]
        out |= {
            f"count_{name}": len(inside),
            f"amount_sum_{name}": math.fsum(amounts),
            f"amount_mean_{name}": math.fsum(amounts) / len(amounts) if amounts else None,
            f"amount_min_{name}": min(amounts, default=None),
            f"amount_max_{name}": max(amounts, default=None),
            f"amount_nunique_{name}": len(set(amounts)),
            f"amount_std_{name}": statistics.stdev(amounts) if len(amounts) > 1 else None,
            f"amount_first_{name}": next(iter(amounts), None),
            f"amount_last_{name}": next(reversed(amounts), None),
            f"amount_trend_{name}": change(
                math.fsum(amounts), math.fsum(r["amount"] for r in before if r["amount"] is not None)
            ),
            f"trend_{name}": change(len(inside), len(before)),
            f"item_nunique_{name}": len(set(items)),
            f"item_first_{name}": next(iter(items), None),
            f"item_last_{name}": next(reversed(items), None),
        }
    return out


moments = st.builds(
    lambda days, ticks: day(days) + ticks * TICK, st.sampled_from([0, 1, 2, 3, 6, 7, 8, 9, 10]), st.integers(-1, 1)
)
events = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from(["ann", "bob"]),
        "event_time": moments,
        "late": st.sampled_from([timedelta(0), TICK, DAY, 5 * DAY]),
        "amount": st.none() | st.integers(-(10**6), 10**6).map(lambda cents: cents / 100) | st.just(1e10),
        "feed": st.sampled_from(["crm", "crm_2"]),
        "item": st.sampled_from([None, "tea", "Tea", "milk"]),
        "event": st.sampled_from(["buy", "buy", "return"]),
    }
)
cutoff_lists = st.lists(moments, min_size=1, max_size=4, unique=True).map(sorted)


def known(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**row, "known_at": row["event_time"] + row["late"], "record_id": str(number)}
        for number, row in enumerate(rows)
    ]


def agrees(ours: Any, theirs: Any) -> bool:
    if ours is None or theirs is None or isinstance(theirs, str):
        return bool(ours == theirs)
    return math.isclose(ours, theirs, rel_tol=1e-12, abs_tol=1e-9)


@given(rows=st.lists(events, min_size=1, max_size=8), cutoffs=cutoff_lists, where=st.booleans())
def test_every_aggregate_equals_a_literal_reading(
    rows: list[dict[str, Any]], cutoffs: list[datetime], where: bool
) -> None:
    rows = known(rows)
    text = VIEW.replace("WHERE", "where: event = 'buy'" if where else "")
    found = snapshots(text, cutoffs, events=rows)
    expected = {}
    for who in ("ann", "bob"):
        own = [row for row in rows if row["customer_id"] == who]
        counted = [row for row in own if row["event"] == "buy" or not where]
        for as_of in cutoffs:
            if any(row["known_at"] <= as_of for row in own):  # the spine begins when the company first knew them
                expected[who, as_of] = reference(counted, as_of)
    assert set(found) == set(expected)
    for key, features in expected.items():
        assert set(found[key]) == {f"v__{name}" for name in features}
        for name, value in features.items():
            assert agrees(found[key][f"v__{name}"], value), (key, name, found[key][f"v__{name}"], value)


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
    found = snapshots(text, cutoffs, events=rows)
    for (who, as_of), features in found.items():
        whole = reference([row for row in rows if row["customer_id"] == who], as_of)
        for category in ("buy", "return", "never"):
            own = [row for row in rows if (row["customer_id"], row["event"]) == (who, category)]
            expected = reference(own, as_of)
            for part, share in (("count_7d", "share_7d"), ("amount_sum_7d", "amount_share_7d")):
                expected[share] = expected[part] / whole[part] if whole[part] else None
            for name in (
                "count_7d",
                "share_7d",
                "trend_7d",
                "recency",
                "amount_sum_7d",
                "amount_mean_7d",
                "amount_std_7d",
                "amount_share_7d",
                "item_last_7d",
            ):
                assert agrees(features[f"v__{name}__{category}"], expected[name]), (name, category)


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
