"""``features/views.yaml``, typed: declared features."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from features.base.clock import as_utc
from features.base.duration import Duration, PositiveDuration
from features.config.loading import Settings

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

#: The view of consents, which every workspace with purposes has; no declared view has this name.
CONSENT_VIEW = "consent"
_NAME = re.compile(r"^[a-z][a-z0-9_]*$")
_LONGEST_NAME = 60  # of a view: it is the name of a folder, and the beginning of its features' names


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _sketched(value: object) -> list[str]:
    listed = _listed(value)
    return [str(one) for one in listed] if isinstance(listed, list) else []


def _refuse_twice(value: list[Any]) -> list[Any]:
    twice = [one for one, times in Counter(value).items() if times > 1]
    if twice:
        raise ValueError(f"{twice[0]} stands there twice")
    return value


Aggregates = Annotated[list[Aggregate], BeforeValidator(_listed), AfterValidator(_refuse_twice)]
Names = Annotated[list[str], AfterValidator(_refuse_twice)]


class Text(Settings):
    """What is made of a view's texts: ``COLUMN.characters`` and ``COLUMN.words`` to aggregate, and counts of words."""

    column: str = Field(description="the column that holds the texts")
    keywords: int = Field(default=0, ge=0, le=200, description="how many words get a column: texts that hold them")
    topics: int = Field(
        default=0, ge=0, le=50, description="how many groups of words get a column: how often they stand"
    )
    customers: int = Field(
        default=5, ge=5, description="by how many customers, at least, a word must be used; so that nobody's own stands"
    )

    @property
    def is_fitted(self) -> bool:
        """Whether its columns depend on the texts of training time."""
        return bool(self.keywords or self.topics)


class View(Settings):
    """Features that are computed together from one canonical table."""

    source: Literal["events", "interactions", "customers", "holdings", "context"] = Field(
        alias="from", description="the canonical table"
    )
    where: str | None = Field(
        default=None, min_length=1, description="rows to use, as an expression over the table's columns"
    )
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
    windows: list[PositiveDuration] = Field(
        default_factory=list, description="(as_of - window, as_of]; events and interactions"
    )
    by: str | None = Field(
        default=None, description="a column, or items.group: one feature per category, named ..__<category>"
    )
    categories: Names = Field(default_factory=list, description="the categories of `by`; all known ones if left out")
    top: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="only so many categories of `by` (holdings: items), the most frequent of training time; see `fit`",
    )
    text: Text | None = Field(default=None, description="events and interactions: a column of texts to be counted")
    python: Annotated[list[str], BeforeValidator(_listed)] = Field(
        default_factory=list, description="functions of the file `python`, in place of aggregates"
    )
    fields: Names = Field(default_factory=list, description="attributes to take; customers and context only")
    place: str | None = Field(
        default=None,
        description="context only: the customers field or attribute that equals the context's "
        "place; left out, the facts are of the day and the same for everybody",
    )
    items: Names = Field(default_factory=list, description="holdings only: items to flag; all known ones if left out")
    ends: str | None = Field(
        default=None, description="holdings only: the column that says when a contract ends, known with its row"
    )
    purpose: str | None = Field(
        default=None, description="what the view is used for; customers without a basis for it are left out"
    )
    ttl: PositiveDuration | None = Field(default=None, description="age at which the served values count as stale")
    description: str = Field(default="", description="what the view is about, for the feature catalogue")
    owner: str = Field(default="", description="the person or unit that answers for the view")

    @model_validator(mode="after")
    def _consistent(self) -> View:
        windowed = self.source in ("events", "interactions")
        if windowed and not (self.aggregates or self.python or (self.text and self.text.is_fitted)):
            raise ValueError(f"a view from {self.source} needs aggregates")
        if not windowed and (self.aggregates or self.by or self.text):
            raise ValueError(f"aggregates, by and text belong to events and interactions, not to {self.source}")
        if self.windows and not (windowed or self.python):
            raise ValueError(f"windows belong to events and interactions, not to {self.source}")
        if self.python and (self.source in ("customers", "context") or self.aggregates or self.by or self.text):
            raise ValueError("python stands alone: a view from events, interactions or holdings without aggregates")
        if self.python and (self.items or self.top or self.ends or self.of != "customer" or self.before):
            raise ValueError("items, top, ends, of and before do not belong to a view in python")
        if (self.source in ("customers", "context")) != bool(self.fields):
            raise ValueError("fields belong to views from customers or context, which need them")
        if self.source != "context" and self.place is not None:
            raise ValueError("place belongs to views from context")
        if self.source == "customers" and self.where is not None:
            raise ValueError("where does not belong to views from customers: leave rows out in features/feeds.yaml")
        if not windowed and (self.of != "customer" or self.before):
            raise ValueError(f"of and before belong to events and interactions, not to {self.source}")
        if (self.items or self.ends) and self.source != "holdings":
            raise ValueError("items and ends belong to views from holdings")
        if len(set(self.windows)) < len(self.windows):
            raise ValueError("two windows are the same")
        if self.by in ("customer_id", "record_id"):
            raise ValueError(f"by: {self.by} would make a name of each customer or row; name a column that many share")
        if self.by == "text":
            raise ValueError(
                "by: text would make names of what people wrote; count words: text: {column: text, keywords: 20}"
            )
        if self.categories and self.by is None:
            raise ValueError("categories needs by")
        if self.top and self.by is None and self.source != "holdings":
            raise ValueError("top needs by")
        if self.top and (self.categories or self.items):
            raise ValueError("top chooses what categories or items would name: leave one out")
        if self.text and self.text.is_fitted and self.by:
            raise ValueError(
                "keywords and topics are categories themselves: leave by out, or make it a view of its own"
            )
        if self.text and self.text.is_fitted and not self.windows:
            raise ValueError("windows are missing")
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

    @property
    def is_fitted(self) -> bool:
        """Whether its columns are chosen once, on training time, and kept."""
        return self.top is not None or (self.text is not None and self.text.is_fitted)

    @classmethod
    def sketched(cls, document: Any) -> View | None:
        """Return a faulty view with what names columns in it, so that those can be checked all the same."""
        if not isinstance(document, Mapping):
            return None

        def of(key: str, kind: type[Any]) -> Any:
            return document.get(key) if isinstance(document.get(key), kind) else None

        text = (of("text", Mapping) or {}).get("column")
        return cls.model_construct(
            source=of("from", str),
            where=of("where", str),
            aggregates={
                str(column): [one for one in _sketched(asked) if one in get_args(Aggregate)]
                for column, asked in (of("aggregates", Mapping) or {}).items()
            },
            text=Text.model_construct(column=text) if isinstance(text, str) else None,
            python=_sketched(document.get("python")),
            purpose=of("purpose", str),
            by=of("by", str),
            fields=_sketched(document.get("fields")),
            place=of("place", str),
            ends=of("ends", str),
        )


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

    every: PositiveDuration = Field(default=timedelta(days=7), description="distance of two snapshots")
    since: PositiveDuration | None = Field(default=None, description="how far back; to the first event if left out")
    engine: Literal["duckdb", "spark"] = Field(
        default="duckdb", description="which engine aggregates; both give the same features"
    )
    spark: SparkSettings = Field(default_factory=SparkSettings, description="where Spark runs; with engine: spark")


