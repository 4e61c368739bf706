"""Features of some customers, each as of a moment and as far as it was known at another, by the compiled views."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from features.base.workspace import Workspace
from features.identity.customer_tables import Columns
from features.identity.data_time import about_customers
from features.store.online_records import Plain
from features.views.plan import PlannedView
from features.views.recompute import compute_rows, create_entity_rows, open_views

MOMENTS_AT_ONCE = 128  # a view is computed for all of a batch's customers at all of its moments
#: Before the names of the tables that hold copies of the requested customers' rows.
_COPY = "copied_"


@dataclass(frozen=True, order=True)
class RecomputeRequest:
    """One customer's features, as of a moment and by what was known at another; microseconds since 1970."""

    as_of_us: int
    known_us: int
    customer: str


Values = Mapping[str, Plain]
Recomputed = Mapping[str, Mapping[RecomputeRequest, Values]]
"""View → request → features. A customer who is not known (any more) is left out."""


def recompute(workspace: Workspace, requested: Mapping[str, Collection[RecomputeRequest]]) -> Recomputed:
    """Compute features again, by the views as they are compiled for the snapshots, under the consent filter.

    Parameters
    ----------
    requested : what is wanted of each view; views that are not declared are left out

    Notes
    -----
    A view of the whole company is computed from all rows that are known at `as_of_us`, whatever `known_us` is.
    """
    found: dict[str, dict[RecomputeRequest, Values]] = {}
    with open_views(workspace, requested) as (engine, purposes):
        for views in purposes:
            for view in views.company:
                known = _last_known(engine, views.columns, requested[view.name])
                found[view.name] = dict(_compute(engine, view, known))
            _copy_rows(engine, views.columns, {one.customer for view in views.own for one in requested[view.name]})
            for view in views.own:
                known = _last_known(engine, views.columns, requested[view.name], prefix=_COPY)
                found[view.name] = {}
                for batch in _batches(known):
                    _show_known_rows(engine, views.columns, batch)
                    found[view.name] |= dict(_compute(engine, view, batch))
    return found


def _copy_rows(engine: duckdb.DuckDBPyConnection, columns: Columns, customers: Collection[str]) -> None:
    """Copy the rows of these customers into tables of their own."""
    engine.register("requested", pa.table({"customer_id": pa.array(sorted(customers), pa.string())}))
    for kind in about_customers(columns):
        engine.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE {_COPY}{kind} AS
            SELECT * FROM {kind} WHERE customer_id IN (SELECT customer_id FROM requested)
            """
        )
    engine.unregister("requested")


def _last_known(
    engine: duckdb.DuckDBPyConnection, columns: Columns, requests: Collection[RecomputeRequest], *, prefix: str = ""
) -> dict[RecomputeRequest, int]:
    """Return the requests about customers who were known by then, each with when the last such row became known."""
    rows = " UNION ALL ".join(
        f"SELECT customer_id, epoch_us(known_at) AS known FROM {prefix}{kind}" for kind in about_customers(columns)
    )
    listed = sorted(requests)
    table = pa.table(
        {
            "place": pa.array(range(len(listed)), pa.int64()),
            "customer_id": pa.array([one.customer for one in listed], pa.string()),
            "moment": pa.array([min(one.as_of_us, one.known_us) for one in listed], pa.int64()),
        }
    )
    engine.register("requested", table)
    found = engine.execute(
        f"""
        SELECT r.place, k.known
        FROM requested r
        ASOF JOIN ({rows}) k ON r.customer_id = k.customer_id AND r.moment >= k.known
        """
    ).fetchall()
    engine.unregister("requested")
    return {listed[place]: known for place, known in found}


def _batches(last_known: Mapping[RecomputeRequest, int]) -> Iterator[dict[RecomputeRequest, int]]:
    """Split requests so that in a batch a customer's rows are known up to one moment, and moments are few."""
    batch: dict[RecomputeRequest, int] = {}
    limits: dict[str, int | None] = {}
    moments: set[int] = set()
    for one in sorted(last_known):
        limit = _limit(one, last_known[one])
        full = one.as_of_us not in moments and len(moments) == MOMENTS_AT_ONCE
        if full or limits.get(one.customer, limit) != limit:
            yield batch
            batch, limits, moments = {}, {}, set()
        batch[one] = last_known[one]
        limits[one.customer] = limit
        moments.add(one.as_of_us)
    if batch:
        yield batch


def _limit(one: RecomputeRequest, known: int) -> int | None:
    """Return up to when rows count, where that is before `as_of`: requests of several moments may mean equal rows."""
    return None if one.known_us >= one.as_of_us else known


def _show_known_rows(
    engine: duckdb.DuckDBPyConnection, columns: Columns, batch: Mapping[RecomputeRequest, int]
) -> None:
    """Let the tables hold the rows of these customers only, as far as they were known."""
    limits = {one.customer: _limit(one, known) for one, known in batch.items()}
    table = pa.table(
        {
            "customer_id": pa.array(list(limits), pa.string()),
            "known": pa.array(list(limits.values()), pa.int64()),
        }
    )
    engine.register("requested", table)
    engine.execute("CREATE OR REPLACE TEMP TABLE limits AS SELECT * FROM requested")
    engine.unregister("requested")
    for kind in about_customers(columns):
        engine.execute(
            f"""
            CREATE OR REPLACE VIEW {kind} AS
            SELECT c.*
            FROM {_COPY}{kind} c
            JOIN limits l USING (customer_id)
            WHERE l.known IS NULL OR epoch_us(c.known_at) <= l.known
            """
        )


def _compute(
    engine: duckdb.DuckDBPyConnection, view: PlannedView, requests: Collection[RecomputeRequest]
) -> Iterator[tuple[RecomputeRequest, Values]]:
    create_entity_rows(engine, sorted({(one.customer, one.as_of_us) for one in requests}))
    by_key: defaultdict[tuple[str, int], list[RecomputeRequest]] = defaultdict(list)
    for one in requests:
        by_key[one.customer, one.as_of_us].append(one)
    names = [feature.name for feature in view.features]
    for batch in compute_rows(engine, view).to_batches(10_000):
        for customer, moment, *values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            plain = [None if value != value else value for value in values]
            for one in by_key[customer, moment]:
                yield one, dict(zip(names, plain, strict=True))
