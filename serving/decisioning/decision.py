"""A decision and its items: the same values online, in batch, in the ledger and in the console."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from serving.decisioning.reason_codes import Blocked, Reason

Scope = Literal["batch", "online"]
NO_ACTION_OFFER = "NO_ACTION"
"""The offer's name in the ledger when nothing is offered."""


class DecisionItem(NamedTuple):
    """One offer that is made.

    Attributes
    ----------
    offer, group, purpose : the offer's id, group and purpose
    channel : the channel it goes through
    rank : 1 is the first
    propensity : the model's score as used: a probability of acceptance, or an uplift; none when a mandatory or
        transactional offer has no score
    value : margin of acceptance, in the company's currency; none when a mandatory or transactional offer has none
    cost : what making the offer costs, in the company's currency
    priority : ``propensity * value * context_weight * lever - cost``, in the company's currency
    lever : the weight of the offer in the catalogue
    context_weight : the weight that the caller gave the offer in this context
    selection_prob : probability, before the customer's arm was drawn, that the policy made this offer
    reasons : why this offer
    """

    offer: str
    group: str
    purpose: str
    channel: str
    rank: int
    propensity: float | None
    value: float | None
    cost: float
    priority: float
    lever: float
    context_weight: float
    selection_prob: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for one customer at one moment; without items it is a ``NO_ACTION``.

    Attributes
    ----------
    decision_id : the same for the same customer, moment, channel, purpose, policy and request
    channel, purpose : as requested; none means any
    items : the offers made, by rank
    blocked : the offers not made, each with the first stage that stopped it
    no_action_reason : code of the registry when there are no items, else none
    control_group : the customer is in the control group (also when there was nothing to withhold)
    selection_prob : of the decision: for a NO_ACTION the share of the control group when that is why, else 1
    model_versions : the models whose scores were given, with their versions
    feature_time : the moment as of which the features hold
    consent_record : reference to the consent entries that were read
    identity_version : version of the identity resolution behind the customer id
    """

    decision_id: str
    customer_id: str
    decision_time: datetime
    scope: Scope
    channel: str | None
    purpose: str | None
    items: tuple[DecisionItem, ...]
    blocked: tuple[Blocked, ...]
    no_action_reason: str | None
    control_group: bool
    selection_prob: float
    policy_version: str
    model_versions: Mapping[str, str]
    feature_time: datetime | None = None
    consent_record: str | None = None
    identity_version: str | None = None

    @property
    def is_no_action(self) -> bool:
        return not self.items

    @property
    def best(self) -> DecisionItem | None:
        """The first item, if any."""
        return self.items[0] if self.items else None
