"""What every cell of the golden record rests on: its value, the record that gave it, by which rule and since when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from features.base.database_engine import literal, quoted
from features.base.parquet import stream_parquet
from features.identity.golden_values import ORDERED, WINNERS, candidates_column, winner_column
from features.identity.survivorship_rules import Contest

_AGREEING = "golden_agreeing"


def write_cells(engine: duckdb.DuckDBPyConnection, won: Sequence[Contest], *, folder: Path) -> int:
    """Write ``personal/cells.parquet``: one row for each customer and field that some record was in the running for.

    Its columns are ``customer_id``, ``field``, ``value`` (as text), ``feed`` and ``record_id`` of the winning record,
    ``rule``, ``changed_at`` and ``known_at`` of that record, ``candidates`` (records in the running) and ``agreeing``
    (those of them that say the same).

    Parameters
    ----------
    engine : after `golden.choose`
    won : the contests
    folder : where the file goes

    Returns
    -------
    int : cells written
    """
    fields = [(at, contest, field) for at, contest in enumerate(won) for field in contest.fields]
    _count_agreeing(engine, [(contest, field) for _, contest, field in fields])
    cells = ",\n                 ".join(
        f"{{'field': {literal(field)}, 'value': CAST({quoted(field)} AS VARCHAR), 'at': {winner_column(at)}, "
        f"'rule': {literal(contest.label)}, 'candidates': {candidates_column(at)}, 'agreeing': {_agreeing(number)}}}"
        for number, (at, contest, field) in enumerate(fields)
    )
    return stream_parquet(
        engine.sql(
            f"""
            SELECT c.customer_id, cell.field, cell.value, r.feed, r.record_id, cell.rule,
                   r.event_time AS changed_at, r.known_at, cell.candidates, cell.agreeing
            FROM (
              SELECT customer_id, unnest([
                 {cells}
              ]) AS cell
              FROM {WINNERS} JOIN {_AGREEING} USING (customer_id)
            ) c
            JOIN {ORDERED} r ON r.__at = cell.at
            ORDER BY c.customer_id, cell.field
            """
        ).to_arrow_reader(),
        folder / "personal" / "cells.parquet",
    )


def _count_agreeing(engine: duckdb.DuckDBPyConnection, fields: Sequence[tuple[Contest, str]]) -> None:
    values = ", ".join(f"{quoted(field)} AS {_value(number)}" for number, (_, field) in enumerate(fields))
    counts = ",\n               ".join(
        f"count(*) FILTER ({contest.takes_part} AND {quoted(field)} IS NOT DISTINCT FROM {_value(number)}) "
        f"AS {_agreeing(number)}"
        for number, (contest, field) in enumerate(fields)
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
