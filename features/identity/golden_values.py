"""The golden record of every customer as known now: one row a customer, and the origin of each value."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import duckdb

from features.base.database_engine import quoted
from features.base.parquet import stream_parquet
from features.config.canonical import CANONICAL, PERSONAL_FIELDS
from features.config.feeds_file import FeedsFile
from features.identity.survivorship_rules import FieldSelection, order_by, refuse_unknown, selections

ORDERED = "ordered_records"
WINNERS = "golden_winners"


def golden_fields(columns: Sequence[str]) -> list[str]:
    """Return the fields of the golden record, given the columns of ``customers``: canonical ones, then attributes.

    Examples
    --------
    >>> golden_fields(["customer_id", "crm.segment", "city"])
    ['city', 'crm.segment']
    """
    attributes = sorted(column for column in columns if "." in column)
    return [*(field for field in CANONICAL["customers"].fields if field in columns), *attributes]


def choose(engine: duckdb.DuckDBPyConnection, feeds: FeedsFile, *, source: str) -> list[FieldSelection]:
    """Create the tables of ordered records and of winners; return the selections, whose place names their columns.

    The records are put into the order of their last change once, so that every selection compares whole numbers.

    Parameters
    ----------
    engine : has `source`
    feeds : the declared feeds and rules
    source : relation of all customers' records with all their fields, personal ones too

    Raises
    ------
    BadConfiguration : a rule names an attribute that its feed does not have
    """
    there = [row[0] for row in engine.execute(f"DESCRIBE {source}").fetchall()]
    refuse_unknown(there, feeds)
    won = selections(golden_fields(there), feeds)
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {ORDERED} AS
        SELECT *, row_number() OVER (ORDER BY {order_by()}) AS __at FROM {source}
        """
    )
    counted = [_count_values(engine, selection, at) for at, selection in enumerate(won) if selection.counts_values]
    aggregates = []
    for at, selection in enumerate(won):
        times = _times(at) if selection.counts_values else None
        values = [quoted(field) for field in selection.fields]
        for value, name in zip(["__at", *values], [winner_column(at), *values], strict=True):
            aggregates.append(f"{selection.wins(value, order='__at', times=times, numbered=True)} AS {name}")
        aggregates.append(f"count(*) FILTER ({selection.is_candidate}) AS {candidates_column(at)}")
    chosen = ",\n               ".join(aggregates)
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {WINNERS} AS
        SELECT customer_id, count(*) AS records, min(known_at) AS known_at,
               {chosen}
        FROM {ORDERED} {" ".join(f"JOIN {table} USING (__at)" for table in counted)}
        GROUP BY customer_id ORDER BY customer_id
        """
    )
    return won


def _count_values(engine: duckdb.DuckDBPyConnection, selection: FieldSelection, at: int) -> str:
    """Create the table of how many of its customer's records have each record's value; return its name."""
    table = f"golden_words_{at:d}"
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {table} AS
        SELECT __at,
               count(*) FILTER ({selection.is_candidate})
                 OVER (PARTITION BY customer_id, {selection.value_text}) AS {_times(at)}
        FROM {ORDERED}
        """
    )
    return table


def _times(at: int) -> str:
    return f"__times_{at:d}"


def winner_column(at: int) -> str:
    """Return the column of the winners that holds the place of a selection's winning record.

    Examples
    --------
    >>> winner_column(3)
    '__won_3'
    """
    return f"__won_{at:d}"


def candidates_column(at: int) -> str:
    """Return the column of the winners that holds how many records were in a selection.

    Examples
    --------
    >>> candidates_column(3)
    '__of_3'
    """
    return f"__of_{at:d}"


def write_golden(
    engine: duckdb.DuckDBPyConnection, won: Sequence[FieldSelection], personal: Collection[str], *, folder: Path
) -> None:
    """Write ``golden.parquet`` and, for the fields that identify a person, ``personal/golden.parquet``.

    Parameters
    ----------
    engine : after `choose`
    won : the selections
    personal : attributes that identify a person, beside the canonical fields that do
    folder : where the files go
    """
    hidden = {*PERSONAL_FIELDS, *personal}
    fields = [field for selection in won for field in selection.fields]
    _write(engine, ["records", "known_at", *(field for field in fields if field not in hidden)], folder)
    (folder / "personal").mkdir(mode=0o700, exist_ok=True)
    _write(engine, [field for field in fields if field in hidden], folder / "personal")


def _write(engine: duckdb.DuckDBPyConnection, fields: Sequence[str], folder: Path) -> None:
    listed = ", ".join(quoted(field) for field in ("customer_id", *fields))
    stream_parquet(
        engine.sql(f"SELECT {listed} FROM {WINNERS} ORDER BY customer_id").to_arrow_reader(), folder / "golden.parquet"
    )
