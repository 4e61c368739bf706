"""When and what each customer bought before each cutoff, for the simple peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pandas as pd

from features.base.database_engine import literal
from features.config.canonical import category_name
from training.labels.categories import category_sql
from training.labels.cutoffs import moments
from training.labels.label_settings import CategoryLabel
from training.labels.labelled_rows import select_rows


def purchase_history(engine: duckdb.DuckDBPyConnection, event: str, cutoffs: Sequence[datetime]) -> pd.DataFrame:
    """Return what BG/NBD needs to know of every customer known at each cutoff, in days; not of the population alone.

    Returns
    -------
    DataFrame of ``customer_id``, ``as_of``, ``frequency`` (further days with the event after the first),
    ``recency`` (from the first to the last such day) and ``age`` (from the first to the cutoff)
    """
    return select_rows(
        engine,
        f"""
        SELECT e.customer_id, c.as_of,
               count(DISTINCT date_trunc('day', e.event_time)) - 1 AS frequency,
               date_diff('day', min(e.event_time), max(e.event_time)) AS recency,
               (c.as_of - epoch_us(date_trunc('day', min(e.event_time)))) / 86400000000 AS age
        FROM events e JOIN (VALUES {moments(cutoffs)}) c(as_of)
          ON epoch_us(e.event_time) <= c.as_of AND epoch_us(e.known_at) <= c.as_of
        WHERE e.event = {literal(event)}
        GROUP BY e.customer_id, c.as_of
        ORDER BY e.customer_id, c.as_of
        """,
    )


def events_before(engine: duckdb.DuckDBPyConnection, event: str, cutoffs: Sequence[datetime]) -> pd.DataFrame:
    """Return how many events each customer had before each cutoff: ``customer_id``, ``as_of``, ``events``."""
    return select_rows(
        engine,
        f"""
        SELECT e.customer_id, c.as_of, count(*) AS events
        FROM events e JOIN (VALUES {moments(cutoffs)}) c(as_of)
          ON epoch_us(e.event_time) <= c.as_of AND epoch_us(e.known_at) <= c.as_of
        WHERE e.event = {literal(event)}
        GROUP BY e.customer_id, c.as_of
        """,
    )


@dataclass(frozen=True)
class FeedTimes:
    """When the events of a feed are.

    Parameters
    ----------
    rows : events
    days : different days
    busiest : share of the events on the day that has most of them
    without_hour : events at midnight (UTC)
    """

    rows: int
    days: int
    busiest: float
    without_hour: int


def feed_times(engine: duckdb.DuckDBPyConnection, event: str) -> dict[str, FeedTimes]:
    """Return when the events of one type are, by feed."""
    found = engine.execute(
        f"""
        SELECT feed, sum(n), count(*), max(n) / sum(n), sum(midnight) FROM (
            SELECT feed, epoch_us(event_time) // 86400000000 AS day, count(*) AS n,
                   count(*) FILTER (epoch_us(event_time) % 86400000000 = 0) AS midnight
            FROM events WHERE event = {literal(event)} GROUP BY ALL
        ) GROUP BY feed ORDER BY feed
        """
    ).fetchall()
    return {feed: FeedTimes(int(n), int(days), float(top), int(midnight)) for feed, n, days, top, midnight in found}


def taken_before(
    engine: duckdb.DuckDBPyConnection, label: CategoryLabel, cutoffs: Sequence[datetime], candidates: Sequence[str]
) -> pd.DataFrame:
    """Return how often each customer had taken each candidate before each cutoff, one column a candidate."""
    relation = category_sql(label.of)
    long = select_rows(
        engine,
        f"""
        SELECT e.customer_id, c.as_of, e.category, count(*) AS times
        FROM {relation} e JOIN (VALUES {moments(cutoffs)}) c(as_of)
          ON epoch_us(e.event_time) <= c.as_of AND epoch_us(e.known_at) <= c.as_of
        WHERE e.event = {literal(label.event)} AND e.category IS NOT NULL
        GROUP BY ALL
        """,
    )
    wide = long.assign(category=long["category"].map(category_name)).pivot_table(
        index=["customer_id", "as_of"], columns="category", values="times", aggfunc="sum", fill_value=0
    )
    return wide.reindex(columns=list(candidates), fill_value=0).reset_index()
