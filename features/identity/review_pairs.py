"""Between matching and the id ledger: people's judgements go in, evidence and pairs for review come out."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from features.base.parquet import read_parquet, write_parquet
from features.identity.id_changes import EVIDENCE
from features.identity.id_judgements import enter_never
from features.identity.id_ledger import IdLedger
from features.identity.judgements import Judgements
from features.identity.matching_memory import MEMORY_FILES, Memory
from features.identity.resolve import Resolution

REVIEW_FILE = "review.parquet"
#: The digest of each record's values in the last run, by which a record is found again under another key.
RECORDS_FILE = "records.parquet"


def with_ledger(declared: Judgements, ledger: IdLedger) -> Judgements:
    """Return the declared judgements with those that people entered on the command line."""
    entered = ledger.present_judgements()
    pairs = {
        verdict: [(":".join(each.one), ":".join(each.other)) for each in entered if each.verdict == verdict]
        for verdict in ("always", "never")
    }
    always = tuple(dict.fromkeys([*declared.always, *pairs["always"]]))
    return Judgements(always, declared.never, declared.labels).but_never(pairs["never"])


def between_records(records: pa.Table, edges: pa.Table) -> pa.Table:
    """Return edges between row numbers of `records` as evidence between records, by name."""
    ends = [records.select(["feed", "record_id"]).take(edges[side]) for side in ("left", "right")]
    columns = [*ends[0].columns, *ends[1].columns, edges["cause"], edges["weight"]]
    return pa.table(columns, names=EVIDENCE.names).cast(EVIDENCE)


def carry_over(ledger: IdLedger, declared: Judgements, folder: Path, records: pa.Table) -> IdLedger:
    """Return the ledger with the judgements of records that are gone and came under another key, entered for that key.

    Parameters
    ----------
    ledger : with what people have entered
    declared : judgements of the configuration
    folder : of the id ledger, with the digests of the last run
    records : ``feed``, ``record_id``, ``digest`` of today's records
    """
    path = folder / RECORDS_FILE
    never = [(_record(one), _record(other)) for one, other in with_ledger(declared, ledger).never]
    if not never or not path.is_file():
        return ledger
    before = _digests(read_parquet(path))
    now = _digests(records)
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for record in now.keys() - before.keys():
        found.setdefault((record[0], now[record]), []).append(record)
    moved = {
        record: found.get((record[0], before[record]), [])
        for record in {end for pair in never for end in pair}
        if record not in now and record in before
    }
    pairs = [
        (one, other)
        for left, right in never
        for one in moved.get(left) or [left]
        for other in moved.get(right) or [right]
        if moved.get(left) or moved.get(right)
    ]
    return enter_never(ledger, pairs, by="nextbest", reason="the record has another key", at=ledger.at)


def _record(name: str) -> tuple[str, str]:
    feed, _, key = name.partition(":")
    return feed, key


def _digests(records: pa.Table) -> dict[tuple[str, str], str]:
    columns = [records[name].to_pylist() for name in ("feed", "record_id", "digest")]
    return {(feed, record): digest for feed, record, digest in zip(*columns, strict=True)}


def keep(folder: Path, memory: Memory | None, resolution: Resolution, records: pa.Table) -> None:
    """Write what the next run and people's review need into the folder of the id ledger.

    Parameters
    ----------
    folder : of the id ledger
    memory : of the weighed pairs; None for rules that do not weigh
    resolution : the groups
    records : ``feed``, ``record_id``, ``digest`` of the records
    """
    write_parquet(records.select(["feed", "record_id", "digest"]), folder / RECORDS_FILE)
    if memory is not None:
        memory.save(folder)
    else:  # what earlier rules left is of no use, and holds digests of names and contact points
        for name in MEMORY_FILES:
            (folder / name).unlink(missing_ok=True)
    review = between_records(resolution.partition, resolution.review)
    write_parquet(review.append_column("reason", resolution.review["reason"]), folder / REVIEW_FILE)


def read_review_pairs(folder: Path) -> pa.Table:
    """Return the pairs of records that the last run kept apart though something ties them (`EVIDENCE`, ``reason``)."""
    path = folder / REVIEW_FILE
    return read_parquet(path) if path.exists() else EVIDENCE.append(pa.field("reason", pa.string())).empty_table()
