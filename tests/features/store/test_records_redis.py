"""Records on a real Redis server: frozen, gone, refusing; and its address, which may hold secrets."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest
import redis

from features.base.errors import BadConfiguration, StorageFailure, Unreachable
from features.store.online_records import WAIT_S, Block
from features.store.online_records_redis import RedisRecords
from features.store.store_settings import read_settings, redis_address
from tests.features.store.conftest import RedisServer, keep_in_redis

ANN = {"spend": Block(1, 1, "l", (1,))}


def test_a_frozen_server_answers_nothing_and_the_deadline_holds(redis_server: RedisServer) -> None:
    records = RedisRecords(redis_server.url, name="frozen")
    records.write([("ann", ANN)])
    records.read(["ann"], deadline_s=5)
    with redis_server.frozen():
        for _ in range(3):  # over the connection that was open, and over new ones
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                records.read(["ann"], deadline_s=0.1)
            assert 0.09 < time.monotonic() - began < WAIT_S / 2  # how long it would wait without a deadline
        with pytest.raises(TimeoutError):
            records.fact("a", deadline_s=0.1)
    assert records.read(["ann", "bob"], deadline_s=5) == [ANN, {}]  # no late answer is taken for another one's
    records.close()


def test_a_server_that_is_not_there_is_out_of_reach(tmp_path: Path) -> None:
    records = RedisRecords(f"unix://{tmp_path}/nobody", name="n")
    with pytest.raises(Unreachable, match=r"store\.online_unreachable"):
        records.read(["ann"], deadline_s=1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(Unreachable) as caught:
        RedisRecords(f"redis://:hidden@127.0.0.1:{port}/0", name="n").write([("ann", ANN)])
    assert "hidden" not in str(caught.value)


def test_a_server_that_refuses_is_a_failure(redis_server: RedisServer) -> None:
    records = RedisRecords(redis_server.url, name="refused")
    other = redis.Redis.from_url(redis_server.url)
    other.set("refused:customer:ann", "of another program")
    with pytest.raises(StorageFailure, match=r"store\.online_unusable"):
        records.read(["bob", "ann", "cem"], deadline_s=5)
    other.delete("refused:customer:ann")
    assert records.read(["bob"], deadline_s=5) == [{}]
    other.close()
    records.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of what is tested here
def test_a_forked_process_has_a_connection_of_its_own(redis_server: RedisServer) -> None:
    records = RedisRecords(redis_server.url, name="forked")
    records.write([("ann", ANN)])
    child = os.fork()
    if child == 0:
        os._exit(0 if records.read(["ann"], deadline_s=5) == [ANN] else 1)
    assert records.read(["bob"], deadline_s=5) == [{}]
    assert os.waitpid(child, 0)[1] == 0
    assert records.read(["ann"], deadline_s=5) == [ANN]
    records.close()


def test_a_secret_of_the_address_is_a_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PW", "a/b@c")
    (tmp_path / "whole").write_text("rediss://host:1/0\n", encoding="utf-8")
    assert redis_address("redis://u:${env:PW}@host:1/0", root=tmp_path) == "redis://u:a%2Fb%40c@host:1/0"
    assert redis_address("${file:whole}", root=tmp_path) == "rediss://host:1/0"
    with pytest.raises(BadConfiguration, match=r"store\.online_url"):
        redis_address("http://host", root=tmp_path)
    with pytest.raises(BadConfiguration, match=r"secret\.missing"):
        redis_address("redis://u:${env:NOT_SET}@host:1/0", root=tmp_path)


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("redis://u:hidden@host:1/0", True),
        ("redis://:hidden@host:1/0", True),
        ("redis://:${env:A}hidden@host:1/0", True),
        ("redis://:${env:A}@host:1/0", False),
        ("redis://u:${file:/run/secrets/a}@host:1/0", False),
        ("redis://host:1/0", False),
        ("${env:A}", False),
    ],
)
def test_a_password_in_the_file_is_refused_and_not_shown(workspace: Path, url: str, plain: bool) -> None:
    keep_in_redis(workspace, url, deadline="50ms")
    if plain:
        with pytest.raises(BadConfiguration, match=r"store\.secret") as caught:
            read_settings(workspace)
        assert "hidden" not in str(caught.value)
    else:
        assert read_settings(workspace).online_store.deadline.total_seconds() == 0.05
