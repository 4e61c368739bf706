"""``features/views.yaml``, typed: declared features."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from features.base.config import Settings
from features.base.duration import Duration

Aggregate = Literal[
    "count", "sum", "mean", "min", "max", "std", "first", "last", "nunique", "trend", "share", "recency", "tenure"
]
#: Aggregates that look at all history, whatever the windows.
UNWINDOWED: tuple[Aggregate, ...] = ("recency", "tenure")
#: Aggregates of rows rather than of a column's values; declared under ``"*"``.
OF_ROWS: tuple[Aggregate, ...] = ("count", "recency", "tenure")
#: Aggregates of rows under ``"*"``, and of the sums of a column under that column.
OF_EITHER: tuple[Aggregate, ...] = ("trend", "share")
#: Aggregates of numbers; the others take text as well.
OF_NUMBERS: tuple[Aggregate, ...] = ("sum", "mean", "min", "max", "std", "trend", "share")

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Aggregates = Annotated[list[Aggregate], BeforeValidator(_listed)]


class View(Settings):
    """Features that are computed together from one canonical table."""

    source: Literal["events", "interactions", "customers", "holdings", "context"] = Field(
        alias="from", description="the canonical table"
    )
    where: str | None = Field(default=None, description="rows to use, as an expression over the table's columns")
    aggregates: dict[str, Aggregates] = Field(
        default_factory=dict, description='column (or "*" for rows): aggregates; events and interactions only'
    )
    of: Literal["customer", "company"] = Field(
        default="customer",
        description="whose rows: the customer's own, or all of the company's (then everybody gets the same)",
    )
    before: Duration = Field(
        default=timedelta(0), description="how long before as_of the windows end: 305d and 60d is last year's season"
    )
    windows: list[Duration] = Field(
        default_factory=list, description="(as_of - window, as_of]; events and interactions"
    )
    by: str | None = Field(
        default=None, description="a column, or items.group: one feature per category, named ..__<category>"
    )
    categories: list[str] = Field(
        default_factory=list, description="the categories of `by`; all known ones if left out"
    )
    fields: list[str] = Field(default_factory=list, description="attributes to take; customers and context only")
    place: str | None = Field(
        default=None, description="context only: the customers field or attribute that equals the context's place"
    )
    items: list[str] = Field(
        default_factory=list, description="holdings only: items to flag; all known ones if left out"
    )
    purpose: str | None = Field(
        default=None, description="what the view is used for; customers without a basis for it are left out"
    )
    ttl: Duration | None = Field(default=None, description="age at which the served values count as stale")
    description: str = ""
    owner: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> View:
        windowed = self.source in ("events", "interactions")
        if windowed and not self.aggregates:
            raise ValueError(f"a view from {self.source} needs aggregates")
        if not windowed and (self.aggregates or self.windows or self.by):
            raise ValueError(f"aggregates, windows and by belong to events and interactions, not to {self.source}")
        if (self.source in ("customers", "context")) != bool(self.fields):
            raise ValueError("fields belong to views from customers or context, which need them")
        if (self.source == "context") != (self.place is not None):
            raise ValueError("place belongs to views from context, which need it")
        if not windowed and (self.of != "customer" or self.before):
            raise ValueError(f"of and before belong to events and interactions, not to {self.source}")
        if self.items and self.source != "holdings":
            raise ValueError("items belongs to views from holdings")
        if self.categories and self.by is None:
            raise ValueError("categories needs by")
        for column, aggregates in self.aggregates.items():
            wrong = [a for a in aggregates if a not in OF_EITHER and (a in OF_ROWS) != (column == "*")]
            if wrong:
                raise ValueError(
                    f"aggregates: {wrong[0]} belongs under {'a column' if column == '*' else chr(34) + '*' + chr(34)}"
                )
            if not self.windows and any(a not in UNWINDOWED for a in aggregates):
                raise ValueError("windows are missing")
            if "share" in aggregates and self.by is None:
                raise ValueError("share needs by: it is a category's part of the whole")
        return self


class SparkSettings(Settings):
    """Where Spark runs."""

    master: str = Field(
        default="local[*]",
        description="this machine, or a cluster such as spark://host:7077, whose workers see the workspace's state/",
    )
    memory: str = Field(default="2g", pattern=r"^[1-9][0-9]*[mg]$", description="of the driver and of each worker")

    @property
    def is_local(self) -> bool:
        return self.master.startswith("local")


class Snapshots(Settings):
    """For which moments features are computed, besides the present one, and with which engine."""

    every: Duration = Field(default=timedelta(days=7), description="distance of two snapshots")
    since: Duration | None = Field(default=None, description="how far back; to the first event if left out")
    engine: Literal["duckdb", "spark"] = Field(
        default="duckdb", description="which engine aggregates; both give the same features"
    )
    spark: SparkSettings = Field(default_factory=SparkSettings, description="where Spark runs; with engine: spark")


class ViewsFile(Settings):
    """The whole of ``features/views.yaml``."""

    views: dict[str, View] = Field(min_length=1)
    purpose: str | None = Field(
        default=None,
        description="what views are used for that declare none; any declared purpose will do if left out",
    )
    snapshots: Snapshots = Field(default_factory=Snapshots)

    @field_validator("views")
    @classmethod
    def _named(cls, value: dict[str, View]) -> dict[str, View]:
        for name in value:
            if _NAME.match(name) is None or "__" in name:
                raise ValueError(f"{name!r} is not a view's name: lower-case letters, digits and single _ only")
            if name in ("consent", "score"):
                raise ValueError(f"{name!r} is a name of ours; choose another")
        return value

    def purpose_of(self, view: str) -> str | None:
        """Return what a view is used for; None where any declared purpose will do."""
        declared = self.views.get(view)
        return (declared.purpose if declared is not None else None) or self.purpose
