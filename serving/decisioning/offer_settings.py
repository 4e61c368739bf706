"""The strict models of ``serving/offers.yaml``: the offer catalogue and its policy."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, StringConstraints, field_validator, model_validator

from features.base.duration import Duration
from features.config.loading import Settings

Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$")]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[Duration, Field(gt=timedelta(0))]
Outcome = Literal["impression", "accepted", "rejected", "maybe_later", "overridden"]

_PERIODS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
_CAPACITY = re.compile(r"^\s*(\d+)\s*/\s*(hour|day|week)\s*$")


class Capacity(Settings):
    """How many offers a channel can carry in a period, written as ``400/day``."""

    limit: int = Field(ge=0, description="how many offers")
    per: Literal["hour", "day", "week"] = Field(description="in which period")

    @property
    def period(self) -> timedelta:
        """The length of the period.

        Examples
        --------
        >>> Capacity(limit=400, per="day").period
        datetime.timedelta(days=1)
        """
        return _PERIODS[self.per]

    def __str__(self) -> str:
        return f"{self.limit}/{self.per}"


def _capacity(value: object) -> object:
    if isinstance(value, Capacity):
        return value
    match = _CAPACITY.match(str(value))
    if match is None:
        raise ValueError("write a capacity as a whole number and /hour, /day or /week, such as 400/day")
    return Capacity(limit=int(match.group(1)), per=match.group(2))  # type: ignore[arg-type]


CapacityText = Annotated[Capacity, BeforeValidator(_capacity), PlainSerializer(str)]


class Value(Settings):
    """What acceptance is worth (`margin`, a number or an expression) and what the contact costs."""

    margin: Number | Text = Field(description="what acceptance is worth: an amount, or an expression over features")
    cost: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="what making the offer costs")


class Valid(Settings):
    """The first and the last day on which the offer may be made, both included."""

    start: date | None = Field(default=None, alias="from", description="the first day; any if left out")
    end: date | None = Field(default=None, alias="to", description="the last day; any if left out")

    @model_validator(mode="after")
    def _ordered(self) -> Valid:
        if self.start and self.end and self.end < self.start:
            raise ValueError("`to` lies before `from`: swap them")
        return self


class Cap(Settings):
    """At most so many contacts of a customer in a length of time.

    Under an offer it counts that offer's contacts (or, with `group`, its group's); under the policy those of
    all offers but transactional ones, or of one offer or group. With `channel`, only what goes through it.
    """

    per: Literal["customer"] = Field(default="customer", description="whose contacts are counted")
    channel: Name | None = Field(default=None, description="only contacts through this channel")
    offer: Name | None = Field(default=None, description="only contacts with this offer")
    group: Name | None = Field(default=None, description="only contacts with offers of this group")
    every: Positive = Field(description="the length of time in which contacts are counted")
    at_most: int = Field(ge=0, description="how many contacts are allowed in it")

    @model_validator(mode="after")
    def _one_scope(self) -> Cap:
        if self.offer and self.group:
            raise ValueError("a cap counts one offer or one group: keep `offer` or `group`")
        return self


class Suppress(Settings):
    """After this outcome, the offer is not made again for so long."""

    after: Outcome = Field(description="the outcome")
    rest: Positive = Field(alias="for", description="how long the offer is not made then")


class ScoreSource(Settings):
    """Where an offer's likelihood comes from: a model, or a starting propensity with its evidence.

    `evidence` is how many contacts the starting propensity is worth when outcomes update it.
    """

    model: Name | None = Field(default=None, description="a model of training/labels.yaml")
    candidate: Text | None = Field(default=None, description="the model's candidate; the offer's item if left out")
    propensity: float | None = Field(
        default=None, gt=0, lt=1, description="the probability of acceptance to start from, without a model"
    )
    evidence: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="how many contacts the starting propensity is worth"
    )

    @model_validator(mode="after")
    def _one_source(self) -> ScoreSource:
        if (self.model is None) == (self.propensity is None):
            raise ValueError("give either `model` or `propensity` with `evidence`")
        if self.model is None and self.evidence is None:
            raise ValueError("a starting `propensity` needs `evidence`: how many contacts it is expected, such as 200")
        if self.model is None and self.candidate is not None:
            raise ValueError("`candidate` belongs to a `model`: remove it")
        if self.model is not None and self.evidence is not None:
            raise ValueError("`evidence` belongs to a starting `propensity`: remove it")
        return self


class Offer(Settings):
    """One offer of the catalogue."""

    id: Name = Field(description="its name in answers and in the ledger")
    title: Text | None = Field(default=None, description="its name for people")
    group: Name = Field(description="offers of one aim, such as upsell or retention")
    kind: Literal["default", "mandatory", "transactional"] = Field(
        default="default",
        description="default: competes by value; mandatory: comes first; transactional: needs no consent, has no caps",
    )
    item: Text | None = Field(default=None, description="the item that accepting it means")
    purpose: Name = Field(description="the purpose of features/feeds.yaml that it is made for")
    channels: tuple[Name, ...] = Field(min_length=1, description="the channels it may be made through")
    value: Value = Field(description="what it is worth and what it costs")
    eligibility: Text | None = Field(default=None, description="condition over features: who may have it")
    applicability: Text | None = Field(default=None, description="condition over features: for whom it makes sense now")
    suitability: Text | None = Field(default=None, description="condition over features: for whom it is appropriate")
    valid: Valid = Field(default=Valid(), description="on which days it may be made")
    caps: tuple[Cap, ...] = Field(default=(), description="how often one customer may get it")
    suppress: tuple[Suppress, ...] = Field(default=(), description="how long it is not made after an outcome")
    score: ScoreSource | None = Field(default=None, description="where its probability of acceptance comes from")
    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False, description="what its priority is multiplied by")

    @field_validator("id")
    @classmethod
    def _not_reserved(cls, value: str) -> str:
        if value.upper() == "NO_ACTION":
            raise ValueError("NO_ACTION is the ledger's name for no offer: choose another id")
        return value

    @field_validator("channels")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a channel is listed twice: keep one")
        return value

    @model_validator(mode="after")
    def _scored(self) -> Offer:
        if self.kind == "default" and self.score is None:
            raise ValueError(
                f"offer {self.id!r} needs a `score`: {{model: NAME}} or {{propensity: 0.05, evidence: 200}}"
            )
        return self


class Exploration(Settings):
    """The control group's share, and the salt that draws it."""

    control: float = Field(default=0.0, ge=0, lt=1, description="the share of customers that get no marketing offer")
    salt: str = Field(default="nextbest", description="text that draws the control group; another draws another")
    thompson: bool = Field(default=False, description="not available yet; leave it out")

    @field_validator("thompson")
    @classmethod
    def _not_yet(cls, value: bool) -> bool:
        if value:
            raise ValueError(
                "Thompson sampling is not available yet: remove `thompson` or set it to false; "
                "`control` and a starting propensity with `evidence` are available"
            )
        return value


class PolicySettings(Settings):
    """How offers compete: floor, number shown, control group, capacity and the global contact policy."""

    exploration: Exploration = Field(default=Exploration(), description="the control group")
    floor: Number = Field(default=0.0, description="offers of less priority than this are not made")
    top: int = Field(default=3, ge=1, description="how many offers a decision holds at most")
    capacity: dict[Name, CapacityText] = Field(
        default_factory=dict, description="channel: how many offers it can take, such as `400/day`"
    )
    caps: tuple[Cap, ...] = Field(default=(), description="how often one customer may be contacted at all")


class OffersSettings(Settings):
    """The whole of ``serving/offers.yaml``."""

    offers: tuple[Offer, ...] = Field(default=(), description="the offer catalogue")
    policy: PolicySettings = Field(default=PolicySettings(), description="how offers compete")

    @field_validator("offers")
    @classmethod
    def _unique(cls, value: tuple[Offer, ...]) -> tuple[Offer, ...]:
        twice = sorted(name for name, count in Counter(offer.id for offer in value).items() if count > 1)
        if twice:
            raise ValueError(f"offer ids stand twice: {', '.join(twice)}; give each offer its own id")
        return value
