"""What resolution and the id ledger tell each other: judgements in, evidence and pairs held for review out."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from features.base.parquet import read_parquet, write_parquet
from features.identity.id_changes import EVIDENCE
from features.identity.id_ledger import IdLedger
from features.identity.incremental_matching import MEMORY_FILES, Memory
from features.identity.judgements import Judgements
from features.identity.resolve import Resolution

HELD_FILE = "held.parquet"


def with_ledger(declared: Judgements, ledger: IdLedger) -> Judgements:
    """Return the declared judgements with those that people entered on the command line."""
    told = ledger.standing_judgements()
    pairs = {
        verdict: [(":".join(each.one), ":".join(each.other)) for each in told if each.verdict == verdict]
        for verdict in ("always", "never")
    }
    always = tuple(dict.fromkeys([*declared.always, *pairs["always"]]))
    return Judgements(always, declared.never, declared.labels).but_never(pairs["never"])


def between_records(records: pa.Table, edges: pa.Table) -> pa.Table:
    """Return edges between row numbers of `records` as evidence between records, by name."""
    ends = [records.select(["feed", "record_id"]).take(edges[side]) for side in ("left", "right")]
    columns = [*ends[0].columns, *ends[1].columns, edges["cause"], edges["weight"]]
    return pa.table(columns, names=EVIDENCE.names).cast(EVIDENCE)


def keep(folder: Path, memory: Memory | None, resolution: Resolution) -> None:
    """Write what the next run and people's review need into the folder of the id ledger."""
    if memory is not None:
        memory.save(folder)
    else:  # what earlier rules left is of no use, and holds digests of names and contact points
        for name in MEMORY_FILES:
            (folder / name).unlink(missing_ok=True)
    held = between_records(resolution.partition, resolution.held)
    write_parquet(held.append_column("reason", resolution.held["reason"]), folder / HELD_FILE)


def read_held(folder: Path) -> pa.Table:
    """Return the pairs of records that the last run kept apart though something ties them (`EVIDENCE`, ``reason``)."""
    path = folder / HELD_FILE
    return read_parquet(path) if path.exists() else EVIDENCE.append(pa.field("reason", pa.string())).empty_table()
