"""``nextbest features forget``: one customer less online and among streamed events, and the others as they were."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from features.base.generations import new_generation
from features.base.workspace import Workspace
from features.store.online_backend import open_records
from features.store.online_records import Block
from features.streaming import removal
from serving.cli.main import _run
from tests.features.other_command import other_command
from tests.features.streaming.test_worker import caught_up
from tests.features.streaming.world import FEEDS, NOW, accept, customer, log_of, told, world
from tests.tiny import REPOSITORY

NONE = {"served": 0, "events": 0, "aside": 0}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Return a workspace whose online store holds two customers."""
    (tmp_path / "features").mkdir()
    shutil.copy(REPOSITORY / "features" / "feature_store.yaml", tmp_path / "features")
    (tmp_path / "features" / "feeds.yaml").write_text(FEEDS, encoding="utf-8")
    records = open_records(tmp_path)
    records.write([(who, {"spend": Block(1, 1, "l", (who,))}) for who in ("c1", "c2")])
    records.close()
    return tmp_path


def forget(shop: Path, customer: str, capsys: pytest.CaptureFixture[str]) -> object:
    assert _run(["features", "forget", customer, "--workspace", str(shop), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_exactly_this_customer_is_forgotten(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert forget(shop, "c1", capsys) == {"customer_id": "c1", "forgotten": True, **NONE}
    assert [customer for customer, _ in open_records(shop).scan()] == ["c2"]
    assert forget(shop, "c1", capsys) == {"customer_id": "c1", "forgotten": False, **NONE}


def test_what_was_published_before_is_removed_for_it_may_hold_the_customer(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [shop / "state" / "unified", shop / "state" / "snapshots"]
    for folder in folders * 2:
        with new_generation(folder) as part:
            (part / "table").write_text("c1", encoding="utf-8")
    forget(shop, "c1", capsys)
    assert [[path.name for path in sorted(folder.iterdir())] for folder in folders] == [["000002", "current"]] * 2


def test_it_says_what_a_later_build_brings_back(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["features", "forget", "c1", "--workspace", str(shop)]) == 0
    said = capsys.readouterr()
    assert "a later build of the features brings back what the feeds still hold" in said.out + said.err


def test_a_server_out_of_reach_is_69(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = shop / "features" / "feature_store.yaml"
    text = file.read_text(encoding="utf-8")
    redis = text.replace("features.store.online.SqliteOnlineStore", "features.store.online_redis.RedisOnlineStore")
    file.write_text(redis.replace("path: state/feast/online.db", f"url: unix://{shop}/nobody"), encoding="utf-8")
    assert _run(["features", "forget", "c1", "--workspace", str(shop), "--json"]) == 69
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "store.online_unreachable"


def test_the_events_of_the_customer_are_gone_too_and_no_worker_brings_them_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = world(tmp_path)
    shutil.copy(REPOSITORY / "features" / "feature_store.yaml", tmp_path / "features")
    ann, bob = customer(workspace, "A1"), customer(workspace, "B1")
    accept(workspace, [told(1, "A1", text="a secret"), told(2, "B1"), told(3, ann, NOW + timedelta(days=1))])
    records = open_records(tmp_path)
    records.write([(who, {"spend": Block(1, 1, "l", (who,))}) for who in (ann, bob)])
    records.close()
    assert forget(tmp_path, ann, capsys) == {
        "customer_id": ann,
        "forgotten": True,
        "served": 0,
        "events": 1,
        "aside": 1,
    }
    assert set(caught_up(workspace)) == {bob}
    assert [one for one, _ in open_records(tmp_path).scan()] == [bob]
    assert forget(tmp_path, ann, capsys) == {"customer_id": ann, "forgotten": False, **NONE}


def test_while_a_build_runs_it_is_74_and_nothing_is_changed(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with other_command(Workspace(shop)):
        assert _run(["features", "forget", "c1", "--workspace", str(shop), "--json"]) == 74
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "workspace.busy"
    assert [customer for customer, _ in open_records(shop).scan()] == ["c1", "c2"]


def test_while_a_worker_is_busy_with_rows_of_before_it_is_69_and_the_events_are_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = world(tmp_path)
    shutil.copy(REPOSITORY / "features" / "feature_store.yaml", tmp_path / "features")
    accept(workspace, [told(1, "A1")])
    log = log_of(workspace)
    assert log.acquire_lease()
    monkeypatch.setattr(removal, "ATTEMPTS", 1)
    assert _run(["features", "forget", customer(workspace, "A1"), "--workspace", str(tmp_path), "--json"]) == 69
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "streaming.worker_unaware"
    assert log.read(after=0, limit=9) == []
    log.close()
