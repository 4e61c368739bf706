"""Events taken out of the log and of the settled rows for good: what counts no more, what is old, what is one person's.

The log loses them first, then the settled rows. What is to go is found among the settled rows, so a run that was killed
in between, run again, ends what it began. Whoever settles waits meanwhile; whoever appends does not.
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
from features.streaming.compaction import alone, compact, sweep
from features.streaming.event import StreamedEvent, from_us, parse_event, to_us
from features.streaming.event_log import EventLog, Key
from features.streaming.generation_stamp import features_stamp, record_removal

LOOKS = 600  # a worker that is at a batch, or loads everything anew, is looked for so many times
PAUSE_S = 0.1
_NAMED = re.compile(r'"(?:customer_id|record)"\s*:\s*("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class Pruned:
    """How many events went.

    Parameters
    ----------
    delivered : a feed holds the same
    old : accepted before the moment that was asked for
    aside : of those kept aside, told before that moment
    """

    delivered: int
    old: int
    aside: int


@dataclass(frozen=True)
class Erased:
    """How many events of one customer went: of the log, and of what is kept aside."""

    events: int
    aside: int


@locked("events prune")
def prune(workspace: Workspace, log: EventLog, *, before: datetime | None = None) -> Pruned:
    """Take out the events that the last build and the worker have seen, and that a feed delivered or that are old.

    No feature changes by what a feed delivered: its row counts instead. It is a new event if it is told again, and
    counts as little. What is old counts no more, unless a feed delivers it; told again, it is a duplicate.

    Parameters
    ----------
    before : what was accepted earlier is old; nothing is if left out

    Raises
    ------
    BadData : there are no customers
    StorageFailure, Unreachable : the log or a segment cannot be used; run again, it goes on
    """
    compact(workspace, log)
    seen = read_report(workspace).last_event if (workspace.snapshots / REPORT).is_file() else 0
    with alone(workspace.streaming):
        # After a build the worker takes again what that has not seen: so far back the log has to reach.
        later = log.read(after=min(log.place().seq, seen), limit=1)
        until = from_us(later[0].known_us - 1) if later else None
        delivered = keys_delivered(workspace, until=until)
        old, aside = delivered.slice(0, 0), []
        if before is not None:
            last = as_utc(before) - timedelta(microseconds=1)
            old = keys_known(workspace, until=last if until is None else min(last, until))
            aside = [one.key for one in log.aside() if one.at_us <= to_us(last)]
        listed = _keys(old)
        gone = log.take_out(listed, aside=aside, barred=listed)
        counted = Pruned(log.take_out(_keys(without(delivered, old))), gone, len(aside))
        _cut(workspace, pa.concat_tables([delivered, old]))
        if before is not None:
            record_removal(workspace)
    return counted


@locked("features forget")
def erase(workspace: Workspace, log: EventLog, customer: str) -> Erased:
    """Take out exactly one customer's events, by whatever id or record they name them; told again, they are duplicates.

    An id that leads to another customer today has no events of its own.

    Raises
    ------
    BadData : there are no customers
    StorageFailure, Unreachable : the log or a segment cannot be used; run again, it goes on
    """
    if not log.last() and not log.aside():  # nobody needs to be known for that
        return Erased(0, 0)
    compact(workspace, log)
    with alone(workspace.streaming):
        names = names_of(workspace, customer)
        keys = keys_about(workspace, names.ids)
        aside = [one for one in log.aside() if _names(one.payload, names)]
        told = [event for one in aside if isinstance(event := parse_event(one.payload), StreamedEvent)]
        listed = _keys(keys)
        barred = [*listed, *((event.feed, event.id) for event in told)]  # a worker may be about to take those in
        gone = log.take_out(listed, aside=[one.key for one in aside], barred=barred)
        _cut(workspace, keys)
        record_removal(workspace)
    return Erased(gone, len(aside))


@contextmanager
def worker_aware(workspace: Workspace, log: EventLog, *, pause: Callable[[float], None]) -> Iterator[None]:
    """Wait until no worker computes with rows from before the last cut; until the end none begins to.

    Parameters
    ----------
    pause : waits so many seconds

    Raises
    ------
    Unreachable : one still does after a minute
    """
    for _ in range(LOOKS):
        held = log.hold()
        if held or log.place().stamp == features_stamp(workspace):
            break
        pause(PAUSE_S)
    else:
        raise Unreachable(
            "streaming.worker_unaware",
            "a worker is at a batch and does not end it",
            where="state/streaming",
            hint="stop it, or wait for it, and run the command again",
        )
    try:
        yield
    finally:
        if held:
            log.release()


def _cut(workspace: Workspace, keys: pa.Table) -> None:
    """Let the settled rows be those without these keys, and remove every file that held them."""
    folder, settled = workspace.streaming / FOLDER, read_segments(workspace.streaming)
    files: list[Segment] = []
    for segment in settled.files if keys.num_rows else ():
        rows = read_parquet(folder / segment.file)
        kept = without(rows, keys)
        if kept.num_rows == rows.num_rows:
            files.append(segment)
        elif kept.num_rows:  # under a name of its own, as somebody may be reading the other
            name = f"{segment.first:012d}-{segment.last:012d}-{settled.stamp[:8]}-{kept.num_rows}.parquet"
            write_parquet(kept.combine_chunks(), folder / name)
            files.append(replace(segment, file=name))
    if keys.num_rows:
        settled = replace(settled, files=tuple(files))
        write_segments(workspace.streaming, settled)
    sweep(folder, keep=[settled])
    for left in folder.glob(".*.part"):  # of somebody who was killed
        left.unlink()


def _keys(keys: pa.Table) -> list[Key]:
    return list(zip(keys["feed"].to_pylist(), keys["record_id"].to_pylist(), strict=True))


def _names(told: str, names: Names) -> bool:
    """Say whether something names a customer, even if it is no event, or no JSON."""
    for quoted in _NAMED.findall(told):
        try:
            name = json.loads(quoted)
        except ValueError:
            continue
        if name in names.ids or name in names.records:
            return True
    return False
