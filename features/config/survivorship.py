"""Which record's value survives where records of one customer disagree, as declared."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from features.config.canonical import CANONICAL
from features.config.loading import Faults, Location, Settings, did_you_mean

Rule = Literal["last_updated", "most_frequent", "source_priority", "longest"]


class FieldSurvivorship(Settings):
    """How one field's value is chosen among a customer's records."""

    rule: Rule | None = Field(default=None, description="the default's rule, if left out")
    order: list[str] = Field(default_factory=list, description="feeds, the most trusted first")
    ignore_empty: bool = Field(default=True, description="whether a record without a value is passed over")

    @model_validator(mode="after")
    def _ordered(self) -> FieldSurvivorship:
        if (self.rule == "source_priority") != bool(self.order):
            raise ValueError("source_priority needs an order of feeds; the other rules take none")
        return self


class GroupSurvivorship(FieldSurvivorship):
    """Fields that win together: all of them come from one record, such as street, city and postcode."""

    fields: list[str] = Field(min_length=2, description="what comes from one record")


class Survivorship(Settings):
    """How the golden record is chosen; ties go to the record changed last, then to the feed and key that sort last."""

    default: FieldSurvivorship = Field(
        default_factory=lambda: FieldSurvivorship(rule="last_updated"),
        description="the rule of every field that has none of its own",
    )
    fields: dict[str, FieldSurvivorship] = Field(default_factory=dict, description="field or feed.column: its rule")
    groups: dict[str, GroupSurvivorship] = Field(
        default_factory=dict, description="name: fields that are taken from one record together, and their rule"
    )

    @field_validator("default", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """Take the bare name of a rule for a rule without anything else."""
        return {"rule": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _disjoint(self) -> Survivorship:
        faults: list[tuple[Location, str]] = []
        if self.default.rule is None:
            faults.append((("default",), "the default has to name its rule"))
        taken: dict[str, str] = {}
        for name, group in self.groups.items():
            for at, field in enumerate(group.fields):
                if field in self.fields:
                    faults.append((("groups", name, "fields", at), f"{field!r} has a rule of its own under fields"))
                if field in taken:
                    faults.append((("groups", name, "fields", at), f"{field!r} stands in group {taken[field]!r} too"))
                taken.setdefault(field, name)
        if faults:
            raise Faults(faults)
        return self

    def group_of(self, field: str) -> str | None:
        """Return the group in which a field wins, or None when it wins by itself."""
        return next((name for name, group in self.groups.items() if field in group.fields), None)

    def of(self, field: str) -> FieldSurvivorship:
        """Return a field's rule: its own, its group's or the default; the rule's name is always filled in."""
        group = self.group_of(field)
        found = self.groups[group] if group is not None else self.fields.get(field, self.default)
        if found.rule is not None:
            return found
        return found.model_copy(update={"rule": self.default.rule, "order": self.default.order})

    def faults(self, customers: Collection[str]) -> Iterator[tuple[Location, str]]:
        """Yield every field and feed that is named and that there is not.

        Parameters
        ----------
        customers : the feeds of customers
        """
        for name, rule in self._rules():
            for at, feed in enumerate(rule.order):
                if feed not in customers:
                    hint = did_you_mean(feed, sorted(customers))
                    yield (*name, "order", at), f"{feed!r} is not a feed of customers: {hint}"
        named: list[tuple[Location, str]] = [(("fields", field), field) for field in self.fields]
        for name_, group in self.groups.items():
            named += [(("groups", name_, "fields", at), field) for at, field in enumerate(group.fields)]
        for place, field in named:
            feed, dot, _ = field.partition(".")
            known = sorted(customers) if dot else list(CANONICAL["customers"].fields)
            if (feed if dot else field) not in known:
                near = did_you_mean(feed if dot else field, known)
                yield place, f"customers has no field {field!r}: {near}"

    def _rules(self) -> Iterator[tuple[Location, FieldSurvivorship]]:
        yield ("default",), self.default
        yield from ((("fields", name), rule) for name, rule in self.fields.items())
        yield from ((("groups", name), group) for name, group in self.groups.items())
