"""Features of some customers, each as of a moment and as far as it was known at another, by the compiled views."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from features.base.database_engine import open_engine
from features.base.workspace import Workspace
from features.config.engine_settings import engine_resources
from features.config.views_file import ViewsFile
from features.config.workspace_files import load_feeds, load_views
from features.consent.customer_data import CustomerData
from features.identity.customer_tables import Columns
from features.identity.data_time import about_customers
from features.store.online_records import Plain
from features.views.compute import embedded, typed
from features.views.fitted import read_fitted
from features.views.plan import PlannedView, plan_views
from features.views.python_features import load_functions
from features.views.view_checks import refuse_invalid_views

MOMENTS_AT_ONCE = 128  # a view is computed for all of a batch's customers at all of its moments


@dataclass(frozen=True, order=True)
class RecomputeRequest:
    """One customer's features, as of a moment and by what was known at another; microseconds since 1970."""

    as_of_us: int
    known_us: int
    customer: str


Values = Mapping[str, Plain]
Recomputed = Mapping[str, Mapping[RecomputeRequest, Values]]
"""View → what was asked → the features. A customer who is not there (any more) is not in it."""


def recompute(workspace: Workspace, asked: Mapping[str, Collection[RecomputeRequest]]) -> Recomputed:
    """Compute features again, by the views as they are compiled for the snapshots, under the consent filter.

    Parameters
    ----------
    asked : what is wanted of each view; views that are not declared are passed over

    Notes
    -----
    A view of the whole company is computed of all rows that are known at `as_of_us`, whatever `known_us` says.
    """
    feeds, _ = load_feeds(workspace)
    views, lines = load_views(workspace)
    found: dict[str, dict[RecomputeRequest, Values]] = {}
    with open_engine(folders=[workspace.state], resources=engine_resources(workspace)) as engine:
        data = CustomerData(engine, workspace, feeds.purposes)
        access = data.allow(purpose=views.purpose)
        python = load_functions(workspace, views)
        refuse_invalid_views(views, lines, feeds, access.columns, python)
        planned = plan_views(
            views, lines, feeds, columns=access.columns, fitted=read_fitted(workspace.fitted), python=python
        )
        for purpose, members in _by_purpose(planned, views, wanted=asked):
            access = data.allow(purpose=purpose)
            whole = [view for view in members if _of_company(view, views)]
            for view in whole:
                found[view.name] = dict(_computed(engine, view, _there(engine, access.columns, asked[view.name])))
            own = [view for view in members if view not in whole]
            _hold(engine, access.columns, {one.customer for view in own for one in asked[view.name]})
            for view in own:
                there = _there(engine, access.columns, asked[view.name], held=True)
                found[view.name] = {}
                for batch in _batches(there):
                    _narrow(engine, access.columns, batch)
                    found[view.name] |= dict(_computed(engine, view, batch))
    return found


def _by_purpose(
    planned: Sequence[PlannedView], views: ViewsFile, *, wanted: Collection[str]
) -> Iterator[tuple[str | None, list[PlannedView]]]:
    members: defaultdict[str, list[PlannedView]] = defaultdict(list)
    for view in planned:
        if view.name in wanted:
            members[views.purpose_of(view.name) or ""].append(view)
    for purpose in sorted(members):
        yield purpose or None, members[purpose]


def _of_company(view: PlannedView, views: ViewsFile) -> bool:
    declared = views.views.get(view.name)
    return declared is not None and declared.of == "company"


