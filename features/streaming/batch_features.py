"""Features of the customers of one batch of events, by the views as they are compiled for the snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from features.base.database_engine import open_engine
from features.base.errors import BadData
from features.base.workspace import Workspace
from features.config.engine_settings import engine_resources
from features.consent.customer_data import find_allowed, find_status, open_customer_data
from features.identity.data_time import next_midnight
from features.snapshots.build_report import BuiltView, FeaturesReport, read_report
from features.streaming.customer_rows import CustomerRows
from features.streaming.event import from_us
from features.views.plan import PlannedView
from features.views.recompute import ViewDeclarations, compute_rows, create_entity_rows


@dataclass(frozen=True)
class ViewRows:
    """A view's features of the customers for whom there is a basis.

    Parameters
    ----------
    built : the view, with its features in the order of the last build
    rows : customer and values, in that order
    """

    built: BuiltView
    rows: Sequence[tuple[str, tuple[object, ...]]]


class BatchFeatures:
    """The built views of a workspace, and the canonical rows that they are computed from, in memory.

    Views of the whole company are left out: one event changes them for every customer. The next build computes them.

    Parameters
    ----------
    engine : in which features are computed
    workspace : whose features are built
    report : of the last build
    generation : the folder of the snapshots of that build
    """

    def __init__(
        self, engine: duckdb.DuckDBPyConnection, workspace: Workspace, *, report: FeaturesReport, generation: Path
    ) -> None:
        self._engine, self._declared, self.report = engine, ViewDeclarations.load(workspace), report
        self._purposes = self._declared.feeds.purposes
        with open_engine(folders=[workspace.state], resources=engine_resources(workspace)) as loading:
            # Everybody for whom there is any basis; the basis for a view's purpose is looked up batch by batch.
            columns = open_customer_data(loading, workspace, self._purposes, purpose=None).columns
            self._served = _served(self._declared.plan_as_built(columns, generation), report)
            wanted = " ".join(f"{view.source or ''} {view.select}" for view, _ in self._served.values())
            self.history = CustomerRows(loading, columns, wanted=wanted)
        for kind, table in self.history.shared.items():
            engine.register("shared_rows", table)
            engine.execute(f"CREATE OR REPLACE TABLE {kind} AS SELECT * FROM shared_rows")
            engine.unregister("shared_rows")

    def compute(self, customers: Sequence[str], *, as_of_us: int) -> list[ViewRows]:
        """Return every served view's features of these customers as of a moment, microseconds since 1970."""
        self._show_rows_of(customers)
        if self._purposes:
            moment = next_midnight(from_us(as_of_us))  # the present, as a build would take it
            consents = "consents" if "consents" in self.history.columns else None
            find_status(self._engine, self._purposes, "customers", as_of=moment, consents=consents)
        found = []
        entity_rows = [(customer, as_of_us) for customer in customers]
        for purpose, views in self._declared.by_purpose([view for view, _ in self._served.values()]):
            if self._purposes:
                find_allowed(self._engine, purpose)
            allowed = "SELECT customer_id FROM allowed" if self._purposes else None
            create_entity_rows(self._engine, entity_rows, among=allowed)
            found += [self._compute_view(view) for view in views]
        return found

    def _compute_view(self, view: PlannedView) -> ViewRows:
        _, built = self._served[view.name]
        customers, _, *values = compute_rows(self._engine, view, features=built.features).to_pydict().values()
        return ViewRows(built, list(zip(customers, zip(*values, strict=True), strict=True)))

    def _show_rows_of(self, customers: Sequence[str]) -> None:
        """Let the canonical tables of the engine hold the rows of these customers, and no others'."""
        for kind, rows in self.history.of(customers).items():
            self._engine.register("delivered_events" if kind == "events" else kind, rows)
        if "events" in self.history.columns:
            self._engine.register("streamed_events", self.history.streamed(customers))
            self._engine.execute(
                """
                CREATE OR REPLACE TEMP TABLE events AS
                SELECT * FROM delivered_events
                UNION ALL BY NAME
                SELECT * FROM streamed_events s
                WHERE NOT EXISTS (
                    SELECT 1 FROM delivered_events d WHERE d.feed = s.feed AND d.record_id = s.record_id
                )
                """
            )


def _served(planned: Sequence[PlannedView], report: FeaturesReport) -> dict[str, tuple[PlannedView, BuiltView]]:
    """Return the views to serve, each with what the last build made of it.

    Raises
    ------
    BadData : a view or a feature was built that is no longer declared so
    """
    known = {view.name: view for view in planned}
    found: dict[str, tuple[PlannedView, BuiltView]] = {}
    for built in report.views:
        view = known.get(built.name)
        if view is not None and view.shared:
            continue
        names = {feature.name for feature in view.features} if view is not None else set()
        if view is None or not names.issuperset(feature.name for feature in built.features):
            raise BadData(
                "streaming.out_of_step",
                "the features that were built last are not those that are declared now",
                where=f"view {built.name}",
                hint="run `nextbest features`; events wait in their log",
            )
        found[built.name] = (view, built)
    return found


@contextmanager
def open_batch_features(workspace: Workspace) -> Iterator[BatchFeatures]:
    """Yield what computes the features of batches of events, as of the last build.

    Raises
    ------
    BadData : no features are built, or they are not those that are declared
    """
    generation = workspace.snapshots
    report = read_report(workspace)
    with open_engine(folders=[], resources=replace(engine_resources(workspace), threads=1)) as engine:
        yield BatchFeatures(engine, workspace, report=report, generation=generation)
