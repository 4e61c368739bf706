"""A deleted or replaced ``online.db`` is noticed at the next read, and read again once it is back, without restart."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.store.definitions import ServiceDefinition
from features.store.online_reader import OnlineReader, open_reader
from features.store.online_records_sqlite import SqliteRecords
from features.store.repository import Store

JAN = datetime(2026, 1, 1, tzinfo=UTC)
FEATURES = [f"visits__f{number}" for number in range(150)]


@pytest.fixture
def filled(store: Store, write_view) -> Store:
    """Return a store in which Ann has visited three times."""
    view = write_view("visits", {"visits__n": "int"}, {JAN: [("ann", 3)]})
    store.apply([view], [ServiceDefinition("churn", ("visits__n",))])
    store.materialize(as_of=JAN)
    return store


@pytest.fixture
def reader(filled: Store, workspace: Path) -> Iterator[OnlineReader]:
    """Return a reader that has read Ann once."""
    del filled
    opened = open_reader(workspace)
    assert visits(opened) == (3, "")
    yield opened
    opened.close()


def visits(reader: OnlineReader) -> tuple[object, str]:
    """Return Ann's visits, and why they could not be read."""
    (ann,) = reader.read(["ann"], "churn", as_of=JAN)
    return ann.values.get("visits__n"), ann.unread


def online_db(workspace: Path) -> Path:
    (path,) = (workspace / "state").rglob("online.db")
    return path


def test_a_deleted_file_gives_no_values_and_is_read_again_when_it_is_back(
    reader: OnlineReader, filled: Store, workspace: Path
) -> None:
    assert visits(reader) == (3, "")
    online_db(workspace).unlink()
    assert visits(reader) == (None, "unreachable")
    filled.materialize(as_of=JAN)
    assert visits(reader) == (3, "")


def test_a_replaced_file_is_read_at_once(reader: OnlineReader, workspace: Path) -> None:
    path = online_db(workspace)
    other = path.with_name("other.db")
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(other)) as new:
        old.backup(new)
        new.execute("UPDATE blocks SET payload = '[9]'")
        new.commit()
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    other.replace(path)
    assert visits(reader) == (9, "")


def test_a_file_begun_again_without_its_definitions_is_no_store_of_unknown_customers(
    reader: OnlineReader, workspace: Path
) -> None:
    path = online_db(workspace)
    path.unlink()
    records = SqliteRecords(path)
    records.put_fact("something", "else")
    records.close()
    assert visits(reader) == (None, "unreachable")


def test_a_file_moved_away_and_back_is_read_again(reader: OnlineReader, workspace: Path) -> None:
    path = online_db(workspace)
    path.rename(path.with_name("away.db"))
    assert visits(reader) == (None, "unreachable")
    path.with_name("away.db").rename(path)
    assert visits(reader) == (3, "")


def test_another_process_fills_a_deleted_file_while_readers_still_hold_the_old_one(
    reader: OnlineReader, workspace: Path
) -> None:
    path = online_db(workspace)
    path.unlink()  # and not what SQLite keeps beside it
    program = f"""
from pathlib import Path
from features.store.online_records_sqlite import SqliteRecords
SqliteRecords(Path({str(path)!r})).put_fact("something", "else")
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert visits(reader) == (None, "unreachable")


def test_threads_that_held_the_old_file_all_read_the_new_one(
    reader: OnlineReader, filled: Store, workspace: Path
) -> None:
    found: list[tuple[object, str]] = []
    first, second = threading.Barrier(9), threading.Barrier(9)

    def run() -> None:
        visits(reader)
        first.wait()
        second.wait()
        found.append(visits(reader))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    first.wait()
    shutil.rmtree(online_db(workspace).parent)
    filled.materialize(as_of=JAN)
    second.wait()
    for thread in threads:
        thread.join()
    assert found == [(3, "")] * 8


def test_the_set_of_served_features_is_built_once_however_many_are_read(
    filled: Store, workspace: Path, write_view, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = write_view("visits", dict.fromkeys(FEATURES, "int"), {JAN: [("ann", *range(len(FEATURES)))]})
    filled.apply([wide], [])
    filled.materialize(as_of=JAN)
    reader = open_reader(workspace)
    names: list[str] = []

    def counted(feature: str) -> str:
        names.append(feature)
        return feature.partition("__")[0]

    monkeypatch.setattr("features.store.served_features.view_of", counted)
    (ann,) = reader.read(["ann"], FEATURES, as_of=JAN)
    reader.read(["ann"], FEATURES, as_of=JAN)
    assert list(ann.values.values()) == list(range(len(FEATURES)))
    assert len(names) <= len(FEATURES)  # 151 times as many, were the set built again for each feature
    reader.close()
