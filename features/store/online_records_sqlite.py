"""Online records on SQLite: one clustered table, in which the blocks of a customer are neighbours."""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
import time
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from features.base.errors import StorageFailure
from features.base.sqlite import ThreadConnection, file_id, transaction, use_wal
from features.store.online_records import WAIT_S, Block, Layout, Record
from features.store.payload import layout_from, layout_text, payload, values_of

PAGE = 1_000  # customers that `scan` holds at a time
_STEPS = 2_000  # of SQLite's machine between two looks at the clock: no small read takes as many
_LATE = (sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_TABLES = frozenset({"blocks", "layouts", "facts"})
_SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS blocks (
        customer TEXT NOT NULL,
        view TEXT NOT NULL,
        event_us INTEGER NOT NULL,
        created_us INTEGER NOT NULL,
        layout TEXT NOT NULL,
        payload TEXT NOT NULL,
        PRIMARY KEY (customer, view)
    ) WITHOUT ROWID
    """,
    "CREATE TABLE IF NOT EXISTS layouts (id TEXT PRIMARY KEY, fields TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)


class _Connection(ThreadConnection):
    """A connection of one thread; one that only reads creates no file."""

    def __init__(self, path: Path, *, writing: bool) -> None:
        super().__init__(path, mode="rwc" if writing else "rw", wait_s=WAIT_S)
        self.writing = writing
        self._wait_ms = 0
        self.wait(WAIT_S)
        if writing:
            self._refuse_other_tables(path)
            use_wal(self.sqlite, patience_s=WAIT_S)
            self.sqlite.execute("PRAGMA synchronous = NORMAL")
            self.sqlite.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
            for statement in _SCHEMA:
                self.sqlite.execute(statement)

    def _refuse_other_tables(self, path: Path) -> None:
        """Write nothing beside tables of another layout: they may hold customers, whom `delete` would not remove."""
        found = self.sqlite.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        if not _TABLES.issuperset(name for (name,) in found if not name.startswith("sqlite_")):  # those are SQLite's
            raise StorageFailure(
                "store.online_layout",
                "the online store holds tables of an earlier version, or of another program",
                where=path.name,
                hint="remove the file and run `nextbest features`, which fills another one",
            )

    def wait(self, seconds: float) -> None:
        """Wait at most so long for a lock from now on."""
        milliseconds = max(1, round(seconds * 1000))
        if milliseconds != self._wait_ms:
            self.sqlite.execute(f"PRAGMA busy_timeout = {milliseconds}")
            self._wait_ms = milliseconds


class SqliteRecords:
    """`OnlineRecords` (which describes the methods) in one file: one writer at a time, a connection a thread.

    Parameters
    ----------
    path : created by the first write; reading a file that is not there is a `StorageFailure`
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._layouts: dict[str, Layout] = {}

    def store_id(self) -> Hashable:
        return file_id(self._path)

    def read(self, customers: Sequence[str], *, deadline_s: float) -> list[Record]:
        with self._reading(deadline_s) as sqlite:
            rows = _select(sqlite, customers).fetchall()
        found = _records(rows)
        return [found.get(customer, {}) for customer in customers]

    def write(self, records: Iterable[tuple[str, Record]]) -> int:
        rows = ((customer, view, block) for customer, record in records for view, block in record.items())
        with self._writing() as sqlite:
            return _upsert(sqlite, rows)

    def discard(self, view: str, customers: Iterable[str], *, not_after_us: int) -> int:
        statement = "DELETE FROM blocks WHERE customer = ? AND view = ? AND event_us <= ?"
        with self._writing() as sqlite:
            return sqlite.executemany(statement, ((customer, view, not_after_us) for customer in customers)).rowcount

    def delete(self, customer: str) -> bool:
        with self._writing() as sqlite:
            held = sqlite.execute("DELETE FROM blocks WHERE customer = ?", [customer]).rowcount > 0
        with self._explained():
            sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # what readers still hold goes with the next one
        return held

    def scan(self) -> Iterator[tuple[str, Record]]:
        last: str | None = None
        while True:
            with self._reading() as sqlite:
                page = _records(_page(sqlite, after=last).fetchall())
            if not page:
                return
            yield from page.items()
            last = next(reversed(page))

    def drop(self, views: Sequence[str]) -> None:
        with self._writing() as sqlite:
            for view in views:
                sqlite.execute("DELETE FROM blocks WHERE view = ?", [view])
                sqlite.execute("DELETE FROM facts WHERE substr(name, 1, length(?1) + 1) = ?1 || ':'", [view])

    def put_layout(self, layout: Layout) -> str:
        identity, text = layout_text(layout)
        with self._writing() as sqlite:
            sqlite.execute("INSERT OR IGNORE INTO layouts (id, fields) VALUES (?, ?)", [identity, text])
        return identity

    def layout(self, identity: str, *, deadline_s: float | None = None) -> Layout:
        if identity not in self._layouts:
            with self._reading(deadline_s) as sqlite:
                row = sqlite.execute("SELECT fields FROM layouts WHERE id = ?", [identity]).fetchone()
            if row is None:
                raise StorageFailure(
                    "store.layout_missing",
                    "the online store holds rows of an unknown layout",
                    where=self._path.name,
                    hint="remove it, and fill it again with `nextbest features`",
                )
            self._layouts[identity] = layout_from(row[0])
        return self._layouts[identity]

    def put_fact(self, name: str, value: str) -> None:
        with self._writing() as sqlite:
            sqlite.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", [name, value])

    def fact(self, name: str, *, deadline_s: float | None = None) -> str | None:
        with self._reading(deadline_s) as sqlite:
            row = sqlite.execute("SELECT value FROM facts WHERE name = ?", [name]).fetchone()
        return None if row is None else str(row[0])

    def close(self) -> None:
        self._local.__dict__.clear()

    @contextmanager
    def _reading(self, deadline_s: float | None = None) -> Iterator[sqlite3.Connection]:
        longest = WAIT_S if deadline_s is None else deadline_s
        until = time.monotonic() + longest
        with self._explained():
            held = self._connection(writing=False)
            held.wait(longest)
            looks = itertools.count()
            # The first look may come at any step, since SQLite goes on counting from the read before.
            held.sqlite.set_progress_handler(lambda: next(looks) > 0 and time.monotonic() > until, _STEPS)
            try:
                yield held.sqlite
            except sqlite3.Error as error:
                if deadline_s is not None and error.sqlite_errorcode & 0xFF in _LATE:
                    raise TimeoutError(f"the online store did not answer within {deadline_s:g} s") from None
                raise
            finally:
                held.sqlite.set_progress_handler(None, 0)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._explained():
            held = self._connection(writing=True)
            held.wait(WAIT_S)
            with transaction(held.sqlite) as sqlite:
                yield sqlite

    def _connection(self, *, writing: bool) -> _Connection:
        held: _Connection | None = getattr(self._local, "connection", None)
        if held is None or not held.usable or (writing and not held.writing):
            if writing:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            held = self._local.connection = _Connection(self._path, writing=writing)
        return held

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, TimeoutError):  # an OSError, and the answer of `read`
                raise
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                raise StorageFailure(
                    "store.online_damaged",
                    f"the online store is damaged ({error})",
                    where=self._path.name,
                    hint="remove the file and run `nextbest features`, which fills another one",
                ) from error
            raise StorageFailure(
                "store.online_unusable",
                f"the online store cannot be used ({error})",
                where=self._path.name,
                hint="`nextbest features` fills it; check the space, the permissions, and whether another run writes",
            ) from error


