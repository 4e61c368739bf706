"""The stages of a decision and the registry of reason codes: every code has a title."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Stage(StrEnum):
    """The stages that can block an offer, in the order in which they are checked; the first that blocks is recorded."""

    CUSTOMER_UNKNOWN = "customer_unknown"
    FEATURES_UNREAD = "features_unread"
    VALIDITY = "validity"
    CHANNEL = "channel"
    PURPOSE = "purpose"
    CONSENT = "consent"
    ELIGIBILITY = "eligibility"
    APPLICABILITY = "applicability"
    SUITABILITY = "suitability"
    CAP = "cap"
    SUPPRESSION = "suppression"
    SCORE_MISSING = "score_missing"
    FLOOR = "floor"
    CONTROL = "control"
    CAPACITY = "capacity"
    ARBITRATION = "arbitration"


class Reason(NamedTuple):
    """One reason for an offer; its number is a field of its own, so that it can be withheld.

    Attributes
    ----------
    code : of the registry
    text : a short English text without any number or value of a feature
    subject : what the reason is about: a feature, a model, an offer or the stage of a rule
    value : the number, the feature's value or the rule; none where there is none or the feature is missing
    """

    code: str
    text: str
    subject: str = ""
    value: float | str | None = None


class Blocked(NamedTuple):
    """One offer that was not made: the stage that stopped it and the rule's name."""

    offer: str
    stage: Stage
    rule: str


BLOCKED: dict[str, str] = {
    Stage.CUSTOMER_UNKNOWN: "The customer is not known, so nothing is offered",
    Stage.FEATURES_UNREAD: "The customer's features could not be read, so nothing is offered",
    Stage.VALIDITY: "The offer is outside the dates on which it is valid",
    Stage.CHANNEL: "The offer is not made through this channel",
    Stage.PURPOSE: "The offer's purpose is not the requested one, or is not declared",
    Stage.CONSENT: "The customer has not consented to the offer's purpose, has objected, or neither could be read",
    Stage.ELIGIBILITY: "The customer does not meet the offer's eligibility rule",
    Stage.APPLICABILITY: "The offer does not apply to what the customer has",
    Stage.SUITABILITY: "The offer does not suit the customer's situation",
    Stage.CAP: "The customer has been contacted as often as a contact cap allows",
    Stage.SUPPRESSION: "The offer rests after the customer's earlier response",
    Stage.SCORE_MISSING: "There is no score or no margin for this customer",
    Stage.FLOOR: "The expected value is below the floor",
    Stage.CONTROL: "The customer is in the control group, from which marketing offers are withheld",
    Stage.CAPACITY: "The channel's capacity went to offers of higher priority",
    Stage.ARBITRATION: "Other offers had a higher priority",
}

WHY_THIS: dict[str, str] = {
    "driver": "What moved the model's score for this customer",
    "likelihood": "How likely acceptance is, or by how much contact raises it",
    "starting_propensity": "The likelihood is a stated starting value, updated with the outcomes so far",
    "value": "What acceptance is worth",
    "cost": "What the contact costs",
    "rule": "A rule of the offer that the customer meets",
    "mandatory": "The offer must be shown",
    "transactional": "The message belongs to a running transaction and is not marketing",
}

CONTROL_GROUP = "control_group"
NO_OFFERS = "no_offers"

NO_ACTION: dict[str, str] = {
    **{stage: title for stage, title in BLOCKED.items() if stage not in (Stage.CONTROL, Stage.ARBITRATION)},
    CONTROL_GROUP: BLOCKED[Stage.CONTROL],
    NO_OFFERS: "The catalogue holds no offer",
}

REGISTRY: dict[str, str] = {**BLOCKED, **WHY_THIS, **NO_ACTION}
"""Every code that a decision can carry, with its title: the one place from which the documentation is made."""
