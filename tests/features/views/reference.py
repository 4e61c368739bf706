"""What declared views mean, read literally: plain Python that goes through every row for every customer and cutoff.

It shares nothing with the engines, not even the names' rule, and knows no shortcut. Times are datetimes in UTC; a
number counts as the decimal that it is written as, with nine digits after the point; what is missing is None.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

Row = Mapping[str, Any]
DAY = timedelta(days=1)
ALL_HISTORY = ("recency", "tenure")


@dataclass(frozen=True)
class Asked:
    """A view from events or interactions.

    Parameters
    ----------
    aggregates : column, or "*" for rows, to the names of aggregates
    windows : name to length
    where : which rows are used
    by : a column; then there is a feature for each of `categories`
    categories : category to how it stands in a feature's name
    company : whether the rows of all customers are meant
    before : how long before the cutoff all windows end
    """

    aggregates: Mapping[str, Sequence[str]]
    windows: Mapping[str, timedelta] = field(default_factory=dict)
    where: Callable[[Row], bool] = lambda _: True
    by: str | None = None
    categories: Mapping[str, str] = field(default_factory=dict)
    company: bool = False
    before: timedelta = timedelta(0)


def entity_rows(tables: Sequence[Sequence[Row]], cutoffs: Sequence[datetime]) -> set[tuple[str, datetime]]:
    """Return every customer at every cutoff from when the first row about them was known."""
    rows = [row for table in tables for row in table]
    return {(row["customer_id"], as_of) for row in rows for as_of in cutoffs if row["known_at"] <= as_of}


def windowed(asked: Asked, rows: Sequence[Row], customer: str, as_of: datetime) -> dict[str, Any]:
    """Return the features of a customer at a cutoff; a name is ``column_aggregate_window__category``."""
    end = as_of - asked.before
    used = [row for row in rows if (asked.company or row["customer_id"] == customer) and asked.where(row)]
    seen = [row for row in used if row["event_time"] <= end and row["known_at"] <= end]
    found: dict[str, Any] = {}
    for category, suffix in (asked.categories or {"": ""}).items():
        own = [row for row in seen if row[asked.by] == category] if asked.by else seen
        for column, aggregates in asked.aggregates.items():
            for aggregate in aggregates:
                windows = {"": DAY} if aggregate in ALL_HISTORY else asked.windows
                for window, span in windows.items():
                    parts = [column if column != "*" else "", aggregate, window]
                    name = "_".join(part for part in parts if part) + (f"__{suffix}" if suffix else "")
                    found[name] = _aggregate(aggregate, column, own, seen, end=end, span=span)
    return found


def _aggregate(
    aggregate: str, column: str, rows: Sequence[Row], whole: Sequence[Row], *, end: datetime, span: timedelta
) -> Any:
    inside = _within(rows, end, span)
    values = [row[column] for row in inside if column != "*" and row[column] is not None]
    match aggregate:
        case "recency":
            return (end - max(row["event_time"] for row in rows)) / DAY if rows else None
        case "tenure":
            return (end - min(row["event_time"] for row in rows)) / DAY if rows else None
        case "count":
            return len(inside)
        case "sum":
            return float(sum(map(exact, values)))
        case "mean":
            return float(sum(map(exact, values)) / len(values)) if values else None
        case "min":
            return min(values, default=None)
        case "max":
            return max(values, default=None)
        case "std":
            return _deviation([exact(value) for value in values])
        case "nunique":
            return len(set(values))
        case "first" | "last":
            filled = sorted((row for row in inside if row[column] is not None), key=_place)
            return filled[0 if aggregate == "first" else -1][column] if filled else None
        case "trend":
            now, before = _mass(column, inside), _mass(column, _within(rows, end - span, span))
            return float((now - before) / (abs(now) + abs(before))) if now or before else None
        case "share":
            part, all_of_it = _mass(column, inside), _mass(column, _within(whole, end, span))
            return float(part / all_of_it) if all_of_it else None
    raise ValueError(aggregate)


def _within(rows: Sequence[Row], end: datetime, span: timedelta) -> list[Row]:
    return [row for row in rows if end - span < row["event_time"] <= end]


def _place(row: Row) -> tuple[datetime, str, str]:
    return row["event_time"], row["feed"], row["record_id"]


def _mass(column: str, rows: Sequence[Row]) -> Fraction:
    """Return how many rows there are, or what a column adds up to."""
    if column == "*":
        return Fraction(len(rows))
    return sum((exact(row[column]) for row in rows if row[column] is not None), Fraction(0))


def _deviation(values: Sequence[Fraction]) -> float | None:
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def exact(value: float) -> Fraction:
    """Return a number as the decimal that it is written as, with nine digits after the point."""
    return Fraction(round(Fraction(repr(value)) * 10**9), 10**9)


def attribute(
    records: Sequence[Row],
    name: str,
    as_of: datetime,
    *,
    rule: str = "last_updated",
    order: Sequence[str] = (),
    ignore_empty: bool = True,
    speaking: Sequence[str] = (),
) -> Any:
    """Return the value of a field that survives among a customer's records that were known by then.

    Parameters
    ----------
    rule : ``last_updated``, ``source_priority``, ``longest`` or ``most_frequent``
    order : the feeds, most trusted first
    ignore_empty : whether a record that says nothing is passed over
    speaking : without that, the feeds that have a word on the field
    """
    known = [row for row in records if row["known_at"] <= as_of]
    running = [row for row in known if (_filled(row[name]) if ignore_empty else row["feed"] in speaking)]
    said = Counter(str(row[name] or "") for row in running)

    def rank(row: Row) -> int:
        trusted = {feed: len(order) - at for at, feed in enumerate(order)}
        ranks = {
            "source_priority": trusted.get(row["feed"], 0),
            "longest": len(str(row[name] or "").strip(" ")),
            "most_frequent": said[str(row[name] or "")],
        }
        return ranks.get(rule, 0)

    def changed(row: Row) -> datetime:
        happened: datetime | None = row["event_time"]
        return happened if happened is not None and happened <= as_of else row["known_at"]

    best = max(running, key=lambda row: (rank(row), changed(row), row["feed"], row["record_id"]), default=None)
    return None if best is None else best[name]


def _filled(value: Any) -> bool:
    return value is not None and str(value).strip(" ") != ""


def holdings(rows: Sequence[Row], items: Sequence[str], customer: str, as_of: datetime, *, ends: str) -> dict[str, Any]:
    """Return what a customer holds at a cutoff: a flag an item, how many, since when, at which price, until when."""
    held = [
        row
        for row in rows
        if row["customer_id"] == customer
        and row["known_at"] <= as_of
        and (row.get("known_until") is None or row["known_until"] > as_of)
        and row["held_from"] <= as_of
        and (row["held_to"] is None or row["held_to"] > as_of)
    ]
    agreed = [datetime.fromisoformat(row[ends]) for row in held if row[ends]]
    return {
        **{item: int(any(row["item"] == item for row in held)) for item in items},
        "count": sum(row["item"] is not None for row in held),
        "tenure": (as_of - min(row["held_from"] for row in held)) / DAY if held else None,
        "price_sum": float(sum(exact(row["price"]) for row in held if row["price"] is not None)),
        "days_to_end": min(((end - as_of) / DAY for end in agreed if end > as_of), default=None),
        "past_end_count": sum(end <= as_of for end in agreed),
    }


def fact(rows: Sequence[Row], name: str, place: str | None, as_of: datetime) -> Any:
    """Return the latest fact of a place that was known, and not a forecast, at a cutoff."""
    return fact_of_the_day([row for row in rows if place is not None and row["place"] == place], name, as_of)


def fact_of_the_day(rows: Sequence[Row], name: str, as_of: datetime) -> Any:
    """Return the latest fact that was known, and not a forecast, at a cutoff, wherever it holds."""
    known = [
        row
        for row in rows
        if row["known_at"] <= as_of
        and (row["event_time"] is None or row["event_time"] <= as_of)
        and row[name] is not None
    ]
    newest = max(known, key=lambda r: (r["event_time"] or r["known_at"], r["feed"], r["record_id"]), default=None)
    return None if newest is None else newest[name]


def standing(
    rows: Sequence[Row], purpose: str, customer: str, as_of: datetime, *, expires: timedelta | None
) -> tuple[int | None, str | None]:
    """Return whether a customer has granted a purpose by then (1), refused it (0), or said nothing, and the record.

    At equal times a refusal outweighs what is not understood, and that a grant. What is not understood, and a grant
    that has expired, count as a refusal. A refusal that is known counts also before its time.
    """
    words = {"granted": 3, "yes": 3, "withdrawn": 0, "objected": 0}

    def meaning(row: Row) -> int:
        return words.get(str(row["status"]).lower(), 1)

    known = [
        row
        for row in rows
        if (row["customer_id"], row["purpose"]) == (customer, purpose)
        and (row["event_time"] <= as_of or meaning(row) <= 1)
        and row["known_at"] <= as_of
    ]
    if not known:
        return None, None
    last = max(known, key=lambda r: (r["event_time"], -meaning(r), r["feed"], r["record_id"]))
    word = int(meaning(last) == 3)
    if word and expires is not None and as_of - last["event_time"] >= expires:
        word = 0
    return word, f"{last['feed']}:{last['record_id']}"
