"""Small worlds for the engines and the reference: what Hypothesis draws, at the edges where engines differ."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.features.views.world import DAY, day

TICK = timedelta(microseconds=1)
#: Where rows lie: on the edges of the windows of `CUTOFFS`, and a microsecond to either side.
MOMENTS = st.builds(
    lambda days, ticks: day(days) + ticks * TICK, st.sampled_from([0, 1, 2, 3, 6, 7, 8, 9, 10]), st.integers(-1, 1)
)
CUTOFFS = [day(-1), day(1), day(2) - TICK, day(7), day(8), day(9) + TICK, day(10), day(17), day(17) + TICK, day(60)]
LATENESS = st.sampled_from([timedelta(0), timedelta(0), TICK, DAY, 5 * DAY])
CENTS = st.integers(-(10**6), 10**6).map(lambda cents: cents / 100)
EXTREMES = st.sampled_from([0.0, -0.0, 1e-9, 1e15, -1e15, 2.0**53, -9e26])
#: Texts that engines might fold, trim, unescape or order otherwise.
TEXTS = st.sampled_from(["tea", "Tea", "", " tea", "é", "e\u0301", "茶", "🍵", "a'b\\n", '"', "Z", "ß"])


def _keyed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give every row a key of its own, and the time at which it was known, however much earlier or later."""
    return [
        {
            "feed": "crm",
            **row,
            "known_at": (row.get("at") or row["event_time"]) + row["late"],
            "record_id": f"k{number}",
        }
        for number, row in enumerate(rows)
    ]


def _told(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give every row the time at which it was known, and some of them a double under another key."""
    told = []
    for number, row in enumerate(rows):
        late, times = row["late"], row["times"]
        for copy in range(times):
            told.append({**row, "known_at": row["event_time"] + late, "record_id": f"{row['key']}{number}.{copy}"})
    return told


EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "event_time": MOMENTS,
            "late": LATENESS,
            "times": st.sampled_from([1, 1, 1, 2]),
            "feed": st.sampled_from(["crm", "crm", "web"]),
            "key": st.sampled_from(["", "1", "é"]),
            "amount": st.none() | CENTS | EXTREMES,
            "quantity": st.none() | CENTS,
            "item": st.none() | TEXTS,
            "event": st.sampled_from(["buy", "buy", "return"]),
        }
    ),
    max_size=8,
).map(_told)


#: Rows whose deviation shows the last digit that an engine keeps of its squares.
DEVIATING = [
    {
        **{"customer_id": "deviating", "feed": "crm", "record_id": str(quantity)},
        **{"event_time": day(1), "known_at": day(1), "event": "buy", "item": "tea"},
        **{"amount": quantity, "quantity": quantity},
    }
    for quantity in (0.1, 0.2, 0.4)
]
#: Contacts, whose outcome comes later, earlier than they are known, or without a time.
INTERACTIONS = st.lists(
    st.fixed_dictionaries(
        {
            "event_time": MOMENTS,
            "late": LATENESS,
            "outcome": st.sampled_from([None, "accepted", "accepted", "refused"]),
            "outcome_time": st.none() | MOMENTS,
        }
    ),
    max_size=6,
).map(_keyed)
HOLDINGS = st.lists(
    st.fixed_dictionaries(
        {
            "event_time": st.none(),
            "held_from": MOMENTS,
            "held_to": st.none() | MOMENTS,
            "known_until": st.none() | MOMENTS,
            "late": LATENESS | st.just(-5 * DAY),
            "item": TEXTS,
            "price": st.none() | CENTS | EXTREMES,
            "crm.agreed": st.none() | MOMENTS.map(lambda at: at.isoformat()),
        }
    ).map(lambda row: {**row, "at": row["held_from"]}),
    max_size=6,
).map(_keyed)
#: Records of a customer, some of which never say when they changed, or changed after they were known.
RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "at": MOMENTS,
            "event_time": st.none() | MOMENTS,
            "late": LATENESS,
            "feed": st.sampled_from(["crm", "web"]),
            **{field: st.none() | TEXTS for field in ("city", "region", "country", "gender")},
            "crm.points": st.none() | CENTS,
        }
    ),
    max_size=6,
).map(_keyed)
CONSENTS = st.lists(
    st.fixed_dictionaries(
        {
            "event_time": MOMENTS,
            "late": LATENESS,
            "feed": st.sampled_from(["crm", "web"]),
            "purpose": st.sampled_from(["mail", "calls"]),
            "status": st.sampled_from(["granted", "Granted", "YES", "withdrawn", "objected", "perhaps"]),
        }
    ),
    max_size=6,
).map(_keyed)


def customers_of(strategy: st.SearchStrategy[list[dict[str, Any]]], number: int) -> list[dict[str, Any]]:
    """Return the rows of many customers, one an example of Hypothesis, so that a slow engine runs once."""
    found: list[list[dict[str, Any]]] = []

    @settings(max_examples=number, phases=[Phase.generate], derandomize=True, database=None, deadline=None)
    @given(strategy)
    def collect(rows: list[dict[str, Any]]) -> None:
        found.append(rows)

    collect()
    return [{**row, "customer_id": f"c{at:04d}"} for at, rows in enumerate(found) for row in rows]


def agrees(found: Any, expected: Any) -> bool:
    """Say whether two values are the same: whole numbers and text to the letter, fractions up to their last digits."""
    if not isinstance(expected, float):
        return type(found) is type(expected) and bool(found == expected)
    return isinstance(found, float) and math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12)


def differences(
    found: dict[tuple[str, datetime], dict[str, Any]],
    expected: dict[tuple[str, datetime], dict[str, Any]],
) -> list[str]:
    """Return what differs, by customer, cutoff and feature: what was found, and what was expected."""
    absent = "absent"
    lines = [
        f"{who} {as_of}: a row that is {'missing' if key in expected else 'not expected'}"
        for key in found.keys() ^ expected.keys()
        for who, as_of in [key]
    ]
    for key in found.keys() & expected.keys():
        for name in found[key].keys() | expected[key].keys():
            mine, theirs = found[key].get(name, absent), expected[key].get(name, absent)
            if not agrees(mine, theirs):
                lines.append(f"{key[0]} {key[1]} {name}: {mine!r}, expected {theirs!r}")
    return sorted(lines)
