"""Canonical tables in memory, and views computed over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import yaml

from features.base.database_engine import EngineResources, open_engine, quoted
from features.config.canonical import CANONICAL, Kind
from features.config.feeds_file import FeedsFile
from features.config.loading import Lines
from features.config.views_file import ViewsFile
from features.identity.customer_tables import Columns
from features.ingest.row_history import HAVE_VERSIONS
from features.views.compute import create_entity_rows_at, embedded
from features.views.fitting import fit_views, middle
from features.views.plan import plan_views
from features.views.python_features import PythonFeature
from features.views.spark import Spark
from features.views.view_checks import refuse_invalid_views

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
TYPES = {"text": pa.string(), "number": pa.float64(), "time": pa.timestamp("us", "UTC"), "date": pa.date32()}
Rows = Sequence[Mapping[str, Any]]
FEEDS = """\
company: {currency: GBP}
feeds:
  crm: {source: a.csv, kind: customers, key: id, pii: [login], fields: {email: mail}}
"""


def day(number: float) -> datetime:
    """Return midnight, so many days after the first of 2026."""
    return datetime(2026, 1, 1, tzinfo=UTC) + number * DAY


@contextmanager
def engine_with(
    threads: int = 2, folders: Sequence[Path] = (), /, **tables: Rows
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Columns]]:
    """Yield an engine that knows these canonical tables; a row without ``known_at`` was known when it happened."""
    columns: dict[Kind, dict[str, bool]] = {}
    with open_engine(folders=folders, resources=EngineResources(threads=threads)) as engine:
        for kind, table in CANONICAL.items():
            if kind not in tables:
                continue
            rows = [
                {"record_id": str(n), "feed": "crm", "known_at": row.get("event_time", row.get("held_from")), **row}
                for n, row in enumerate(tables[kind])
            ]
            types = {
                "customer_id": "text",
                "feed": "text",
                "record_id": "text",
                "event_time": "time",
                "known_at": "time",
            }
            types |= table.fields | ({"known_until": "time"} if kind in HAVE_VERSIONS else {})
            types |= {
                name: "number" if isinstance(value, int | float) else "text"
                for row in rows
                for name, value in row.items()
                if "." in name and value is not None
            }
            arrow = pa.table({name: pa.array([r.get(name) for r in rows], TYPES[t]) for name, t in types.items()})
            engine.register(f"given_{kind}", arrow)
            engine.execute(f"CREATE TABLE {quoted(kind)} AS SELECT * FROM given_{kind}")
            columns[kind] = {name: t == "number" for name, t in types.items()}
        yield engine, columns


def snapshots(
    views: str,
    cutoffs: Sequence[datetime],
    *,
    feeds: str = FEEDS,
    threads: int = 2,
    spark: Spark | None = None,
    python: Mapping[str, PythonFeature] | None = None,
    **tables: Rows,
) -> dict[tuple[str, datetime], dict[str, Any]]:
    """Return the features of all views by customer and cutoff, as DuckDB or, where it is given, Spark computes them."""
    file = ViewsFile.model_validate(yaml.safe_load(views))
    declared = FeedsFile.model_validate(yaml.safe_load(feeds))
    found: dict[tuple[str, datetime], dict[str, Any]] = {}
    rows_of_view = embedded if spark is None else spark.rows
    with engine_with(threads, [spark.folder] if spark else [], **tables) as (engine, columns):
        lines = Lines("views.yaml")
        refuse_invalid_views(file, lines, declared, columns, python or {})
        learnt = fit_views(engine, file.views, declared, until=file.fit.until or middle(cutoffs))
        fitted = {name: view.fitted for name, view in learnt.items()}
        create_entity_rows_at(engine, columns, list(cutoffs))
        for view in plan_views(file, lines, declared, columns=columns, fitted=fitted, python=python):
            for row in engine.sql(f"SELECT * FROM {rows_of_view(engine, view)}").to_arrow_table().to_pylist():
                moment = EPOCH + timedelta(microseconds=row.pop("as_of"))
                found.setdefault((row.pop("customer_id"), moment), {}).update(row)
    return found
