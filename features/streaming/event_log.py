"""The log of streamed events: what every backend stores and guarantees."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from features.streaming.event import AcceptedEvent

Key = tuple[str, str]
"""Feed and id of an event."""


@dataclass(frozen=True)
class Entry:
    """An accepted event in its place.

    Parameters
    ----------
    seq : its number; numbers begin at 1 and are never used twice
    known_us : when it was accepted, microseconds since 1970; each later than the one before
    """

    seq: int
    known_us: int
    event: AcceptedEvent


@dataclass(frozen=True)
class DeadLetter:
    """Something that was received and is not an event about a known customer (yet).

    Parameters
    ----------
    reason : a code of `features.streaming.intake.REASONS`
    detail : more about the reason, without any value of the event
    payload : what was received, unchanged
    at_us : when, microseconds since 1970
    """

    reason: str
    detail: str
    payload: str
    at_us: int

    @property
    def key(self) -> str:
        """The digest of the payload: an equal one is stored once."""
        return hashlib.sha256(self.payload.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Appended:
    """How many events were new, and how many were duplicates: in the log already, or removed for good."""

    accepted: int
    duplicates: int


@dataclass(frozen=True)
class WorkerPosition:
    """How far the worker is.

    Parameters
    ----------
    seq : all events up to this one are in the online store
    digest : of the customers and features that they were computed with, see `features_digest`
    """

    seq: int = 0
    digest: str = ""


class EventLog(Protocol):
    """Durable, safe in threads and between processes, append-only except for `remove`.

    Events survive a kill of any process once `append` has returned. Of two events with one feed and id the first stays.
    """

    def append(
        self,
        events: Sequence[AcceptedEvent],
        dead_letters: Sequence[DeadLetter] = (),
        *,
        at_us: int,
        replayed: Sequence[str] = (),
    ) -> Appended:
        """Add the events that are new, all or none of them.

        Parameters
        ----------
        dead_letters : stored in the same step
        at_us : the moment of acceptance; each event's `known_us` is later than that of the one before
        replayed : keys of dead letters that are deleted in the same step
        """

    def read(self, *, after: int, limit: int) -> list[Entry]:
        """Return the entries after a number, in order."""

    def remove(self, keys: Sequence[Key], *, dead_letters: Sequence[str] = (), tombstones: Sequence[Key] = ()) -> int:
        """Delete entries, so that nothing of them stays in the log's files; return how many were there.

        Parameters
        ----------
        keys : of the entries; such an event is new when it is received again, unless it has a tombstone
        dead_letters : keys of dead letters to delete
        tombstones : keys whose events are duplicates from now on; only a digest of each is stored
        """

    def last(self) -> int:
        """Return the number of the last entry that was ever appended; 0 where there was none."""

    def dead_letters(self, reasons: Sequence[str] = ()) -> list[DeadLetter]:
        """Return the dead letters with one of these reasons (with any, if none is named), oldest first."""

    def position(self) -> WorkerPosition:
        """Return how far the worker is."""

    def set_position(self, position: WorkerPosition) -> None:
        """Store how far the worker is.

        Raises
        ------
        LeaseLost : another worker has taken over
        """

    def acquire_lease(self) -> bool:
        """Become, or stay, the only worker; False while another process is."""

    def release_lease(self) -> None:
        """Let another process become the worker."""

    def close(self) -> None:
        """Close all connections."""


def tombstone_of(feed: str, identity: str) -> bytes:
    """Return the digest that a log stores of the key of an event that was removed for good.

    Examples
    --------
    >>> tombstone_of("shop", "o-1") == tombstone_of("shop", "o-1"), len(tombstone_of("shop", "o-1"))
    (True, 32)
    """
    return hashlib.sha256(f"{feed}\x1f{identity}".encode()).digest()


class LeaseLost(Exception):
    """Another worker has taken over; this one has to wait, and its last batch is computed again."""
