"""``nextbest features forget``: one customer less online and among streamed events, and the others as they were."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from features.base.generations import new_generation
from features.base.progress import Silent
from features.base.workspace import Workspace
from features.pipeline.unify import unify
from features.store.online_backend import open_records
from features.store.online_records import Block
from features.streaming import removal
from serving.cli.main import _run
from tests.features.other_command import other_command
from tests.features.streaming.test_worker import caught_up
from tests.features.streaming.world import FEEDS, NOW, accept, customer, log_of, told, world
from tests.features.tiny import company, lines, table
from tests.tiny import REPOSITORY

NONE = {"served": 0, "events": 0, "dead_letters": 0, "versions": 0}


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
        "dead_letters": 1,
        "versions": 0,
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


def test_what_the_records_held_in_earlier_loads_is_gone_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    feeds = """\
feeds:
  crm: {source: crm.csv, kind: customers, key: id, fields: {city: city, email: mail}}
  till:
    {source: till.csv, kind: events, event: buy, event_time: at, timezone: UTC, key: no, customer: crm.id = till.who}
  con: {source: con.csv, kind: holdings, key: no, timezone: UTC, customer: crm.id = con.who,
    fields: {item: item, held_from: start, price: price}}
quality: {unknown_customers_above: 1.0, checks: {FQ017: {severity: warn}, FQ019: {severity: warn}}}
"""
    workspace = company(tmp_path, feeds=feeds)
    shutil.copy(REPOSITORY / "features" / "feature_store.yaml", tmp_path / "features")

    def load(crm: list[str], until: str) -> None:
        (tmp_path / "crm.csv").write_text(lines("id,city,mail", crm), encoding="utf-8")
        till = ["a,1,2026-03-01", "b,2,2026-03-01", f"c,2,{until}"]
        (tmp_path / "till.csv").write_text(lines("no,who,at", till), encoding="utf-8")
        con = [f"{who},{who},tv,2026-01-01,{until[6]}" for who in (1, 2)]  # each load has another price
        (tmp_path / "con.csv").write_text(lines("no,who,item,start,price", con), encoding="utf-8")
        unify(workspace, Silent(), accept=["crm", "till", "con"])

    load(["1,Hull,ann@x.org", "2,York,bob@x.org"], "2026-06-01")
    load(["1,Leeds,ann@x.org", "2,York,bob@x.org"], "2026-07-01")
    load(["2,Ayr,bob@x.org"], "2026-08-01")
    ann = next(row["customer_id"] for row in table(workspace.unified / "customers.parquet") if row["city"] == "Leeds")
    answer = forget(tmp_path, ann, capsys)
    assert answer == {
        "customer_id": ann,
        "forgotten": False,
        **NONE,
        "versions": 4,
    }  # two of the record, two of what it held
    assert {row["record_id"] for row in table(workspace.staged / "con" / "versions.parquet")} == {"2"}
    unify(workspace, Silent())
    rows = table(workspace.unified / "customers.parquet")
    assert sorted((row["city"], row["known_until"] is None) for row in rows) == [("Ayr", True), ("York", False)]
    assert {row["customer_id"] for row in table(workspace.unified / "events.parquet")} == {rows[0]["customer_id"]}
    held = [path for path in workspace.state.rglob("*.parquet") if path.parent.name in ("crm", "unified")]
    assert not [path.name for path in held for row in table(path) if "Hull" in map(str, row.values())]
