"""Checks, limits and repairs of feeds, as declared."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from features.base.duration import Duration
from features.config.feed_checks import RULES, Severity
from features.config.loading import Faults, Location, Settings, did_you_mean


def _feed_and_column(text: str) -> str:
    feed, point, column = text.partition(".")
    if not (feed and point and column):
        raise ValueError("write it as feed.column")
    return text


Column = Annotated[str, AfterValidator(_feed_and_column)]
Share = Annotated[float, Field(ge=0, le=1)]


class CheckSettings(Settings):
    """What one check tolerates, and what its failure does."""

    severity: Severity | Literal["off"] | None = Field(
        default=None, description="warn: report it; refuse: stop, the last good state stands; off: do not look"
    )
    above: Share = Field(default=0.05, description="share of values at fault that fails the check")


class Range(Settings):
    """Between which numbers a column lies, both included."""

    min: float | None = Field(default=None, description="the least valid number")
    max: float | None = Field(default=None, description="the greatest valid number")

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("give a min, a max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min lies above max")
        return self


class Unit(Settings):
    """In which unit a column is counted; feeds that share a canonical field have to agree on it."""

    unit: str = Field(min_length=1, description="such as GBP, kg, GB")
    column: str | None = Field(default=None, description="the feed's own column that says each row's unit")


class Volume(Settings):
    """How far a load may differ from the last accepted one before it is refused whole (FQ017, FQ019)."""

    drop_above: Share = Field(default=0.8, description="share of rows lost that refuses the load")
    growth_above: float | None = Field(default=None, gt=1, description="times as many rows that refuse the load")
    shift_warns_above: float = Field(default=0.25, gt=0, description="population stability index that is reported")
    shift_above: float = Field(default=1.0, gt=0, description="population stability index that refuses the load")
    min_rows: int = Field(default=200, ge=1, description="rows on both sides from which on distributions are compared")


class Repair(Settings):
    """One declared repair; every value that it changes is recorded with the value before."""

    rule: Literal["trim", "lower", "upper", "phone", "replace", "placeholder", "clamp", "convert"] = Field(
        description="phone: to E.164; replace: known typos; placeholder: to empty; clamp: into a range; convert: a unit"
    )
    field: str = Field(description="canonical field, or feed.column of a feed's own column")
    feed: str | None = Field(default=None, description="the feed; every feed that has the field if left out")
    values: dict[str, str] | list[str] = Field(
        default_factory=list, description="replace: wrong: right; placeholder: what stands for nothing"
    )
    region: str | None = Field(default=None, pattern=r"^[A-Z]{2}$", description="phone: country of national numbers")
    min: float | None = Field(default=None, description="clamp: lower numbers become this one")
    max: float | None = Field(default=None, description="clamp: higher numbers become this one")
    factor: float | None = Field(default=None, description="convert: what a value is multiplied by")
    when: dict[str, str] = Field(default_factory=dict, description="only rows whose column holds this text")

    @model_validator(mode="after")
    def _complete(self) -> Repair:
        faults: list[tuple[Location, str]] = []
        if (self.rule == "replace") != isinstance(self.values, dict):
            faults.append((("values",), "`replace` takes a mapping of wrong: right, and only `replace` does"))
        if (self.rule == "placeholder") != (isinstance(self.values, list) and bool(self.values)):
            faults.append((("values",), "`placeholder` takes a list of values, and only `placeholder` does"))
        if (self.rule == "clamp") != (self.min is not None or self.max is not None):
            faults.append((("min",), "`clamp` takes min, max or both, and only `clamp` does"))
        if (self.rule == "convert") != (self.factor is not None):
            faults.append((("factor",), "`convert` takes a factor, and only `convert` does"))
        if self.rule == "replace" and not self.values:
            faults.append((("values",), "say what is replaced by what"))
        if faults:
            raise Faults(faults)
        return self


class Quality(Settings):
    """Limits of the feed checks, and repairs."""

    unknown_customers_above: Share = Field(
        default=0.05, description="share of a feed's rows about unknown customers that fails FQ004"
    )
    checks: dict[str, CheckSettings] = Field(default_factory=dict, description="what single checks tolerate, by code")
    complete: dict[Column, Share] = Field(
        default_factory=dict, description="feed.column: least share of rows that hold it (FQ007)"
    )
    ranges: dict[Column, Range] = Field(default_factory=dict, description="feed.column: its range (FQ012)")
    units: dict[Column, Unit] = Field(default_factory=dict, description="feed.column: its unit (FQ013)")
    unique: list[Column] = Field(default_factory=list, description="feed.column: values that stand once (FQ014)")
    agree: tuple[Literal["birth_date", "gender", "country", "first_name", "last_name", "postcode"], ...] = Field(
        default=("birth_date",), description="fields of a customer that cannot differ (FQ015)"
    )
    phone_regions: dict[str, Annotated[str, Field(pattern=r"^[A-Z]{2}$")]] = Field(
        default_factory=dict, description="feed: country of its national telephone numbers, where not the company's"
    )
    freshness: dict[str, Duration] = Field(
        default_factory=dict, description="feed: how far its newest row may lie behind the newest of all (FQ016)"
    )
    volume: Volume = Field(default_factory=Volume, description="how far a load may differ from the last accepted one")
    repairs: list[Repair] = Field(default_factory=list, description="done in this order, before anything is checked")

    @field_validator("checks")
    @classmethod
    def _known(cls, value: dict[str, CheckSettings]) -> dict[str, CheckSettings]:
        odd = [code for code in value if code not in RULES]
        if odd:
            raise Faults([((code,), f"there is no check {code!r}: {did_you_mean(code, list(RULES))}") for code in odd])
        return value

    def severity(self, code: str) -> Severity | Literal["off"]:
        """Return what a failure of this check does."""
        declared = self.checks[code].severity if code in self.checks else None
        return declared or RULES[code].severity

    def tolerated(self, code: str) -> float:
        """Return the share of values at fault that this check tolerates."""
        return (self.checks.get(code) or CheckSettings()).above

    def faults(self, feeds: list[str]) -> list[tuple[Location, str]]:
        """Return a fault for each feed that is named and not declared."""
        named: list[tuple[Location, str]] = [
            ((group, column), column.partition(".")[0])
            for group in ("complete", "ranges", "units")
            for column in getattr(self, group)
        ]
        named += [(("unique", at), column.partition(".")[0]) for at, column in enumerate(self.unique)]
        named += [((group, feed), feed) for group in ("phone_regions", "freshness") for feed in getattr(self, group)]
        named += [(("repairs", at, "feed"), repair.feed) for at, repair in enumerate(self.repairs) if repair.feed]
        return [
            (("quality", *place), f"there is no feed {feed!r}: {did_you_mean(feed, feeds)}")
            for place, feed in named
            if feed not in feeds
        ]
