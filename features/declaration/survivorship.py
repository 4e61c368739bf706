"""Which record's value survives where records of one customer disagree, as declared."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from features.base.config import Settings


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
