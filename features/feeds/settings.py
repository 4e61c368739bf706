"""``features/feeds.yaml``, typed: feeds and their mapping, identity rules, quality checks, purposes."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, field_validator, model_validator

from features.base.config import Faults, Location, Settings, did_you_mean
from features.feeds.canonical import CANONICAL, Kind

_LINK = re.compile(r"^\s*(\w+)\.(.+?)\s*=\s*(\w+)\.(.+?)\s*$")
_NAME = re.compile(r"^[a-z][a-z0-9_]*$")


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("not a known time zone; write one such as Europe/London or UTC")
    return ZoneInfo(name).key


TimeZone = Annotated[str, AfterValidator(_known_zone)]


class Company(Settings):
    """What holds for the whole company."""

    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$", description="ISO 4217 code of all amounts")
    timezone: TimeZone = Field(default="UTC", description="where the company's days begin")


class Feed(Settings):
    """One source and how its columns become a canonical table."""

    source: str | list[str] = Field(description="path or glob, relative to the workspace; or a list of them")
    kind: Kind = Field(description="the canonical table that it feeds")
    owner: str = Field(default="", description="the unit that keeps its own definition of a customer")
    key: str | list[str] | None = Field(default=None, description="columns that tell one row from another")
    customer: str | None = Field(
        default=None, description="`feed.column = thisfeed.column`: whose record a row is about"
    )
    event: str | None = Field(default=None, description="the event's type, when it is the same for every row")
    event_time: str | None = Field(default=None, description="column or expression: when it happened")
    updated_at: str | None = Field(default=None, description="column or expression: when the record last changed")
    known_at: str | None = Field(default=None, description="column or expression: when the company could first know it")
    timezone: TimeZone | None = Field(default=None, description="the zone of times that carry none")
    fields: dict[str, str] = Field(default_factory=dict, description="canonical field: column or expression")
    where: str | None = Field(default=None, description="rows to take, as an expression over the feed's columns")
    drop: list[str] = Field(default_factory=list, description="columns that are not kept as attributes")
    pii: list[str] = Field(default_factory=list, description="further columns that are personal")
    duplicates: Literal["refuse", "drop_identical", "keep_last", "keep_first"] = Field(
        default="refuse", description="what to do with rows that share a key"
    )
    reject_above: float = Field(default=0.05, ge=0, le=1, description="share of unusable rows that stops the run")
    delimiter: str | None = Field(
        default=None, min_length=1, max_length=1, description="CSV: found in the header if left out"
    )
    encoding: Literal["utf-8", "latin-1", "utf-16"] = Field(default="utf-8", description="CSV: the text's encoding")
    decimal: Literal[".", ","] = Field(default=".", description="CSV: the decimal mark")

    @property
    def keys(self) -> list[str]:
        """The key columns, as a list."""
        if self.key is None:
            return []
        return [self.key] if isinstance(self.key, str) else self.key

    @property
    def sources(self) -> list[str]:
        """The source patterns, as a list."""
        return [self.source] if isinstance(self.source, str) else self.source

    def link(self, name: str) -> tuple[str, str, str] | None:
        """Return (other feed, its column, this feed's column) of ``customer:``, seen from feed `name`."""
        if self.customer is None:
            return None
        match = _LINK.match(self.customer)
        if match is None:
            return None
        left, left_column, right, right_column = match.groups()
        if left == name and right != name:
            left, left_column, right, right_column = right, right_column, left, left_column
        return left, left_column, right_column

    @model_validator(mode="after")
    def _complete(self) -> Feed:
        table = CANONICAL[self.kind]
        faults: list[tuple[Location, str]] = [
            (("fields", field), f"{self.kind} has no field {field!r}: {did_you_mean(field, list(table.fields))}")
            for field in self.fields
            if field not in table.fields
        ]
        if self.customer is not None and _LINK.match(self.customer) is None:
            faults.append((("customer",), "write customer as `feed.column = thisfeed.column`"))
        if table.about_customer and self.customer is None:
            faults.append(((), f"a feed of {self.kind} needs `customer: feed.column = thisfeed.column`"))
        if table.keyed and not self.keys:
            faults.append(((), f"a feed of {self.kind} needs a key"))
        if table.timed and self.event_time is None:
            faults.append(((), f"a feed of {self.kind} needs event_time"))
        missing = [field for field in table.required if field not in self.fields]
        if missing:
            faults.append(((), f"a feed of {self.kind} has to map {', '.join(missing)}"))
        if self.kind == "events" and (self.event is None) == ("event" not in self.fields):
            faults.append(((), "name the event's type once: `event: NAME`, or an expression under fields"))
        if self.kind != "events" and self.event is not None:
            faults.append((("event",), "`event` belongs to feeds of events only"))
        if faults:
            raise Faults(faults)
        return self


class Identity(Settings):
    """Which records are one customer."""

    rules: Literal["keys", "exact"] = Field(
        default="keys", description="keys: declared links only; exact: also equal normalised contact points"
    )
    match: tuple[Literal["email", "phone"], ...] = Field(
        default=("email", "phone"), description="contact points that `exact` compares"
    )
    shared_by_at_most: int = Field(
        default=6, ge=2, description="a contact point that more records share identifies nobody and is not used"
    )


class FieldSurvivorship(Settings):
    """How one field's value is chosen among a customer's records."""

    rule: Literal["last_updated", "source_priority"] = "last_updated"
    order: list[str] = Field(default_factory=list, description="feeds, the most trusted first")

    @model_validator(mode="after")
    def _ordered(self) -> FieldSurvivorship:
        if (self.rule == "source_priority") != bool(self.order):
            raise ValueError("source_priority needs an order of feeds; last_updated takes none")
        return self


class Survivorship(Settings):
    """How the golden record is chosen; empty values never win."""

    default: Literal["last_updated"] = "last_updated"
    fields: dict[str, FieldSurvivorship] = Field(default_factory=dict)


class Quality(Settings):
    """Limits of the feed checks."""

    unknown_customers_above: float = Field(
        default=0.05, ge=0, le=1, description="share of a feed's rows about unknown customers that fails FQ004"
    )


class Purpose(Settings):
    """What customer data may be used for, and on which lawful basis (GDPR Art. 6)."""

    basis: Literal["consent", "contract", "legal_obligation", "vital_interests", "public_task", "legitimate_interest"]


class FeedsFile(Settings):
    """The whole of ``features/feeds.yaml``."""

    company: Company = Field(default_factory=Company)
    feeds: dict[str, Feed] = Field(min_length=1)
    identity: Identity = Field(default_factory=Identity)
    survivorship: Survivorship = Field(default_factory=Survivorship)
    quality: Quality = Field(default_factory=Quality)
    purposes: dict[str, Purpose] = Field(default_factory=dict)

    @field_validator("feeds", "purposes")
    @classmethod
    def _named(cls, value: dict[str, object]) -> dict[str, object]:
        odd = [name for name in value if _NAME.match(name) is None]
        if odd:
            raise Faults([((name,), f"{name!r} is not a name: lower-case letters, digits and _ only") for name in odd])
        return value

    @model_validator(mode="after")
    def _linked(self) -> FeedsFile:
        customers = sorted(name for name, feed in self.feeds.items() if feed.kind == "customers")
        faults: list[tuple[Location, str]] = []
        for name, feed in self.feeds.items():
            link = feed.link(name)
            if link is None:
                continue
            if link[0] not in customers:
                near = did_you_mean(link[0], customers)
                faults.append((("feeds", name, "customer"), f"{link[0]!r} is not a feed of customers: {near}"))
            if _sides(feed.customer) != {link[0], name}:
                faults.append((("feeds", name, "customer"), f"one side of the link has to be {name}.COLUMN"))
        if not customers:
            faults.append((("feeds",), "no feed of kind customers: one has to say who the customers are"))
        known = list(CANONICAL["customers"].fields)
        for field, rule in self.survivorship.fields.items():
            if field not in known:
                hint = did_you_mean(field, known)
                faults.append((("survivorship", "fields", field), f"customers has no field {field!r}: {hint}"))
            faults += [
                (("survivorship", "fields", field), f"{other!r} is not a feed of customers")
                for other in rule.order
                if other not in customers
            ]
        if faults:
            raise Faults(faults)
        return self

    def named_by_others(self, name: str) -> tuple[str, ...]:
        """Return the columns by which other feeds name the records of feed `name`, its own single key left out."""
        links = [feed.link(other) for other, feed in self.feeds.items()]
        columns = {link[1] for link in links if link is not None and link[0] == name}
        return tuple(sorted(column for column in columns if self.feeds[name].keys != [column]))


def _sides(link: str | None) -> set[str]:
    match = _LINK.match(link or "")
    return {match.group(1), match.group(3)} if match else set()
