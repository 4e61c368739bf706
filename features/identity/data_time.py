"""The present moment of the data, the next midnight (UTC) after the last known row, and who is gone by a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import duckdb

from features.base.database_engine import one_row
from features.base.errors import BadData
from features.config.canonical import CANONICAL, Kind
from features.identity.customer_tables import Columns


def about_customers(columns: Columns) -> list[Kind]:
    """Return the tables whose rows are about customers."""
    return [kind for kind in columns if kind == "customers" or CANONICAL[kind].about_customer]


def known_span(engine: duckdb.DuckDBPyConnection, columns: Columns, *, prefix: str = "") -> tuple[datetime, datetime]:
    """Return when the first and the last row about a customer became known, in tables named with `prefix`."""
    spans = " UNION ALL ".join(
        f"SELECT min(known_at) AS lo, max(known_at) AS hi FROM {prefix}{kind}" for kind in about_customers(columns)
    )
    first, last = one_row(engine, f"SELECT min(lo), max(hi) FROM ({spans})")
    if first is None:
        raise BadData("features.empty", "no row about any customer", hint="run `nextbest unify` and look at its counts")
    return first, last


def gone_select(cutoffs: str) -> str:
    """Return SQL of ``customer_id`` and ``as_of`` where all records of a customer that were known by then are gone.

    Parameters
    ----------
    cutoffs : a relation with ``as_of``, in microseconds since 1970
    """
    return f"""
        SELECT r.customer_id, c.as_of FROM customers r JOIN {cutoffs} c ON epoch_us(r.known_at) <= c.as_of
        WHERE r.customer_id IN (SELECT customer_id FROM customers WHERE known_until IS NOT NULL)
        GROUP BY ALL HAVING bool_and(coalesce(epoch_us(r.known_until) <= c.as_of, false))
    """


def next_midnight(moment: datetime) -> datetime:
    """Return the moment itself, if it is a midnight in UTC, or the next one.

    Examples
    --------
    >>> from datetime import UTC
    >>> next_midnight(datetime(2026, 1, 31, 9, 30, tzinfo=UTC)).isoformat()
    '2026-02-01T00:00:00+00:00'
    """
    day = datetime.combine(moment.astimezone(UTC).date(), datetime.min.time(), UTC)
    return day if day == moment else day + timedelta(days=1)
