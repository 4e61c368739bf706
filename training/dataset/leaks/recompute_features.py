"""Recompute the declared features of some rows from tables that end at each row's moment."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import cast

import duckdb
import pandas as pd
import pyarrow as pa

from features.base.clock import as_utc
from features.base.database_engine import literal, one_row, open_engine, quoted
from features.base.expressions.expression import parse
from features.base.storage import read_json
from features.base.workspace import Workspace
from features.config.canonical import Kind
from features.config.engine_settings import engine_resources
from features.config.feeds_file import FeedsFile
from features.config.views_file import View
from features.config.workspace_files import load_feeds, load_views
from features.consent.customer_data import open_customer_data
from features.identity.customer_tables import Columns
from features.identity.data_time import about_customers
from features.snapshots.build_report import UNIFIED_REPORT, FeaturesReport
from features.views.catalogue import Feature
from features.views.plan import PlannedView
from features.views.recompute import compute_rows, create_entity_rows, open_views

#: Tables of what happened: a row of a later moment is removed, whatever its ``known_at``.
_HAPPENED: tuple[Kind, ...] = ("events", "interactions", "consents")


@dataclass(frozen=True)
class CompiledViews:
    """The views of a workspace, to be computed once more.

    Parameters
    ----------
    workspace : whose features were built
    report : of that build
    """

    workspace: Workspace
    report: FeaturesReport

    @property
    def in_step(self) -> bool:
        """Whether the features were built from the customers as they are unified now."""
        return bool(self.report.unified == read_json(self.workspace.unified / UNIFIED_REPORT)["digest"])

    def recompute(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return every feature of some rows (``customer_id``, ``as_of``), in their order, as it could be known by then.

        The tables are cut at each moment before a view reads them: rows that became known or happened later are
        not there, an outcome that came later is blank, and what was still held has no end.
        """
        feeds, _ = load_feeds(self.workspace)
        requested = _requested(rows)
        parts = []
        names = [view.name for view in self.report.views]
        with open_views(self.workspace, names, as_of=self.report.as_of) as (engine, purposes):
            for group in purposes:
                for views, everybody in ((group.own, False), (group.company, True)):
                    if views:
                        parts.append(_computed(engine, group.columns, views, requested, feeds, everybody=everybody))
        return pd.concat(parts, axis="columns").loc[rows.index, list(self.report.features)]

    def first_known(self, features: Collection[str]) -> dict[str, datetime]:
        """Return by feature when the company first knew a value of the column that it is made of; left out: unknown."""
        feeds, _ = load_feeds(self.workspace)
        views, _ = load_views(self.workspace)
        sources = {
            feature.name: _own(feature, views.views[view.name])
            for view in self.report.views
            for feature in view.features
            if feature.name in features and view.name in views.views
        }
        with open_engine(folders=[self.workspace.state], resources=engine_resources(self.workspace)) as engine:
            access = open_customer_data(
                engine, self.workspace, feeds.purposes, purpose=views.purpose, as_of=self.report.as_of
            )
            first = {
                source: _first_known(engine, *source)
                for source in sorted({source for own in sources.values() for source in own})
                if source[1] in access.columns.get(cast(Kind, source[0]), {})
            }
        known = {name: [first.get(source) for source in own] for name, own in sources.items()}
        return {name: min(filter(None, own)) for name, own in known.items() if own and None not in own}


def _own(feature: Feature, view: View) -> list[tuple[str, str]]:
    """Return the table and column of what a feature is made of, without those that only choose its rows."""
    read = {*(parse(view.where).columns if view.where else ()), *([view.by] if view.by else [])}
    pairs = [(table, column) for table, _, column in (source.partition(".") for source in feature.sources)]
    return [(table, column) for table, column in pairs if column not in read and table != "items"]


def _first_known(engine: duckdb.DuckDBPyConnection, table: str, column: str) -> datetime | None:
    found = one_row(engine, f"SELECT min(known_at) FILTER ({quoted(column)} IS NOT NULL) FROM {quoted(table)}")[0]
    return None if found is None else as_utc(found)


def _requested(rows: pd.DataFrame) -> pd.DataFrame:
    moments = pd.to_datetime(rows["as_of"], utc=True).dt.tz_localize(None).astype("datetime64[us]").astype("int64")
    return pd.DataFrame({"customer_id": rows["customer_id"], "as_of": moments})


def _computed(
    engine: duckdb.DuckDBPyConnection,
    columns: Columns,
    views: Collection[PlannedView],
    requested: pd.DataFrame,
    feeds: FeedsFile,
    *,
    everybody: bool,
) -> pd.DataFrame:
    """Return the features of the requested rows, a line each; of customers who were not known yet they are missing."""
    known = " UNION ALL ".join(f"SELECT customer_id FROM {kind}" for kind in about_customers(columns))
    parts: list[pd.DataFrame] = []
    for moment in sorted(set(requested["as_of"].tolist())):
        part = requested.loc[requested["as_of"] == moment, ["customer_id"]]
        customers = part["customer_id"].unique().tolist()
        engine.register("requested_now", pa.table({"customer_id": pa.array(customers, pa.string())}))
        engine.execute("CREATE OR REPLACE TEMP TABLE requested AS SELECT customer_id FROM requested_now")
        engine.unregister("requested_now")
        _end_tables_at(engine, columns, moment, feeds, everybody=everybody)
        create_entity_rows(engine, [(customer, moment) for customer in customers], among=known)
        for view in views:
            made: pd.DataFrame = compute_rows(engine, view).drop_columns(["as_of"]).to_pandas()
            part = part.join(made.set_index("customer_id"), on="customer_id")
        parts.append(part.drop(columns="customer_id"))
    return pd.concat(parts)


def _end_tables_at(
    engine: duckdb.DuckDBPyConnection, columns: Columns, moment: int, feeds: FeedsFile, *, everybody: bool
) -> None:
    """Put in front of each canonical table a view that ends at a moment (microseconds since 1970).

    Without `everybody` it shows only the rows of the customers in ``requested``: features of one customer need no other
    customer's rows. A catalogue of items without any time counts as known always.
    """
    about = [] if everybody else about_customers(columns)
    at = f"make_timestamptz({moment:d})"
    items = {name: feed for name, feed in feeds.feeds.items() if feed.kind == "items"}
    undated = [name for name, feed in items.items() if not (feed.event_time or feed.updated_at or feed.known_at)]
    always = f"feed IN ({', '.join(map(literal, undated))})" if undated else "false"
    for kind in columns:
        known = f"(known_at <= {at} OR {always})" if kind == "items" else f"known_at <= {at}"
        there = [known, *([f"event_time <= {at}"] if kind in _HAPPENED else [])]
        there += ["customer_id IN (SELECT customer_id FROM requested)"] if kind in about else []
        later = {
            "interactions": f"REPLACE (CASE WHEN outcome_time <= {at} THEN outcome END AS outcome, "
            f"CASE WHEN outcome_time <= {at} THEN outcome_time END AS outcome_time)",
            "holdings": f"REPLACE (CASE WHEN held_to <= {at} THEN held_to END AS held_to)",
        }.get(kind, "")
        engine.execute(
            f"CREATE OR REPLACE TEMP VIEW {quoted(kind)} AS "
            f"SELECT * {later} FROM memory.main.{quoted(kind)} WHERE {' AND '.join(there)}"
        )
