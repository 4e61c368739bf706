"""Whose word it is: subjects of the consent ledger and the customers they are part of, through merges and splits.

A statement against a purpose covers everybody whose record was ever named so, a grant only who is named so now.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from features.base.database_engine import literal, one_row
from features.base.parquet import read_parquet, stream_parquet, write_parquet
from features.config.feeds_file import FeedsFile
from features.consent.consent_ledger import GIVEN, UNDATED
from features.consent.status import FOR, UNKNOWN, statements_sql
from features.identity.customer_tables import international_sides, link_sides
from features.identity.keyed_digest import keyed_digest, register_key

SUBJECTS = "subjects.parquet"
_KEY, _LETTERS = "consent", 32
#: ``record`` is the pseudonym of a record that was named so, null where records have no key to be found again by;
#: ``holds`` is whether it is named so now, or was among the last that were.
_SUBJECT = pa.schema(
    [
        ("subject", pa.string()),
        ("number", pa.string()),
        ("record", pa.string()),
        ("customer_id", pa.string()),
        ("holds", pa.bool_()),
    ]
)


def statements_of(engine: duckdb.DuckDBPyConnection, feeds: FeedsFile, staged: Path, *, key: bytes) -> pa.Table:
    """Return what the feeds of consents hold today, one row a statement, columns `consent_ledger.GIVEN`.

    A statement without a time of its own counts from the first load that holds it.

    Parameters
    ----------
    engine : may read `staged`
    feeds : all declared feeds
    staged : folder of the staged feeds
    key : the workspace's secret
    """
    register_key(engine, _KEY, key)
    parts = [GIVEN.empty_table()]
    for name in _consent_feeds(feeds):
        table = engine.sql(
            f"""
            SELECT {_pseudonym(name, feeds, side=1)} AS subject, {_number(name, feeds, side=1)} AS number,
                   {literal(name)} AS feed, trim(purpose) AS purpose, trim(status) AS status, basis, notice,
                   coalesce(event_time, known_at) AS event_time, known_at, event_time IS NULL AS {UNDATED}
            FROM read_parquet({literal(str(staged / name / "rows.parquet"))}) s
            WHERE subject IS NOT NULL
            """
        ).to_arrow_table()
        parts.append(table.select(GIVEN.names).cast(GIVEN))
    return pa.concat_tables(parts)


def subjects_today(
    engine: duckdb.DuckDBPyConnection,
    feeds: FeedsFile,
    *,
    staged: Path,
    remembered: Path,
    past: pa.Table,
    key: bytes,
) -> pa.Table:
    """Return which customers every subject is part of: by the records that are or were named so.

    A record that has gone leaves its last customer.

    Parameters
    ----------
    engine : has ``records`` (feed, record_id, customer_id), may read `staged`
    feeds : all declared feeds
    staged : folder of the staged feeds
    remembered : folder of the consent ledger
    past : where past ids lead (past_id, customer_id)
    key : the workspace's secret
    """
    register_key(engine, _KEY, key)
    named = {column: name for name, column in _consent_feeds(feeds).items()}
    owners = sorted({owner for owner, _ in named if feeds.feeds[owner].keys})
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE consent_records AS
        SELECT feed, record_id AS rid, customer_id,
               CASE WHEN feed IN ({", ".join(map(literal, owners)) or "NULL"}) THEN {_record("feed", "record_id")} END
               AS record
        FROM records
        """
    )
    parts = [_SUBJECT.empty_table()]
    for (owner, _), name in named.items():
        known = engine.sql(
            f"""
            SELECT DISTINCT {_pseudonym(name, feeds, side=0)} AS subject, {_number(name, feeds, side=0)} AS number,
                   r.record, r.customer_id, true AS holds
            FROM read_parquet({literal(str(staged / owner / "rows.parquet"))}) o
            JOIN consent_records r ON r.feed = {literal(owner)} AND r.rid = o.record_id
            WHERE subject IS NOT NULL
            """
        ).to_arrow_table()
        parts.append(known.cast(_SUBJECT))
    engine.register("subjects_by_record", pa.concat_tables(parts))
    engine.register("subjects_before", _remembered(remembered / SUBJECTS))
    engine.register("past_ids", past)
    found = engine.sql(
        """
        SELECT subject, number, record, customer_id, bool_or(holds) AS holds FROM (
          SELECT * FROM subjects_by_record
          UNION ALL
          SELECT b.subject, b.number, b.record, coalesce(r.customer_id, p.customer_id, b.customer_id),
                 b.holds AND b.subject NOT IN (SELECT subject FROM subjects_by_record)
          FROM subjects_before b
          LEFT JOIN consent_records r ON r.record = b.record
          LEFT JOIN past_ids p ON p.past_id = b.customer_id
          WHERE b.record IS NOT NULL OR b.subject NOT IN (SELECT subject FROM subjects_by_record)
        )
        GROUP BY subject, number, record, customer_id ORDER BY ALL
        """
    ).to_arrow_table()
    return found.cast(_SUBJECT)


