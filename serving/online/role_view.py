"""Answers as a role may see them: a field that it does not hold is left out, not emptied."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from features.base.clock import iso
from serving.decisioning.customer_inputs import Scores
from serving.decisioning.decision import DecisionItem
from serving.decisioning.policy import CONSENT_PREFIX, SCORE_PREFIX
from serving.decisioning.reason_codes import Blocked, Reason, Stage
from serving.online.roles import Role
from serving.online.schemas import (
    BlockedReply,
    CustomerReply,
    DecideReply,
    FeatureValue,
    ItemReply,
    ReasonReply,
    ScoreValue,
    Versions,
)

if TYPE_CHECKING:
    from features.store.online_reader import OnlineRow
    from serving.engine import OnlineDecision
    from serving.online.service_context import ServiceContext

_RECORD = "_record"


def versions_of(context: ServiceContext) -> Versions:
    """Return what the service decides with."""
    decider = context.decider
    return Versions(
        policy=decider.policy.version, models=dict(decider.scorer.versions), features=decider.catalogue.digest[:12]
    )


def decide_reply(answer: OnlineDecision, row: OnlineRow, *, role: Role, context: ServiceContext) -> DecideReply:
    """Return a decision as the role may see it."""
    decision = answer.decision
    fields = _risk(row, role=role, context=context)
    if role.holds("offers"):
        titles = {offer.id: offer.settings.title for offer in context.decider.policy.offers}
        fields["items"] = [_item(item, title=titles[item.offer], role=role, context=context) for item in decision.items]
        fields["no_action_reason"] = decision.no_action_reason
    if role.holds("blocked"):
        fields["blocked"] = [blocked_reply(one, role=role, context=context) for one in decision.blocked]
    if role.holds("decision"):
        fields["decision_time"] = iso(decision.decision_time)
        fields["control_group"] = decision.control_group
        fields["selection_prob"] = decision.selection_prob
    return DecideReply(
        decision_id=decision.decision_id,
        degraded=list(answer.degraded),
        versions=versions_of(context),
        ttl_s=context.ttl_s,
        **fields,
    )


def customer_reply(row: OnlineRow, *, role: Role, context: ServiceContext) -> CustomerReply:
    """Return what is known of a customer, as far as the role may see it."""
    fields = _risk(row, role=role, context=context)
    if role.holds("consents"):
        fields["consents"] = {
            name.removeprefix(CONSENT_PREFIX): None if row.values[name] is None else bool(row.values[name])
            for name in consent_columns(context)
        }
    if role.holds("scores"):
        models = context.decider.scorer.models
        fields["scores"] = scores_of(context.decider.scores([row], models=models), 0)
    if role.holds("profile"):
        fields["profile"] = {name: _plain(row.values[name]) for name in sorted(context.profile)}
    if role.holds("features"):
        fields["features"] = {name: _plain(row.values[name]) for name in context.decider.catalogue.features}
    times = [moment for moment in row.event_times.values() if moment is not None]
    return CustomerReply(
        customer_id=row.customer_id,
        feature_time=iso(min(times)) if times else None,
        degraded=list(context.decider.freshness(row)),
        **fields,
    )


def columns_for(role: Role, context: ServiceContext) -> tuple[str, ...]:
    """Return the features that `customer_reply` shows a role."""
    if role.holds("features"):
        return context.decider.catalogue.features
    profile = sorted(context.profile) if role.holds("profile") else []
    return (*profile, *(consent_columns(context) if role.holds("consents") else ()))


def consent_columns(context: ServiceContext) -> list[str]:
    """Return the features that say what a customer has allowed."""
    names = [name for name in context.decider.catalogue.features if name.startswith(CONSENT_PREFIX)]
    return [name for name in names if not (name.endswith(_RECORD) and name.removesuffix(_RECORD) in names)]


def scores_of(scores: Mapping[str, Scores], row: int) -> dict[str, ScoreValue]:
    """Return one customer's scores; what is not a number is null.

    Examples
    --------
    >>> import numpy as np
    >>> scores_of({"churn": Scores(np.array([0.25, np.nan]))}, 1)
    {'churn': None}
    """
    found: dict[str, ScoreValue] = {}
    for model, one in scores.items():
        if one.values.ndim == 1:
            found[model] = _finite(float(one.values[row]))
        else:
            values = one.values[row].tolist()
            found[model] = {name: _finite(value) for name, value in zip(one.candidates, values, strict=True)}
    return found


def _item(item: DecisionItem, *, title: str | None, role: Role, context: ServiceContext) -> ItemReply:
    fields: dict[str, Any] = {} if title is None else {"title": title}
    if role.holds("reasons"):
        fields["reasons"] = [_reason(reason, role=role, context=context) for reason in item.reasons]
    if role.holds("propensity"):
        fields["propensity"] = item.propensity
    if role.holds("value"):
        fields |= {"value": item.value, "cost": item.cost, "priority": item.priority}
    return ItemReply(offer=item.offer, group=item.group, channel=item.channel, rank=item.rank, **fields)


def blocked_reply(blocked: Blocked, *, role: Role, context: ServiceContext) -> BlockedReply:
    """Return why an offer is not made; the rule only for a role that may see all that the rule reveals."""
    if _may_see_rule(blocked, role=role, context=context):
        return BlockedReply(offer=blocked.offer, stage=str(blocked.stage), rule=blocked.rule)
    return BlockedReply(offer=blocked.offer, stage=str(blocked.stage))


def _may_see_rule(blocked: Blocked, *, role: Role, context: ServiceContext) -> bool:
    match blocked.stage:
        case Stage.CONSENT:  # whether the customer has objected, has not consented, or neither could be read
            return role.holds("consents")
        case Stage.CAP | Stage.SUPPRESSION:  # how often the customer was contacted, and how they responded
            return role.holds("features")
        case _:
            columns = context.rule_columns.get(blocked.rule, frozenset())
            return all(_shows_column(name, role=role, context=context) for name in columns)


def _reason(reason: Reason, *, role: Role, context: ServiceContext) -> ReasonReply:
    """Return a reason, with its value only for a role that holds the field which the value reveals."""
    if reason.value is None or not _reveals_only_held(reason, role=role, context=context):
        return ReasonReply(code=reason.code, subject=reason.subject, text=reason.text)
    return ReasonReply(code=reason.code, subject=reason.subject, text=reason.text, value=reason.value)


def _reveals_only_held(reason: Reason, *, role: Role, context: ServiceContext) -> bool:
    match reason.code:
        case "likelihood" | "starting_propensity":
            return role.holds("propensity")
        case "value" | "cost":
            return role.holds("value")
        case "driver":
            return _shows_column(reason.subject, role=role, context=context)
        case "rule":
            columns = context.rule_columns.get(str(reason.value))
            return columns is not None and all(_shows_column(name, role=role, context=context) for name in columns)
        case _:
            return False


def _shows_column(name: str, *, role: Role, context: ServiceContext) -> bool:
    """Return whether a role may see the value of a feature or a score."""
    if name.startswith(SCORE_PREFIX):
        return role.holds("scores")
    if name.startswith(CONSENT_PREFIX) and role.holds("consents"):
        return True
    return role.holds("features") or (name in context.profile and role.holds("profile"))


def _risk(row: OnlineRow, *, role: Role, context: ServiceContext) -> dict[str, Any]:
    score = context.risk_score(row) if role.holds("risk_band") else None
    return {} if score is None else {"risk_band": context.risk.band(score)}


def _plain(value: object) -> FeatureValue:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, float):
        return _finite(value)
    return value if isinstance(value, (bool, int, str)) else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
