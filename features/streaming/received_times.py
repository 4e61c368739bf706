"""When streamed events were accepted, whether they are compacted yet or not."""

from __future__ import annotations

import pyarrow as pa

from features.base.workspace import Workspace
from features.identity.streamed_event_keys import times_known
from features.identity.streamed_events import read_segments
from features.streaming.event import from_us
from features.streaming.event_log import Entry
from features.streaming.open_event_log import has_log, open_log

_ENTRIES = 100_000  # read at once


def times_received(workspace: Workspace, feed: str) -> pa.Table | None:
    """Return ``record_id`` and ``known_at`` of a feed's streamed events; None where it has none.

    Raises
    ------
    StorageFailure, Unreachable : a segment is gone or damaged, or the log cannot be read
    """
    settled = times_known(workspace.streaming, feed)
    waiting = [entry for entry in _waiting(workspace) if entry.event.feed == feed]
    if not waiting:
        return settled
    times = pa.array([from_us(entry.known_us) for entry in waiting], pa.timestamp("us", "UTC"))
    fresh = pa.table({"record_id": [entry.event.id for entry in waiting], "known_at": times})
    both = pa.concat_tables([fresh, *([settled.select(fresh.column_names)] if settled is not None else [])])
    first = both.group_by("record_id").aggregate([("known_at", "min")])
    return first.rename_columns({"known_at_min": "known_at"})


def _waiting(workspace: Workspace) -> list[Entry]:
    """Return the entries of the log that are not compacted yet."""
    if not workspace.identity.is_dir() or not has_log(workspace):  # events are accepted of known customers only
        return []
    log, found = open_log(workspace), []
    try:
        after = read_segments(workspace.streaming).through
        while entries := log.read(after=after, limit=_ENTRIES):
            found += entries
            after = entries[-1].seq
    finally:
        log.close()
    return found
