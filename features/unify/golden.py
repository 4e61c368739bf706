"""Survivorship: which of a customer's records gives each field's value, as of any moment.

A source that overwrites its records keeps no history, so nothing can be quite true of its past. A record counts as of
a moment when it was known by then: ``known_at``, which is ``updated_at`` where the feed declares no other. A feed that
declares an earlier ``known_at`` (when the account was opened, say) states that its attributes may be used from then;
leaving them empty until the last change would tell a model of the past who was still to be a customer at that change.
A change from after the moment never makes its record win over another.
"""

from __future__ import annotations

from collections.abc import Sequence

from features.base.engine import literal, quoted
from features.declaration.canonical import CANONICAL
from features.declaration.survivorship import Survivorship

#: Microseconds that one place in a source order outweighs: more than any two times differ.
_PLACE = 10_000_000_000_000_000
#: Before every time that a feed may hold: a record that does not say when it changed yields to all that do.
_NEVER = -2_300_000_000_000_000
#: SQL condition under which a record counts as of the spine's ``as_of``.
VISIBLE = "epoch_us(known_at) <= as_of"
#: SQL of when a record had last changed as of the spine's ``as_of``, as far as one can tell.
CHANGED_BY_THEN = "CASE WHEN epoch_us(event_time) <= as_of THEN epoch_us(event_time) ELSE epoch_us(known_at) END"
_CHANGED = "epoch_us(event_time)"


def survivor(field: str, survivorship: Survivorship, *, visible: str = "true", changed: str = _CHANGED) -> str:
    """Return SQL of the aggregate that chooses one field's value among a customer's visible records.

    Empty values never win. Ties on the time of the last update go to the feed, then the record, that sorts last.

    Parameters
    ----------
    field : a column of ``customers``, canonical or ``feed.attribute``
    survivorship : the declared rules
    visible : SQL condition under which a record counts; all count if left out
    changed : SQL of when a record last changed, in microseconds since 1970
    """
    rule = survivorship.fields.get(field)
    rank = changed = f"coalesce({changed}, {_NEVER})"
    if rule is not None and rule.rule == "source_priority":
        places = " ".join(f"WHEN {literal(feed)} THEN {len(rule.order) - at}" for at, feed in enumerate(rule.order))
        rank = f"(CASE feed {places} ELSE 0 END)::HUGEINT * {_PLACE} + {changed}"
    column = quoted(field)
    return f"arg_max({column}, ({rank}, feed, record_id)) FILTER ({column} IS NOT NULL AND {visible})"


def golden_select(columns: Sequence[str], survivorship: Survivorship) -> str:
    """Return SQL of the golden record of every customer over the table ``customers``, as known now.

    Parameters
    ----------
    columns : the columns of the table ``customers``
    survivorship : the declared rules
    """
    fixed = {"customer_id", "feed", "record_id", "event_time", "known_at"}
    fields = [*CANONICAL["customers"].fields, *sorted(column for column in columns if "." in column)]
    chosen = ",\n  ".join(
        f"{survivor(field, survivorship)} AS {quoted(field)}" for field in fields if field not in fixed
    )
    return (
        f"SELECT customer_id, count(*) AS records, min(known_at) AS known_at,\n  {chosen}\n"
        "FROM customers GROUP BY customer_id ORDER BY customer_id"
    )
