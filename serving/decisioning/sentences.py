"""A decision in short English sentences, for the person who talks to the customer."""

from __future__ import annotations

from serving.decisioning.decision import Decision, DecisionItem
from serving.decisioning.reason_codes import NO_ACTION, REGISTRY, Blocked, Reason


def explain(decision: Decision) -> tuple[str, ...]:
    """Return one sentence for each offer made, or one sentence with the reason for none.

    Examples
    --------
    ``1. fibre-upgrade by agent: score of the model cross_sell: 4.0%; worth of acceptance: 120.00; …``
    """
    if decision.is_no_action:
        return (f"No offer: {NO_ACTION[decision.no_action_reason or 'no_offers'].lower()}",)
    return tuple(explain_item(item) for item in decision.items)


def explain_item(item: DecisionItem) -> str:
    """Return why an offer is made, in one sentence."""
    why = "; ".join(explain_reason(reason) for reason in item.reasons)
    return f"{item.rank}. {item.offer} by {item.channel}: {why}"


def explain_reason(reason: Reason) -> str:
    """Return a reason with its number, for a reader who may see everything.

    Examples
    --------
    >>> explain_reason(Reason("driver", "raises the score", "tickets__count_30d", 3.0))
    'tickets__count_30d = 3 raises the score'
    >>> explain_reason(Reason("likelihood", "score of the model", "cross_sell", 0.04))
    'score of the model cross_sell: 4.0%'
    >>> explain_reason(Reason("rule", "the customer meets the rule", "eligibility", "holdings__fibre = 0"))
    'holdings__fibre = 0'
    """
    value = reason.value
    if reason.code == "driver" and reason.subject:
        shown = "missing" if value is None else f"{value:.6g}" if isinstance(value, float) else value
        return f"{reason.subject} = {shown} {reason.text}"
    if isinstance(value, str):
        return value
    if value is None:
        return reason.text
    if reason.code in ("value", "cost"):
        return f"{reason.text}: {value:.2f}"
    about = f" {reason.subject}" if reason.code == "likelihood" else ""
    return f"{reason.text}{about}: {value:.1%}"


def explain_blocked(blocked: Blocked) -> str:
    """Return why an offer is not made, in one sentence."""
    return f"{blocked.offer}: {REGISTRY[blocked.stage].lower()} ({blocked.rule})"