class Fit(Settings):
    """Up to when rows may have a say in which columns there are (`top`, keywords, topics)."""

    until: datetime | None = Field(
        default=None, description="the end of training time; the middle of the snapshots' time if left out"
    )

    @field_validator("until", mode="before")
    @classmethod
    def _moment(cls, value: object) -> object:
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        return value

    @field_validator("until")
    @classmethod
    def _utc(cls, value: datetime | None) -> datetime | None:
        return None if value is None else as_utc(value)


class ViewsFile(Settings):
    """The whole of ``features/views.yaml``."""

    views: dict[str, View] = Field(min_length=1, description="name: features that are computed together")
    python: str | None = Field(
        default=None, description="a Python file of the workspace that declares features, such as features/mine.py"
    )
    fit: Fit = Field(default_factory=Fit, description="up to when rows decide which columns `top` and `text` give")
    purpose: str | None = Field(
        default=None,
        description="what views are used for that declare none; any declared purpose will do if left out",
    )
    snapshots: Snapshots = Field(default_factory=Snapshots, description="for which moments, and with which engine")

    @field_validator("views")
    @classmethod
    def _named(cls, value: dict[str, View]) -> dict[str, View]:
        for name in value:
            if _NAME.match(name) is None or "__" in name or len(name) > _LONGEST_NAME:
                raise ValueError(
                    f"{name[:_LONGEST_NAME]!r} is not a view's name: "
                    f"at most {_LONGEST_NAME} lower-case letters, digits and single _"
                )
            if name in ("consent", "score"):
                raise ValueError(f"{name!r} is a name of ours; choose another")
        return value

    @model_validator(mode="after")
    def _with_python(self) -> ViewsFile:
        if self.python is None and any(view.python for view in self.views.values()):
            raise ValueError("a view names functions: say in which file they stand, `python: features/mine.py`")
        if self.python is not None and (".." in self.python.split("/") or self.python.startswith("/")):
            raise ValueError("python is a file of the workspace: a path below it")
        return self

    def purpose_of(self, view: str) -> str | None:
        """Return what a view is used for; None where any declared purpose will do.

        What customers allowed is kept of everybody for whom there is any basis: a decision for another purpose must
        know of an objection, too.
        """
        if view == CONSENT_VIEW:
            return None
        declared = self.views.get(view)
        return (declared.purpose if declared is not None else None) or self.purpose

    def by_purpose(self, names: Iterable[str]) -> dict[str | None, list[str]]:
        """Return views by what they are used for: purposes in order, the views of each in the order given."""
        found: dict[str, list[str]] = {}
        for name in names:
            found.setdefault(self.purpose_of(name) or "", []).append(name)
        return {purpose or None: found[purpose] for purpose in sorted(found)}
