"""The consent status of each customer for each purpose, as of any moment: the latest known statement counts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from features.base.database_engine import literal, quoted
from features.config.consent_words import (
    ACCENTED,
    BREAKS,
    GRANTED,
    NO,
    OBJECTED,
    PLAIN,
    UNDECIDED,
    WITHDRAWN,
    YES,
)
from features.config.purposes import Purpose

#: What a statement amounts to; at equal times the lowest counts. An unknown one blocks, an open one decides nothing.
AGAINST, UNKNOWN, OPEN, FOR = range(4)
#: SQL of the order of statements; the highest counts.
LATEST = "(event_time, -meaning, feed, record_id)"
#: Bases that a statement against a purpose rules out.
REFUSABLE = ("consent", "legitimate_interest", "public_task")


def statements_sql(consents: str) -> str:
    """Return SQL of a table of consents with ``aim``, its purpose as it is compared, ``meaning`` and ``objected``.

    Letter case, accents, blanks and hyphens of a status are not compared, nor letter case and surrounding blanks of a
    purpose. A status that is missing or not known is `UNKNOWN`; a purpose that is missing is null.

    Examples
    --------
    >>> import duckdb
    >>> rows = "(VALUES ('Granted', ' Calls '), ('opted out', 'calls'), ('perhaps', '')) t(status, purpose)"
    >>> duckdb.sql(f"SELECT meaning, aim FROM {statements_sql(rows)}").fetchall()
    [(3, 'calls'), (0, 'calls'), (1, None)]
    """
    return (
        f"(SELECT *, {meaning_sql('status')} AS meaning, nullif(lower(trim(purpose)), '') AS aim, "
        f"{_word('status')} IN {_listed(OBJECTED)} AS objected FROM {consents})"
    )


def meaning_sql(status: str) -> str:
    """Return SQL of what a status amounts to, over SQL of the status."""
    word = _word(status)
    return (
        f"CASE WHEN {word} IN {_listed(WITHDRAWN | NO)} THEN {AGAINST} WHEN {word} IN {_listed(GRANTED | YES)} "
        f"THEN {FOR} WHEN {word} IN {_listed(UNDECIDED)} THEN {OPEN} ELSE {UNKNOWN} END"
    )


def about_sql(purpose: str, basis: str) -> str:
    """Return SQL of whether a statement of `statements_sql` is about a declared purpose.

    One that names no purpose is about each that a statement can rule out, unless it is a grant. Where no consent is
    needed, a statement that decides nothing is about none.
    """
    mine = f"aim = lower({literal(purpose)})"
    if basis in REFUSABLE:
        mine = f"({mine} OR (aim IS NULL AND meaning <= {UNKNOWN}))"
    return mine if basis == "consent" else f"{mine} AND meaning <> {OPEN}"


def status_select(view: str, purposes: Mapping[str, Purpose]) -> str:
    """Return SQL of every customer's status on every purpose as of each cutoff of ``entity_rows``.

    At equal times a withdrawal outweighs a grant: when in doubt, the customer is left alone. A grant that has expired
    by the cutoff counts as withdrawn, and so does a statement that is not understood. A known withdrawal that is dated
    later counts already.

    Parameters
    ----------
    view : prefix of the columns ``VIEW__PURPOSE`` (1, 0 or null) and ``VIEW__PURPOSE_record``
    purposes : the declared purposes
    """
    columns = []
    for purpose in sorted(purposes):
        one = about_sql(purpose, purposes[purpose].basis)
        granted = f"arg_max(meaning, {LATEST}) FILTER ({one}) = {FOR}"
        expires = purposes[purpose].expires
        if expires is not None:
            age = f"s.as_of - epoch_us(arg_max(event_time, {LATEST}) FILTER ({one}))"
            granted = f"({granted} AND {age} < {expires // timedelta(microseconds=1):d})"
        columns.append(f"CAST({granted} AS BIGINT) AS {quoted(f'{view}__{purpose}')}")
        columns.append(
            f"arg_max(feed || ':' || record_id, {LATEST}) FILTER ({one}) AS {quoted(f'{view}__{purpose}_record')}"
        )
    chosen = ",\n  ".join(columns)
    return (
        f"SELECT s.customer_id, s.as_of,\n  {chosen}\n"
        f"FROM entity_rows s LEFT JOIN {statements_sql('consents')} c\n"
        f"  ON c.customer_id = s.customer_id AND (epoch_us(c.event_time) <= s.as_of OR c.meaning <= {UNKNOWN})\n"
        "  AND epoch_us(c.known_at) <= s.as_of\n"
        "GROUP BY s.customer_id, s.as_of"
    )


def odd_select(purposes: Sequence[str]) -> str:
    """Return SQL that counts the consents with an unknown status, and others with a purpose that is not declared.

    Examples
    --------
    >>> import duckdb
    >>> engine = duckdb.connect()
    >>> _ = engine.execute("CREATE TABLE consents AS SELECT 'perhaps' AS status, 'calls' AS purpose")
    >>> engine.sql(odd_select(["calls"])).fetchall()
    [(1, 0)]
    """
    declared = _listed({purpose.lower() for purpose in purposes} or {""})
    return (
        f"SELECT count(*) FILTER (meaning = {UNKNOWN}), "
        f"count(*) FILTER (meaning <> {UNKNOWN} AND (aim IN {declared}) IS NOT TRUE) FROM {statements_sql('consents')}"
    )


def _word(status: str) -> str:
    """Return SQL of a status as `consent_word` compares it, the same for DuckDB and Spark."""
    plain = f"translate(lower({status}), {literal(ACCENTED + BREAKS)}, {literal(PLAIN + '_' * len(BREAKS))})"
    return f"trim(replace(replace({plain}, '__', '_'), '__', '_'), '_')"


def _listed(words: Collection[str]) -> str:
    return f"({', '.join(map(literal, sorted(words)))})"
