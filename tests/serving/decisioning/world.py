"""A small world to decide in: one line makes an offer, a policy, a customer, a contact."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from serving.decisioning.contact_history import Contact, ContactHistory
from serving.decisioning.customer_inputs import CustomerBatch, Scores
from serving.decisioning.decide import decide
from serving.decisioning.decision import Decision
from serving.decisioning.offer_settings import OffersSettings
from serving.decisioning.policy import Policy, compile_policy

NOW = datetime(2026, 6, 1, 9, tzinfo=UTC)
PURPOSES = {"marketing": "consent", "service": "contract"}


def offer(name: str, **changes: Any) -> dict[str, Any]:
    """Return an offer that anyone who consents gets: 5 % likely, worth 100, at no cost, by agent."""
    plain = {
        "id": name,
        "group": "upsell",
        "purpose": "marketing",
        "channels": ["agent"],
        "value": {"margin": 100},
        "score": {"propensity": 0.05, "evidence": 200},
    }
    return {key: value for key, value in (plain | changes).items() if value is not None}


def policy(*offers: dict[str, Any], purposes: dict[str, str] | None = None, **settings: Any) -> Policy:
    found = OffersSettings.model_validate({"offers": list(offers), "policy": settings})
    return compile_policy(found, version="v1", purposes=PURPOSES if purposes is None else purposes)


def customers(
    *names: str,
    consent: Any = 1.0,
    scores: dict[str, Scores] | None = None,
    contacts: dict[str, list[Contact]] | None = None,
    **features: Any,
) -> CustomerBatch:
    """Return customers who share their features, or have one each where a list is given."""
    ids = names or ("ann",)
    columns = {"consent__marketing": consent, **features}
    arrays = {name: _column(value, len(ids)) for name, value in columns.items()}
    history = ContactHistory.of(ids, contacts or {})
    return CustomerBatch(ids, arrays, scores=scores or {}, contacts=history)


def _column(value: Any, rows: int) -> np.ndarray[Any, Any]:
    values = value if isinstance(value, list) else [value] * rows
    numbers = all(item is None or isinstance(item, int | float) for item in values)
    return (
        np.array([np.nan if item is None else item for item in values], dtype=float)
        if numbers
        else np.array(values, dtype=object)
    )


def ask(batch: CustomerBatch, catalogue: Policy, **changes: Any) -> list[Decision]:
    return decide(batch, catalogue, **({"channel": None, "purpose": None, "as_of": NOW} | changes))


def one(batch: CustomerBatch, catalogue: Policy, **changes: Any) -> Decision:
    (decision,) = ask(batch, catalogue, **changes)
    return decision


def made(decision: Decision) -> list[str]:
    return [item.offer for item in decision.items]


def stops(decision: Decision) -> dict[str, tuple[str, str]]:
    return {blocked.offer: (str(blocked.stage), blocked.rule) for blocked in decision.blocked}


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def contacted(
    name: str, days: float, *, channel: str = "agent", group: str = "upsell", outcome: str | None = None
) -> Contact:
    at = days_ago(days)
    return Contact(name, group, channel, at, outcome, None if outcome is None else at)
