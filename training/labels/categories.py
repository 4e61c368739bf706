"""Labels of categories: what is taken for the first time, bought again, or what the next events are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.base.database_engine import literal, quoted
from features.base.errors import BadConfiguration
from features.config.canonical import category_name, equal_names
from training.labels.cutoffs import micros, moments
from training.labels.label_settings import FILE, Acquisition, CategoryLabel, ModelSettings, NextEvents, Repurchase
from training.labels.labelled_rows import Labels, events_by, has_table, select_rows


def category_sql(of: str) -> str:
    """Return SQL of a relation of events with the column ``category``.

    Examples
    --------
    >>> category_sql("item")
    '(SELECT *, CAST("item" AS VARCHAR) AS category FROM events)'
    """
    if of.startswith("items."):
        return f"(SELECT e.*, i.category FROM events e JOIN {_items(of)} i USING (item))"
    return f"(SELECT *, CAST({quoted(of)} AS VARCHAR) AS category FROM events)"


def _items(of: str) -> str:
    field = quoted(of.removeprefix("items."))
    return f"(SELECT item, arg_max({field}, (feed, record_id)) AS category FROM items GROUP BY item)"


def categories(
    engine: duckdb.DuckDBPyConnection, label: CategoryLabel, settings: ModelSettings, cutoffs: Sequence[datetime]
) -> Labels:
    """Return which categories are taken in the outcome window."""
    engine.execute(
        "CREATE OR REPLACE TEMP TABLE categorised AS SELECT customer_id, category, "
        "epoch_us(event_time) AS at, epoch_us(known_at) AS known "
        f"FROM {category_sql(label.of)} WHERE event = {literal(label.event)} AND category IS NOT NULL"
    )
    names = [row[0] for row in engine.execute("SELECT DISTINCT category FROM categorised ORDER BY 1").fetchall()]
    _require_different(names, label.of)
    population = select_rows(
        engine,
        f"SELECT * FROM ({events_by(cutoffs, label.event, within=settings.population.active_within)}) "
        "ORDER BY as_of, customer_id",
    )
    grid = _Grid(population, names)
    taken = grid.mark(select_rows(engine, _taken(label, cutoffs)))
    before = grid.mark(select_rows(engine, _bought(cutoffs, within=_within(label))))
    labels = Labels(
        rows=population,
        target=taken.astype(np.float64),
        candidates=tuple(category_name(name) for name in names),
        description=_description(label),
        closes_after=label.closes_after,
        before=None if isinstance(label, Acquisition) else before,
    )
    if not isinstance(label, Acquisition):
        return labels
    return _new_ones(labels, before | grid.mark(_held_or_taken_early(engine, label, names, cutoffs)))


def _new_ones(labels: Labels, known: NDArray[np.bool_]) -> Labels:
    """Return the labels with what is not new out of question, and without customers for whom nothing is in question."""
    target = np.where(known, np.nan, labels.target)
    asked = np.asarray(~known.all(axis=1), dtype=np.bool_)
    return replace(
        labels,
        rows=labels.rows[asked].reset_index(drop=True),
        target=target[asked],
        excluded={"already_held": int((~asked).sum())},
    )


@dataclass(frozen=True)
class _Grid:
    """Rows by categories."""

    rows: pd.DataFrame
    names: Sequence[str]

    def mark(self, pairs: pd.DataFrame) -> NDArray[np.bool_]:
        """Return where (customer, cutoff, category) is among the pairs; those of nobody in the rows are passed over."""
        place = pd.MultiIndex.from_frame(self.rows[["customer_id", "as_of"]])
        row = place.get_indexer(pd.MultiIndex.from_frame(pairs[["customer_id", "as_of"]]))
        column = pd.Index(self.names).get_indexer(pd.Index(pairs["category"]))
        marked = np.zeros((len(self.rows), len(self.names)), dtype=np.bool_)
        inside = (row >= 0) & (column >= 0)
        marked[row[inside], column[inside]] = True
        return marked


def _taken(label: CategoryLabel, cutoffs: Sequence[datetime]) -> str:
    gap, horizon = micros(label.gap), micros(label.horizon)
    within = f"e.at > c.as_of + {gap} AND e.at <= c.as_of + {gap + horizon}"
    if not isinstance(label, NextEvents):
        return (
            "SELECT DISTINCT e.customer_id, c.as_of, e.category "
            f"FROM categorised e JOIN (VALUES {moments(cutoffs)}) c(as_of) ON {within}"
        )
    return f"""
        SELECT DISTINCT customer_id, as_of, category FROM (
            SELECT e.customer_id, c.as_of, e.category
            FROM categorised e JOIN (VALUES {moments(cutoffs)}) c(as_of) ON {within}
            QUALIFY row_number() OVER (PARTITION BY e.customer_id, c.as_of ORDER BY e.at, e.category) <= {label.k:d}
        )
    """


def _bought(cutoffs: Sequence[datetime], *, within: timedelta | None) -> str:
    since = f"AND e.at > c.as_of - {micros(within)}" if within else ""
    return (
        "SELECT DISTINCT e.customer_id, c.as_of, e.category "
        f"FROM categorised e JOIN (VALUES {moments(cutoffs)}) c(as_of) "
        f"ON e.at <= c.as_of AND e.known <= c.as_of {since}"
    )


def _within(label: CategoryLabel) -> timedelta | None:
    return label.not_within if isinstance(label, Acquisition) else None


def _held_or_taken_early(
    engine: duckdb.DuckDBPyConnection, label: Acquisition, names: Sequence[str], cutoffs: Sequence[datetime]
) -> pd.DataFrame:
    """Return what is held at the cutoff or taken within the gap, as customer, cutoff and category.

    A holding is of its item's category; where the catalogue lacks the item, or there is none, of the one that has the
    item's name.
    """
    early = (
        "SELECT e.customer_id, c.as_of, e.category "
        f"FROM categorised e JOIN (VALUES {moments(cutoffs)}) c(as_of) "
        f"ON e.at > c.as_of AND e.at <= c.as_of + {micros(label.gap)}"
    )
    if not has_table(engine, "holdings"):
        return select_rows(engine, early)
    by_item = label.of.startswith("items.")
    category = "coalesce(i.category, h.item)" if by_item else "h.item"
    catalogue = f"LEFT JOIN {_items(label.of)} i USING (item)" if by_item else ""
    return select_rows(
        engine,
        f"""
        {early}
        UNION
        SELECT h.customer_id, c.as_of, {category} AS category
        FROM holdings h {catalogue} JOIN (VALUES {moments(cutoffs)}) c(as_of)
          ON epoch_us(h.held_from) <= c.as_of AND epoch_us(h.known_at) <= c.as_of
          AND coalesce(epoch_us(h.held_to) > c.as_of, true)
        WHERE {category} IN ({", ".join(map(literal, names))})
        """,
    )


def _require_different(names: Sequence[str], of: str) -> None:
    if alike := equal_names(names):
        which = "; ".join(f"{' and '.join(map(repr, same))} would both be {name}" for name, same in alike)
        raise BadConfiguration(
            "label.same_name",
            f"two categories of {of} share a name: {which}",
            where=FILE,
            hint="give them different names in features/feeds.yaml (one name, if they are the same)",
        )


def _description(label: CategoryLabel) -> str:
    days = f"in the {label.horizon.days} days after the cutoff"
    match label:
        case Acquisition():
            return f"which {label.of} of a {label.event}, not held or bought before, {days}"
        case Repurchase():
            return f"which {label.of} of a {label.event} {days}"
        case NextEvents():
            return f"which {label.of} of the next {label.k} events of type {label.event} {days}"
