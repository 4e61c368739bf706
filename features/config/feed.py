"""One feed: a source, and how its columns become a canonical table."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from features.base.duration import Duration, PositiveDuration
from features.config.canonical import CANONICAL, Kind
from features.config.company import TimeZone
from features.config.loading import Faults, Location, Settings, did_you_mean

#: The key of a feed in which no column tells the rows apart: the row's ordinal.
ROW = "row"
LINK = re.compile(r"^\s*(\w+)\.(.+?)\s*=\s*(\w+)\.(.+?)\s*$")


#: How times are written that can be read in more than one way.
TimeConvention = Literal[
    "iso",
    "day_first",
    "month_first",
    "year_first",
    "epoch_s",
    "epoch_ms",
    "epoch_us",
    "epoch_ns",
    "excel_1900",
    "excel_1904",
]
Secret = Annotated[str, Field(pattern=r"^\$\{(env|file):[^}]+\}$")]


class ObjectStore(Settings):
    """How an object store is reached; what is left out comes from the environment, as its own tools read it."""

    endpoint: str | None = Field(default=None, description="address of a store other than the vendor's own")
    region: str | None = Field(default=None, description="S3: the region")
    access_key: Secret | None = Field(default=None, description="S3: `${env:NAME}` or `${file:PATH}`")
    secret_key: Secret | None = Field(default=None, description="S3: `${env:NAME}` or `${file:PATH}`")
    session_token: Secret | None = Field(default=None, description="S3: `${env:NAME}` or `${file:PATH}`")


class FillDown(Settings):
    """Columns that only the first of several rows fills, such as the fields of an order above its lines."""

    columns: list[str] = Field(
        min_length=1, description="a row that leaves all of them blank takes them from the last row above that does not"
    )
    within: str | None = Field(
        default=None, description="column that is the same on all rows of a group, such as the order's number"
    )


class Feed(Settings):
    """One source and how its columns become a canonical table."""

    source: str | list[str] = Field(
        description="path, folder or glob, relative to the workspace; s3:// or gs://; a database "
        "(postgresql://, mysql://, sqlite:///PATH, passwords as ${env:NAME} or ${file:PATH}); or a list of files"
    )
    kind: Kind = Field(description="the canonical table that it feeds")
    owner: str = Field(default="", description="the unit that keeps its own definition of a customer")
    key: str | list[str] | None = Field(
        default=None,
        description="columns that tell one row from another; `row` where none does and each row is "
        "a record of its own (a column of that name is written `[row]`). Customers: with the column of `updated_at` "
        "or `known_at` among them, rows are versions of the record that the other columns name, each from its time on",
    )
    customer: str | None = Field(
        default=None, description="`feed.column = thisfeed.column`: whose record a row is about"
    )
    event: str | None = Field(default=None, description="the event's type, when it is the same for every row")
    event_time: str | None = Field(default=None, description="column or expression: when it happened")
    updated_at: str | None = Field(default=None, description="column or expression: when the record last changed")
    known_at: str | None = Field(default=None, description="column or expression: when the company could first know it")
    timezone: TimeZone | None = Field(default=None, description="the zone of times that carry none")
    times: dict[str, TimeConvention] = Field(
        default_factory=dict,
        description="column: how its times are written, where the values leave that open (03/04/2026)",
    )
    fields: dict[str, str] = Field(default_factory=dict, description="canonical field: column or expression")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="name: expression over the source's columns as they are written; a text that may be named wherever "
        "a column may be, and is not kept as an attribute",
    )
    where: str | None = Field(default=None, description="rows to take, as an expression over the feed's columns")
    drop: list[str] = Field(default_factory=list, description="columns that are not kept as attributes")
    pii: list[str] = Field(default_factory=list, description="further columns that are personal")
    duplicates: Literal["refuse", "drop_identical", "keep_last", "keep_first"] = Field(
        default="refuse", description="what to do with rows that share a key"
    )
    reject_above: float = Field(default=0.05, ge=0, le=1, description="share of unusable rows that stops the run")
    header_at: int | None = Field(
        default=None, ge=1, description="CSV, Excel: the row of the column names, 1 for the first; found if left out"
    )
    header_rows: int | None = Field(
        default=None, ge=1, le=10, description="CSV, Excel: rows that the header takes; found if left out"
    )
    column_names: list[str] = Field(
        default_factory=list, description="CSV, Excel: the columns of a file that has no header, in order"
    )
    totals: Literal["drop", "keep"] = Field(
        default="drop", description="CSV, Excel: whether rows of totals that are found are left out, and counted"
    )
    fill_down: FillDown | None = Field(
        default=None, description="CSV, Excel: columns that only the first of several rows fills"
    )
    delimiter: str | None = Field(
        default=None, min_length=1, max_length=1, description="CSV: found in the header if left out"
    )
    encoding: Literal["utf-8", "latin-1", "utf-16"] | None = Field(
        default=None, description="CSV: the text's encoding; UTF-8, or UTF-16 where the file says so, if left out"
    )
    decimal: Literal[".", ","] | None = Field(
        default=None, description="CSV: the decimal mark; found in the values if left out"
    )
    currency: str | None = Field(
        default=None,
        description="ISO code, or the column that holds it, of amounts and prices; found where a column holds nothing "
        "but ISO codes; `company.rates` converts other currencies than the company's",
    )
    minor_units: list[str] = Field(
        default_factory=list, description="columns that hold amounts in the currency's smallest unit, such as cents"
    )
    sheet: str | None = Field(default=None, description="Excel: the sheet; the first if left out")
    rows_at: str | None = Field(default=None, description="JSON: dotted path to the list of rows inside a document")
    table: str | None = Field(default=None, description="database: the table or view, also as SCHEMA.TABLE")
    query: str | None = Field(default=None, description="database: a SELECT instead of a table")
    watermark: str | None = Field(
        default=None, description="database: a column that grows with every change; with the count it tells of changes"
    )
    timeout: PositiveDuration = Field(
        default=timedelta(seconds=30), description="servers: the longest wait for a connection, or for the next rows"
    )
    store: ObjectStore | None = Field(default=None, description="object store: how it is reached")
    ended: bool = Field(default=False, description="nothing more will come of it: labels do not wait for later rows")
    future: Duration = Field(default=timedelta(days=366), description="how far after the delivery a row's time may lie")
    expands_at_most: int = Field(
        default=1000, ge=1, description="Parquet, Excel: how many times its size a file may take once unpacked"
    )

    @property
    def keys(self) -> list[str]:
        """The columns that tell one record from another, as a list."""
        if self.key is None or self.key == ROW:
            return []
        named = [self.key] if isinstance(self.key, str) else self.key
        return [column for column in named if column not in self._times] if self.has_versions else named

    @property
    def has_versions(self) -> bool:
        """Whether the source brings the history of its records: customers whose key names the time of each version."""
        named = self.key if isinstance(self.key, list) else []
        return self.kind == "customers" and bool(self._times & set(named)) and bool(set(named) - self._times)

    @property
    def _times(self) -> set[str]:
        return {column for column in (self.updated_at, self.known_at) if column is not None}

    @property
    def sources(self) -> list[str]:
        """The source patterns, as a list."""
        return [self.source] if isinstance(self.source, str) else self.source

    @property
    def filled_down(self) -> list[str]:
        """The columns that `fill_down` names."""
        if self.fill_down is None:
            return []
        return [*self.fill_down.columns, *([self.fill_down.within] if self.fill_down.within is not None else [])]

    @property
    def is_database(self) -> bool:
        """Whether the rows come from a table or a query."""
        return self.table is not None or self.query is not None

    def link(self, name: str) -> tuple[str, str, str] | None:
        """Return (other feed, its column, this feed's column) of ``customer:``, seen from feed `name`."""
        if self.customer is None:
            return None
        match = LINK.match(self.customer)
        if match is None:
            return None
        left, left_column, right, right_column = match.groups()
        if left == name and right != name:
            left, left_column, right, right_column = right, right_column, left, left_column
        return left, left_column, right_column

    @field_validator("timeout")
    @classmethod
    def _some_time(cls, value: timedelta) -> timedelta:
        if value < timedelta(seconds=1):
            raise ValueError("wait at least 1s")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Feed:
        table = CANONICAL[self.kind]
        faults: list[tuple[Location, str]] = [
            (("fields", field), f"{self.kind} has no field {field!r}: {did_you_mean(field, list(table.fields))}")
            for field in self.fields
            if field not in table.fields
        ]
        if self.customer is not None and LINK.match(self.customer) is None:
            faults.append((("customer",), "write customer as `feed.column = thisfeed.column`"))
        if table.about_customer and self.customer is None:
            faults.append(((), f"a feed of {self.kind} needs `customer: feed.column = thisfeed.column`"))
        if table.keyed and not self.keys and not (self.key == ROW and self.kind == "customers"):
            faults.append(((), f"a feed of {self.kind} needs a key"))
        if table.timed and self.event_time is None:
            faults.append(((), f"a feed of {self.kind} needs event_time"))
        missing = [field for field in table.required if field not in self.fields]
        if missing:
            faults.append(((), f"a feed of {self.kind} has to map {', '.join(missing)}"))
        if self.kind == "events" and (self.event is None) == ("event" not in self.fields):
            faults.append(((), "name the event's type once: `event: NAME`, or an expression under fields"))
        if self.table is not None and self.query is not None:
            faults.append((("query",), "name a table or a query, not both"))
        if self.is_database and len(self.sources) != 1:
            faults.append((("source",), "a database is one source"))
        if self.kind != "events" and self.event is not None:
            faults.append((("event",), "`event` belongs to feeds of events only"))
        if faults:
            raise Faults(faults)
        return self
