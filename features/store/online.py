"""An online store for Feast on SQLite that many threads may read while one process writes.

Feast's own SQLite store shares one connection between threads (from Python 3.12 on, a thread then
sometimes reads another one's customer), lets a late write replace a newer value, keeps times in the
machine's zone, and one row for each *feature*. This one opens a connection for each thread, guards
by event time, and keeps one row for each customer.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from feast import FeatureView, RepoConfig
from feast.infra.online_stores.helpers import compute_table_id
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel

from features.base.engine import quoted
from features.base.errors import StorageFailure
from features.store.encoding import (
    EPOCH,
    Layout,
    Plain,
    customer_key,
    key_of,
    layout_from,
    layout_of,
    layout_text,
    payload,
    plain,
    to_microseconds,
    values_of,
)

BUSY_MS = 10_000  # a reader never waits in WAL mode; a second writer waits this long
KEYS_PER_QUERY = 30_000  # SQLite binds 32,766; one statement sees one snapshot
Row = tuple[bytes, str, int, int]
"""Key, payload, event time and created time in microseconds."""


class SqliteOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]  # Feast is not followed by mypy
    """Feast's settings of this store."""

    type: Literal["features.store.online.SqliteOnlineStore"] = "features.store.online.SqliteOnlineStore"
    path: str


class _Connection:
    """One thread's connection, closed when the thread ends."""

    def __init__(self, path: str) -> None:
        self._getpid = os.getpid  # held here: the module is gone when the interpreter ends
        self.process = self._getpid()
        # The garbage collector may close it from another thread; only its own thread ever reads.
        self.sqlite = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
        self.sqlite.execute("PRAGMA journal_mode = WAL")
        self.sqlite.execute("PRAGMA synchronous = NORMAL")

    def __del__(self) -> None:
        # A forked child must not close its parent's file: SQLite's locks belong to the process.
        if getattr(self, "sqlite", None) is not None and self.process == self._getpid():
            self.sqlite.close()


