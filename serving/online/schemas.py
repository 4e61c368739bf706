"""The request and reply models of the API: strict requests; replies without the fields that a role does not hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema

from features.streaming.event import StreamedEvent
from serving.decisioning.offer_settings import Outcome

CUSTOMER_ID = r"^[A-Za-z0-9][A-Za-z0-9_.:@~\-]{0,127}$"
MOST_CUSTOMERS = 100
MOST_EVENTS = 500
HEAVIEST = 100.0

CustomerId = Annotated[str, StringConstraints(pattern=CUSTOMER_ID)]
Named = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$", max_length=100)]
Weight = Annotated[float, Field(ge=0, le=HEAVIEST, allow_inf_nan=False)]
FeatureValue = float | int | str | bool | None
ScoreValue = float | dict[str, float | None] | None
Absent = SkipJsonSchema[None]
"""Marks a field that may be absent; it is never null on the wire."""


def _without_null_defaults(schema: dict[str, Any]) -> None:
    for one in schema.get("properties", {}).values():
        if one.get("default", ...) is None:
            del one["default"]


class Request(BaseModel):
    """Base of all requests: no unknown key, no conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Reply(BaseModel):
    """Base of all replies."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_without_null_defaults)


class Context(Request):
    """The situation in which the caller decides."""

    weights: dict[Named, Weight] = Field(
        default_factory=dict,
        max_length=200,
        description="weight of an offer in this context, by offer; 1 changes nothing",
    )


class DecideRequest(Request):
    """A request for the next best offers to one customer."""

    customer_id: CustomerId
    purpose: Named = Field(description="what the customer's data are used for; the role must hold it")
    channel: Named | None = Field(default=None, description="through which the offer would go; any when left out")
    context: Context = Field(default_factory=Context)


class OutcomeRequest(Request):
    """The outcome of an offer."""

    decision_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    offer: Named = Field(description="an offer of the decision, or NO_ACTION")
    outcome: Outcome
    reason: Annotated[str, StringConstraints(max_length=500)] | None = Field(
        default=None, description="why, such as an agent's reason to override; no personal data"
    )


class ScoreRequest(Request):
    """A request for the models' scores of a few customers."""

    customer_ids: list[CustomerId] = Field(min_length=1, max_length=MOST_CUSTOMERS)
    models: list[Named] | None = Field(default=None, min_length=1, max_length=50, description="all when left out")


class EventsRequest(Request):
    """What customers did."""

    events: list[StreamedEvent] = Field(min_length=1, max_length=MOST_EVENTS)


class EventsReply(Reply):
    """What became of the events; all of them are on the disk by now."""

    accepted: int = Field(description="new, and in the log")
    duplicates: int = Field(description="in the log already, under the same feed and id")
    dead_letters: dict[str, int] = Field(
        description="dead letters, by reason (feed, future, unknown_customer, unknown_record), until they can be used"
    )


class ReasonReply(Reply):
    """Why: a stable code, what it is about, and a sentence without any number for people."""

    code: str
    subject: str = Field(description="what it is about: a feature, a model, an offer or the stage of a rule")
    text: str
    value: float | str | Absent = Field(
        default=None, description="the number, the feature's value or the rule, for a role that holds what it reveals"
    )


class ItemReply(Reply):
    """One offer."""

    offer: str
    title: str | Absent = None
    group: str
    channel: str
    rank: int
    reasons: list[ReasonReply] | Absent = Field(default=None, description="field `reasons`")
    propensity: float | None = Field(default=None, description="field `propensity`; null when the offer has none")
    value: float | None = Field(default=None, description="field `value`: margin of acceptance; null when it has none")
    cost: float | Absent = Field(default=None, description="field `value`: what the contact costs")
    priority: float | Absent = Field(default=None, description="field `value`: expected value, what ranks the offers")


class BlockedReply(Reply):
    """One offer that is not made."""

    offer: str
    stage: str
    rule: str | Absent = Field(default=None, description="for a role that may see every value that the rule reads")


class Versions(Reply):
    """What decided."""

    policy: str
    models: dict[str, str]
    features: str


class DecideReply(Reply):
    """The next best offers; which fields are there depends on the role."""

    decision_id: str
    items: list[ItemReply] | Absent = Field(default=None, description="field `offers`; by rank, empty for no action")
    no_action_reason: str | None = Field(default=None, description="field `offers`; null when there are items")
    blocked: list[BlockedReply] | Absent = Field(default=None, description="field `blocked`")
    risk_band: Literal["low", "medium", "high"] | Absent = Field(
        default=None, description="field `risk_band`; absent also where the model has no score"
    )
    decision_time: str | Absent = Field(default=None, description="field `decision`")
    control_group: bool | Absent = Field(default=None, description="field `decision`")
    selection_prob: float | Absent = Field(default=None, description="field `decision`")
    degraded: list[str]
    versions: Versions
    ttl_s: int = Field(description="for how many seconds the answer may be shown")


class OutcomeReply(Reply):
    """Whether the outcome is new; the same one twice is written once."""

    recorded: bool


class ScoreReply(Reply):
    """Scores by customer and model: a number, a number per candidate, or null where there is none."""

    scores: dict[str, dict[str, ScoreValue]]
    degraded: list[str]
    versions: Versions


class CustomerReply(Reply):
    """One customer; which fields are there depends on the role."""

    customer_id: str
    risk_band: Literal["low", "medium", "high"] | Absent = Field(default=None, description="field `risk_band`")
    consents: dict[str, bool | None] | Absent = Field(
        default=None, description="field `consents`; by purpose, null where nothing is recorded"
    )
    scores: dict[str, ScoreValue] | Absent = Field(default=None, description="field `scores`; by model")
    profile: dict[str, FeatureValue] | Absent = Field(default=None, description="field `profile`")
    features: dict[str, FeatureValue] | Absent = Field(default=None, description="field `features`")
    feature_time: str | None = Field(description="the moment as of which the oldest of these values holds")
    degraded: list[str]


class StateReply(Reply):
    """Whether the service is there."""

    status: Literal["alive", "ready"]


class ProblemReply(Reply):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str = Field(description="stable, for programs")
    detail: str
    pointer: str = Field(description="JSON pointer into the request's body; empty when it is not about one place")
    request_id: str
