"""What the whole company sold, lately and a season ago: the same for everybody, and nothing from after the cutoff."""

from __future__ import annotations

from tests.features.views.world import day, snapshots

ROWS = [
    {"customer_id": "ann", "event_time": day(0), "amount": 1.0},
    {"customer_id": "bob", "event_time": day(1), "amount": 2.0},
    {"customer_id": "ann", "event_time": day(11), "amount": 4.0},
]


def sums(view: str, *at: float) -> dict[str, list[float]]:
    found = snapshots(
        f"views:\n  v: {{from: events, aggregates: {{amount: [sum]}}, {view}}}\n", [day(n) for n in at], events=ROWS
    )
    return {
        who: [found[who, day(n)]["v__amount_sum_5d"] for n in at if (who, day(n)) in found] for who in ("ann", "bob")
    }


def test_the_market_is_the_same_for_everybody() -> None:
    assert sums("windows: [5d], of: company", 2, 11) == {"ann": [3.0, 4.0], "bob": [3.0, 4.0]}


def test_a_window_may_end_before_the_cutoff() -> None:
    assert sums("windows: [5d], before: 10d", 2, 11) == {"ann": [0.0, 1.0], "bob": [0.0, 2.0]}


def test_a_season_ago_is_both() -> None:
    assert sums("windows: [5d], before: 10d, of: company", 2, 11) == {"ann": [0.0, 3.0], "bob": [0.0, 3.0]}
