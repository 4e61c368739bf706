"""``nextbest events``: from a file or standard input into the log, online, and what is kept aside."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features.base.workspace import Workspace
from features.store.online_backend import open_records
from serving.cli.main import _run
from tests.features.streaming.world import built, customer, log_of, told, world
from tests.features.tiny import STORE

Call = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = world(tmp_path)
    made.file("features/feature_store.yaml").write_text(STORE, encoding="utf-8")
    return made


@pytest.fixture
def call(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs a command of the group with --json: its exit code and its answer."""

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = _run(["events", *arguments, "-w", str(workspace.root), "--json"])
        said = capsys.readouterr().out
        assert said.count("\n") == 1, said
        return code, json.loads(said)

    return run


def test_a_file_of_events_is_online_after_the_worker(workspace: Workspace, call: Call) -> None:
    path = workspace.root / "events.jsonl"
    path.write_text("\n".join([told(1, "A1"), "", told(2, "D1"), told(1, "A1"), "{"]), encoding="utf-8")
    assert call("append", "--from", str(path)) == (
        0,
        {"accepted": 2, "duplicates": 1, "dead_letters": {"malformed": 1}},
    )
    code, done = call("follow", "--until-empty")
    assert (code, done["events"], done["batches"]) == (0, 2, 1)
    records = open_records(workspace.root)
    found = records.read([customer(workspace, "A1"), customer(workspace, "B1")], deadline_s=5)
    assert [set(record) for record in found] == [{"purchases", "profile", "consent"}, set()]
    records.close()


def test_events_come_from_standard_input_too(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(told(1, "A1").encode() + b"\n\xff\n")))
    assert call("append")[1] == {"accepted": 1, "duplicates": 0, "dead_letters": {"malformed": 1}}


def test_what_is_kept_aside_is_counted_by_reason_and_shows_nobodys_data(
    workspace: Workspace, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    path = workspace.root / "events.jsonl"
    path.write_text("\n".join([told(1, "secret-id"), told(2, "secret-id"), '{"amount": "secret"}']), encoding="utf-8")
    call("append", "--from", str(path))
    code, document = call("dead-letters")
    assert code == 0
    assert document["events"] == 3
    assert {group["reason"]: group["events"] for group in document["groups"]} == {"malformed": 1, "unknown_customer": 2}
    assert _run(["events", "dead-letters", "list", "-w", str(workspace.root)]) == 0
    said = capsys.readouterr()
    assert "secret" not in said.out + said.err
    assert said.out.splitlines()[-1] == "next: nextbest events dead-letters replay"


def test_a_replay_takes_what_can_be_used_by_now(workspace: Workspace, call: Call) -> None:
    log = log_of(workspace)
    assert call("append", "--from", str(_written(workspace, told(1, "nobody"))))[1]["dead_letters"] == {
        "unknown_customer": 1
    }
    assert call("dead-letters", "replay")[1] == {
        "accepted": 0,
        "duplicates": 0,
        "dead_letters": {"unknown_customer": 1},
    }
    assert len(log.dead_letters()) == 1
    log.close()


def test_what_a_feed_holds_is_pruned_and_what_is_old_if_that_is_asked_for(
    workspace: Workspace, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("prune") == (0, {"delivered": 0, "old": 0, "dead_letters": 0})
    assert not workspace.streaming.exists(), "nothing ever moved"
    path = _written(workspace, told(1, "A1"), told(2, "A1", feed="till", id="2"), told(3, "secret-id"))
    call("append", "--from", str(path))
    built(workspace)
    call("follow", "--until-empty")
    assert call("prune", "--before", "3650d") == (0, {"delivered": 1, "old": 0, "dead_letters": 0})
    call("append", "--from", str(path))
    assert call("prune", "--before", "0s") == (0, {"delivered": 0, "old": 1, "dead_letters": 1})
    assert _run(["events", "prune", "-w", str(workspace.root), "--before", "0s"]) == 0
    said = capsys.readouterr()
    assert "secret" not in said.out + said.err
    assert said.out.splitlines()[-1] == "next: nextbest events follow"


@pytest.mark.parametrize("length", ["soon", "2026-01-01", "999999d"])
def test_a_length_that_is_none_is_64(call: Call, length: str) -> None:
    code, document = call("prune", "--before", length)
    assert (code, document["error"]["code"]) == (64, "usage.before")


def test_a_file_that_is_not_there_is_64(call: Call) -> None:
    code, document = call("append", "--from", "nowhere.jsonl")
    assert (code, document["error"]["code"]) == (64, "events.no_file")


def test_before_features_are_built_the_worker_says_so(workspace: Workspace, call: Call) -> None:
    (workspace.snapshots / "features.json").unlink()
    call("append", "--from", str(_written(workspace, told(1, "A1"))))
    code, document = call("follow", "--until-empty")
    assert (code, document["error"]["code"]) == (65, "features.not_built")


def test_a_redis_server_that_is_not_there_is_69(workspace: Workspace, call: Call) -> None:
    feeds = workspace.file("features/feeds.yaml")
    text = feeds.read_text(encoding="utf-8") + 'event_log: {log: redis, address: "redis://127.0.0.1:1/0"}\n'
    feeds.write_text(text, encoding="utf-8")
    for command in (["append", "--from", str(_written(workspace, told(1, "A1")))], ["prune"]):
        code, document = call(*command)
        assert (code, document["error"]["code"]) == (69, "streaming.log_unreachable")


def test_a_password_in_the_address_is_refused(workspace: Workspace, call: Call) -> None:
    feeds = workspace.file("features/feeds.yaml")
    text = feeds.read_text(encoding="utf-8") + 'event_log: {log: redis, address: "redis://:hunter2@host/0"}\n'
    feeds.write_text(text, encoding="utf-8")
    code, document = call("dead-letters")
    assert code == 78
    assert "hunter2" not in json.dumps(document)


def _written(workspace: Workspace, *events: str) -> Path:
    path = workspace.root / "events.jsonl"
    path.write_text("\n".join(events), encoding="utf-8")
    return path
