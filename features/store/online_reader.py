"""Customers' newest values for whoever serves them: each with its moment and fresh, stale or missing; no Feast."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from features.base.clock import as_utc
from features.base.errors import BadConfiguration, StorageFailure, Unreachable
from features.config.loading import did_you_mean
from features.store.definitions import view_of
from features.store.online_backend import open_records
from features.store.online_records import Block, Layout, OnlineRecords, Plain, Record
from features.store.payload import from_microseconds
from features.store.served_features import Served, read_served
from features.store.store_settings import read_settings

Value = int | float | str | bool | datetime | None
Freshness = Literal["fresh", "stale", "missing"]
Unread = Literal["", "timeout", "unreachable"]

REFRESH_S = 60.0
"""How long what the store says of itself is taken for true before it is asked again."""

_FOR_THE_STORE = 0.8  # of the deadline: the rest is for giving the answer
_LEAST_WAIT_S = 0.005
_NOTHING: Mapping[str, tuple[int, str]] = {}


@dataclass(frozen=True)
class OnlineValue:
    """One feature of one customer: its value, as of when it holds, and how far it may be trusted."""

    value: Value
    event_time: datetime | None
    status: Freshness


@dataclass(frozen=True)
class OnlineRow:
    """What the online store knows of one customer.

    Parameters
    ----------
    found : whether any asked view holds the customer
    values : by feature, in the asked order; None where the value or the row is missing
    status : by feature: ``missing`` when the view holds no such value of the customer, ``stale`` when it is older than
        the view's ttl, else ``fresh`` (a fresh value may be None: known to be absent)
    event_times : by view, the moment as of which its values hold, or None
    unread : why nothing could be read, so that everything is missing: ``timeout`` or ``unreachable``; else empty
    """

    customer_id: str
    found: bool
    values: Mapping[str, Value]
    status: Mapping[str, Freshness]
    event_times: Mapping[str, datetime | None]
    unread: Unread = ""

    def __getitem__(self, feature: str) -> OnlineValue:
        return OnlineValue(self.values[feature], self.event_times[view_of(feature)], self.status[feature])


@dataclass
class OnlineReader:
    """Reads whole feature services, or some features, in one round trip and always within the deadline.

    Safe in threads, and after a fork.

    Parameters
    ----------
    records : where the values lie
    deadline : the longest that a read may take; past it everything is missing
    """

    records: OnlineRecords
    deadline: timedelta
    _held: tuple[float, Served] | None = field(default=None, repr=False)
    _places: dict[str, Mapping[str, tuple[int, str]]] = field(default_factory=dict, repr=False)

    def read(
        self,
        customers: Sequence[str],
        features: Sequence[str] | str,
        *,
        as_of: datetime,
        deadline: timedelta | None = None,
    ) -> list[OnlineRow]:
        """Return the newest values of a few customers.

        Parameters
        ----------
        features : full names in the wanted order, or the name of a feature service
        as_of : the moment against which a view's ttl is held
        deadline : the reader's own when left out

        Returns
        -------
        one row for each customer given, in order; ``found`` is false for one that is not known. When the store does
        not answer in time, every value is missing and ``unread`` says why

        Raises
        ------
        BadConfiguration : when a feature or service is not registered
        """
        names = [] if isinstance(features, str) else list(features)
        until = time.monotonic() + _FOR_THE_STORE * (deadline or self.deadline).total_seconds()
        try:
            served = self._served(features, until=until)
            names = _asked(served, features)
            if not customers or not names:
                return [OnlineRow(customer, False, {}, {}, {}) for customer in customers]
            found = self.records.read(customers, deadline_s=_left(until))
            for identity in {block.layout for record in found for block in record.values()} - self._places.keys():
                self._places[identity] = _places(self.records.layout(identity, deadline_s=_left(until)))
        except TimeoutError:
            return [_unread(customer, names, "timeout") for customer in customers]
        except (Unreachable, StorageFailure):
            return [_unread(customer, names, "unreachable") for customer in customers]
        ttls = {view: served.views[view].ttl for view in dict.fromkeys(map(view_of, names))}
        now = as_utc(as_of)
        return [
            self._row(customer, record, names, ttls=ttls, now=now)
            for customer, record in zip(customers, found, strict=True)
        ]

    def delete(self, customer: str) -> bool:
        """Forget exactly this customer; say whether there was a record."""
        return self.records.delete(customer)

    def close(self) -> None:
        """Close this thread's connection; the next read opens another."""
        self.records.close()

    def _row(
        self,
        customer: str,
        record: Record,
        names: Sequence[str],
        *,
        ttls: Mapping[str, timedelta | None],
        now: datetime,
    ) -> OnlineRow:
        blocks: dict[str, tuple[Block | None, Mapping[str, tuple[int, str]]]] = {}
        times: dict[str, datetime | None] = {}
        ages: dict[str, Freshness] = {}
        for view, ttl in ttls.items():
            block = record.get(view)
            blocks[view] = block, _NOTHING if block is None else self._places[block.layout]
            times[view] = None if block is None else from_microseconds(block.event_us)
            ages[view] = _freshness(times[view], ttl=ttl, now=now)
        values: dict[str, Value] = {}
        status: dict[str, Freshness] = {}
        for name in names:
            view = view_of(name)
            block, places = blocks[view]
            place = places.get(name)
            if block is None or place is None:  # a block of before the view had this feature
                values[name], status[name] = None, "missing"
            else:
                values[name], status[name] = _value(block.values[place[0]], place[1]), ages[view]
        return OnlineRow(customer, any(time is not None for time in times.values()), values, status, times)

    def _served(self, features: Sequence[str] | str, *, until: float) -> Served:
        """Return what the store holds: as it was last told, unless that is old or lacks what is asked."""
        if self._held is not None and time.monotonic() - self._held[0] < REFRESH_S:
            served = self._held[1]
            if features in served.services if isinstance(features, str) else served.features.issuperset(features):
                return served
        served = read_served(self.records, deadline_s=_left(until))
        self._held = time.monotonic(), served
        return served


