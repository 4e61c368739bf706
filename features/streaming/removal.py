"""Events that are removed from the log and from the compacted rows: delivered ones, old ones, or one customer's.

The log loses them first, then the compacted rows. What is to be removed is found among the compacted rows, so a run
that was killed in between completes when it is run again. Compaction waits meanwhile; appends do not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pyarrow as pa

from features.base.clock import as_utc
from features.base.errors import Unreachable
from features.base.parquet import read_parquet, write_parquet
from features.base.workspace import Workspace
from features.base.workspace_lock import locked
from features.identity.customer_directory import Names, names_of
from features.identity.streamed_event_keys import keys_about, keys_delivered, keys_known, without
from features.identity.streamed_events import FOLDER, Segment, read_segments, write_segments
from features.snapshots.build_report import REPORT, read_report
from features.streaming.compaction import compact, remove_files, rows_lock
from features.streaming.event import StreamedEvent, from_us, parse_event, to_us
from features.streaming.event_log import EventLog, Key
from features.streaming.state_digest import features_digest, record_removal

ATTEMPTS = 600  # so many times a worker is checked that computes a batch or loads all rows anew
PAUSE_S = 0.1
_NAMED = re.compile(r'"(?:customer_id|record)"\s*:\s*("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class Pruned:
    """How many events and dead letters were removed.

    Parameters
    ----------
    delivered : events that a feed has delivered, too
    old : events that were accepted before the requested moment
    dead_letters : those received before that moment
    """

    delivered: int
    old: int
    dead_letters: int


@dataclass(frozen=True)
class Erased:
    """How many events and dead letters of one customer were removed."""

    events: int
    dead_letters: int


@locked("events prune")
def prune(workspace: Workspace, log: EventLog, *, before: datetime | None = None) -> Pruned:
    """Remove the events that the last build and the worker have seen, and that a feed delivered or that are old.

    A delivered event changes no feature: the feed's row counts instead. Received again, it is a new event, which does
    not count either. An old event counts no more, unless a feed delivers it; received again, it is a duplicate.

    Parameters
    ----------
    before : what was accepted earlier is old; nothing is, if left out

    Raises
    ------
    BadData : there are no customers
    StorageFailure, Unreachable : the log or a segment cannot be used; run again, it goes on
    """
    compact(workspace, log)
    seen = read_report(workspace).last_event if (workspace.snapshots / REPORT).is_file() else 0
    with rows_lock(workspace.streaming):
        # After a build the worker repeats the events that the build has not seen: the log has to reach back so far.
        later = log.read(after=min(log.position().seq, seen), limit=1)
        until = from_us(later[0].known_us - 1) if later else None
        delivered = keys_delivered(workspace, until=until)
        old, letters = delivered.slice(0, 0), []
        if before is not None:
            last = as_utc(before) - timedelta(microseconds=1)
            old = keys_known(workspace, until=last if until is None else min(last, until))
            letters = [one.key for one in log.dead_letters() if one.at_us <= to_us(last)]
        listed = _keys(old)
        gone = log.remove(listed, dead_letters=letters, tombstones=listed)
        counted = Pruned(log.remove(_keys(without(delivered, old))), gone, len(letters))
        _remove_rows(workspace, pa.concat_tables([delivered, old]))
        if before is not None:
            record_removal(workspace)
    return counted


@locked("features forget")
def erase(workspace: Workspace, log: EventLog, customer: str) -> Erased:
    """Remove exactly one customer's events, by whatever id or record they name them; later copies are duplicates.

    A past id that leads to another customer today has no events of its own.

    Raises
    ------
    BadData : there are no customers
    StorageFailure, Unreachable : the log or a segment cannot be used; run again, it goes on
    """
    if not log.last() and not log.dead_letters():  # there may be no customers yet
        return Erased(0, 0)
    compact(workspace, log)
    with rows_lock(workspace.streaming):
        names = names_of(workspace, customer)
        keys = keys_about(workspace, names.ids)
        letters = [one for one in log.dead_letters() if _names(one.payload, names)]
        events = [event for one in letters if isinstance(event := parse_event(one.payload), StreamedEvent)]
        listed = _keys(keys)
        tombstones = [*listed, *((event.feed, event.id) for event in events)]  # a worker may be about to accept those
        gone = log.remove(listed, dead_letters=[one.key for one in letters], tombstones=tombstones)
        _remove_rows(workspace, keys)
        record_removal(workspace)
    return Erased(gone, len(letters))


@contextmanager
def without_stale_worker(workspace: Workspace, log: EventLog, *, pause: Callable[[float], None]) -> Iterator[None]:
    """Wait until no worker computes with rows from before the last removal; none begins to until the end.

    Parameters
    ----------
    pause : waits so many seconds

    Raises
    ------
    Unreachable : a worker still does after a minute
    """
    for _ in range(ATTEMPTS):
        leased = log.acquire_lease()
        if leased or log.position().digest == features_digest(workspace):
            break
        pause(PAUSE_S)
    else:
        raise Unreachable(
            "streaming.worker_unaware",
            "a worker still computes with events from before the removal",
            where="state/streaming",
            hint="stop it, or wait for it, and run the command again",
        )
    try:
        yield
    finally:
        if leased:
            log.release_lease()


def _remove_rows(workspace: Workspace, keys: pa.Table) -> None:
    """Remove the compacted rows with these keys, and every file that held them."""
    folder, segments = workspace.streaming / FOLDER, read_segments(workspace.streaming)
    files: list[Segment] = []
    for segment in segments.files if keys.num_rows else ():
        rows = read_parquet(folder / segment.file)
        left = without(rows, keys)
        if left.num_rows == rows.num_rows:
            files.append(segment)
        elif left.num_rows:  # under a name of its own, as a reader may have the other file open
            name = f"{segment.first:012d}-{segment.last:012d}-{segments.stamp[:8]}-{left.num_rows}.parquet"
            write_parquet(left.combine_chunks(), folder / name)
            files.append(replace(segment, file=name))
    if keys.num_rows:
        segments = replace(segments, files=tuple(files))
        write_segments(workspace.streaming, segments)
    remove_files(folder, but=[segments])
    for part in folder.glob(".*.part"):  # of a process that was killed
        part.unlink()


def _keys(keys: pa.Table) -> list[Key]:
    return list(zip(keys["feed"].to_pylist(), keys["record_id"].to_pylist(), strict=True))


def _names(payload: str, names: Names) -> bool:
    """Return whether a payload names a customer, even if it is no event, or no JSON."""
    for quoted in _NAMED.findall(payload):
        try:
            name = json.loads(quoted)
        except ValueError:
            continue
        if name in names.ids or name in names.records:
            return True
    return False
