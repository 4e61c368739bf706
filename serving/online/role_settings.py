"""``serving/roles.yaml``, typed: who may see what, for which purpose, of whom."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from features.base.duration import PositiveDuration
from features.base.workspace import is_reference
from features.config.loading import Settings
from serving.decisioning.offer_settings import Name, Text

FILE = "serving/roles.yaml"
FieldName = Literal[
    "offers",
    "reasons",
    "blocked",
    "propensity",
    "value",
    "decision",
    "risk_band",
    "scores",
    "features",
    "profile",
    "consents",
    "events",
    "metrics",
]
FIELDS: dict[FieldName, str] = {
    "offers": "which offers are made and their rank, or why there is none",
    "reasons": "why each offer is made; a reason's value only for a role that holds the field it reveals",
    "blocked": "the offers that are not made, each with the stage; its rule only for a role that holds what it reveals",
    "propensity": "how likely each offer is to be accepted",
    "value": "what each offer is worth: margin, cost and priority",
    "decision": "when and how it was decided: moment, control group, selection probability",
    "risk_band": "whether the customer is likely to leave: low, medium or high, never the number",
    "scores": "the models' scores: POST /v1/score, and among a customer's data",
    "features": "every feature of a customer",
    "profile": "the features of a customer that come from the customers table (attributes)",
    "consents": "what the customer has allowed",
    "events": "POST /v1/events: sends events of any customer; the count of dead letters reveals whether an id is known",
    "metrics": "GET /metrics",
}
"""The closed list of fields, and what each covers; ids, versions and what was degraded are in every answer."""

ActionName = Literal["decide", "outcomes", "score", "customers", "events", "metrics"]
ACTIONS: dict[ActionName, str] = {
    "decide": "POST /v1/decide",
    "outcomes": "POST /v1/outcomes",
    "score": "POST /v1/score",
    "customers": "GET /v1/customers/{customer_id}",
    "events": "POST /v1/events",
    "metrics": "GET /metrics",
}
"""The closed list of actions, and the route of each."""

NEEDED: dict[ActionName, tuple[FieldName, ...]] = {
    "decide": ("offers", "reasons", "blocked", "propensity", "value", "decision", "risk_band"),
    "outcomes": ("offers",),
    "score": ("scores",),
    "customers": ("risk_band", "consents", "scores", "profile", "features"),
    "events": ("events",),
    "metrics": ("metrics",),
}
"""The fields of which a role must hold one for an action."""


def _reference(value: str) -> str:
    if not is_reference(value):
        raise ValueError("a key is never written here: write ${env:NAME} or ${file:state/keys/NAME.key}")
    return value


class RoleSettings(Settings):
    """One role: its key, the purposes it acts for, the customers and the fields it may see."""

    key: str = Field(description="where its key lies: ${env:NAME} or ${file:state/keys/NAME.key}")
    purposes: tuple[Name, ...] = Field(min_length=1, description="of features/feeds.yaml")
    rows: Text = Field(default="all", description="all, the name of a row rule, or an expression over features")
    fields: tuple[FieldName, ...] = Field(min_length=1, description="what its answers hold; the rest is absent")
    channels: tuple[Name, ...] | None = Field(
        default=None, description="the channels it decides for and reports outcomes of; any if left out"
    )
    actions: tuple[ActionName, ...] | None = Field(
        default=None, description="what it may do of all that its fields allow; all of that if left out"
    )

    _key = field_validator("key")(_reference)


class RiskBands(Settings):
    """How a model's score becomes a band: below `medium` is low, from `high` on is high."""

    model: Name = Field(default="churn", description="the model of training/labels.yaml")
    medium: float = Field(default=0.1, gt=0, lt=1, description="scores below it are low")
    high: float = Field(default=0.3, gt=0, lt=1, description="scores from it on are high")

    @model_validator(mode="after")
    def _ordered(self) -> RiskBands:
        if self.medium >= self.high:
            raise ValueError("`medium` must lie below `high`")
        return self

    def band(self, score: float) -> Literal["low", "medium", "high"]:
        """Return the band of a score.

        Examples
        --------
        >>> RiskBands(medium=0.1, high=0.3).band(0.2)
        'medium'
        """
        return "low" if score < self.medium else "medium" if score < self.high else "high"


class FeatureReadSampling(Settings):
    """Which share of the reads is kept, for how long, so that `nextbest features consistency` can check them."""

    sample: Annotated[float, Field(ge=0, le=1)] = Field(default=0.0, description="share of the customers' reads")
    keep: PositiveDuration = Field(default=timedelta(days=14), description="how long they are kept")


class RolesFile(Settings):
    """The whole of ``serving/roles.yaml``."""

    roles: dict[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)], RoleSettings] = Field(
        min_length=1, description="name: what a role may see and do"
    )
    row_rules: dict[Name, Text] = Field(default_factory=dict, description="named conditions over features, for `rows`")
    risk: RiskBands = Field(default=RiskBands(), description="how a score becomes low, medium or high")
    served: FeatureReadSampling = Field(
        default=FeatureReadSampling(), description="which feature reads are sampled, to be checked later"
    )
