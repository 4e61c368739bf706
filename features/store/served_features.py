"""The online store's own list of its views' features, types and ttl, and of its feature services."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property

from features.store.definitions import view_of
from features.store.online_records import Layout, OnlineRecords

_FACT = "served"


@dataclass(frozen=True)
class ServedView:
    """A view's features, and how long a row may be used after its event time; None for ever."""

    layout: Layout
    ttl: timedelta | None


@dataclass(frozen=True)
class Served:
    """The views and feature services of an online store.

    Parameters
    ----------
    views : by name
    services : the features that each service reads, in its order
    """

    views: Mapping[str, ServedView] = field(default_factory=dict)
    services: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def features(self) -> frozenset[str]:
        """Every feature by its full name; built once, since every read checks its features against it."""
        return frozenset(name for view in self.views.values() for name, _ in view.layout if view_of(name) in self.views)


def read_served(records: OnlineRecords, *, deadline_s: float | None = None) -> Served | None:
    """Return what the store serves; None where nothing was registered yet.

    Raises
    ------
    TimeoutError : the store did not answer within the deadline that was given
    """
    text = records.fact(_FACT, deadline_s=deadline_s)
    if text is None:
        return None
    held = json.loads(text)
    return Served(
        views={
            name: ServedView(
                layout=tuple((feature, kind) for feature, kind in view["features"]),
                ttl=None if view["ttl_us"] is None else timedelta(microseconds=view["ttl_us"]),
            )
            for name, view in held["views"].items()
        },
        services={name: tuple(features) for name, features in held["services"].items()},
    )


def change_served(records: OnlineRecords, *, views: Mapping[str, ServedView], gone: Iterable[str]) -> None:
    """Store the features of these views, and remove others."""
    held = read_served(records) or Served()
    kept = {name: view for name, view in held.views.items() if name not in set(gone)}
    _put(records, replace(held, views={**kept, **views}), before=held)


def put_served(records: OnlineRecords, served: Served) -> None:
    """Store exactly this list."""
    _put(records, served, before=None)


def _put(records: OnlineRecords, served: Served, *, before: Served | None) -> None:
    if served == before:
        return
    views = {
        name: {
            "features": view.layout,
            "ttl_us": None if view.ttl is None else view.ttl // timedelta(microseconds=1),
        }
        for name, view in served.views.items()
    }
    records.put_fact(_FACT, json.dumps({"views": views, "services": served.services}))