class SqliteOnlineStore(OnlineStore):  # type: ignore[misc]  # Feast is not followed by mypy
    """Newest feature values, one row for each customer and view.

    A row is ``(entity_key, layout, payload, event_us, created_us)``: the payload is a JSON list of
    values, and ``layouts`` says by content hash which feature and type stands at each place, so a
    changed view never misreads a row written before the change.
    """

    def __init__(self) -> None:
        self._local = threading.local()
        self._layouts: dict[str, Layout] = {}

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows that Feast hands over; an older row never replaces a newer one."""
        layout = layout_of(table)
        rows = [
            (
                key_of(entity),
                payload([plain(values.get(name)) for name, _ in layout]),
                to_microseconds(event),
                to_microseconds(created or event),
            )
            for entity, values, event, created in data
        ]
        with self._writing(config) as sqlite:
            _upsert(sqlite, _table(config, table), layout, rows)
        if progress:
            progress(len(rows))

    def replace_snapshot(
        self,
        config: RepoConfig,
        table: FeatureView,
        *,
        cutoff: datetime,
        rows: Iterable[tuple[str, Sequence[Plain], datetime]],
    ) -> tuple[int, int] | None:
        """Make the view hold this cutoff: write its rows, drop customers that are no longer in it.

        One transaction: a reader sees the old snapshot or the new one. Rows newer than the cutoff
        stay as they are.

        Parameters
        ----------
        rows : customer, values in the view's order, created time

        Returns
        -------
        rows written and rows dropped; None (and nothing done) when a newer cutoff lies here already
        """
        name, layout, cutoff_us = _table(config, table), layout_of(table), to_microseconds(cutoff)
        with self._writing(config) as sqlite:
            held = sqlite.execute("SELECT cutoff_us FROM snapshots WHERE view = ?", [name]).fetchone()
            if held is not None and held[0] > cutoff_us:
                return None
            written = _upsert(
                sqlite,
                name,
                layout,
                (
                    (customer_key(customer), payload(values), cutoff_us, to_microseconds(created))
                    for customer, values, created in rows
                ),
            )
            dropped = sqlite.execute(f"DELETE FROM {quoted(name)} WHERE event_us < ?", [cutoff_us]).rowcount
            sqlite.execute("INSERT OR REPLACE INTO snapshots (view, cutoff_us) VALUES (?, ?)", [name, cutoff_us])
        return written, dropped

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """Return event time and values for each key, in the order of the keys; (None, None) where unknown."""
        wanted = None if requested_features is None else frozenset(requested_features)
        keys = [key_of(entity) for entity in entity_keys]
        found: dict[bytes, tuple[datetime, dict[str, Value]]] = {}
        with _explained(config):
            sqlite = self._connection(config)
            for start in range(0, len(keys), KEYS_PER_QUERY):
                for key, layout, text, event_us in _select(
                    sqlite, _table(config, table), keys[start : start + KEYS_PER_QUERY]
                ):
                    moment = EPOCH + timedelta(microseconds=event_us)
                    found[key] = moment, values_of(text, self._layout(sqlite, layout), wanted)
        return [found.get(key, (None, None)) for key in keys]

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Any],  # noqa: ARG002  # Feast's signature
        entities_to_keep: Sequence[Any],  # noqa: ARG002
        partial: bool,  # noqa: ARG002
    ) -> None:
        """Create the tables of views that are declared, and drop those that no longer are."""
        with self._writing(config) as sqlite:
            sqlite.execute("CREATE TABLE IF NOT EXISTS layouts (id TEXT PRIMARY KEY, fields TEXT NOT NULL)")
            sqlite.execute("CREATE TABLE IF NOT EXISTS snapshots (view TEXT PRIMARY KEY, cutoff_us INTEGER NOT NULL)")
            for table in tables_to_keep:
                sqlite.execute(
                    f"""
                    CREATE TABLE IF NOT EXISTS {quoted(_table(config, table))} (
                        entity_key BLOB PRIMARY KEY,
                        layout TEXT NOT NULL,
                        payload TEXT NOT NULL,
                        event_us INTEGER NOT NULL,
                        created_us INTEGER NOT NULL
                    )
                    """
                )
            for table in tables_to_delete:
                sqlite.execute(f"DROP TABLE IF EXISTS {quoted(_table(config, table))}")
                sqlite.execute("DELETE FROM snapshots WHERE view = ?", [_table(config, table)])

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Any]) -> None:
        """Remove the tables of these views."""
        self.update(config, tables, [], entities, [], partial=False)

    def release(self) -> None:
        """Close this thread's connection; the next read opens another."""
        self._local.__dict__.clear()

    @contextmanager
    def _writing(self, config: RepoConfig) -> Iterator[sqlite3.Connection]:
        with _explained(config):
            sqlite = self._connection(config)
            sqlite.execute("BEGIN IMMEDIATE")
            try:
                yield sqlite
            except BaseException:
                sqlite.execute("ROLLBACK")
                raise
            sqlite.execute("COMMIT")

    def _connection(self, config: RepoConfig) -> sqlite3.Connection:
        held: _Connection | None = getattr(self._local, "connection", None)
        if held is None or held.process != os.getpid():
            held = _Connection(config.online_store.path)
            self._local.connection = held
        return held.sqlite

    def _layout(self, sqlite: sqlite3.Connection, layout: str) -> Layout:
        if layout not in self._layouts:
            (text,) = sqlite.execute("SELECT fields FROM layouts WHERE id = ?", [layout]).fetchone()
            self._layouts[layout] = layout_from(text)
        return self._layouts[layout]


@contextmanager
def _explained(config: RepoConfig) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StorageFailure(
            "store.online_unusable",
            f"the online store cannot be used ({error})",
            where=Path(config.online_store.path).name,
            hint="`nextbest features` fills it; check the free space, the permissions, and whether another run writes",
        ) from error


def _select(sqlite: sqlite3.Connection, table: str, keys: list[bytes]) -> sqlite3.Cursor:
    marks = ", ".join("?" * len(keys))
    return sqlite.execute(
        f"""
        SELECT entity_key, layout, payload, event_us
        FROM {quoted(table)}
        WHERE entity_key IN ({marks})
        """,
        keys,
    )


def _upsert(sqlite: sqlite3.Connection, table: str, layout: Layout, rows: Iterable[Row]) -> int:
    identity, text = layout_text(layout)
    sqlite.execute("INSERT OR IGNORE INTO layouts (id, fields) VALUES (?, ?)", [identity, text])
    return sqlite.executemany(
        f"""
        INSERT INTO {quoted(table)} AS held (entity_key, layout, payload, event_us, created_us)
        VALUES (?, '{identity}', ?, ?, ?)
        ON CONFLICT (entity_key) DO UPDATE
        SET layout = excluded.layout, payload = excluded.payload,
            event_us = excluded.event_us, created_us = excluded.created_us
        WHERE (excluded.event_us, excluded.created_us) >= (held.event_us, held.created_us)
        """,
        rows,
    ).rowcount


def _table(config: RepoConfig, table: FeatureView) -> str:
    return str(compute_table_id(config.project, table))
