"""Who may be processed for what, and why not: the lawful basis of each purpose against the statements made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, get_args

from features.base.clock import iso
from features.base.database_engine import literal
from features.config.purposes import Purpose
from features.consent.status import OBJECTED, status_sql

Reason = Literal["no_consent", "withdrawn", "objected", "expired"]
REASONS: tuple[str, ...] = get_args(Reason)


def basis_select(
    purposes: Mapping[str, Purpose],
    *,
    as_of: datetime,
    statements: bool,
    known_at: datetime | None = None,
    consents: str = "consents",
) -> str:
    """Return SQL of (customer_id, purpose, reason); the reason is null where the purpose has a basis.

    The latest statement that was made and known by `as_of` counts; at equal times a withdrawal outweighs a grant. A
    purpose that rests on consent needs a grant that has not expired. One that rests on a legitimate interest or a
    public task is ruled out by an objection (GDPR Art. 21). Contract, legal obligation and vital interests need no
    statement.

    Parameters
    ----------
    purposes : the declared purposes, at least one
    as_of : the moment
    known_at : statements that came to light later do not count; `as_of` if left out
    statements : whether a table ``consents`` exists; without one nobody ever said anything

    consents : the name of that table

    Notes
    -----
    Over the view ``everybody`` (customer_id) and the table of consents.
    """
    declared = ", ".join(f"({literal(name)})" for name in sorted(purposes))
    reasons = "\n    ".join(f"WHEN {literal(name)} THEN {_reason(purposes[name], as_of)}" for name in sorted(purposes))
    latest = _latest(as_of, known_at or as_of, consents) if statements else _NOTHING
    return f"""
SELECT e.customer_id, p.purpose, CASE p.purpose
    {reasons}
  END AS reason
FROM everybody e CROSS JOIN (VALUES {declared}) p(purpose)
LEFT JOIN ({latest}) w ON w.customer_id = e.customer_id AND w.purpose = p.purpose
"""


_NOTHING = (
    "SELECT NULL::VARCHAR AS customer_id, NULL::VARCHAR AS purpose, NULL::INT AS word, NULL::BOOLEAN AS objected, "
    "NULL::TIMESTAMPTZ AS at WHERE false"
)


def _latest(as_of: datetime, known_at: datetime, consents: str) -> str:
    moment = f"TIMESTAMPTZ {literal(iso(as_of))}"
    order = "(event_time, -word, feed, record_id)"
    objected = ", ".join(literal(word) for word in OBJECTED)
    return f"""
    SELECT customer_id, purpose, arg_max(word, {order}) AS word, arg_max(event_time, {order}) AS at,
           arg_max(lower(status) IN ({objected}), {order}) AS objected
    FROM (SELECT *, {status_sql()} AS word FROM {consents})
    WHERE word IS NOT NULL AND event_time <= {moment} AND known_at <= TIMESTAMPTZ {literal(iso(known_at))}
    GROUP BY customer_id, purpose
"""


def _reason(purpose: Purpose, as_of: datetime) -> str:
    """Return SQL of why a customer may not be processed for a purpose, over the latest statement ``w``."""
    if purpose.basis == "consent":
        expired = ""
        if purpose.expires is not None:
            since = f"TIMESTAMPTZ {literal(iso(as_of - purpose.expires))}"
            expired = f" WHEN w.at <= {since} THEN 'expired'"
        return (
            "CASE WHEN w.word IS NULL THEN 'no_consent' WHEN w.objected THEN 'objected' "
            f"WHEN w.word = 0 THEN 'withdrawn'{expired} END"
        )
    if purpose.basis in ("legitimate_interest", "public_task"):
        return "CASE WHEN w.word = 0 THEN 'objected' END"
    return "NULL"
