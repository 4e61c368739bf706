"""The consent status of each customer for each purpose, as of any moment: the latest known statement counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from features.base.database_engine import literal, quoted
from features.config.purposes import Purpose

#: Statements of a consent feed's ``status``, in any case.
GRANTED = ("granted", "given", "opt_in", "opt-in", "yes", "true", "1")
#: The words of `WITHDRAWN` by which somebody objects.
OBJECTED = ("objected", "objection", "object")
WITHDRAWN = (*OBJECTED, "withdrawn", "denied", "refused", "opt_out", "opt-out", "no", "false", "0")


def status_sql() -> str:
    """Return SQL of the status over ``consents``: 1 granted, 0 withdrawn, null when it is unknown.

    Examples
    --------
    >>> import duckdb
    >>> duckdb.sql(f"SELECT {status_sql()} FROM (VALUES ('Granted'), ('opt_out'), ('perhaps')) t(status)").fetchall()
    [(1,), (0,), (None,)]
    """
    granted = ", ".join(literal(word) for word in GRANTED)
    withdrawn = ", ".join(literal(word) for word in WITHDRAWN)
    return f"CASE WHEN lower(status) IN ({granted}) THEN 1 WHEN lower(status) IN ({withdrawn}) THEN 0 END"


def status_select(view: str, purposes: Mapping[str, Purpose]) -> str:
    """Return SQL of every customer's status on every purpose as of each cutoff of ``entity_rows``.

    At equal times a withdrawal outweighs a grant: when in doubt, the customer is left alone. A grant that has expired
    by the cutoff counts as withdrawn.

    Parameters
    ----------
    view : prefix of the columns ``VIEW__PURPOSE`` (1, 0 or null) and ``VIEW__PURPOSE_record``
    purposes : the declared purposes
    """
    columns = []
    for purpose in sorted(purposes):
        one = f"purpose = {literal(purpose)} AND word IS NOT NULL"
        latest = "(event_time, -word, feed, record_id)"
        word = f"arg_max(word, {latest}) FILTER ({one})"
        expires = purposes[purpose].expires
        if expires is not None:
            age = f"s.as_of - epoch_us(arg_max(event_time, {latest}) FILTER ({one}))"
            word = f"CASE WHEN {word} = 1 AND {age} >= {expires // timedelta(microseconds=1):d} THEN 0 ELSE {word} END"
        columns.append(f"CAST({word} AS BIGINT) AS {quoted(f'{view}__{purpose}')}")
        columns.append(
            f"arg_max(feed || ':' || record_id, {latest}) FILTER ({one}) AS {quoted(f'{view}__{purpose}_record')}"
        )
    chosen = ",\n  ".join(columns)
    return (
        f"SELECT s.customer_id, s.as_of,\n  {chosen}\n"
        f"FROM entity_rows s LEFT JOIN (SELECT *, {status_sql()} AS word FROM consents) c\n"
        "  ON c.customer_id = s.customer_id AND epoch_us(c.event_time) <= s.as_of AND epoch_us(c.known_at) <= s.as_of\n"
        "GROUP BY s.customer_id, s.as_of"
    )


def odd_select(purposes: Sequence[str]) -> str:
    """Return SQL that counts the consents with an unknown status or a purpose that is not declared.

    Examples
    --------
    >>> import duckdb
    >>> engine = duckdb.connect()
    >>> _ = engine.execute("CREATE TABLE consents AS SELECT 'perhaps' AS status, 'calls' AS purpose")
    >>> engine.sql(odd_select(["calls"])).fetchall()
    [(1,)]
    """
    listed = ", ".join(literal(purpose) for purpose in purposes) or "NULL"
    return f"SELECT count(*) FROM consents WHERE {status_sql()} IS NULL OR (purpose IN ({listed})) IS NOT TRUE"
