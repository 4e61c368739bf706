"""Customers' newest values for serving, each with its moment and whether it is fresh, stale or missing; no Feast."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Literal

from features.base.clock import as_utc, from_microseconds
from features.base.errors import BadConfiguration, StorageFailure, Unreachable
from features.config.loading import did_you_mean
from features.store.definitions import view_of
from features.store.online_backend import open_records
from features.store.online_records import Layout, OnlineRecords, Plain, Record
from features.store.served_features import Served, read_served
from features.store.store_settings import read_settings

Value = int | float | str | bool | datetime | None
Freshness = Literal["fresh", "stale", "missing"]
Unread = Literal["", "timeout", "unreachable"]

REFRESH_S = 60.0
"""How long the list of served features is cached."""

_STORE_SHARE = 0.8  # of the deadline; the rest is for building the answer
_LEAST_WAIT_S = 0.005


@dataclass(frozen=True)
class OnlineValue:
    """One feature of one customer: its value, as of when it holds, and how far it may be trusted."""

    value: Value
    event_time: datetime | None
    status: Freshness


@dataclass(frozen=True)
class OnlineRow:
    """One customer's values in the online store.

    Parameters
    ----------
    found : whether any of the views has a row of the customer
    values : by feature, in the requested order; None where the value or the row is missing
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


@dataclass(frozen=True)
class _CachedServed:
    """What a store serves, which store it was (`OnlineRecords.store_id`), and when it was read."""

    served: Served
    store: Hashable
    read_at: float


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
    _cached: _CachedServed | None = field(default=None, repr=False)
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
        not answer in time, every value is missing, with the reason in ``unread``

        Raises
        ------
        BadConfiguration : when a feature or service is not registered
        """
        names = [] if isinstance(features, str) else list(features)
        until = time.monotonic() + _STORE_SHARE * (deadline or self.deadline).total_seconds()
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
        ttls = {view: served.views[view].ttl for view in _by_view(tuple(names))}
        now = as_utc(as_of)
        return [
            self._row(customer, record, names, ttls=ttls, now=now)
            for customer, record in zip(customers, found, strict=True)
        ]

    def delete(self, customer: str) -> bool:
        """Remove exactly this customer; return whether there was a record."""
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
        values: dict[str, Value] = dict.fromkeys(names)
        status: dict[str, Freshness] = dict.fromkeys(names, "missing")
        times: dict[str, datetime | None] = {}
        for view, features in _by_view(tuple(names)).items():
            block = record.get(view)
            if block is None:
                times[view] = None
                continue
            times[view] = moment = from_microseconds(block.event_us)
            age, places = _freshness(moment, ttl=ttls[view], now=now), self._places[block.layout]
            for name in features:
                if name in places:  # or the block is older than the feature
                    place, kind = places[name]
                    values[name], status[name] = _value(block.values[place], kind), age
        return OnlineRow(customer, any(time is not None for time in times.values()), values, status, times)

    def _served(self, features: Sequence[str] | str, *, until: float) -> Served:
        """Return what the store serves: as cached, unless that is old, lacks a feature or is of a replaced store."""
        cached, store = self._cached, self.records.store_id()
        if cached is not None and cached.store == store and time.monotonic() - cached.read_at < REFRESH_S:
            served = cached.served
            if features in served.services if isinstance(features, str) else served.features.issuperset(features):
                return served
        found = read_served(self.records, deadline_s=_left(until))
        if found is None and cached is not None:
            raise StorageFailure(
                "store.online_empty",
                "the online store was replaced by one in which nothing is registered",
                hint="run `nextbest features`, which fills it",
            )
        if found is not None:
            self._cached = _CachedServed(found, store, time.monotonic())
        return found or Served()


def open_reader(root: Path) -> OnlineReader:
    """Open the online store of the workspace at `root` for reading; nothing is connected before the first read.

    Raises
    ------
    BadConfiguration : when ``features/feature_store.yaml`` is absent or holds what is not supported
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
    if served.features.issuperset(features):
        return list(features)
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


@lru_cache(maxsize=256)
def _by_view(features: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """Return the features of each view: the same lists are read again and again."""
    views: dict[str, list[str]] = {}
    for feature in features:
        views.setdefault(view_of(feature), []).append(feature)
    return {view: tuple(names) for view, names in views.items()}


def _left(until: float) -> float:
    # Never zero: a thread that waited for Python's lock still takes an answer that is there.
    return max(until - time.monotonic(), _LEAST_WAIT_S)


def _places(layout: Layout) -> Mapping[str, tuple[int, str]]:
    return {name: (place, kind) for place, (name, kind) in enumerate(layout)}


def _unread(customer: str, names: Sequence[str], reason: Unread) -> OnlineRow:
    return OnlineRow(
        customer_id=customer,
        found=False,
        values=dict.fromkeys(names),
        status=dict.fromkeys(names, "missing"),
        event_times=dict.fromkeys(_by_view(tuple(names))),
        unread=reason,
    )


def _freshness(moment: datetime, *, ttl: timedelta | None, now: datetime) -> Freshness:
    return "stale" if ttl is not None and now - moment > ttl else "fresh"


def _value(held: Plain, kind: str) -> Value:
    return datetime.fromtimestamp(int(held), UTC) if kind == "timestamp" and held is not None else held