def _remembered(path: Path) -> pa.Table:
    if not path.is_file():
        return _SUBJECT.empty_table()
    table = read_parquet(path)
    for field in _SUBJECT:
        if field.name not in table.column_names:  # written before records were remembered
            value = pa.scalar(True if field.name == "holds" else None, field.type)
            table = table.append_column(field, pa.repeat(value, table.num_rows))
    return table.select(_SUBJECT.names).cast(_SUBJECT)


def _consent_feeds(feeds: FeedsFile) -> dict[str, tuple[str, str]]:
    """Return the feeds of consents, with the feed and the column that each names customers by."""
    links = {name: feed.link(name) for name, feed in sorted(feeds.feeds.items()) if feed.kind == "consents"}
    return {name: link[:2] for name, link in links.items() if link is not None}


def _pseudonym(name: str, feeds: FeedsFile, *, side: int) -> str:
    """Return SQL of the pseudonym of what a consent feed names a customer by.

    Parameters
    ----------
    name : the consent feed
    side : 0 over the rows ``o`` of the customers that it names, 1 over its own rows ``s``
    """
    return _digest(link_sides(name, feeds)[side], ".".join(_consent_feeds(feeds)[name]))


def _number(name: str, feeds: FeedsFile, *, side: int) -> str:
    """Return SQL of the pseudonym of the telephone number with its country, see `_pseudonym`; null without."""
    return _digest(international_sides(name, feeds)[side], "number")


def _record(feed: str, record: str) -> str:
    return _digest(f"{feed} || chr(0) || {record}", "record")


def _digest(value: str, domain: str) -> str:
    return f"left({keyed_digest(value, domain=literal(domain), key=_KEY)}, {_LETTERS:d})"


def remember_subjects(folder: Path, subjects: pa.Table) -> None:
    """Keep who is who, so that a statement outlives the record that it was given by."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_parquet(subjects, folder / SUBJECTS)
    (folder / SUBJECTS).chmod(0o600)


def write_consents(engine: duckdb.DuckDBPyConnection, ledger: pa.Table, subjects: pa.Table, path: Path) -> int:
    """Write every statement at each customer whom it covers today; return how many wait.

    Two telephone numbers that both have their country are compared with it for a grant, and without for a withdrawal.
    A grant that was entered without its country has it from the same one that was entered with it since. A grant
    without a time may be older than a statement against it, unless its feed held another one before: that one counts.

    Parameters
    ----------
    engine : may write `path`, beside which ``customers.parquet`` lies
    ledger : of `ledger.SCHEMA`
    subjects : what `subjects_today` gave
    path : of ``consents.parquet``

    Returns
    -------
    int : statements that cover nobody yet; they stay in the ledger
    """
    there = literal(str(path.with_name("customers.parquet")))
    engine.execute(f"CREATE OR REPLACE TEMP VIEW customers_there AS SELECT customer_id FROM read_parquet({there})")
    engine.register("consent_words", ledger)
    engine.register("consent_subjects", subjects)
    stream_parquet(
        engine.sql(
            f"""
            WITH stated AS (
              SELECT *, {UNDATED} IS TRUE AND meaning = {FOR} AS any_time,
                     max(number) OVER (PARTITION BY feed, subject, purpose, status, event_time) AS again,
                     max(CASE WHEN {UNDATED} AND meaning < {FOR} THEN known_at END) OVER (
                       PARTITION BY feed, subject, aim ORDER BY known_at
                       RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL 1 MICROSECOND PRECEDING
                     ) AS refused_until
              FROM {statements_sql("consent_words")}
            ), covering AS (
              SELECT DISTINCT s.customer_id, w.*
              FROM stated w JOIN consent_subjects s USING (subject)
              SEMI JOIN customers_there t ON t.customer_id = s.customer_id
              WHERE w.meaning < {FOR} OR (s.holds AND (coalesce(w.number, w.again) = s.number) IS NOT FALSE)
            ), earliest AS (
              SELECT g.customer_id, g.entry_id, min(a.event_time) AS event_time
              FROM covering g JOIN covering a ON a.customer_id = g.customer_id
                AND (a.aim = g.aim OR (a.aim IS NULL AND a.meaning <= {UNKNOWN}))
              WHERE g.any_time AND a.meaning < {FOR} AND (a.event_time <= g.refused_until) IS NOT TRUE
              GROUP BY g.customer_id, g.entry_id
            )
            SELECT w.customer_id, w.feed, w.entry_id AS record_id, least(w.event_time, e.event_time) AS event_time,
                   w.known_at, w.purpose, w.status, w.basis, w.notice
            FROM covering w LEFT JOIN earliest e USING (customer_id, entry_id)
            ORDER BY customer_id, event_time, feed, record_id
            """
        ).to_arrow_reader(),
        path,
    )
    entered = f"SELECT record_id AS entry_id FROM read_parquet({literal(str(path))})"
    (waiting,) = one_row(engine, f"SELECT count(*) FROM consent_words ANTI JOIN ({entered}) e USING (entry_id)")
    return int(waiting)
