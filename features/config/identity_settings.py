"""Which records are one customer, as declared."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Literal

from pydantic import Field, field_validator, model_validator

from features.config.canonical import CANONICAL
from features.config.loading import Faults, Location, Settings, did_you_mean

Rules = Literal["keys", "exact", "people", "households", "businesses", "declared"]
Kind = Literal[
    "person", "name", "company", "date", "email", "phone", "street", "postcode", "place", "identifier", "exact", "none"
]
#: Rules that compare records field by field and weigh what they find.
WEIGHED = ("people", "households", "businesses", "declared")
_LABEL = re.compile(r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)?$")
Pairs = tuple[tuple[str, str], ...] | str


class Comparison(Settings):
    """How one field is compared, and which columns hold it where feeds name it differently."""

    kind: Kind = Field(description="what the values are; none leaves a preset's comparison out")
    of: tuple[str, ...] = Field(
        default=(), description="the fields or `feed.column`s that hold it, the first filled one counts"
    )


class Identity(Settings):
    """Which records are one customer."""

    rules: Rules = Field(
        default="keys",
        description="keys: declared links only; exact: also equal normalised contact points; people, households, "
        "businesses: presets of weighed comparisons; declared: the comparisons below alone",
    )
    match: tuple[Literal["email", "phone"], ...] = Field(
        default=("email", "phone"), description="contact points that `exact` compares"
    )
    shared_by_at_most: int = Field(
        default=6, ge=2, description="a contact point that more records share identifies nobody and is not used"
    )
    comparisons: dict[str, Comparison] = Field(
        default_factory=dict, description="field: kind; added to a preset, or in place of its own for that field"
    )
    threshold: float = Field(
        default=0.9, gt=0, lt=1, description="the least probability of a match at which two records are joined"
    )
    exclusive: tuple[str, ...] = Field(
        default=(), description="fields of which one customer has one value: records with two are never joined"
    )
    at_most: int | None = Field(default=None, ge=1, description="the most records that one customer may have")
    always: Pairs = Field(default=(), description="pairs of `feed:key` that are one customer, or a CSV file of them")
    never: Pairs = Field(default=(), description="pairs of `feed:key` that are not, whatever joins them")
    labels: str | None = Field(
        default=None, description="CSV file of judged pairs (left, right, match), from which the weights are learnt"
    )

    @field_validator("comparisons", mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {field: {"kind": kind} if isinstance(kind, str) else kind for field, kind in value.items()}

    @model_validator(mode="after")
    def _meant(self) -> Identity:
        faults: list[tuple[Location, str]] = [
            (("comparisons", label), f"{label!r} is not a name: lower-case letters, digits and _ only")
            for label in self.comparisons
            if _LABEL.match(label) is None
        ]
        if self.comparisons and self.rules not in WEIGHED:
            faults.append((("comparisons",), f"rules {self.rules!r} compare nothing: {', '.join(WEIGHED)} do"))
        if self.rules == "declared" and not any(each.kind != "none" for each in self.comparisons.values()):
            faults.append((("rules",), "rules 'declared' need comparisons"))
        if self.labels is not None and self.rules not in WEIGHED:
            faults.append((("labels",), f"rules {self.rules!r} learn nothing from labels"))
        for word in ("always", "never"):
            pairs = getattr(self, word)
            if not isinstance(pairs, str):
                faults += [((word, at), _odd(pair)) for at, pair in enumerate(pairs) if _odd(pair)]
        if faults:
            raise Faults(faults)
        return self

    def fields(self) -> dict[Location, tuple[str, ...]]:
        """Return the fields and columns that are named, by the place that names them."""
        compared: dict[Location, tuple[str, ...]] = {
            ("comparisons", label): each.of or (label,) for label, each in self.comparisons.items()
        }
        return compared | {("exclusive", at): (field,) for at, field in enumerate(self.exclusive)}

    def faults(self, customers: Collection[str]) -> list[tuple[Location, str]]:
        """Return what does not fit the feeds of customers: unknown fields, and pairs of unknown feeds."""
        known = list(CANONICAL["customers"].fields)
        found: list[tuple[Location, str]] = []
        for place, fields in self.fields().items():
            for field in fields:
                feed, dot, _ = field.partition(".")
                if dot and feed not in customers:
                    hint = did_you_mean(feed, sorted(customers))
                    found.append((place, f"{feed!r} is not a feed of customers: {hint}"))
                elif not dot and field not in known and not self._of_a_person(place, field):
                    found.append((place, f"customers has no field {field!r}: {did_you_mean(field, known)}"))
        for word in ("always", "never"):
            pairs = getattr(self, word)
            for at, pair in enumerate(() if isinstance(pairs, str) else pairs):
                odd = [feed for feed in (name.partition(":")[0] for name in pair) if feed not in customers]
                found += [((word, at), f"{f!r} is not a feed of customers: {_near(f, customers)}") for f in odd]
        return found

    def _of_a_person(self, place: Location, field: str) -> bool:
        """Say whether `field` is the label of a comparison that knows by its kind where to look."""
        return place[0] == "comparisons" and self.comparisons[field].kind in ("person", "none")


def _odd(pair: tuple[str, str]) -> str:
    if any(not all(name.partition(":")[::2]) for name in pair):
        return "write a pair as [feed:key, feed:key]"
    return "a record is paired with itself" if pair[0] == pair[1] else ""


def _near(feed: str, customers: Collection[str]) -> str:
    return did_you_mean(feed, sorted(customers))
