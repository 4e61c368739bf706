"""Features of a few customers as of one moment, by the views as they are compiled for the snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import duckdb
import pyarrow as pa

from features.base.database_engine import open_engine
from features.base.errors import BadData
from features.base.workspace import Workspace
from features.config.canonical import Kind
from features.config.engine_settings import engine_resources
from features.config.views_file import ViewsFile
from features.config.workspace_files import load_feeds, load_views
from features.consent.customer_data import find_allowed, find_status, open_customer_data
from features.identity.data_time import next_midnight
from features.snapshots.build_report import BuiltView, FeaturesReport, read_report
from features.streaming.customer_rows import CustomerRows
from features.streaming.event import from_us
from features.views.compute import embedded, too_large, typed
from features.views.fitted import read_fitted
from features.views.plan import PlannedView, plan_views
from features.views.python_features import load_functions
from features.views.view_checks import refuse_invalid_views

_TYPES = {"customer_id": pa.string(), "as_of": pa.int64()}
EVENTS: Kind = "events"


@dataclass(frozen=True)
class Recomputed:
    """A view's features of those customers for whom there is a basis.

    Parameters
    ----------
    built : the view, with its features in the order of the last build
    rows : customer and values, in that order
    """

    built: BuiltView
    rows: Sequence[tuple[str, tuple[object, ...]]]


class Views:
    """The built views of a workspace, and the rows that they are computed from, held in memory.

    Views of the whole company are left out: one event would change them for everybody, and they wait for the next
    build.
    """

    def __init__(self, engine: duckdb.DuckDBPyConnection, workspace: Workspace, *, report: FeaturesReport) -> None:
        feeds, _ = load_feeds(workspace)
        views, lines = load_views(workspace)
        self._engine, self._file, self._purposes = engine, views, feeds.purposes
        self.report = report
        with open_engine(folders=[workspace.state], resources=engine_resources(workspace)) as loading:
            # Everybody for whom anything may be done; what may be done for which view is asked batch by batch.
            access = open_customer_data(loading, workspace, feeds.purposes, purpose=None)
            python = load_functions(workspace, views)
            refuse_invalid_views(views, lines, feeds, access.columns, python)
            planned = plan_views(
                views, lines, feeds, columns=access.columns, fitted=read_fitted(workspace.fitted), python=python
            )
            self._planned = _served(planned, views, report)
            wanted = " ".join(f"{view.source or ''} {view.select}" for view, _ in self._planned)
            self.history = CustomerRows(loading, access.columns, wanted=wanted)
        for kind, table in self.history.shared.items():
            engine.register(f"held_{kind}", table)
            engine.execute(f"CREATE OR REPLACE TABLE {kind} AS SELECT * FROM held_{kind}")
            engine.unregister(f"held_{kind}")

    def features(self, customers: Sequence[str], *, as_of_us: int) -> list[Recomputed]:
        """Return every served view's features of these customers as of a moment, microseconds since 1970."""
        self._register(customers)
        self._give("cutoffs", {"as_of": [as_of_us]})
        found: list[Recomputed] = []
        groups: dict[str, list[tuple[PlannedView, BuiltView]]] = {}
        for view, built in self._planned:
            groups.setdefault(self._file.purpose_of(view.name) or "", []).append((view, built))
        if self._purposes:
            moment = next_midnight(from_us(as_of_us))  # the present, as a build would take it
            consents = "consents" if "consents" in self.history.columns else None
            find_status(self._engine, self._purposes, "customers", as_of=moment, consents=consents)
        for purpose, members in groups.items():
            self._allow(purpose or None)
            found += [self._computed(view, built) for view, built in members]
        return found

    def _register(self, customers: Sequence[str]) -> None:
        """Let the canonical tables hold the rows of these customers, and no others'."""
        for kind, rows in self.history.of(customers).items():
            self._engine.register(kind if kind != EVENTS else "delivered", rows)
        if EVENTS in self.history.columns:
            self._engine.register("arrived", self.history.arrived(customers))
            self._engine.execute(
                """
                CREATE OR REPLACE TEMP TABLE events AS
                SELECT * FROM delivered
                UNION ALL BY NAME
                SELECT * FROM arrived a
                WHERE NOT EXISTS (SELECT 1 FROM delivered d WHERE d.feed = a.feed AND d.record_id = a.record_id)
                """
            )
        self._give("touched", {"customer_id": list(customers)})

    def _allow(self, purpose: str | None) -> None:
        """Make the spine: the customers for whom there is a basis at this moment."""
        allowed = ""
        if self._purposes:
            find_allowed(self._engine, purpose)
            allowed = "WHERE customer_id IN (SELECT customer_id FROM allowed)"
        self._engine.execute(
            f"CREATE OR REPLACE TEMP TABLE spine AS SELECT customer_id, as_of FROM touched, cutoffs {allowed}"
        )

    def _computed(self, view: PlannedView, built: BuiltView) -> Recomputed:
        relation = embedded(self._engine, view)
        try:
            rows = self._engine.execute(
                f"SELECT customer_id, {typed(built.features)} FROM {relation} ORDER BY customer_id"
            ).fetchall()
        except (duckdb.ConversionException, duckdb.OutOfRangeException):
            raise too_large(self._engine, view) from None
        return Recomputed(built, [(row[0], row[1:]) for row in rows])

    def _give(self, name: str, columns: Mapping[str, Sequence[object]]) -> None:
        table = pa.table({column: pa.array(values, _TYPES[column]) for column, values in columns.items()})
        self._engine.register(f"given_{name}", table)
        self._engine.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM given_{name}")


def _served(
    planned: Sequence[PlannedView], views: ViewsFile, report: FeaturesReport
) -> list[tuple[PlannedView, BuiltView]]:
    """Return the views to serve, each with what the last build made of it.

    Raises
    ------
    BadData : a view or a feature was built that is no longer declared so
    """
    known = {view.name: view for view in planned}
    found: list[tuple[PlannedView, BuiltView]] = []
    for built in report.views:
        declared = views.views.get(built.name)
        if declared is not None and declared.of == "company":
            continue
        view = known.get(built.name)
        names = {feature.name for feature in view.features} if view is not None else set()
        if view is None or not names.issuperset(feature.name for feature in built.features):
            raise BadData(
                "streaming.out_of_step",
                "the features that were built last are not those that are declared now",
                where=f"view {built.name}",
                hint="run `nextbest features`; events wait in their log",
            )
        found.append((view, built))
    return found


@contextmanager
def open_views(workspace: Workspace) -> Iterator[Views]:
    """Yield the views as of the last build.

    Raises
    ------
    BadData : no features are built, or they are not those that are declared
    """
    report = read_report(workspace)
    with open_engine(folders=[], resources=replace(engine_resources(workspace), threads=1)) as engine:
        yield Views(engine, workspace, report=report)
