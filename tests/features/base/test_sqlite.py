"""Write-ahead logging is switched on by several at once; a transaction is all or nothing."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from features.base.sqlite import ThreadConnection, transaction, use_wal


def writing(path: Path) -> sqlite3.Connection:
    """Return a connection that holds a new file's lock, as who switches to WAL at this moment does."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def mode(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def test_the_switch_waits_for_another_that_holds_the_file(tmp_path: Path) -> None:
    with closing(writing(tmp_path / "a.db")) as other, closing(sqlite3.connect(tmp_path / "a.db", timeout=0)) as own:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            own.execute("PRAGMA journal_mode = WAL")
        release = threading.Timer(0.2, other.execute, ["COMMIT"])
        release.start()
        use_wal(own, patience_s=60)
        release.join()
        assert mode(own) == "wal"


def test_the_switch_gives_up_when_its_patience_ends(tmp_path: Path) -> None:
    with closing(writing(tmp_path / "a.db")), closing(sqlite3.connect(tmp_path / "a.db", timeout=0)) as own:
        began = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            use_wal(own, patience_s=0.1)
        assert time.monotonic() - began >= 0.1


def test_what_is_not_a_lock_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"not a database" * 100)
    with (
        closing(sqlite3.connect(tmp_path / "a.db")) as own,
        pytest.raises(sqlite3.DatabaseError, match="not a database"),
    ):
        use_wal(own, patience_s=60)


def test_many_open_a_new_file_at_once(tmp_path: Path) -> None:
    failures: list[Exception] = []
    start = threading.Barrier(8)

    def open_one(path: Path) -> None:
        try:
            held = ThreadConnection(path, mode="rwc", wait_s=60)
            start.wait()
            use_wal(held.sqlite, patience_s=60)
            with transaction(held.sqlite) as sqlite:
                sqlite.execute("CREATE TABLE IF NOT EXISTS t (x)")
                sqlite.execute("INSERT INTO t VALUES (1)")
        except Exception as error:  # noqa: BLE001  a thread's failure is the test's
            failures.append(error)

    for number in range(10):
        path = tmp_path / f"{number}.db"
        threads = [threading.Thread(target=open_one, args=(path,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        with closing(sqlite3.connect(path)) as sqlite:
            assert sqlite.execute("SELECT count(*) FROM t").fetchone() == (8,)


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as sqlite:
        sqlite.execute("CREATE TABLE t (x UNIQUE)")
        with pytest.raises(sqlite3.IntegrityError), transaction(sqlite):
            sqlite.executemany("INSERT INTO t VALUES (?)", [(1,), (1,)])
        assert not sqlite.in_transaction
        assert sqlite.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as sqlite:
        sqlite.execute("CREATE TABLE t (x)")
        sqlite.execute("PRAGMA max_page_count = 2")
        with pytest.raises(sqlite3.OperationalError, match="full"), transaction(sqlite):
            sqlite.execute("INSERT INTO t VALUES (randomblob(100000))")
        assert not sqlite.in_transaction


def test_a_forked_child_may_not_use_its_parent_s_connection(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from features.base.sqlite import ThreadConnection

held = ThreadConnection(Path(sys.argv[1]), mode="rwc", wait_s=1)
child = os.fork()
if child == 0:
    print("child", held.usable, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("parent", held.usable, flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "a.db")],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["child", "False", "parent", "True"]