def open_reader(root: Path) -> OnlineReader:
    """Open the online store of the workspace at `root` for reading; nothing is reached before the first read.

    Raises
    ------
    BadConfiguration : when ``features/feature_store.yaml`` is absent or says what is not supported
    """
    return OnlineReader(open_records(root), deadline=read_settings(root).online_store.deadline)


def _asked(served: Served, features: Sequence[str] | str) -> list[str]:
    if isinstance(features, str):
        if features not in served.services:
            raise BadConfiguration(
                "store.unknown_service",
                f"the feature service {features!r} is not registered",
                hint=did_you_mean(features, sorted(served.services)),
            )
        return list(served.services[features])
    for feature in features:
        view = view_of(feature)
        if view not in served.views:
            raise BadConfiguration(
                "store.unknown_view",
                f"the view {view!r} is not registered",
                hint=did_you_mean(view, sorted(served.views)) if served.views else "run `nextbest features` first",
            )
        if feature not in served.features:
            raise BadConfiguration(
                "store.unknown_feature",
                f"the feature {feature!r} is not registered",
                where=view,
                hint=did_you_mean(feature, sorted(served.features)),
            )
    return list(features)


def _left(until: float) -> float:
    # Never nothing: a thread that waited for its turn in Python still takes an answer that is there.
    return max(until - time.monotonic(), _LEAST_WAIT_S)


def _places(layout: Layout) -> Mapping[str, tuple[int, str]]:
    return {name: (place, kind) for place, (name, kind) in enumerate(layout)}


def _unread(customer: str, names: Sequence[str], reason: Unread) -> OnlineRow:
    return OnlineRow(
        customer_id=customer,
        found=False,
        values=dict.fromkeys(names),
        status=dict.fromkeys(names, "missing"),
        event_times=dict.fromkeys(map(view_of, names)),
        unread=reason,
    )


def _freshness(moment: datetime | None, *, ttl: timedelta | None, now: datetime) -> Freshness:
    if moment is None:
        return "missing"
    return "stale" if ttl is not None and now - moment > ttl else "fresh"


def _value(held: Plain, kind: str) -> Value:
    return datetime.fromtimestamp(int(held), UTC) if kind == "timestamp" and held is not None else held
