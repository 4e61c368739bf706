"""The consent ledger: every statement about a purpose that ever reached us, appended once and never changed.

It is bitemporal: ``event_time`` is when the statement was made, ``known_at`` when the company could first know of it.
A source that loses a statement does not take it back: a withdrawal or a correction is a statement of its own. Every run
that reads new statements adds one file and touches none of the others. The subject is a keyed pseudonym of what the
source calls the customer by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from features.base.errors import StorageFailure
from features.base.parquet import read_parquet, write_parquet
from features.base.storage import digest_file

_TIME = pa.timestamp("us", "UTC")
#: One statement. ``entry_id`` is a digest of all the rest.
SCHEMA = pa.schema(
    [
        ("entry_id", pa.string()),
        ("feed", pa.string()),
        ("subject", pa.string()),
        ("purpose", pa.string()),
        ("status", pa.string()),
        ("basis", pa.string()),
        ("notice", pa.string()),
        ("event_time", _TIME),
        ("known_at", _TIME),
    ]
)
STATED = tuple(name for name in SCHEMA.names if name != "entry_id")


def read_statements(folder: Path) -> pa.Table:
    """Return all statements, in the order in which they were entered.

    Raises
    ------
    StorageFailure : a file is damaged, or one of them is missing
    """
    paths = _files(folder)
    for number, path in enumerate(paths, start=1):
        if path.name != _name(number):
            raise StorageFailure(
                "consent.gap",
                "an earlier file of the consent ledger is missing",
                where=_name(number),
                hint="restore it from a copy: statements that were given cannot be made again from the feeds",
            )
    return pa.concat_tables([SCHEMA.empty_table(), *(read_parquet(path).cast(SCHEMA) for path in paths)])


def append_statements(folder: Path, ledger: pa.Table, statements: pa.Table) -> pa.Table:
    """Enter the statements that the ledger does not hold yet; return the ledger with them.

    Parameters
    ----------
    folder : of the ledger
    ledger : what `read_statements` gave
    statements : columns `STATED`
    """
    fresh = new_statements(ledger, statements)
    if not fresh.num_rows:
        return ledger
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / _name(len(_files(folder)) + 1)
    write_parquet(fresh, path)
    path.chmod(0o600)
    return pa.concat_tables([ledger, fresh])


def new_statements(ledger: pa.Table, statements: pa.Table) -> pa.Table:
    """Return the statements that the ledger does not hold, each once, oldest first."""
    rows = statements.select(STATED).to_pylist()
    held = set(ledger["entry_id"].to_pylist())
    fresh = {entry: row for row in rows if (entry := _entry_id(row)) not in held}
    listed = [{"entry_id": entry, **row} for entry, row in fresh.items()]
    table = pa.Table.from_pylist(listed, schema=SCHEMA)
    return table.take(pc.sort_indices(table, [(name, "ascending") for name in ("known_at", "event_time", "entry_id")]))


def consent_digest(folder: Path) -> list[str]:
    """Return the digest of each of the ledger's files: equal ones mean an equal ledger."""
    return [digest_file(path) for path in _files(folder)]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("words-*.parquet"))


def _name(number: int) -> str:
    return f"words-{number:06d}.parquet"


def _entry_id(row: Mapping[str, object]) -> str:
    text = "\x1f".join("" if row[name] is None else str(row[name]) for name in STATED)
    return hashlib.sha256(text.encode()).hexdigest()[:20]
