"""Whose word it is: subjects of the consent ledger and the customers they are part of, through merges and splits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from features.base.engine import literal, one_row
from features.base.storage import read_parquet, stream_parquet, write_parquet
from features.config.feed import Feed
from features.consent.ledger import SAID, SCHEMA
from features.consent.pseudonym import pseudonyms
from features.identity.customer_tables import comparable
from features.identity.links import reference

SUBJECTS = "subjects.parquet"
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
    schema = pa.schema([SCHEMA.field(name) for name in SAID])
    parts = [schema.empty_table()]
    for name, feed in sorted(feeds.items()):
        link = feed.link(name)
        if feed.kind != "consents" or link is None:
            continue
        owner, column, _ = link
        said = engine.sql(
            f"""
            SELECT {comparable(feeds[owner], column, "customer_ref")} AS reference,
                   trim(purpose) AS purpose, trim(status) AS status, basis, notice, event_time, known_at
            FROM read_parquet({literal(str(staged / name / "rows.parquet"))})
            WHERE reference IS NOT NULL
            """
        ).to_arrow_table()
        subjects = pseudonyms(said["reference"].to_pylist(), domain=f"{owner}.{column}", key=key)
        table = said.append_column("subject", pa.array(subjects, pa.string()))
        table = table.append_column("feed", pa.array([name] * len(table), pa.string()))
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
    links = [feed.link(name) for name, feed in feeds.items() if feed.kind == "consents"]
    parts = [_SUBJECT.empty_table()]
    for owner, column in sorted({(link[0], link[1]) for link in links if link is not None}):
        known = engine.sql(
            f"""
            SELECT DISTINCT {comparable(feeds[owner], column, reference(feeds[owner], column))} AS reference,
                   r.customer_id
            FROM read_parquet({literal(str(staged / owner / "rows.parquet"))}) o
            JOIN (SELECT feed, record_id AS rid, customer_id FROM records) r
              ON r.feed = {literal(owner)} AND r.rid = o.record_id
            WHERE reference IS NOT NULL
            """
        ).to_arrow_table()
        subjects = pseudonyms(known["reference"].to_pylist(), domain=f"{owner}.{column}", key=key)
        parts.append(
            pa.table({"subject": pa.array(subjects, pa.string()), "customer_id": known["customer_id"]}).cast(_SUBJECT)
        )
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
