"""What the canonical tables hold, in numbers; no value that identifies a person is among them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import duckdb

from features.base.clock import iso
from features.base.database_engine import literal, one_row, open_engine
from features.base.errors import BadData
from features.base.workspace import Workspace
from features.config.engine_settings import engine_resources
from features.config.purposes import Purpose
from features.consent.customer_data import open_customer_data
from features.identity.customer_tables import refuse_damaged_tables
from features.ingest.row_history import HAVE_VERSIONS, UNTIL

#: By which column the rows of a table are counted, for the tables that have it.
_COUNTED_BY = {"by_event": ("events", "event"), "by_status": ("consents", "status")}
#: The column with the time of a row: of a holding, when it began.
_TIME = {"holdings": "held_from"}


def count_tables(workspace: Workspace, purposes: Mapping[str, Purpose]) -> dict[str, dict[str, Any]]:
    """Return what each canonical table holds, streamed events among the events.

    Customers for whom no declared purpose has a lawful basis are left out, as they are of everything that is computed.

    Parameters
    ----------
    workspace : unified before
    purposes : the declared purposes

    Returns
    -------
    dict : by table ``rows``; ``customers`` (of tables about customers), ``amount`` (the sum), ``first`` and ``last``
        (ISO 8601), ``by_event``, ``by_status``, ``by_feed``, where the table has such columns

    Raises
    ------
    BadData : nothing is unified yet
    StorageFailure : a table is not the one that was written
    """
    if not (workspace.unified / "customers.parquet").is_file():
        raise BadData(
            "unify.missing", "nothing is unified yet", where="state/unified", hint="run `nextbest unify` first"
        )
    refuse_damaged_tables(workspace)
    with open_engine(folders=[workspace.state], resources=engine_resources(workspace)) as engine:
        access = open_customer_data(engine, workspace, purposes, purpose=None)
        for kind in HAVE_VERSIONS:
            if kind in access.columns:
                engine.execute(f"CREATE OR REPLACE TEMP VIEW {kind} AS FROM memory.main.{kind} WHERE {UNTIL} IS NULL")
        return {kind: _count_table(engine, kind, columns) for kind, columns in access.columns.items()}


def _count_table(engine: duckdb.DuckDBPyConnection, table: str, columns: Collection[str]) -> dict[str, Any]:
    time = _TIME.get(table, "event_time")
    wanted = {"rows": "count(*)"}
    if "customer_id" in columns:
        wanted["customers"] = "count(DISTINCT customer_id)"
    if "amount" in columns:
        wanted["amount"] = "round(fsum(amount), 6)"
    if time in columns:
        wanted |= {"first": f"min({time})", "last": f"max({time})"}
    row = one_row(engine, f"SELECT {', '.join(wanted.values())} FROM {table}")
    found: dict[str, Any] = dict(zip(wanted, row, strict=True))
    for name in ("first", "last"):
        if found.get(name) is not None:
            found[name] = iso(found[name])
    for name, (owner, column) in _COUNTED_BY.items():
        if table == owner and column in columns:
            found[name] = _counted_by(engine, table, column)
    found["by_feed"] = _counted_by(engine, table, "feed")
    return found


def _counted_by(engine: duckdb.DuckDBPyConnection, table: str, column: str) -> dict[str, int]:
    rows = engine.execute(
        f"SELECT coalesce({column}, {literal('(none)')}) AS value, count(*) FROM {table} GROUP BY value ORDER BY value"
    ).fetchall()
    return {str(value): int(count) for value, count in rows}
