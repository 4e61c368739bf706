"""Records in one SQLite file: deadlines, forks, failures half way, and nothing left of who was forgotten."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.base.errors import StorageFailure
from features.store.online_records import WAIT_S, Block, Record
from features.store.online_records_sqlite import SqliteRecords


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "online.db"


@pytest.fixture
def records(file: Path) -> Iterator[SqliteRecords]:
    opened = SqliteRecords(file)
    opened.write([("ann", {"spend": Block(1, 1, "l", ("secret of ann",))})])
    yield opened
    opened.close()


def test_a_locked_file_answers_within_the_deadline(records: SqliteRecords, file: Path) -> None:
    records.close()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        records.read(["ann"], deadline_s=0.2)
    with pytest.raises(TimeoutError):
        records.fact("a", deadline_s=0.2)
    assert time.monotonic() - began < WAIT_S / 2  # how long it would wait without a deadline
    other.close()
    assert records.read(["ann"], deadline_s=5)[0]


def test_a_read_that_takes_too_long_is_broken_off(file: Path) -> None:
    records = SqliteRecords(file)
    names = [f"c{number}" for number in range(20_000)]
    records.write((who, {"spend": Block(1, 1, "l", (1,))}) for who in names)
    with pytest.raises(TimeoutError):
        records.read(names, deadline_s=0.001)
    assert len(records.read(names, deadline_s=60)) == len(names)
    records.close()


def test_a_write_that_fails_half_way_leaves_what_was(records: SqliteRecords) -> None:
    def rows() -> Iterator[tuple[str, Record]]:
        yield "ann", {"spend": Block(2, 2, "l", (9,))}
        raise RuntimeError("the power went")

    with pytest.raises(RuntimeError):
        records.write(rows())
    assert records.read(["ann"], deadline_s=5)[0]["spend"].values == ("secret of ann",)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of what is tested here
def test_a_forked_process_reads_and_writes_through_its_own_connection(records: SqliteRecords) -> None:
    parent = records._connection(writing=False)
    child = os.fork()
    if child == 0:
        own = records._connection(writing=False) is not parent and records.read(["ann"], deadline_s=5)[0] != {}
        os._exit(0 if own and records.write([("bob", {"spend": Block(1, 1, "l", ())})]) == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert all(records.read(["ann", "bob"], deadline_s=5))


def test_nothing_is_left_in_the_files_of_who_was_forgotten(records: SqliteRecords, file: Path) -> None:
    records.write([("bob", {"spend": Block(1, 1, "l", ("secret of bob",))})])
    assert records.delete("ann")
    held = b"".join(part.read_bytes() for part in file.parent.iterdir())
    assert b"secret of bob" in held
    assert b"ann" not in held


def test_nothing_is_written_beside_tables_of_another_layout_which_may_hold_customers(file: Path) -> None:
    old = sqlite3.connect(file)
    old.execute("CREATE TABLE nextbest_spend (entity_key TEXT, value TEXT)")
    old.close()
    before, records = file.read_bytes(), SqliteRecords(file)
    for write in (lambda: records.write([("ann", {})]), lambda: records.delete("ann"), lambda: records.drop(["spend"])):
        with pytest.raises(StorageFailure, match=r"store\.online_layout") as caught:
            write()
        assert "remove the file" in caught.value.first.hint
    assert file.read_bytes() == before
    file.unlink()
    assert records.write([("ann", {"spend": Block(1, 1, "l", (1,))})]) == 1
    records.close()


def test_a_file_that_is_not_there_or_is_none_of_ours_is_a_failure(file: Path) -> None:
    with pytest.raises(StorageFailure, match=r"store\.online_unusable"):
        SqliteRecords(file).read(["ann"], deadline_s=1)
    assert not file.exists()
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(StorageFailure, match=r"store\.online_damaged"):
        SqliteRecords(file).read(["ann"], deadline_s=1)
    with pytest.raises(StorageFailure, match=r"store\.online_damaged"):
        SqliteRecords(file).write([])