Row = tuple[str, str, int, int, str, str]
"""Customer, view, event time, created time, layout, payload."""


def _select(sqlite: sqlite3.Connection, customers: Sequence[str]) -> sqlite3.Cursor:
    if len(customers) == 1:
        return sqlite.execute(
            """
            SELECT customer, view, event_us, created_us, layout, payload
            FROM blocks
            WHERE customer = ?
            """,
            customers,
        )
    return sqlite.execute(
        """
        SELECT customer, view, event_us, created_us, layout, payload
        FROM blocks
        WHERE customer IN (SELECT value FROM json_each(?))
        """,
        [json.dumps(list(customers))],
    )


def _page(sqlite: sqlite3.Connection, *, after: str | None) -> sqlite3.Cursor:
    beyond = ">=" if after is None else ">"
    return sqlite.execute(
        f"""
        SELECT customer, view, event_us, created_us, layout, payload
        FROM blocks
        WHERE customer IN (
            SELECT DISTINCT customer
            FROM blocks
            WHERE customer {beyond} ?
            ORDER BY customer
            LIMIT {PAGE}
        )
        ORDER BY customer, view
        """,
        [after or ""],
    )


def _records(rows: Iterable[Row]) -> dict[str, dict[str, Block]]:
    found: dict[str, dict[str, Block]] = {}
    for customer, view, event_us, created_us, layout, text in rows:
        found.setdefault(customer, {})[view] = Block(event_us, created_us, layout, values_of(text))
    return found


def _upsert(sqlite: sqlite3.Connection, rows: Iterable[tuple[str, str, Block]]) -> int:
    return sqlite.executemany(
        """
        INSERT INTO blocks AS held (customer, view, event_us, created_us, layout, payload)
        VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (customer, view) DO UPDATE
        SET event_us = excluded.event_us, created_us = excluded.created_us,
            layout = excluded.layout, payload = excluded.payload
        WHERE (excluded.event_us, excluded.created_us) >= (held.event_us, held.created_us)
        """,
        (
            (customer, view, block.event_us, block.created_us, block.layout, payload(block.values))
            for customer, view, block in rows
        ),
    ).rowcount
