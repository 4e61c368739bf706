"""Labels as rows: who was in the population at each cutoff, what came after it, and who was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.base.database_engine import literal, one_row
from features.base.errors import BadConfiguration
from features.identity.data_time import gone_select
from training.labels.cutoffs import micros, moments

#: Why a customer is not learnt from at a cutoff, by the word that stands in reports.
EXCLUSIONS: Mapping[str, str] = {
    "not_mature": "the outcome window has not closed and settled yet",
    "no_history": "the customer is known, but nothing that the label is read from had happened by the cutoff",
    "outside_population": "population.active_within or population.where leaves the customer out",
    "already_held": "every category is held, or was bought before: nothing is in question",
    "ended": "the holding has ended, or ends within the gap: it is too late",
    "not_recorded": "the field is empty",
    "gone": "all records of the customer were gone from their sources by then",
}


@dataclass(frozen=True)
class Labels:
    """What is to be predicted.

    Parameters
    ----------
    rows : ``customer_id`` and ``as_of`` (UTC), ordered by moment, then customer
    target : shape (rows,) or, of categories, (rows, candidates): 1 it happened, 0 it did not, NaN it is not in question
    candidates : the categories, as they end column names; else empty
    description : the contract in words
    closes_after : how long after its cutoff an outcome is known, settled
    before : shape (rows, candidates), whether the category had been bought before; None where that is not asked
    excluded : by a word of `EXCLUSIONS`, how many customers at a cutoff are not learnt from
    waits : which cutoffs are not learnt from yet, and for which feed they wait; empty where none do
    """

    rows: pd.DataFrame
    target: NDArray[np.float64]
    candidates: tuple[str, ...]
    description: str
    closes_after: timedelta
    before: NDArray[np.bool_] | None = None
    excluded: Mapping[str, int] = field(default_factory=dict)
    waits: str = ""


def select_rows(engine: duckdb.DuckDBPyConnection, select: str) -> pd.DataFrame:
    """Return a result with its ``as_of`` as a moment."""
    found: pd.DataFrame = engine.sql(select).to_arrow_table().to_pandas()
    return found.assign(as_of=pd.to_datetime(found["as_of"], unit="us", utc=True))


def events_by(cutoffs: Sequence[datetime], event: str, *, within: timedelta | None = None) -> str:
    """Return SQL of who had an event before each cutoff, as far as it was known then."""
    since = f"AND epoch_us(e.event_time) > c.as_of - {micros(within)}" if within else ""
    return (
        "SELECT DISTINCT e.customer_id, c.as_of "
        f"FROM events e JOIN (VALUES {moments(cutoffs)}) c(as_of) "
        "ON epoch_us(e.event_time) <= c.as_of AND epoch_us(e.known_at) <= c.as_of "
        f"WHERE e.event = {literal(event)} {since}"
    )


def require_event(engine: duckdb.DuckDBPyConnection, event: str) -> None:
    """Raise `BadConfiguration` where no feed has an event of a type; the error names those that there are."""
    if not has_table(engine, "events"):
        raise BadConfiguration("label.no_events", "no feed is of events", hint="declare one in features/feeds.yaml")
    known = [row[0] for row in engine.execute("SELECT DISTINCT event FROM events ORDER BY event").fetchall()]
    if event not in known:
        raise BadConfiguration(
            "label.unknown_event", f"no event of type {event!r}", hint=f"the feeds have: {', '.join(map(str, known))}"
        )


def has_table(engine: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Return whether there is a canonical table: some feed is of its kind."""
    return bool(engine.execute("SELECT 1 FROM duckdb_views() WHERE view_name = ?", [name]).fetchall())


def count(engine: duckdb.DuckDBPyConnection, select: str) -> int:
    """Return how many rows a query gives."""
    return int(one_row(engine, f"SELECT count(*) FROM ({select})")[0])


def known_customers(engine: duckdb.DuckDBPyConnection, cutoffs: Sequence[datetime]) -> int:
    """Return how many customers were known at the cutoffs: one that was known at three of them counts three times."""
    return count(
        engine,
        f"""
        SELECT 1 FROM (SELECT min(epoch_us(known_at)) AS known FROM customers GROUP BY customer_id) k
        JOIN (VALUES {moments(cutoffs)}) c(as_of) ON k.known <= c.as_of
        """,
    )


def without_gone(engine: duckdb.DuckDBPyConnection, labels: Labels) -> Labels:
    """Return the labels of customers who had records at the cutoff; the others are counted."""
    moments_of = ", ".join(f"({int(moment.timestamp() * 1_000_000):d})" for moment in labels.rows["as_of"].unique())
    gone = select_rows(engine, gone_select(f"(SELECT * FROM (VALUES {moments_of}) v(as_of))"))
    there = ~pd.MultiIndex.from_frame(labels.rows).isin(pd.MultiIndex.from_frame(gone))
    return replace(
        labels,
        rows=labels.rows[there].reset_index(drop=True),
        target=labels.target[there],
        before=None if labels.before is None else labels.before[there],
        excluded={**labels.excluded, "gone": int((~there).sum())},
    )


def total(*counts: Mapping[str, int]) -> dict[str, int]:
    """Return the sum of counts by reason, in the order of `EXCLUSIONS`, those of nobody left out.

    Examples
    --------
    >>> total({"no_history": 2}, {"no_history": 1, "already_held": 0})
    {'no_history': 3}
    """
    summed: Counter[str] = Counter()
    for each in counts:
        summed.update(each)
    return {reason: summed[reason] for reason in EXCLUSIONS if summed[reason]}
