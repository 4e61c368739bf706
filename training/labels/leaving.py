"""Labels of leaving: no event any more, or a holding that ends and is not renewed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import duckdb
import numpy as np

from features.base.database_engine import literal
from features.base.errors import BadConfiguration
from training.labels.cutoffs import micros, moments
from training.labels.label_settings import EndOfHolding, Inactivity, ModelSettings
from training.labels.labelled_rows import Labels, events_by, has_table, known_customers, select_rows

_ITEMS_SHOWN = 10


def inactivity(
    engine: duckdb.DuckDBPyConnection, label: Inactivity, settings: ModelSettings, cutoffs: Sequence[datetime]
) -> Labels:
    """Return who had no event in the outcome window, of those who had one before."""
    gap, horizon = micros(label.gap), micros(label.horizon)
    found = select_rows(
        engine,
        f"""
        WITH population AS ({events_by(cutoffs, label.event, within=settings.population.active_within)})
        SELECT p.customer_id, p.as_of, CASE WHEN count(e.customer_id) = 0 THEN 1 ELSE 0 END AS target
        FROM population p
        LEFT JOIN (SELECT customer_id, epoch_us(event_time) AS at FROM events WHERE event = {literal(label.event)}) e
          ON e.customer_id = p.customer_id AND e.at > p.as_of + {gap} AND e.at <= p.as_of + {gap + horizon}
        GROUP BY p.customer_id, p.as_of
        ORDER BY p.as_of, p.customer_id
        """,
    )
    return Labels(
        rows=found[["customer_id", "as_of"]],
        target=found["target"].to_numpy(dtype=np.float64),
        candidates=(),
        description=f"no {label.event} in the {label.horizon.days} days after the cutoff",
        closes_after=label.closes_after,
    )


def end_of_holding(engine: duckdb.DuckDBPyConnection, label: EndOfHolding, cutoffs: Sequence[datetime]) -> Labels:
    """Return whose holding ends in the outcome window and is not renewed, of those who hold it at the cutoff."""
    gap, horizon = micros(label.gap), micros(label.horizon)
    found = select_rows(
        engine,
        f"""
        WITH held AS ({_held(label.item)}),
        holders AS ({holders(label, cutoffs)}),
        ended AS (
            SELECT DISTINCT h.customer_id, h.until FROM held h
            WHERE h.until IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM held n
                WHERE n.customer_id = h.customer_id
                  AND n.since <= h.until + {micros(label.renewed_within)} AND coalesce(n.until > h.until, true)
            )
        )
        SELECT p.customer_id, p.as_of, p.still AND count(e.until) FILTER (e.until <= p.as_of + {gap}) = 0 AS asked,
               CAST(count(e.until) FILTER (e.until > p.as_of + {gap}) > 0 AS DOUBLE) AS target
        FROM holders p
        LEFT JOIN ended e
          ON e.customer_id = p.customer_id AND e.until > p.as_of AND e.until <= p.as_of + {gap + horizon}
        GROUP BY p.customer_id, p.as_of, p.still
        ORDER BY p.as_of, p.customer_id
        """,
    )
    asked = found["asked"].to_numpy(dtype=np.bool_)
    rows = found.loc[asked].reset_index(drop=True)
    what = label.item or "everything held"
    return Labels(
        rows=rows[["customer_id", "as_of"]],
        target=rows["target"].to_numpy(dtype=np.float64),
        candidates=(),
        description=f"the holding of {what} ends in the {label.horizon.days} days after the cutoff and is not renewed",
        closes_after=label.closes_after,
        excluded={
            "no_history": known_customers(engine, cutoffs) - len(found),
            "ended": int((~asked).sum()),
        },
    )


def holders(label: EndOfHolding, cutoffs: Sequence[datetime], *, still: bool = False) -> str:
    """Return SQL of who held the item at some time before each cutoff, and whether they hold it still.

    Parameters
    ----------
    still : only those who do
    """
    return f"""
        SELECT h.customer_id, c.as_of, bool_or(coalesce(h.until > c.as_of, true)) AS still
        FROM ({_held(label.item)}) h JOIN (VALUES {moments(cutoffs)}) c(as_of)
          ON h.since <= c.as_of AND h.known <= c.as_of
        GROUP BY ALL HAVING still OR {"false" if still else "true"}
    """


def _held(item: str | None) -> str:
    where = f"item = {literal(item)}" if item else "true"
    times = {"since": "held_from", "until": "held_to", "known": "known_at"}
    columns = ", ".join(f"epoch_us({name}) AS {short}" for short, name in times.items())
    return f"SELECT customer_id, {columns} FROM holdings WHERE {where}"


def require_holding(engine: duckdb.DuckDBPyConnection, item: str | None) -> None:
    """Raise `BadConfiguration` where nobody ever held an item; the error names those that are held."""
    if not has_table(engine, "holdings"):
        raise BadConfiguration("label.no_holdings", "no feed is of holdings", hint="declare one in features/feeds.yaml")
    known = [str(row[0]) for row in engine.execute("SELECT DISTINCT item FROM holdings ORDER BY item").fetchall()]
    if item is not None and item not in known:
        more = f" and {len(known) - _ITEMS_SHOWN} more" if len(known) > _ITEMS_SHOWN else ""
        hint = f"held are: {', '.join(known[:_ITEMS_SHOWN])}{more}"
        raise BadConfiguration("label.unknown_item", f"nobody holds an item {item!r}", hint=hint)
