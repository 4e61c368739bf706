"""Whose word it is: subjects of the consent ledger and the customers they are part of, through merges and splits."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa

from features.base.database_engine import literal, one_row
from features.base.parquet import read_parquet, stream_parquet, write_parquet
from features.config.feeds_file import FeedsFile
from features.consent.consent_ledger import GIVEN, UNDATED
from features.identity.customer_tables import link_sides
from features.identity.keyed_digest import keyed_digest, register_key

SUBJECTS = "subjects.parquet"
_KEY, _LETTERS = "consent", 32
_SUBJECT = pa.schema([("subject", pa.string()), ("customer_id", pa.string())])


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
            SELECT {_pseudonym(name, feeds, side=1)} AS subject, {literal(name)} AS feed,
                   trim(purpose) AS purpose, trim(status) AS status, basis, notice,
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
    """Return which customers every subject is part of: by its records or, when these have gone, by its last customer.

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
    parts = [_SUBJECT.empty_table()]
    for (owner, _), name in {column: name for name, column in _consent_feeds(feeds).items()}.items():
        known = engine.sql(
            f"""
            SELECT DISTINCT {_pseudonym(name, feeds, side=0)} AS subject,
                   r.customer_id
            FROM read_parquet({literal(str(staged / owner / "rows.parquet"))}) o
            JOIN (SELECT feed, record_id AS rid, customer_id FROM records) r
              ON r.feed = {literal(owner)} AND r.rid = o.record_id
            WHERE subject IS NOT NULL
            """
        ).to_arrow_table()
        parts.append(known.cast(_SUBJECT))
    engine.register("subjects_by_record", pa.concat_tables(parts))
    path = remembered / SUBJECTS
    engine.register("subjects_before", read_parquet(path) if path.is_file() else _SUBJECT.empty_table())
    engine.register("past_ids", past)
    return engine.sql(
        """
        SELECT subject, customer_id FROM subjects_by_record
        UNION
        SELECT b.subject, coalesce(p.customer_id, b.customer_id)
        FROM subjects_before b LEFT JOIN past_ids p ON p.past_id = b.customer_id
        WHERE b.subject NOT IN (SELECT subject FROM subjects_by_record)
        ORDER BY ALL
        """
    ).to_arrow_table()


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
    domain = literal(".".join(_consent_feeds(feeds)[name]))
    digest = keyed_digest(link_sides(name, feeds)[side], domain=domain, key=_KEY)
    return f"left({digest}, {_LETTERS:d})"


def remember_subjects(folder: Path, subjects: pa.Table) -> None:
    """Keep who is who, so that a statement outlives the record that it was given by."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_parquet(subjects, folder / SUBJECTS)
    (folder / SUBJECTS).chmod(0o600)


def write_consents(engine: duckdb.DuckDBPyConnection, ledger: pa.Table, subjects: pa.Table, path: Path) -> int:
    """Write every statement at each customer that its subject is part of today; return how many wait.

    Parameters
    ----------
    engine : may write `path`, beside which ``customers.parquet`` lies
    ledger : of `ledger.SCHEMA`
    subjects : what `subjects_today` gave
    path : of ``consents.parquet``

    Returns
    -------
    int : statements whose subject is nobody yet; they stay in the ledger
    """
    there = literal(str(path.with_name("customers.parquet")))
    engine.execute(f"CREATE OR REPLACE TEMP VIEW customers_there AS SELECT customer_id FROM read_parquet({there})")
    engine.register("consent_words", ledger)
    engine.register("consent_subjects", subjects)
    stream_parquet(
        engine.sql(
            """
            SELECT DISTINCT s.customer_id, w.feed, w.entry_id AS record_id, w.event_time, w.known_at,
                   w.purpose, w.status, w.basis, w.notice
            FROM consent_words w JOIN consent_subjects s USING (subject)
            SEMI JOIN customers_there t ON t.customer_id = s.customer_id
            ORDER BY customer_id, event_time, feed, record_id
            """
        ).to_arrow_reader(),
        path,
    )
    (waiting,) = one_row(engine, "SELECT count(*) FROM consent_words ANTI JOIN consent_subjects USING (subject)")
    return int(waiting)
