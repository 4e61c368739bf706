"""Compaction: the entries of the event log as rows of the canonical ``events`` in Parquet, for everything in batch."""

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
from features.streaming.intake import resolve
from features.streaming.open_event_log import has_log, open_log
from features.streaming.state_digest import customers_digest

WAIT_S = 600.0  # for another process that compacts or removes
ROWS = 100_000  # of a segment; a full one is not written again


def compact(workspace: Workspace, log: EventLog) -> int:
    """Write the entries that are not compacted yet; return the number of the last one that is.

    A run that is killed leaves what was compacted before. An event that names its customer by a record is about that
    record's customer of today: where there is such an event, everything is compacted again after a `unify`.

    Raises
    ------
    StorageFailure : the disk is full
    """
    last = log.last()
    if not last:
        return 0
    with rows_lock(workspace.streaming):
        before, customers = read_segments(workspace.streaming), customers_digest(workspace)
        done = before if before.stamp == customers or not before.by_record else Segments()
        if done.through >= last:
            return done.through
        directory = open_directory(workspace)
        files, feeds, by_record = done.files, set(done.feeds), done.by_record
        rows, through, first = SCHEMA.empty_table(), done.through, done.through + 1
        if files and files[-1].last - files[-1].first + 1 < ROWS:
            rows, first = read_parquet(workspace.streaming / FOLDER / files[-1].file), files[-1].first
        while entries := log.read(after=through, limit=ROWS - rows.num_rows):
            through = entries[-1].seq
            rows = pa.concat_tables([rows, _rows(entries, directory)])
            segment = Segment(f"{first:012d}-{through:012d}-{customers[:8]}.parquet", first, through)
            write_parquet(rows.combine_chunks(), workspace.streaming / FOLDER / segment.file)
            files = (*(file for file in files if file.first < first), segment)
            feeds |= {entry.event.feed for entry in entries}
            by_record = by_record or any(entry.event.record is not None for entry in entries)
            rows, first = SCHEMA.empty_table(), through + 1
        after = Segments(files, tuple(sorted(feeds)), by_record, customers, max(through, last))
        write_segments(workspace.streaming, after)
        remove_files(workspace.streaming / FOLDER, but=(before, after))
        return after.through


def compact_all(workspace: Workspace) -> int:
    """Compact a workspace's log, where there is one; return the number of the last compacted entry, 0 for none."""
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


def remove_files(folder: Path, *, but: Sequence[Segments]) -> None:
    """Remove the files of no segment of these: of those of today and, as a reader may have them open, of before."""
    named = {segment.file for segments in but for segment in segments.files}
    for path in folder.glob("*.parquet"):
        if path.name not in named:
            path.unlink(missing_ok=True)


def rows_lock(folder: Path) -> AbstractContextManager[None]:
    """Hold the lock of the compacted rows; not that of the workspace: a worker goes on while models are trained."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return file_lock(folder / "compact.lock", "events", wait_s=WAIT_S)
