"""What a snapshot view and a feature service are; plain values, no Feast."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal, get_args

from features.base.errors import BadConfiguration

ColumnType = Literal["int", "float", "string", "bool", "timestamp"]

CUSTOMER = "customer_id"
EVENT_TIME = "event_timestamp"
CREATED_TIME = "created_timestamp"

_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")


@dataclass(frozen=True)
class FeatureColumn:
    """One feature of a view, under its full name, such as ``purchases__amount_sum_30d``; `tags` are free labels."""

    name: str
    type: ColumnType
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class SnapshotView:
    """A finished snapshot: one Parquet row for each customer and cutoff.

    Parameters
    ----------
    name : lower case, no double underscore; every column starts with ``name__``
    path : absolute; one Parquet file, or a folder of ``*.parquet`` files. Beside the features it
        holds ``customer_id`` (string), ``event_timestamp`` (the cutoff) and ``created_timestamp``
        (when the row could first be known, never null), both ``timestamp[us, UTC]``
    columns : the features
    ttl : how long a snapshot may be used after its cutoff; None for ever
    owner : the person or unit to ask
    tags : free labels, as pairs

    Raises
    ------
    BadConfiguration : when a name breaks the rule, stands twice, or the path is relative
    """

    name: str
    path: Path
    columns: tuple[FeatureColumn, ...]
    ttl: timedelta | None = None
    owner: str = ""
    tags: tuple[tuple[str, str], ...] = field(default=())

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise _bad(
                "store.view_name",
                f"{self.name!r} is no view name",
                self.name,
                "lower case letters, digits, single underscores",
            )
        if not self.path.is_absolute():
            raise _bad("store.view_path", "the snapshot's path is relative", self.name, "resolve it first")
        if not self.columns:
            raise _bad("store.view_columns", "the view has no feature", self.name, "declare at least one column")
        if self.ttl is not None and self.ttl <= timedelta(0):
            raise _bad("store.view_ttl", "the ttl is not positive", self.name, "leave it out for no limit")
        seen: set[str] = set()
        for column in self.columns:
            if view_of(column.name) != self.name or column.name == f"{self.name}__":
                raise _bad(
                    "store.column_name",
                    f"the column {column.name!r} does not start with '{self.name}__'",
                    self.name,
                    "use the view's name as the prefix",
                )
            if column.name in seen:
                raise _bad("store.column_twice", f"the column {column.name!r} stands twice", self.name, "keep one")
            if column.type not in get_args(ColumnType):
                raise _bad(
                    "store.column_type",
                    f"the column {column.name!r} has the unknown type {column.type!r}",
                    self.name,
                    f"one of {', '.join(get_args(ColumnType))}",
                )
            seen.add(column.name)


@dataclass(frozen=True)
class ServiceDefinition:
    """The features that one model reads, in its order."""

    name: str
    features: tuple[str, ...]


def view_of(feature: str) -> str:
    """Return the view that a full feature name belongs to: the part before the first ``__``.

    Examples
    --------
    >>> view_of("purchases__amount_sum_30d")
    'purchases'
    """
    return feature.partition("__")[0]


def check_services(views: Sequence[SnapshotView], services: Sequence[ServiceDefinition]) -> None:
    """Refuse views or services that stand twice, and services that name an unknown feature.

    Raises
    ------
    BadConfiguration : naming the view, the service and the feature
    """
    for kind, names in (("view", [view.name for view in views]), ("service", [service.name for service in services])):
        for name in names:
            if names.count(name) > 1:
                raise _bad(f"store.{kind}_twice", f"the {kind} {name!r} stands twice", name, "keep one")
    known = {column.name for view in views for column in view.columns}
    for service in services:
        if not service.features:
            raise _bad("store.service_empty", "the service has no feature", service.name, "name at least one")
        for feature in service.features:
            if feature not in known:
                raise _bad(
                    "store.unknown_feature",
                    f"no view holds the feature {feature!r}",
                    service.name,
                    "declare it in features/views.yaml",
                )


def _bad(code: str, message: str, where: str, hint: str) -> BadConfiguration:
    return BadConfiguration(code, message, where=where, hint=hint)
