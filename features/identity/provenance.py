"""Where each value of the golden record comes from: its record, by which rule, and since when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from features.base.database_engine import literal, quoted
from features.base.parquet import stream_parquet
from features.identity.golden_values import ORDERED, WINNERS, candidates_column, winner_column
from features.identity.survivorship_rules import FieldSelection

_AGREEING = "golden_agreeing"


def write_provenance(engine: duckdb.DuckDBPyConnection, won: Sequence[FieldSelection], *, folder: Path) -> int:
    """Write ``personal/provenance.parquet``: one row for each customer and field with a candidate.

    Its columns are ``customer_id``, ``field``, ``value`` (as text), ``feed`` and ``record_id`` of the winning record,
    ``rule``, ``changed_at`` and ``known_at`` of that record, ``candidates`` (records) and ``agreeing``
    (those of them with the same value).

    Parameters
    ----------
    engine : after `golden.choose`
    won : the selections
    folder : where the file goes

    Returns
    -------
    int : rows written
    """
    fields = [(at, selection, field) for at, selection in enumerate(won) for field in selection.fields]
    _count_agreeing(engine, [(selection, field) for _, selection, field in fields])
    origins = ",\n                 ".join(
        f"{{'field': {literal(field)}, 'value': CAST({quoted(field)} AS VARCHAR), 'at': {winner_column(at)}, "
        f"'rule': {literal(selection.label)}, 'candidates': {candidates_column(at)}, 'agreeing': {_agreeing(number)}}}"
        for number, (at, selection, field) in enumerate(fields)
    )
    return stream_parquet(
        engine.sql(
            f"""
            SELECT c.customer_id, origin.field, origin.value, r.feed, r.record_id, origin.rule,
                   r.event_time AS changed_at, r.known_at, origin.candidates, origin.agreeing
            FROM (
              SELECT customer_id, unnest([
                 {origins}
              ]) AS origin
              FROM {WINNERS} JOIN {_AGREEING} USING (customer_id)
            ) c
            JOIN {ORDERED} r ON r.__at = origin.at
            ORDER BY c.customer_id, origin.field
            """
        ).to_arrow_reader(),
        folder / "personal" / "provenance.parquet",
    )


def _count_agreeing(engine: duckdb.DuckDBPyConnection, fields: Sequence[tuple[FieldSelection, str]]) -> None:
    values = ", ".join(f"{quoted(field)} AS {_value(number)}" for number, (_, field) in enumerate(fields))
    counts = ",\n               ".join(
        f"count(*) FILTER ({selection.is_candidate} AND {quoted(field)} IS NOT DISTINCT FROM {_value(number)}) "
        f"AS {_agreeing(number)}"
        for number, (selection, field) in enumerate(fields)
    )
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {_AGREEING} AS
        SELECT customer_id,
               {counts}
        FROM {ORDERED} JOIN (SELECT customer_id, {values} FROM {WINNERS}) w USING (customer_id)
        GROUP BY customer_id
        """
    )


def _value(number: int) -> str:
    return f"__value_{number:d}"


def _agreeing(number: int) -> str:
    return f"__agreeing_{number:d}"
