"""The way in: what is told becomes an event of a known customer in the log, or is kept aside with its reason."""

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
from features.streaming.generation_stamp import customers_stamp
from features.streaming.open_event_log import open_log

REASONS = {
    "malformed": "it is not an event as declared: a field is missing, unknown or cannot be what it says",
    "feed": "its feed is declared as something else than events with a key of their own",
    "future": "it happened later than it was told",
    "unknown_customer": "no customer of today has, or had, this id",
    "unknown_record": "no customer of today has this record",
}
"""Why something is kept aside. All but the first two may mend themselves: with time, or with the next `unify`."""
PART = 1000


@dataclass(frozen=True)
class Receipt:
    """What became of what was told.

    Parameters
    ----------
    accepted : new in the log
    duplicates : in the log already
    aside : kept aside, by reason
    """

    accepted: int = 0
    duplicates: int = 0
    aside: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Receipt) -> Receipt:
        aside = Counter(self.aside) + Counter(other.aside)
        return Receipt(self.accepted + other.accepted, self.duplicates + other.duplicates, dict(sorted(aside.items())))


class Intake:
    """Takes events in, for one workspace; safe in threads.

    Parameters
    ----------
    workspace : unified before
    log : where accepted events go
    """

    def __init__(self, workspace: Workspace, log: EventLog) -> None:
        self._workspace, self.log = workspace, log
        self._lock = threading.Lock()
        self._stamp = ""
        self._directory = Directory({}, {})
        self._closed: frozenset[str] = frozenset()

    def accept(self, told: Iterable[str | bytes], *, at: datetime) -> Receipt:
        """Put events into the log, a thousand at a time, each part whole or not at all.

        Parameters
        ----------
        told : JSON objects, see `features.streaming.event.StreamedEvent`
        at : now

        Raises
        ------
        BadData : there are no customers yet
        """
        whole, part = Receipt(), []
        for one in told:
            part.append(one)
            if len(part) == PART:
                whole, part = whole + self._accept(part, at=at), []
        return whole + self._accept(part, at=at) if part else whole

    def replay(self, *, at: datetime, reasons: Sequence[str] = ()) -> Receipt:
        """Take in what was kept aside and now is an event of a known customer; the rest stays.

        Parameters
        ----------
        reasons : only what is kept aside for one of these; all if none is named
        """
        held, whole = self.log.aside(reasons), Receipt()
        for start in range(0, len(held), PART):
            part = held[start : start + PART]
            found = self._sorted([one.payload for one in part], at=at)
            taken = [
                (event, one.key) for event, one in zip(found, part, strict=True) if isinstance(event, AcceptedEvent)
            ]
            done = self.log.append(
                [event for event, _ in taken], at_us=to_us(as_utc(at)), replayed=[key for _, key in taken]
            )
            aside = Counter(one.reason for one in found if isinstance(one, DeadLetter))
            whole += Receipt(done.accepted, done.duplicates, aside)
        return whole

    def _accept(self, told: Sequence[str | bytes], *, at: datetime) -> Receipt:
        found = self._sorted(told, at=at)
        aside = [one for one in found if isinstance(one, DeadLetter)]
        events = [one for one in found if isinstance(one, AcceptedEvent)]
        done = self.log.append(events, aside, at_us=to_us(as_utc(at)))
        counted = dict(sorted(Counter(one.reason for one in aside).items()))
        return Receipt(done.accepted, done.duplicates, counted)

    def _sorted(self, told: Sequence[str | bytes], *, at: datetime) -> list[AcceptedEvent | DeadLetter]:
        """Return each as an event about a known customer, or with the reason why it is none."""
        directory, closed = self._today()
        at_us = to_us(as_utc(at))
        found: list[AcceptedEvent | DeadLetter] = []
        for one in told:
            event = parse_event(one)
            sorted_ = ("malformed", event) if isinstance(event, str) else _placed(event, directory, closed, at_us=at_us)
            if isinstance(sorted_, AcceptedEvent):
                found.append(sorted_)
            else:
                text = one if isinstance(one, str) else one.decode("utf-8", "backslashreplace")
                found.append(DeadLetter(*sorted_, payload=text, at_us=at_us))
        return found

    def _today(self) -> tuple[Directory, frozenset[str]]:
        """Return who is who, read again after each `unify`."""
        with self._lock:
            stamp = customers_stamp(self._workspace)
            if stamp != self._stamp or not stamp:
                self._directory = open_directory(self._workspace)
                self._closed = _closed(load_feeds(self._workspace)[0])
                self._stamp = stamp
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


def _placed(
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
    told = event.model_dump(exclude={"customer_id", "event_time"})
    return AcceptedEvent(customer_id=customer, event_us=event_us, **told)


def _closed(feeds: FeedsFile) -> frozenset[str]:
    """Return the declared feeds whose rows an streamed event could not be told to be one of.

    Only where both carry the source's own key is an event that is delivered later, as a row, seen to be the same. A key
    that names the customer is kept as an ordinal outside of `personal`, so it does not serve.
    """
    numbered = numbered_feeds(feeds)
    return frozenset(
        name for name, feed in feeds.feeds.items() if feed.kind != "events" or not feed.keys or name in numbered
    )
