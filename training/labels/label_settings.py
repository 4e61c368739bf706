"""``training/labels.yaml``, typed: what each model predicts, for whom, how far ahead."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from features.base.duration import Duration, PositiveDuration
from features.base.workspace import Workspace
from features.config.loading import Faults, Lines, Settings, load

FILE = "training/labels.yaml"

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")


class LabelSettings(Settings):
    """What holds for every kind of label, unless it overrides it."""

    @property
    def in_time(self) -> bool:
        """Whether there is one outcome after each cutoff, and not one for each customer."""
        return True

    @property
    def read_from(self) -> str:
        """The canonical table that the outcome is read from."""
        return "events"

    @property
    def closes_after(self) -> timedelta:
        """How long after a cutoff its outcome window has closed."""
        return timedelta(0)

    @property
    def own_fields(self) -> tuple[str, ...]:
        """The fields that hold the outcome itself, as ``feed.column``."""
        return ()


class Inactivity(LabelSettings):
    """Positive when the customer has no event of this type in the outcome window."""

    kind: Literal["inactivity"] = Field(description="who will have no event of this type")
    event: str = Field(description="the type of event")
    horizon: PositiveDuration = Field(description="the length of the outcome window")
    gap: Duration = Field(default=timedelta(0), description="how long after the cutoff the outcome window begins")

    @property
    def closes_after(self) -> timedelta:
        return self.gap + self.horizon


class EndOfHolding(LabelSettings):
    """Positive when what the customer holds ends in the outcome window and is not renewed.

    The population are those who hold it at the cutoff. Whose holding ends within the gap is not predicted for: it is
    too late for them.
    """

    kind: Literal["end_of_holding"] = Field(description="who will end a contract or a subscription")
    item: str | None = Field(default=None, description="the item held; anything, if left out")
    horizon: PositiveDuration = Field(description="the length of the outcome window")
    gap: Duration = Field(default=timedelta(0), description="how long after the cutoff the outcome window begins")
    renewed_within: Duration = Field(
        default=timedelta(0), description="a new holding that begins this long after the end still renews it"
    )

    @property
    def read_from(self) -> str:
        return "holdings"

    @property
    def closes_after(self) -> timedelta:
        return self.gap + self.horizon + self.renewed_within


class Acquisition(LabelSettings):
    """Positive for each category that is taken in the outcome window, of those neither held nor bought before.

    A category that the customer holds, has bought or takes within the gap is not in question for them.
    """

    kind: Literal["acquisition"] = Field(description="what a customer takes that they had not before")
    of: str = Field(description="items.group, item, or a column of events")
    event: str = Field(default="purchase", description="the type of event that counts as taking")
    horizon: PositiveDuration = Field(description="the length of the outcome window")
    gap: Duration = Field(default=timedelta(0), description="how long after the cutoff the outcome window begins")
    not_within: PositiveDuration | None = Field(
        default=None,
        description="what was last bought longer ago than this counts as new again; if left out, never",
    )

    @property
    def closes_after(self) -> timedelta:
        return self.gap + self.horizon


class Repurchase(LabelSettings):
    """Positive for each category that is bought in the outcome window, whether or not it was bought before.

    Metrics are also given apart for what was bought before (``_again``) and what was not (``_new``).
    """

    kind: Literal["repurchase"] = Field(description="what a customer buys, again or for the first time")
    of: str = Field(description="items.group, item, or a column of events")
    event: str = Field(default="purchase", description="the type of event that counts as buying")
    horizon: PositiveDuration = Field(description="the length of the outcome window")
    gap: Duration = Field(default=timedelta(0), description="how long after the cutoff the outcome window begins")

    @property
    def closes_after(self) -> timedelta:
        return self.gap + self.horizon


class NextEvents(LabelSettings):
    """Positive for each category of the customer's next `k` events after the cutoff.

    Metrics are also given apart for what was bought before (``_again``) and what was not (``_new``).
    """

    kind: Literal["next_events"] = Field(description="what a customer's next events are of")
    of: str = Field(description="items.group, item, or a column of events")
    event: str = Field(default="purchase", description="the type of event")
    k: int = Field(default=10, ge=1, description="how many events count")
    horizon: PositiveDuration = Field(default=timedelta(days=90), description="later events do not count")

    @property
    def gap(self) -> timedelta:
        """The events count from the cutoff on."""
        return timedelta(0)

    @property
    def closes_after(self) -> timedelta:
        return self.horizon


class RecordedField(LabelSettings):
    """Positive when a recorded field has this value: one row per customer, no history."""

    kind: Literal["recorded"] = Field(description="a field that holds the outcome")
    field: str = Field(description="feed.column")
    positive: str | int | float | bool = Field(description="the value that counts as positive")

    @property
    def in_time(self) -> bool:
        return False

    @property
    def read_from(self) -> str:
        return "customers"

    @property
    def own_fields(self) -> tuple[str, ...]:
        return (self.field,)


#: Labels of categories of events: what is ranked.
CategoryLabel = Acquisition | Repurchase | NextEvents
#: Labels of one type of event.
EventLabel = Inactivity | CategoryLabel
Label = Annotated[EventLabel | EndOfHolding | RecordedField, Field(discriminator="kind")]
#: The kinds of labels that a model is learnt from.
LABEL_KINDS: tuple[str, ...] = tuple(
    str(get_args(label.model_fields["kind"].annotation)[0]) for label in get_args(get_args(Label)[0])
)


class Population(Settings):
    """Who is predicted for."""

    active_within: PositiveDuration | None = Field(default=None, description="had the label's event within this long")
    where: str | None = Field(default=None, description="an expression over features")


class Cutoffs(Settings):
    """Which snapshots are learnt from."""

    warm_up: Duration = Field(default=timedelta(days=90), description="history that must lie before the first cutoff")
    at_most: int = Field(default=12, ge=1, description="the latest so many")
    half_life: PositiveDuration | None = Field(
        default=None,
        description="a cutoff this much older than the latest one learnt from weighs half; all alike if left out",
    )


class Learning(Settings):
    """How a model of one outcome a customer is learnt; what is left out stays as usual."""

    trials: int = Field(default=0, ge=0, le=1000, description="settings of the trees that are tried; 0 tries none")
    time_budget: PositiveDuration = Field(
        default=timedelta(minutes=10), description="no trial begins or goes on after so long, in each fit"
    )
    monotone: dict[str, Literal["up", "down"]] = Field(
        default_factory=dict, description="feature: whether its rise may only raise (up) or lower (down) the score"
    )


class ModelSettings(Settings):
    """One model: its label, its population, its features."""

    label: Label = Field(description="what is predicted")
    purpose: str | None = Field(
        default=None, description="what it predicts for; who has no basis for it is not learnt from. Any, if left out"
    )
    population: Population = Field(default_factory=Population, description="who is predicted for")
    features: list[str] = Field(default_factory=list, description="views to learn from; all if left out")
    exclude: list[str] = Field(default_factory=list, description="further columns that this model may not learn from")
    cutoffs: Cutoffs = Field(default_factory=Cutoffs, description="which snapshots are learnt from")
    settle: Duration = Field(
        default=timedelta(0),
        description="how late rows may still arrive: an outcome counts once every feed it is read from is this far "
        "past its window",
    )
    learn: Learning = Field(default_factory=Learning, description="a search for better settings, and directions")
    min_positives: int = Field(default=50, ge=2, description="fewer labels of either class stop the training")
    seed: int = Field(default=7, description="start of all random numbers; the same seed gives the same model")

    @field_validator("label", mode="before")
    @classmethod
    def _can_be_learnt(cls, value: Any) -> Any:
        kind = value.get("kind") if isinstance(value, dict) else None
        if isinstance(kind, str) and kind not in LABEL_KINDS:
            message = f"no model learns a label of kind {kind!r}; there are {', '.join(LABEL_KINDS)}"
            raise Faults([(("kind",), message)])
        return value

    @model_validator(mode="after")
    def _can_be_searched(self) -> ModelSettings:
        if isinstance(self.label, CategoryLabel) and self.learn != Learning():
            message = f"a label of kind {self.label.kind} is ranked with fixed settings: leave `learn` out"
            raise Faults([(("learn",), message)])
        return self

    @model_validator(mode="after")
    def _has_events(self) -> ModelSettings:
        if self.population.active_within is not None and not isinstance(self.label, EventLabel):
            message = f"a label of kind {self.label.kind} has no event: leave active_within out, or use `where`"
            raise Faults([(("population", "active_within"), message)])
        return self


class Validation(Settings):
    """How models are judged before they are trusted."""

    scheme: Literal["time", "customer"] | None = Field(
        default=None,
        description="time: later cutoffs judge; customer: customers not learnt from judge; if left out, customer for "
        "recorded labels, which have one cutoff, and time for all others",
    )
    folds: int = Field(default=3, ge=2, le=10, description="parts of the data that judge in turn")


class LabelsFile(Settings):
    """The whole of ``training/labels.yaml``."""

    models: dict[str, ModelSettings] = Field(description="name: what a model predicts, and for whom; {} trains none")
    validation: Validation = Field(default_factory=Validation, description="how models are judged")
    exclude: list[str] = Field(default_factory=list, description="columns that may not be learnt from")

    @field_validator("models")
    @classmethod
    def _named(cls, value: dict[str, ModelSettings]) -> dict[str, ModelSettings]:
        for name in value:
            if _NAME.match(name) is None:
                raise ValueError(f"{name!r} is not a model's name: lower-case letters, digits and _ only")
        return value

    @model_validator(mode="after")
    def _can_be_split(self) -> LabelsFile:
        recorded = [name for name, model in self.models.items() if not model.label.in_time]
        if self.validation.scheme == "time" and recorded:
            message = f"the label of {recorded[0]} is recorded once and has no later cutoff: leave `scheme` out"
            raise Faults([(("validation", "scheme"), message)])
        return self


def load_labels(workspace: Workspace) -> tuple[LabelsFile, Lines]:
    """Read ``training/labels.yaml``."""
    return load(workspace.file(FILE), LabelsFile, name=FILE)
