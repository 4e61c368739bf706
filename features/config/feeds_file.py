"""``features/feeds.yaml``, typed: feeds and their mapping, identity rules, quality checks, purposes."""

from __future__ import annotations

import re

from pydantic import Field, field_validator, model_validator

from features.base.telephone import PhoneCountries
from features.config.canonical import MONEY_FIELDS
from features.config.company import Company
from features.config.engine_settings import EngineSettings
from features.config.event_log_settings import EventLogSettings
from features.config.feed import LINK, Feed
from features.config.identity_settings import Identity
from features.config.loading import Faults, Location, Settings, did_you_mean
from features.config.purposes import Purpose
from features.config.quality_settings import Quality
from features.config.survivorship import Survivorship

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")


class FeedsFile(Settings):
    """The whole of ``features/feeds.yaml``."""

    company: Company = Field(default_factory=Company, description="what holds for the whole company")
    feeds: dict[str, Feed] = Field(min_length=1, description="name: a source and its mapping to a canonical table")
    identity: Identity = Field(default_factory=Identity, description="which records are one customer")
    survivorship: Survivorship = Field(
        default_factory=Survivorship, description="whose value counts where a customer's records disagree"
    )
    quality: Quality = Field(default_factory=Quality, description="checks, their limits, and repairs")
    purposes: dict[str, Purpose] = Field(
        default_factory=dict, description="name: what customer data are used for, and its lawful basis"
    )
    event_log: EventLogSettings = Field(
        default_factory=EventLogSettings, description="where streamed events are logged"
    )
    engine: EngineSettings = Field(
        default_factory=EngineSettings, description="memory, threads and spill folder of the database engine"
    )

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
        faults += [(("survivorship", *place), message) for place, message in self.survivorship.faults(customers)]
        faults += self.quality.faults(sorted(self.feeds))
        faults += [(("identity", *place), message) for place, message in self.identity.faults(customers)]
        if faults:
            raise Faults(faults)
        return self

    @property
    def phone_countries(self) -> PhoneCountries:
        """By which country national telephone numbers are read."""
        return PhoneCountries(self.company.country, self.quality.phone_regions)

    def speaking_of(self, field: str) -> tuple[str, ...]:
        """Return the feeds of customers that have a word on a field, filled or not; an attribute is its own feed's."""
        owner, dot, _ = field.partition(".")
        return tuple(
            name
            for name, feed in sorted(self.feeds.items())
            if feed.kind == "customers" and (name == owner if dot else field in feed.fields)
        )

    def with_declared_money(self, name: str) -> Feed:
        """Return a feed whose currency is not looked for where a unit or a conversion of its money is declared."""
        feed = self.feeds[name]
        units = {f"{name}.{field}" for field in MONEY_FIELDS} & self.quality.units.keys()
        repaired = [one for one in self.quality.repairs if one.rule == "convert" and one.feed in (None, name)]
        declared = units or any(one.field in MONEY_FIELDS for one in repaired)
        return feed.model_copy(update={"currency": self.company.currency}) if declared and not feed.currency else feed

    def named_by_others(self, name: str) -> tuple[str, ...]:
        """Return the columns by which other feeds name the records of feed `name`, its own single key left out."""
        links = [feed.link(other) for other, feed in self.feeds.items()]
        columns = {link[1] for link in links if link is not None and link[0] == name}
        return tuple(sorted(column for column in columns if self.feeds[name].keys != [column]))


def _sides(link: str | None) -> set[str]:
    match = LINK.match(link or "")
    return {match.group(1), match.group(3)} if match else set()
