"""``nextbest features forget``: one customer less online, and all the others as they were."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from features.store.backend import open_records
from features.store.records import Block
from serving.cli import _run
from tests.tiny import REPOSITORY


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Return a workspace whose online store holds two customers."""
    (tmp_path / "features").mkdir()
    shutil.copy(REPOSITORY / "features" / "feature_store.yaml", tmp_path / "features")
    records = open_records(tmp_path)
    records.write([(who, {"spend": Block(1, 1, "l", (who,))}) for who in ("c1", "c2")])
    records.close()
    return tmp_path


def forget(shop: Path, customer: str, capsys: pytest.CaptureFixture[str]) -> object:
    assert _run(["features", "forget", customer, "--workspace", str(shop), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_exactly_this_customer_is_forgotten(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert forget(shop, "c1", capsys) == {"customer_id": "c1", "forgotten": True, "served": 0}
    assert [customer for customer, _ in open_records(shop).scan()] == ["c2"]
    assert forget(shop, "c1", capsys) == {"customer_id": "c1", "forgotten": False, "served": 0}


def test_it_says_that_a_later_build_brings_them_back(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["features", "forget", "c1", "--workspace", str(shop)]) == 0
    said = capsys.readouterr()
    assert "a later build of the features brings them back" in said.out + said.err


def test_a_server_out_of_reach_is_69(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = shop / "features" / "feature_store.yaml"
    text = file.read_text(encoding="utf-8")
    redis = text.replace("features.store.online.SqliteOnlineStore", "features.store.online_redis.RedisOnlineStore")
    file.write_text(redis.replace("path: state/feast/online.db", f"url: unix://{shop}/nobody"), encoding="utf-8")
    assert _run(["features", "forget", "c1", "--workspace", str(shop), "--json"]) == 69
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "store.online_unreachable"
