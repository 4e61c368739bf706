"""Who may be processed for what, and why not: the lawful basis of each purpose against the statements made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, get_args

from features.base.clock import iso
from features.base.database_engine import literal
from features.config.purposes import Purpose
from features.consent.status import AGAINST, LATEST, OPEN, UNKNOWN, about_sql, statements_sql

Reason = Literal["no_consent", "withdrawn", "objected", "unknown", "expired"]
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
    public task is ruled out by an objection (GDPR Art. 21). A latest statement that is not understood rules out both.
    Contract, legal obligation and vital interests need no statement.

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
    latest = _latest(purposes, as_of, known_at or as_of, consents) if statements else _NOTHING
    return f"""
SELECT e.customer_id, p.purpose, CASE p.purpose
    {reasons}
  END AS reason
FROM everybody e CROSS JOIN (VALUES {declared}) p(purpose)
LEFT JOIN ({latest}) w ON w.customer_id = e.customer_id AND w.purpose = p.purpose
"""


_NOTHING = (
    "SELECT NULL::VARCHAR AS customer_id, NULL::VARCHAR AS purpose, NULL::INT AS meaning, NULL::BOOLEAN AS objected, "
    "NULL::TIMESTAMPTZ AS at WHERE false"
)


def _latest(purposes: Mapping[str, Purpose], as_of: datetime, known_at: datetime, consents: str) -> str:
    made = (
        f"(event_time <= TIMESTAMPTZ {literal(iso(as_of))} OR meaning <= {UNKNOWN}) "
        f"AND known_at <= TIMESTAMPTZ {literal(iso(known_at))}"
    )
    return " UNION ALL ".join(
        f"""
    SELECT customer_id, {literal(name)} AS purpose, arg_max(meaning, {LATEST}) AS meaning,
           arg_max(event_time, {LATEST}) AS at, arg_max(objected, {LATEST}) AS objected
    FROM {statements_sql(consents)} WHERE {made} AND {about_sql(name, purposes[name].basis)}
    GROUP BY customer_id
"""
        for name in sorted(purposes)
    )


def _reason(purpose: Purpose, as_of: datetime) -> str:
    """Return SQL of why a customer may not be processed for a purpose, over the latest statement ``w``."""
    if purpose.basis == "consent":
        expired = ""
        if purpose.expires is not None:
            since = f"TIMESTAMPTZ {literal(iso(as_of - purpose.expires))}"
            expired = f" WHEN w.at <= {since} THEN 'expired'"
        return (
            f"CASE WHEN w.meaning IS NULL OR w.meaning = {OPEN} THEN 'no_consent' WHEN w.objected THEN 'objected' "
            f"WHEN w.meaning = {AGAINST} THEN 'withdrawn' WHEN w.meaning = {UNKNOWN} THEN 'unknown'{expired} END"
        )
    if purpose.basis in ("legitimate_interest", "public_task"):
        return f"CASE w.meaning WHEN {AGAINST} THEN 'objected' WHEN {UNKNOWN} THEN 'unknown' END"
    return "NULL"
