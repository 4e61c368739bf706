"""Intake: what is received becomes an event of a known customer in the log, or a dead letter with its reason."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from features.base.clock import as_utc
from features.base.workspace import Workspace
from features.config.feeds_file import FeedsFile
from features.config.workspace_files import load_feeds
from features.identity.customer_directory import Directory, open_directory
from features.identity.customer_tables import numbered_feeds
from features.streaming.event import AcceptedEvent, StreamedEvent, parse_event, to_us
from features.streaming.event_log import DeadLetter, EventLog
from features.streaming.open_event_log import open_log
from features.streaming.state_digest import customers_digest

REASONS = {
    "malformed": "it is not an event as declared: a field is missing, unknown or of another type",
    "feed": "its feed is declared, but not as events with a key of their own",
    "future": "it happened later than it was received",
    "unknown_customer": "no customer of today has, or had, this id",
    "unknown_record": "no customer of today has this record",
}
"""Why something is a dead letter. All but the first two may be accepted later: in time, or after the next `unify`."""
PART = 1000


@dataclass(frozen=True)
class Receipt:
    """What became of the events that were received.

    Parameters
    ----------
    accepted : new in the log
    duplicates : in the log already
    dead_letters : by reason
    """

    accepted: int = 0
    duplicates: int = 0
    dead_letters: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Receipt) -> Receipt:
        letters = Counter(self.dead_letters) + Counter(other.dead_letters)
        accepted, duplicates = self.accepted + other.accepted, self.duplicates + other.duplicates
        return Receipt(accepted, duplicates, dict(sorted(letters.items())))


class Intake:
    """Accepts events for one workspace; safe in threads.

    Parameters
    ----------
    workspace : unified before
    log : where accepted events go
    """

    def __init__(self, workspace: Workspace, log: EventLog) -> None:
        self._workspace, self.log = workspace, log
        self._lock = threading.Lock()
        self._digest = ""
        self._directory = Directory({}, {})
        self._closed: frozenset[str] = frozenset()

    def accept(self, received: Iterable[str | bytes], *, at: datetime) -> Receipt:
        """Append events to the log, a thousand at a time, each part whole or not at all.

        Parameters
        ----------
        received : JSON objects, see `features.streaming.event.StreamedEvent`
        at : now

        Raises
        ------
        BadData : there are no customers yet
        """
        whole, part = Receipt(), []
        for one in received:
            part.append(one)
            if len(part) == PART:
                whole, part = whole + self._accept(part, at=at), []
        return whole + self._accept(part, at=at) if part else whole

    def replay(self, *, at: datetime, reasons: Sequence[str] = ()) -> Receipt:
        """Accept the dead letters that now are events of a known customer; the others stay.

        Parameters
        ----------
        reasons : only dead letters with one of these; all if none is named
        """
        letters, whole = self.log.dead_letters(reasons), Receipt()
        for start in range(0, len(letters), PART):
            part = letters[start : start + PART]
            found = self._classify([one.payload for one in part], at=at)
            taken = [
                (event, one.key) for event, one in zip(found, part, strict=True) if isinstance(event, AcceptedEvent)
            ]
            done = self.log.append(
                [event for event, _ in taken], at_us=to_us(as_utc(at)), replayed=[key for _, key in taken]
            )
            counted = Counter(one.reason for one in found if isinstance(one, DeadLetter))
            whole += Receipt(done.accepted, done.duplicates, counted)
        return whole

    def _accept(self, received: Sequence[str | bytes], *, at: datetime) -> Receipt:
        found = self._classify(received, at=at)
        letters = [one for one in found if isinstance(one, DeadLetter)]
        events = [one for one in found if isinstance(one, AcceptedEvent)]
        done = self.log.append(events, letters, at_us=to_us(as_utc(at)))
        counted = dict(sorted(Counter(one.reason for one in letters).items()))
        return Receipt(done.accepted, done.duplicates, counted)

    def _classify(self, received: Sequence[str | bytes], *, at: datetime) -> list[AcceptedEvent | DeadLetter]:
        """Return each as an event about a known customer, or with the reason why it is none."""
        directory, closed = self._today()
        at_us = to_us(as_utc(at))
        found: list[AcceptedEvent | DeadLetter] = []
        for one in received:
            event = parse_event(one)
            made = ("malformed", event) if isinstance(event, str) else _accepted(event, directory, closed, at_us=at_us)
            if isinstance(made, AcceptedEvent):
                found.append(made)
            else:
                text = one if isinstance(one, str) else one.decode("utf-8", "backslashreplace")
                found.append(DeadLetter(*made, payload=text, at_us=at_us))
        return found

    def _today(self) -> tuple[Directory, frozenset[str]]:
        """Return the customers' ids and records, and the closed feeds, read again after each `unify`."""
        with self._lock:
            digest = customers_digest(self._workspace)
            if digest != self._digest or not digest:
                self._directory = open_directory(self._workspace)
                self._closed = _closed(load_feeds(self._workspace)[0])
                self._digest = digest
            return self._directory, self._closed


def open_intake(workspace: Workspace) -> Intake:
    """Return the intake of a workspace.

    Raises
    ------
    BadData : there are no customers yet
    """
    intake = Intake(workspace, open_log(workspace))
    intake._today()
    return intake


def resolve(event: AcceptedEvent, directory: Directory) -> str | None:
    """Return the customer of today whom an event in the log is about; None where there is none any more."""
    if event.record is not None and event.record in directory.records:
        return directory.records[event.record]
    return directory.ids.get(event.customer_id)


def _accepted(
    event: StreamedEvent, directory: Directory, closed: frozenset[str], *, at_us: int
) -> AcceptedEvent | tuple[str, str]:
    event_us = to_us(event.event_time)
    if event.feed in closed:
        return "feed", ""
    if event_us > at_us:
        return "future", ""
    if event.record is not None:
        customer = directory.records.get(event.record)
    else:
        customer = directory.ids.get(event.customer_id or "")
    if customer is None:
        return ("unknown_customer" if event.record is None else "unknown_record"), ""
    fields = event.model_dump(exclude={"customer_id", "event_time"})
    return AcceptedEvent(customer_id=customer, event_us=event_us, **fields)


def _closed(feeds: FeedsFile) -> frozenset[str]:
    """Return the declared feeds for which no streamed event is accepted.

    An event is recognised in a later delivery only where both have the source's own key. A key that names the customer
    is an ordinal outside of `personal`, so it cannot be compared.
    """
    numbered = numbered_feeds(feeds)
    return frozenset(
        name for name, feed in feeds.feeds.items() if feed.kind != "events" or not feed.keys or name in numbered
    )
