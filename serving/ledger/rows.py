"""Encode a decision as rows of the ledger, and decode it without loss."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any

from serving.decisioning.contact_history import EPOCH, micros
from serving.decisioning.decision import NO_ACTION_OFFER, Decision, DecisionItem
from serving.decisioning.reason_codes import Blocked, Reason, Stage

Row = tuple[Any, ...]


def moment(stamp: int) -> datetime:
    """Return a stored time as a datetime; the ledger stores microseconds since 1970, UTC.

    Examples
    --------
    >>> moment(86_400_000_000)
    datetime.datetime(1970, 1, 2, 0, 0, tzinfo=datetime.timezone.utc)
    """
    return EPOCH + timedelta(microseconds=stamp)


def interaction_id(decision_id: str, offer: str) -> str:
    """Return the id of one offer (or of no action) in one decision.

    Examples
    --------
    >>> interaction_id("4f1a", "fibre-upgrade")
    '4f1a/fibre-upgrade'
    """
    return f"{decision_id}/{offer}"


class Encoder:
    """Encodes decisions as rows; JSON that many decisions share is encoded once.

    Attributes
    ----------
    refusals : the rows of ``refusals`` that the decisions encoded so far refer to
    """

    def __init__(self) -> None:
        self.refusals: dict[tuple[Blocked, ...], Row] = {}
        self._reasons: dict[Reason, str] = {}

    def decision(self, decision: Decision, *, actor_role: str) -> Row:
        """Return the row of ``decisions``."""
        refusals = self.refusals.get(decision.blocked)
        if refusals is None:
            text = encode_blocked(decision.blocked)
            refusals = self.refusals[decision.blocked] = (hashlib.sha256(text.encode()).hexdigest()[:32], text)
        return (
            decision.decision_id,
            decision.customer_id,
            decision.identity_version,
            micros(decision.decision_time),
            decision.scope,
            decision.channel,
            decision.purpose,
            actor_role,
            int(decision.control_group),
            decision.selection_prob,
            decision.no_action_reason,
            decision.policy_version,
            json.dumps(dict(decision.model_versions), sort_keys=True),
            None if decision.feature_time is None else micros(decision.feature_time),
            decision.consent_record,
            refusals[0],
        )

    def interactions(self, decision: Decision) -> Iterator[Row]:
        """Yield the rows of ``interactions``: one for each offer made, or one for no action."""
        made = decision.decision_id
        if decision.is_no_action:
            numbers = (None,) * 7
            yield (made, NO_ACTION_OFFER, None, None, None, *numbers, decision.selection_prob, "[]")
        for item in decision.items:
            yield (
                made,
                item.offer,
                item.group,
                item.purpose,
                item.channel,
                item.rank,
                item.propensity,
                item.value,
                item.cost,
                item.context_weight,
                item.lever,
                item.priority,
                item.selection_prob,
                self._reasons_of(item),
            )

    def _reasons_of(self, item: DecisionItem) -> str:
        written = []
        for reason in item.reasons:
            text = self._reasons.get(reason)
            if text is None:
                text = self._reasons[reason] = json.dumps(reason, ensure_ascii=False)
            written.append(text)
        return f"[{','.join(written)}]"


def decode(row: Row, interactions: Iterable[Row]) -> Decision:
    """Return the decision that `Encoder` wrote; the last field of `row` is the JSON of its refusals."""
    (decision_id, customer, identity, at, scope, channel, purpose, _, control, prob, no_action, policy, *rest) = row
    models, feature_time, consent, blocked = rest
    return Decision(
        decision_id=decision_id,
        customer_id=customer,
        decision_time=moment(at),
        scope=scope,
        channel=channel,
        purpose=purpose,
        items=tuple(_item(one) for one in interactions if one[1] != NO_ACTION_OFFER),
        blocked=decode_blocked(blocked),
        no_action_reason=no_action,
        control_group=bool(control),
        selection_prob=prob,
        policy_version=policy,
        model_versions=json.loads(models),
        feature_time=None if feature_time is None else moment(feature_time),
        consent_record=consent,
        identity_version=identity,
    )


def _item(row: Row) -> DecisionItem:
    (_, offer, group, purpose, channel, rank, propensity, value, cost, weight, lever, priority, prob, reasons) = row
    return DecisionItem(
        offer=offer,
        group=group,
        purpose=purpose,
        channel=channel,
        rank=rank,
        propensity=propensity,
        value=value,
        cost=cost,
        priority=priority,
        lever=lever,
        context_weight=weight,
        selection_prob=prob,
        reasons=tuple(Reason(*fields) for fields in json.loads(reasons)),
    )


def encode_blocked(blocked: tuple[Blocked, ...]) -> str:
    """Return blocked offers as JSON, those with the same stage and rule together.

    Examples
    --------
    >>> encode_blocked((Blocked("a", Stage.FLOOR, "floor 0"), Blocked("b", Stage.FLOOR, "floor 0")))
    '[["floor","floor 0",["a","b"]]]'
    """
    cause = attrgetter("stage", "rule")
    grouped = groupby(sorted(blocked, key=cause), key=cause)
    return json.dumps(
        [[stage, rule, [one.offer for one in same]] for (stage, rule), same in grouped],
        ensure_ascii=False,
        separators=(",", ":"),
    )


def decode_blocked(text: str) -> tuple[Blocked, ...]:
    """Return the blocked offers that `encode_blocked` wrote, ordered by offer.

    Examples
    --------
    >>> decode_blocked('[["floor","floor 0",["a"]]]')
    (Blocked(offer='a', stage=<Stage.FLOOR: 'floor'>, rule='floor 0'),)
    """
    found = [Blocked(offer, Stage(stage), rule) for stage, rule, offers in json.loads(text) for offer in offers]
    return tuple(sorted(found))
