"""The declared views, checked, planned and computed for chosen customers and moments.

The build of snapshots, the worker of streamed events and the checks that compute features a second time share it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from features.base.database_engine import open_engine
from features.base.workspace import Workspace
from features.config.engine_settings import engine_resources
from features.config.feeds_file import FeedsFile
from features.config.loading import Lines
from features.config.views_file import ViewsFile
from features.config.workspace_files import load_feeds, load_views
from features.consent.customer_data import CustomerData
from features.identity.customer_tables import Columns
from features.views.catalogue import Feature
from features.views.compute import embedded, too_large, typed
from features.views.fitted import FittedView, read_fitted
from features.views.plan import PlannedView, plan_views
from features.views.python_features import PythonFeature, load_functions
from features.views.view_checks import refuse_invalid_views


@dataclass(frozen=True)
class ViewDeclarations:
    """What a workspace declares about its features.

    Parameters
    ----------
    feeds, views : the files
    lines : where in the file of views each key is
    python : the functions that views name
    """

    feeds: FeedsFile
    views: ViewsFile
    lines: Lines
    python: Mapping[str, PythonFeature]

    @classmethod
    def load(cls, workspace: Workspace) -> ViewDeclarations:
        """Read the declarations of a workspace.

        Raises
        ------
        BadConfiguration : a file cannot be read as what it should be
        """
        feeds, _ = load_feeds(workspace)
        views, lines = load_views(workspace)
        return cls(feeds, views, lines, load_functions(workspace, views))

    def check(self, columns: Columns) -> None:
        """Refuse views that do not fit the canonical tables; see `refuse_invalid_views`."""
        refuse_invalid_views(self.views, self.lines, self.feeds, columns, self.python)

    def plan(self, columns: Columns, fitted: Mapping[str, FittedView]) -> list[PlannedView]:
        """Return the views, which `check` has accepted, ready to be computed; see `plan_views`."""
        return plan_views(self.views, self.lines, self.feeds, columns=columns, fitted=fitted, python=self.python)

    def plan_as_built(self, columns: Columns, generation: Path) -> list[PlannedView]:
        """Check the views, and return them with the categories, words and topics of a generation of snapshots."""
        self.check(columns)
        return self.plan(columns, read_fitted(generation))

    def by_purpose(self, planned: Collection[PlannedView]) -> list[tuple[str | None, list[PlannedView]]]:
        """Return planned views by purpose; see `ViewsFile.by_purpose`."""
        known = {view.name: view for view in planned}
        return [(purpose, [known[name] for name in names]) for purpose, names in self.views.by_purpose(known).items()]


@dataclass(frozen=True)
class PurposeViews:
    """Views of one purpose; the engine shows the customers for whom it has a basis.

    Parameters
    ----------
    columns : of the canonical tables
    own : views whose features of a customer depend on that customer's rows alone
    company : views of the whole company, whose features depend on everybody's rows
    """

    columns: Columns
    own: list[PlannedView]
    company: list[PlannedView]


@contextmanager
def open_views(
    workspace: Workspace, wanted: Collection[str], *, as_of: datetime | None = None
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Iterator[PurposeViews]]]:
    """Yield an engine, and the wanted views as they were built last, purpose by purpose.

    Parameters
    ----------
    workspace : whose features are built
    wanted : names of views; others, and those that are not declared any more, are left out
    as_of : see `CustomerData`
    """
    declared = ViewDeclarations.load(workspace)
    with open_engine(folders=[workspace.state], resources=engine_resources(workspace)) as engine:
        data = CustomerData(engine, workspace, declared.feeds.purposes, as_of=as_of)
        planned = [view for view in declared.plan_as_built(data.columns, workspace.snapshots) if view.name in wanted]

        def allowed() -> Iterator[PurposeViews]:
            for purpose, views in declared.by_purpose(planned):
                columns = data.allow(purpose=purpose).columns
                company = [view for view in views if view.shared]
                yield PurposeViews(columns, [view for view in views if not view.shared], company)

        yield engine, allowed()


def create_entity_rows(
    engine: duckdb.DuckDBPyConnection, rows: Collection[tuple[str, int]], *, among: str | None = None
) -> None:
    """Create ``entity_rows`` and ``cutoffs`` of chosen customers and moments.

    Parameters
    ----------
    engine : that will compute views
    rows : customers, each with a moment in microseconds since 1970
    among : SQL that selects the customers to whom the rows are restricted; nobody is left out if None
    """
    table = pa.table(
        {
            "customer_id": pa.array([customer for customer, _ in rows], pa.string()),
            "as_of": pa.array([moment for _, moment in rows], pa.int64()),
        }
    )
    engine.register("requested_rows", table)
    engine.execute("CREATE OR REPLACE TEMP TABLE cutoffs AS SELECT DISTINCT as_of FROM requested_rows")
    where = f"WHERE customer_id IN ({among})" if among is not None else ""
    engine.execute(f"CREATE OR REPLACE TEMP TABLE entity_rows AS SELECT DISTINCT * FROM requested_rows {where}")
    engine.unregister("requested_rows")


def compute_rows(
    engine: duckdb.DuckDBPyConnection, view: PlannedView, *, features: Sequence[Feature] | None = None
) -> pa.Table:
    """Return a view's features for every row of ``entity_rows``: customer_id, as_of, and a column a feature.

    Parameters
    ----------
    engine : with the canonical tables, ``entity_rows`` and ``cutoffs``
    view : the planned view
    features : which of its features, in this order; all if left out

    Raises
    ------
    BadData : a number is too large to be added exactly
    """
    selected = typed(view.features if features is None else features)
    try:
        return engine.sql(
            f"SELECT customer_id, as_of, {selected} FROM {embedded(engine, view)} ORDER BY customer_id, as_of"
        ).to_arrow_table()
    except (duckdb.ConversionException, duckdb.OutOfRangeException):
        raise too_large(engine, view) from None
