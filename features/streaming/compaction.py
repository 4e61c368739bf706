"""The log's entries as rows of the canonical ``events`` in Parquet, so that everything in batch sees them, too."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow as pa

from features.base.parquet import read_parquet, write_parquet
from features.base.workspace import Workspace
from features.base.workspace_lock import file_lock
from features.identity.customer_directory import Directory, open_directory
from features.identity.streamed_events import FOLDER, SCHEMA, Segment, Segments, read_segments, write_segments
from features.streaming.event import from_us
from features.streaming.event_log import Entry, EventLog
from features.streaming.generation_stamp import customers_stamp
from features.streaming.intake import resolve
from features.streaming.open_event_log import has_log, open_log

WAIT_S = 600.0  # another process settles, which ends
ROWS = 100_000  # of a segment; a full one is not written again


def compact(workspace: Workspace, log: EventLog) -> int:
    """Write the entries that are not settled; return the number of the last one that is.

    A run that is killed leaves what was settled before. What names its customer by a record is led to that record's
    customer of today: where there is such, all is settled anew after a `unify`.

    Raises
    ------
    StorageFailure : the disk is full
    """
    last = log.last()
    if not last:
        return 0
    with alone(workspace.streaming):
        held, stamp = read_segments(workspace.streaming), customers_stamp(workspace)
        begun = held if held.stamp == stamp or not held.by_record else Segments()
        if begun.through >= last:
            return begun.through
        directory = open_directory(workspace)
        files, feeds, by_record = begun.files, set(begun.feeds), begun.by_record
        rows, through, first = SCHEMA.empty_table(), begun.through, begun.through + 1
        if files and files[-1].last - files[-1].first + 1 < ROWS:
            rows, first = read_parquet(workspace.streaming / FOLDER / files[-1].file), files[-1].first
        while entries := log.read(after=through, limit=ROWS - rows.num_rows):
            through = entries[-1].seq
            rows = pa.concat_tables([rows, _rows(entries, directory)])
            segment = Segment(f"{first:012d}-{through:012d}-{stamp[:8]}.parquet", first, through)
            write_parquet(rows.combine_chunks(), workspace.streaming / FOLDER / segment.file)
            files = (*(file for file in files if file.first < first), segment)
            feeds |= {entry.event.feed for entry in entries}
            by_record = by_record or any(entry.event.record is not None for entry in entries)
            rows, first = SCHEMA.empty_table(), through + 1
        settled = Segments(files, tuple(sorted(feeds)), by_record, stamp, max(through, last))
        write_segments(workspace.streaming, settled)
        sweep(workspace.streaming / FOLDER, keep=(held, settled))
        return settled.through


def compact_all(workspace: Workspace) -> int:
    """Settle a workspace's log, where there is one; return the number of the last settled entry, 0 for none."""
    if not has_log(workspace):
        return 0
    log = open_log(workspace)
    try:
        return compact(workspace, log)
    finally:
        log.close()


def _rows(entries: Sequence[Entry], directory: Directory) -> pa.Table:
    """Return entries as canonical rows; one whose customer is gone keeps the id it had."""
    events = [entry.event for entry in entries]
    columns = {
        "customer_id": [resolve(event, directory) or event.customer_id for event in events],
        "feed": [event.feed for event in events],
        "record_id": [event.id for event in events],
        "event_time": [from_us(event.event_us) for event in events],
        "known_at": [from_us(entry.known_us) for entry in entries],
        **{name: [getattr(event, name) for event in events] for name in SCHEMA.names[5:]},
    }
    return pa.table(columns, schema=SCHEMA)


def sweep(folder: Path, *, keep: Sequence[Segments]) -> None:
    """Remove files that neither the rows settled now name, nor those before: a reader may still be at those."""
    named = {segment.file for segments in keep for segment in segments.files}
    for path in folder.glob("*.parquet"):
        if path.name not in named:
            path.unlink(missing_ok=True)


def alone(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of the event log's rows: of its own, so that a worker goes on while models are trained."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return file_lock(folder / "settle.lock", "events", wait_s=WAIT_S)
