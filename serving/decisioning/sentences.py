"""A decision in short English sentences, for the person who talks to the customer."""

from __future__ import annotations

from serving.decisioning.decision import Decision, DecisionItem
from serving.decisioning.reason_codes import NO_ACTION, REGISTRY, Blocked


def explain(decision: Decision) -> tuple[str, ...]:
    """Return one sentence for each offer made, or one that says why there is none.

    Examples
    --------
    ``1. fibre-upgrade by agent: score 4.0% by cross_sell; acceptance is worth 120.00, contact costs 2.50``
    """
    if decision.is_no_action:
        return (f"No offer: {NO_ACTION[decision.no_action_reason or 'no_offers'].lower()}",)
    return tuple(explain_item(item) for item in decision.items)


def explain_item(item: DecisionItem) -> str:
    """Return why an offer is made, in one sentence."""
    why = "; ".join(reason.text for reason in item.reasons)
    return f"{item.rank}. {item.offer} by {item.channel}: {why}"


def explain_blocked(blocked: Blocked) -> str:
    """Return why an offer is not made, in one sentence."""
    return f"{blocked.offer}: {REGISTRY[blocked.stage].lower()} ({blocked.rule})"
