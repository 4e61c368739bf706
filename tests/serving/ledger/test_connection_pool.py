"""The writers of one process take turns before they reach SQLite, whose own wait lets others overtake."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from features.base.sqlite import transaction
from serving.ledger import connection_pool
from serving.ledger.ledger import DecisionLedger
from tests.serving.ledger.test_ledger import boost

THREADS = 6


def test_one_thread_of_a_process_writes_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing, together = 0, list[int]()
    count, start = threading.Lock(), threading.Barrier(THREADS)

    @contextmanager
    def counted(connection: sqlite3.Connection, kind: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
        nonlocal writing
        with count:
            writing += kind == "BEGIN IMMEDIATE"
            together.append(writing)
        try:
            with transaction(connection, kind):
                yield connection
        finally:
            with count:
                writing -= kind == "BEGIN IMMEDIATE"

    monkeypatch.setattr(connection_pool, "transaction", counted)
    with DecisionLedger(tmp_path / "decisions.db") as ledger:

        def write(thread: int) -> None:
            start.wait()
            for number in range(20):
                ledger.append(boost(f"c{thread}_{number}"), actor_role="batch")

        threads = [threading.Thread(target=write, args=(thread,)) for thread in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(together) == THREADS * 20
    assert set(together) == {1}


def test_what_is_decided_after_the_file_was_replaced_is_in_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "decisions.db"
    with DecisionLedger(path) as ledger:
        ledger.append(boost("ann"), actor_role="batch")
        for file in tmp_path.glob("decisions.db*"):
            file.unlink()
        assert ledger.append(boost("ann", "bob"), actor_role="batch") == 2
        with DecisionLedger(path) as other:
            assert other.append(boost("ann", "bob"), actor_role="batch") == 0
