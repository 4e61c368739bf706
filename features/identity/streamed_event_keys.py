"""Settled streamed events by their keys: those that a feed has delivered, those of long ago, those of one customer."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from features.base.database_engine import literal, open_engine
from features.base.workspace import Workspace
from features.config.engine_settings import engine_resources
from features.identity.streamed_events import compacted_rows, read_segments, unreadable

KEY = ["feed", "record_id"]
_NONE = pa.table({name: pa.array([], pa.string()) for name in KEY})


def keys_delivered(workspace: Workspace, *, until: datetime | None) -> pa.Table:
    """Return the keys of settled rows that count no more, as a canonical row of a feed has the same.

    Parameters
    ----------
    until : of the rows known by then; of all if left out

    Raises
    ------
    StorageFailure : a segment is gone or damaged
    """
    segments, unified = read_segments(workspace.streaming), workspace.unified
    events = unified / "events.parquet"
    if not segments.files or not events.is_file():
        return _NONE
    where = None if until is None else pc.field("known_at") <= until
    feeds = ", ".join(map(literal, segments.feeds))
    with open_engine(folders=[unified], resources=engine_resources(workspace)) as engine:
        try:
            engine.register("settled", compacted_rows(workspace.streaming, segments, columns=KEY, where=where))
            found: pa.Table = engine.sql(
                f"""
                SELECT feed, record_id FROM settled m
                WHERE EXISTS (
                    SELECT 1 FROM read_parquet({literal(str(events))}) u
                    WHERE u.feed IN ({feeds}) AND u.feed = m.feed AND u.record_id = m.record_id
                )
                """
            ).to_arrow_table()
        except (OSError, pa.ArrowException, duckdb.InvalidInputException) as error:
            raise unreadable(error) from error
    return found


def times_known(streaming: Path, feed: str) -> pa.Table | None:
    """Return ``record_id`` and ``known_at`` of a feed's settled rows; None where it has none.

    Raises
    ------
    StorageFailure : a segment is gone or damaged
    """
    segments = read_segments(streaming)
    if feed not in segments.feeds:
        return None
    try:
        rows = compacted_rows(streaming, segments, columns=["record_id", "known_at"], where=pc.field("feed") == feed)
        return (
            rows.read_all()
            .group_by("record_id")
            .aggregate([("known_at", "min")])
            .rename_columns({"known_at_min": "known_at"})
        )
    except (OSError, pa.ArrowException) as error:
        raise unreadable(error) from error


def keys_known(workspace: Workspace, *, until: datetime) -> pa.Table:
    """Return the keys of settled rows that were known by a moment.

    Raises
    ------
    StorageFailure : a segment is gone or damaged
    """
    return _keys(workspace, pc.field("known_at") <= until)


def keys_about(workspace: Workspace, ids: Collection[str]) -> pa.Table:
    """Return the keys of settled rows about any of these ids.

    Raises
    ------
    StorageFailure : a segment is gone or damaged
    """
    return _keys(workspace, pc.field("customer_id").isin(pa.array(sorted(ids), pa.string())))


def without(rows: pa.Table, keys: pa.Table) -> pa.Table:
    """Return rows without those of these keys, in their order."""
    return rows.filter(pc.invert(pc.is_in(_joined(rows), value_set=_joined(keys))))


def _keys(workspace: Workspace, where: ds.Expression) -> pa.Table:
    segments = read_segments(workspace.streaming)
    if not segments.files:
        return _NONE
    try:
        return compacted_rows(workspace.streaming, segments, columns=KEY, where=where).read_all()
    except (OSError, pa.ArrowException) as error:
        raise unreadable(error) from error


def _joined(rows: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(rows["feed"], rows["record_id"], "\x1f")  # which is in no feed's name
