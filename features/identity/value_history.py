"""Why a field of a customer has its value: all candidates, the one that won, and why each of the others did not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from features.base.clock import iso
from features.base.database_engine import literal, open_engine, quoted
from features.base.errors import BadData, UsageError
from features.base.generations import not_published
from features.base.workspace import Workspace
from features.config.canonical import PERSONAL_FIELDS
from features.config.engine_settings import engine_resources
from features.config.feed import Feed
from features.config.feeds_file import FeedsFile
from features.config.loading import did_you_mean
from features.identity.customer_tables import PERSONAL
from features.identity.golden_values import golden_fields
from features.identity.survivorship_rules import (
    CHANGED,
    CHANGED_BY_THEN,
    VISIBLE,
    VISIBLE_VERSION,
    FieldSelection,
    order_by,
    selection_of,
)
from features.ingest.row_history import UNTIL, VERSIONS

WON, AGREES, LOST, OUT = "won", "agrees", "lost", "not a candidate"


@dataclass(frozen=True)
class Repaired:
    """A change that a declared repair made to a value: by which rule, and what it was before."""

    rule: str
    before: str | None


@dataclass(frozen=True)
class Candidate:
    """One record as a candidate for the field.

    Parameters
    ----------
    feed, record_id : the record
    value : its value as text; None where it is empty
    changed_at, known_at : when the record last changed, and since when it is known
    verdict : ``won``, ``agrees``, ``lost`` or ``not a candidate``
    reason : in words
    repairs : what repairs did to the value, the first one first
    """

    feed: str
    record_id: str
    value: str | None
    changed_at: datetime | None
    known_at: datetime
    verdict: str
    reason: str
    repairs: tuple[Repaired, ...]


@dataclass(frozen=True)
class Why:
    """Where a value of the golden record comes from.

    Parameters
    ----------
    customer_id : today's id
    leads_to : all of today's customers that the id that was asked for leads to, `customer_id` first
    field : the field
    rule : how it is chosen, with the name of its group
    personal : whether its values identify a person
    personal_keys : feeds whose keys identify a person
    candidates : every record of the customer, the winner first; none has won where all are empty
    """

    customer_id: str
    leads_to: tuple[str, ...]
    field: str
    rule: str
    personal: bool
    personal_keys: frozenset[str]
    candidates: tuple[Candidate, ...]

    @property
    def winner(self) -> Candidate | None:
        """The candidate whose value stands in the golden record."""
        return next((candidate for candidate in self.candidates if candidate.verdict == WON), None)


def why(
    workspace: Workspace,
    feeds: FeedsFile,
    customer: str,
    field: str,
    *,
    as_of: datetime | None = None,
) -> Why:
    """Return what a field's value rests on, now or as of a moment.

    Parameters
    ----------
    workspace : after ``nextbest unify``
    feeds : the declared feeds and rules
    customer : any id that the customer ever had
    field : a field of the golden record
    as_of : later records and changes do not count; all do when left out

    Raises
    ------
    BadData : nothing is unified yet, or no customer with records ever had the id
    UsageError : there is no such field
    """
    unified = workspace.unified
    if not (unified / "golden.parquet").is_file():
        raise not_published("why.not_unified", workspace.state / "unified", "golden records", "unify")
    with open_engine(folders=[unified, workspace.staged], resources=engine_resources(workspace)) as engine:
        leads_to = _today(engine, unified, customer)
        records = unified / PERSONAL / "customers.parquet"
        current = f"SELECT *, CAST(NULL AS TIMESTAMPTZ) AS {UNTIL} FROM read_parquet({literal(str(records))})"
        engine.execute(f"CREATE VIEW whole AS {current}")
        there = [row[0] for row in engine.execute("DESCRIBE whole").fetchall() if row[0] != UNTIL]
        if field not in golden_fields(there):
            near = did_you_mean(field, golden_fields(there))
            raise UsageError("why.unknown_field", f"customers have no field {field!r}", hint=near)
        selection = selection_of(field, feeds)
        if as_of is not None:
            _add_past(engine, workspace, feeds)
        rows = _candidates(engine, selection, field, leads_to[0], as_of)
        won = next((row for row in rows if row["won"]), None)
        candidates = tuple(
            Candidate(
                feed=row["feed"],
                record_id=row["record_id"],
                value=row["value"],
                changed_at=row["event_time"],
                known_at=row["known_at"],
                verdict=_verdict(row, won),
                reason=_reason(row, won, selection),
                repairs=_repairs(engine, workspace.staged / row["feed"], row["record_id"], field),
            )
            for row in rows
        )
    return Why(
        customer_id=leads_to[0],
        leads_to=leads_to,
        field=field,
        rule=selection.label,
        personal=field not in pq.read_schema(unified / "golden.parquet").names,
        personal_keys=frozenset(name for name, feed in feeds.feeds.items() if _is_telling(feed)),
        candidates=candidates,
    )


def _today(engine: duckdb.DuckDBPyConnection, unified: Path, customer: str) -> tuple[str, ...]:
    ids = f"read_parquet({literal(str(unified / 'ids.parquet'))})"
    found = engine.execute(
        f"SELECT customer_id, live FROM {ids} WHERE past_id = ? ORDER BY live DESC, place", [customer]
    ).fetchall()
    if not found or not found[0][1]:
        raise BadData(
            "why.unknown_customer",
            "no customer ever had this id" if not found else "the customer with this id has no records at present",
            where="customer_id",
            hint="take an id from golden.parquet in state/unified, or see `nextbest identity history`",
        )
    return tuple(customer_id for customer_id, _ in found)


def _add_past(engine: duckdb.DuckDBPyConnection, workspace: Workspace, feeds: FeedsFile) -> None:
    """Add to the records what each of them held before."""
    records = literal(str(workspace.personal / "records.parquet"))
    past = [
        f"SELECT r.customer_id, r.feed, v.* FROM read_parquet({literal(str(path))}) v "
        f"JOIN read_parquet({records}) r ON r.feed = {literal(name)} AND r.record_id = v.record_id"
        for name, feed in feeds.feeds.items()
        if feed.kind == "customers" and (path := workspace.staged / name / VERSIONS).is_file()
    ]
    if past:
        engine.execute("ALTER VIEW whole RENAME TO current_records")
        engine.execute(f"CREATE VIEW whole AS {' UNION ALL BY NAME '.join(['FROM current_records', *past])}")


def _is_telling(feed: Feed) -> bool:
    """Return whether a feed's key is declared personal, or a personal field is taken from it."""
    texts = [text for field, text in feed.fields.items() if field in PERSONAL_FIELDS]
    return any(key in feed.pii or any(re.search(rf"\b{re.escape(key)}\b", t) for t in texts) for key in feed.keys)


