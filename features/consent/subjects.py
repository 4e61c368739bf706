"""Whose word it is: subjects of the consent ledger and the customers they are part of, through merges and splits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from features.base.database_engine import literal, one_row
from features.base.parquet import read_parquet, stream_parquet, write_parquet
from features.config.feed import Feed
from features.consent.consent_ledger import SAID, SCHEMA
from features.identity.customer_tables import comparable
from features.identity.keyed_digest import keyed_digest, register_key
from features.identity.links import reference

SUBJECTS = "subjects.parquet"
_KEY, _LETTERS = "consent", 32
_SUBJECT = pa.schema([("subject", pa.string()), ("customer_id", pa.string())])


def words_of(engine: duckdb.DuckDBPyConnection, feeds: Mapping[str, Feed], staged: Path, *, key: bytes) -> pa.Table:
    """Return what the feeds of consents say today, one row a word, columns `ledger.SAID`.

    Parameters
    ----------
    engine : may read `staged`
    feeds : all declared feeds
    staged : folder of the staged feeds
    key : the workspace's secret
    """
    register_key(engine, _KEY, key)
    schema = pa.schema([SCHEMA.field(name) for name in SAID])
    parts = [schema.empty_table()]
    for name, feed in sorted(feeds.items()):
        link = feed.link(name)
        if feed.kind != "consents" or link is None:
            continue
        owner, column, _ = link
        table = engine.sql(
            f"""
            SELECT {_pseudonym(feeds[owner], owner, column, "customer_ref")} AS subject, {literal(name)} AS feed,
                   trim(purpose) AS purpose, trim(status) AS status, basis, notice, event_time, known_at
            FROM read_parquet({literal(str(staged / name / "rows.parquet"))})
            WHERE subject IS NOT NULL
            """
        ).to_arrow_table()
        parts.append(table.select(SAID).cast(schema))
    return pa.concat_tables(parts)


def subjects_today(
    engine: duckdb.DuckDBPyConnection,
    feeds: Mapping[str, Feed],
    *,
    staged: Path,
    remembered: Path,
    past: pa.Table,
    key: bytes,
) -> pa.Table:
    """Return which customers every subject is part of: by its records or, when these have gone, by its last customer.

    Parameters
    ----------
    engine : knows ``records`` (feed, record_id, customer_id), may read `staged`
    feeds : all declared feeds
    staged : folder of the staged feeds
    remembered : folder of the consent ledger
    past : where past ids lead (past_id, customer_id)
    key : the workspace's secret
    """
    register_key(engine, _KEY, key)
    links = [feed.link(name) for name, feed in feeds.items() if feed.kind == "consents"]
    parts = [_SUBJECT.empty_table()]
    for owner, column in sorted({(link[0], link[1]) for link in links if link is not None}):
        known = engine.sql(
            f"""
            SELECT DISTINCT {_pseudonym(feeds[owner], owner, column, reference(feeds[owner], column))} AS subject,
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


def _pseudonym(feed: Feed, owner: str, column: str, sql: str) -> str:
    """Return SQL of the pseudonym of what a row names a customer by: equal ones of one column have equal pseudonyms."""
    digest = keyed_digest(comparable(feed, column, sql), domain=literal(f"{owner}.{column}"), key=_KEY)
    return f"left({digest}, {_LETTERS:d})"


def remember_subjects(folder: Path, subjects: pa.Table) -> None:
    """Keep who is who, so that a word outlives the record that it was given by."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_parquet(subjects, folder / SUBJECTS)
    (folder / SUBJECTS).chmod(0o600)


def write_consents(engine: duckdb.DuckDBPyConnection, ledger: pa.Table, subjects: pa.Table, path: Path) -> int:
    """Write every word of the ledger at each customer that its subject is part of today; return how many words wait.

    Parameters
    ----------
    engine : may write `path`
    ledger : of `ledger.SCHEMA`
    subjects : what `subjects_today` gave
    path : of ``consents.parquet``

    Returns
    -------
    int : words whose subject is nobody yet; they stay in the ledger
    """
    engine.register("consent_words", ledger)
    engine.register("consent_subjects", subjects)
    stream_parquet(
        engine.sql(
            """
            SELECT DISTINCT s.customer_id, w.feed, w.entry_id AS record_id, w.event_time, w.known_at,
                   w.purpose, w.status, w.basis, w.notice
            FROM consent_words w JOIN consent_subjects s USING (subject)
            ORDER BY customer_id, event_time, feed, record_id
            """
        ).to_arrow_reader(),
        path,
    )
    (waiting,) = one_row(engine, "SELECT count(*) FROM consent_words ANTI JOIN consent_subjects USING (subject)")
    return int(waiting)
