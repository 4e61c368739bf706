"""The log of streamed events: what every backend keeps, and what it promises."""

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
    seq : its number; the log counts from 1, and gives no number twice
    known_us : when it was accepted, microseconds since 1970; each later than the one before
    """

    seq: int
    known_us: int
    event: AcceptedEvent


@dataclass(frozen=True)
class DeadLetter:
    """What was told and is no event about a known customer (yet).

    Parameters
    ----------
    reason : a code of `features.streaming.intake.REASONS`
    detail : more of it, and no value of the event
    payload : what was told, as it was told
    at_us : when
    """

    reason: str
    detail: str
    payload: str
    at_us: int

    @property
    def key(self) -> str:
        """The digest of what was told: the same again is kept once."""
        return hashlib.sha256(self.payload.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Appended:
    """How many events were new, and how many were in the log already (or were, and are not to come back)."""

    accepted: int
    duplicates: int


@dataclass(frozen=True)
class WorkerPosition:
    """How far the worker is.

    Parameters
    ----------
    seq : all events up to this one are in the online store
    stamp : of the customers and features that they were computed with
    """

    seq: int = 0
    stamp: str = ""


class EventLog(Protocol):
    """Durable, safe in threads and between processes; it grows at its end, and loses only what is taken out.

    What `append` has returned for survives a kill of any process. Of two events with one feed and id the first stays.
    """

    def append(
        self,
        events: Sequence[AcceptedEvent],
        aside: Sequence[DeadLetter] = (),
        *,
        at_us: int,
        replayed: Sequence[str] = (),
    ) -> Appended:
        """Add what is new, all or nothing.

        Parameters
        ----------
        aside : what is kept aside in the same step
        at_us : the moment of acceptance; an event is never known earlier than, or when, the one before it was
        replayed : keys of what was kept aside and no longer is
        """

    def read(self, *, after: int, limit: int) -> list[Entry]:
        """Return the entries after a number, in order."""

    def take_out(self, keys: Sequence[Key], *, aside: Sequence[str] = (), barred: Sequence[Key] = ()) -> int:
        """Take entries out for good, so that nothing of them stays in the log's files; return how many were there.

        Parameters
        ----------
        keys : of the entries; told again, such an event is a new one, unless it is
        barred : a digest of each of these keys is kept, and no event of them is taken in any more: it is a duplicate
        aside : keys of what is kept aside and goes with them
        """

    def last(self) -> int:
        """Return the number of the last entry that there ever was; 0 of a log that never held any."""

    def aside(self, reasons: Sequence[str] = ()) -> list[DeadLetter]:
        """Return what is kept aside for one of these reasons (for any, if none is named), oldest first."""

    def place(self) -> WorkerPosition:
        """Return how far the worker is."""

    def move(self, place: WorkerPosition) -> None:
        """Remember how far the worker is.

        Raises
        ------
        LeaseLost : another worker has taken over
        """

    def hold(self) -> bool:
        """Become the one worker, or stay it; False while another one is."""

    def release(self) -> None:
        """No longer be the worker."""

    def close(self) -> None:
        """Close all connections."""


def digest_of_key(feed: str, identity: str) -> bytes:
    """Return what a log keeps of the key of an event that is barred.

    Examples
    --------
    >>> digest_of_key("shop", "o-1") == digest_of_key("shop", "o-1"), len(digest_of_key("shop", "o-1"))
    (True, 32)
    """
    return hashlib.sha256(f"{feed}\x1f{identity}".encode()).digest()


class LeaseLost(Exception):
    """Another worker has taken over: what this one computed since is not counted, and it has to wait again."""