def _hold(engine: duckdb.DuckDBPyConnection, columns: Columns, customers: Collection[str]) -> None:
    """Keep the rows of these customers in tables of their own, ``held_KIND``."""
    engine.register("given", pa.table({"customer_id": pa.array(sorted(customers), pa.string())}))
    for kind in about_customers(columns):
        engine.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE held_{kind} AS
            SELECT *
            FROM {kind}
            WHERE customer_id IN (SELECT customer_id FROM given)
            """
        )
    engine.unregister("given")


def _there(
    engine: duckdb.DuckDBPyConnection, columns: Columns, asked: Collection[RecomputeRequest], *, held: bool = False
) -> dict[RecomputeRequest, int]:
    """Return those that were known by then, each with when the last thing was that was known of them by then."""
    rows = " UNION ALL ".join(
        f"SELECT customer_id, epoch_us(known_at) AS known FROM {'held_' if held else ''}{kind}"
        for kind in about_customers(columns)
    )
    listed = sorted(asked)
    table = pa.table(
        {
            "place": pa.array(range(len(listed)), pa.int64()),
            "customer_id": pa.array([one.customer for one in listed], pa.string()),
            "moment": pa.array([min(one.as_of_us, one.known_us) for one in listed], pa.int64()),
        }
    )
    engine.register("given", table)
    found = engine.execute(
        f"""
        SELECT g.place, k.known
        FROM given g
        ASOF JOIN ({rows}) k ON g.customer_id = k.customer_id AND g.moment >= k.known
        """
    ).fetchall()
    engine.unregister("given")
    return {listed[place]: known for place, known in found}


def _batches(there: Mapping[RecomputeRequest, int]) -> Iterator[dict[RecomputeRequest, int]]:
    """Part what is asked so that in a batch a customer's rows are known up to one moment, and moments are few."""
    batch: dict[RecomputeRequest, int] = {}
    limits: dict[str, int | None] = {}
    moments: set[int] = set()
    for one in sorted(there):
        limit = _limit(one, there[one])
        full = one.as_of_us not in moments and len(moments) == MOMENTS_AT_ONCE
        if full or limits.get(one.customer, limit) != limit:
            yield batch
            batch, limits, moments = {}, {}, set()
        batch[one] = there[one]
        limits[one.customer] = limit
        moments.add(one.as_of_us)
    if batch:
        yield batch


def _limit(one: RecomputeRequest, known: int) -> int | None:
    """Return up to when rows count, where that is before `as_of`: several moments of asking may mean the same rows."""
    return None if one.known_us >= one.as_of_us else known


def _narrow(engine: duckdb.DuckDBPyConnection, columns: Columns, batch: Mapping[RecomputeRequest, int]) -> None:
    """Make the tables hold the rows of these customers only, as far as they were known."""
    limits = {one.customer: _limit(one, known) for one, known in batch.items()}
    table = pa.table(
        {
            "customer_id": pa.array(list(limits), pa.string()),
            "known": pa.array(list(limits.values()), pa.int64()),
        }
    )
    engine.register("given", table)
    engine.execute("CREATE OR REPLACE TEMP TABLE narrowed AS SELECT * FROM given")
    engine.unregister("given")
    for kind in about_customers(columns):
        engine.execute(
            f"""
            CREATE OR REPLACE VIEW {kind} AS
            SELECT h.*
            FROM held_{kind} h
            JOIN narrowed n USING (customer_id)
            WHERE n.known IS NULL OR epoch_us(h.known_at) <= n.known
            """
        )


def _computed(
    engine: duckdb.DuckDBPyConnection, view: PlannedView, asked: Collection[RecomputeRequest]
) -> Iterator[tuple[RecomputeRequest, Values]]:
    _make_spine(engine, asked)
    by_key: defaultdict[tuple[str, int], list[RecomputeRequest]] = defaultdict(list)
    for one in asked:
        by_key[one.customer, one.as_of_us].append(one)
    names = [feature.name for feature in view.features]
    found = engine.execute(f"SELECT customer_id, as_of, {typed(view.features)} FROM {embedded(engine, view)}")
    while rows := found.fetchmany(10_000):
        for customer, moment, *values in rows:
            held = [None if value != value else value for value in values]
            for one in by_key[customer, moment]:
                yield one, dict(zip(names, held, strict=True))


def _make_spine(engine: duckdb.DuckDBPyConnection, asked: Collection[RecomputeRequest]) -> None:
    """Create ``spine`` and ``cutoffs`` of exactly these customers and moments."""
    pairs = sorted({(one.customer, one.as_of_us) for one in asked})
    table = pa.table(
        {
            "customer_id": pa.array([customer for customer, _ in pairs], pa.string()),
            "as_of": pa.array([moment for _, moment in pairs], pa.int64()),
        }
    )
    engine.register("given", table)
    engine.execute("CREATE OR REPLACE TEMP TABLE spine AS SELECT * FROM given")
    engine.execute("CREATE OR REPLACE TEMP TABLE cutoffs AS SELECT DISTINCT as_of FROM spine")
    engine.unregister("given")