def _candidates(
    engine: duckdb.DuckDBPyConnection, selection: FieldSelection, field: str, customer_id: str, as_of: datetime | None
) -> list[dict[str, Any]]:
    """Return every record of one customer with what each rule looks at, the winner first."""
    moment = "NULL" if as_of is None else f"epoch_us(TIMESTAMPTZ {literal(iso(as_of))})"
    visible, changed = ("true", CHANGED) if as_of is None else (VISIBLE_VERSION, CHANGED_BY_THEN)
    counts = f"coalesce({selection.is_candidate} AND {visible}, false)"
    winner = selection.wins("{'feed': feed, 'record_id': record_id}", order=order_by(changed), visible=visible)
    found = engine.sql(
        f"""
        WITH records AS (
          SELECT *, CAST({moment} AS BIGINT) AS as_of FROM whole WHERE customer_id = {literal(customer_id)}
        ), winner AS (
          SELECT {winner} AS record FROM records
        )
        SELECT feed, record_id, event_time, known_at, {VISIBLE} AS known,
               nullif(trim(CAST({quoted(field)} AS VARCHAR)), '') AS value,
               {visible} AS visible, {counts} AS counts,
               {selection.length} AS length, {selection.place} AS place,
               coalesce({changed}, 0) AS changed,
               count(*) FILTER ({counts}) OVER (PARTITION BY {selection.value_text}) AS times,
               coalesce(record = {{'feed': feed, 'record_id': record_id}} AND {visible}, false) AS won
        FROM records, winner
        ORDER BY won DESC, counts DESC, {order_by(changed)} DESC
        """
    )
    return [dict(row) for row in found.to_arrow_table().to_pylist()]


def _verdict(row: Mapping[str, Any], won: Mapping[str, Any] | None) -> str:
    if row["won"]:
        return WON
    if won is None or not row["counts"]:
        return OUT
    return AGREES if row["value"] == won["value"] else LOST


def _reason(row: Mapping[str, Any], won: Mapping[str, Any] | None, selection: FieldSelection) -> str:
    if not row["visible"]:
        return "held until it changed" if row["known"] else "was not known yet"
    if won is None or not row["counts"]:
        return "is empty" if selection.rule.ignore_empty else "its feed does not map the field"
    rule = selection.rule.rule
    if row["won"]:
        return {
            "source_priority": f"{row['feed']} is the most trusted source that has a value",
            "longest": "has the longest value",
            "most_frequent": f"{row['times']} of the records have this value",
        }.get(str(rule), "changed last")
    if rule == "source_priority" and row["place"] < won["place"]:
        return f"{row['feed']} is trusted less than {won['feed']}"
    if rule == "longest" and row["length"] < won["length"]:
        return "has a shorter value"
    if rule == "most_frequent" and row["times"] < won["times"]:
        return f"{row['times']} against {won['times']} records have their value"
    even = "" if rule == "last_updated" else "even by the rule, but "
    if row["changed"] < won["changed"]:
        return f"{even}changed earlier"
    return f"{even}changed at the same moment, and its feed and key sort before"


def _repairs(engine: duckdb.DuckDBPyConnection, folder: Path, record_id: str, field: str) -> tuple[Repaired, ...]:
    path = folder / "repairs.parquet"
    if not path.is_file():
        return ()
    found = engine.execute(
        f"""
        SELECT rule, before FROM read_parquet({literal(str(path))})
        WHERE record_id = ? AND "column" = ? ORDER BY step
        """,
        [record_id, field],
    ).fetchall()
    return tuple(Repaired(rule, before) for rule, before in found)
