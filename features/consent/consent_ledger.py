"""The consent ledger: every statement about a purpose that ever reached us, appended once and never changed.

It is bitemporal: ``event_time`` is when the statement was made, ``known_at`` when the company could first know of it.
A source that loses a statement does not take it back: a withdrawal or a correction is a statement of its own. Every run
that reads new statements adds one file and touches none of the others. The subject is a keyed pseudonym of what the
source calls the customer by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from features.base.errors import StorageFailure
from features.base.parquet import read_parquet, write_parquet
from features.base.storage import digest_file
from features.config.consent_words import GRANTED, YES, consent_word

_GRANTS = GRANTED | YES
_TIME = pa.timestamp("us", "UTC")
UNDATED = "undated"
#: One statement, whether it had no time of its own, and ``entry_id`` its digest. ``number`` is the pseudonym of a
#: telephone number with its country: the subject of a statement by telephone is a number in every country.
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
        ("number", pa.string()),
        (UNDATED, pa.bool_()),
    ]
)
STATED = tuple(name for name in SCHEMA.names if name not in ("entry_id", UNDATED))
#: A statement as a feed holds it.
GIVEN = pa.schema([SCHEMA.field(name) for name in (*STATED, UNDATED)])


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
    return pa.concat_tables([SCHEMA.empty_table(), *map(_read, paths)])


def append_statements(folder: Path, fresh: pa.Table) -> None:
    """Enter new statements into the ledger, for good.

    Parameters
    ----------
    folder : of the ledger
    fresh : what `new_statements` gave
    """
    if not fresh.num_rows:
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / _name(len(_files(folder)) + 1)
    write_parquet(fresh, path)
    path.chmod(0o600)


def new_statements(ledger: pa.Table, statements: pa.Table) -> pa.Table:
    """Return those of `statements` (of `GIVEN`) that the ledger does not hold, each once, oldest first.

    A grant without a time that a load was without and that is back may have been withdrawn elsewhere meanwhile: it is
    the grant that was known before, and no new one. A withdrawal that is back is a new one, and so is one that a load
    still holds beside a new grant.
    """
    entered = set(ledger["entry_id"].to_pylist())
    fresh = {entry: row for row in statements.to_pylist() if (entry := _entry_id(row)) not in entered}
    if any(row[UNDATED] for row in fresh.values()):
        granted = _granted_last(ledger)
        fresh = {entry: row for entry, row in fresh.items() if not (row[UNDATED] and _about(row) in granted)}
        for row in _contradictions(list(fresh.values()), statements):
            fresh.setdefault(_entry_id(row), row)
    listed = [{"entry_id": entry, **row} for entry, row in fresh.items()]
    table = pa.Table.from_pylist(listed, schema=SCHEMA)
    return table.take(pc.sort_indices(table, [(name, "ascending") for name in ("known_at", "event_time", "entry_id")]))


def consent_digest(folder: Path) -> list[str]:
    """Return the digest of each of the ledger's files: equal ones mean an equal ledger."""
    return [digest_file(path) for path in _files(folder)]


def _read(path: Path) -> pa.Table:
    table = read_parquet(path)
    for field in (SCHEMA.field("number"), SCHEMA.field(UNDATED)):
        if field.name not in table.column_names:  # entered before there was such a column
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table.select(SCHEMA.names).cast(SCHEMA)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("words-*.parquet"))


def _name(number: int) -> str:
    return f"words-{number:06d}.parquet"


def _granted_last(ledger: pa.Table) -> set[tuple[object, ...]]:
    """Return what the last statement of a feed about a subject and a purpose granted, with that status."""
    last = {_about(row)[:-1]: _about(row) for row in ledger.to_pylist()}
    return {about for about in last.values() if consent_word(str(about[-1])) in _GRANTS}


def _contradictions(fresh: Iterable[Mapping[str, Any]], statements: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield what a load holds against new grants without a time, of equal feed, subject and purpose, at their time."""
    undated = [row for row in statements.to_pylist() if row[UNDATED]]
    granted = {_about(row)[:-1]: row["known_at"] for row in fresh if row[UNDATED] and _grants(row)}
    for row in undated:
        at = granted.get(_about(row)[:-1])
        if at is not None and at > row["known_at"] and not _grants(row):
            yield {**row, "event_time": at, "known_at": at}


def _grants(row: Mapping[str, object]) -> bool:
    return consent_word(str(row["status"])) in _GRANTS


def _about(row: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("feed", "subject", "purpose", "status"))


def _entry_id(row: Mapping[str, object]) -> str:
    names = STATED if row["number"] is not None else STATED[:-1]
    text = "\x1f".join("" if row[name] is None else str(row[name]) for name in names)
    return hashlib.sha256(text.encode()).hexdigest()[:20]
