"""How long golden records take: values alone and all that is kept beside them, next to a query written by hand.

The query by hand is one ``arg_max`` a field, by time, feed and key: what ``last_updated`` means, without any cell's
source, contact points or owners' views. Two records a customer on average, twelve fields and six attributes, four of
five filled. Run it from the repository root: ``python -m tests.benchmarks.golden``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from features.base.database_engine import EngineResources, open_engine, quoted
from features.config.canonical import CANONICAL
from features.config.feeds_file import FeedsFile
from features.identity.golden_record import write_golden_record
from features.identity.golden_values import choose, golden_fields
from features.identity.survivorship_rules import order_by
from tests.benchmarks._run import closing

SIZES = (100_000, 1_000_000)
FIELDS = (*CANONICAL["customers"].fields, *(f"crm.a{number}" for number in range(6)))
MAX_VALUES = 1.0  # times the query by hand, for the same values
MAX_WHOLE = 4.0  # times the query by hand, with cells, contact points and owners' views, written to disk
MAX_GROWTH = 15.0  # for ten times the records


def feeds() -> FeedsFile:
    """Return two feeds of customers that map every field."""
    one = {
        "source": "x.csv",
        "kind": "customers",
        "key": "id",
        "fields": {field: field for field in CANONICAL["customers"].fields},
    }
    return FeedsFile.model_validate({"feeds": {"crm": one, "web": one}})


def make(engine: duckdb.DuckDBPyConnection, records: int) -> None:
    """Create the table of records, the same at every run."""
    texts = ", ".join(
        f"CASE WHEN hash(n, {at}) % 5 > 0 THEN 'w' || CAST(hash(n, {at}, 1) % 100000 AS VARCHAR) END AS {quoted(field)}"
        for at, field in enumerate(FIELDS)
    )
    engine.execute(
        f"""
        CREATE OR REPLACE TABLE records AS
        SELECT 'c' || lpad(CAST(hash(n) % {records // 2:d} AS VARCHAR), 16, '0') AS customer_id,
               CASE WHEN n % 2 = 0 THEN 'crm' ELSE 'web' END AS feed, CAST(n AS VARCHAR) AS record_id,
               TIMESTAMPTZ '2020-01-01 00:00:00+00' + INTERVAL (hash(n, 99) % 100000000) SECOND AS event_time,
               TIMESTAMPTZ '2020-01-01 00:00:00+00' + INTERVAL (hash(n, 98) % 1000000) SECOND AS known_at,
               {texts}
        FROM range({records:d}) t(n)
        """
    )


def by_hand(engine: duckdb.DuckDBPyConnection) -> None:
    fields = ", ".join(
        f"arg_max({quoted(field)}, {order_by()}) FILTER ({quoted(field)} IS NOT NULL) AS {quoted(field)}"
        for field in golden_fields(FIELDS)
    )
    engine.execute(f"CREATE OR REPLACE TABLE hand AS SELECT customer_id, {fields} FROM records GROUP BY 1 ORDER BY 1")


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(records: int) -> dict[str, float]:
    with (
        tempfile.TemporaryDirectory() as name,
        open_engine(folders=[Path(name)], resources=EngineResources(spill=Path(name) / "s")) as engine,
    ):
        make(engine, records)
        return {
            "by hand": seconds(lambda: by_hand(engine)),
            "values": seconds(lambda: choose(engine, feeds(), source="records")),
            "whole": seconds(
                lambda: write_golden_record(
                    engine, feeds(), frozenset(), source="records", shown="records", folder=Path(name)
                )
            ),
        }


def main() -> int:
    print(f"{'golden records':<16}{'by hand s':>12}{'values s':>12}{'whole s':>12}")
    found = {size: measure(size) for size in SIZES}
    for size, row in found.items():
        print(f"{size:<16}" + "".join(f"{row[name]:12.2f}" for name in ("by hand", "values", "whole")))
    small, large = (found[size] for size in SIZES)
    short = []
    if large["values"] > MAX_VALUES * large["by hand"]:
        short.append(f"values take {large['values'] / large['by hand']:.2f} times the query by hand, bar {MAX_VALUES}")
    if large["whole"] > MAX_WHOLE * large["by hand"]:
        short.append(f"the whole takes {large['whole'] / large['by hand']:.2f} times it, the bar is {MAX_WHOLE}")
    if large["whole"] > MAX_GROWTH * small["whole"]:
        short.append(f"ten times the records take {large['whole'] / small['whole']:.1f} times, bar {MAX_GROWTH}")
    return closing(short)


if __name__ == "__main__":
    sys.exit(main())
