"""The page's plain Feast script, run against a workspace's store: history, materialization, online."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, String

from features.base.errors import BadConfiguration
from features.store.definitions import ServiceDefinition
from features.store.online_reader import open_reader
from features.store.repository import Store
from tests.features.store.conftest import RedisServer, keep_in_redis
from tests.tiny import REPOSITORY

JAN = datetime(2026, 1, 1, tzinfo=UTC)


def script() -> str:
    page = (REPOSITORY / "features" / "store" / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"```python\n(.*?from feast import.*?)```", page, re.DOTALL)
    return str(found)


def test_feast_may_not_write_snapshots(
    store: Store, workspace: Path, write_view, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.apply([write_view("spend", {"spend__sum": "float"}, {JAN: [("ann", 1.5)]})], [])
    monkeypatch.chdir(workspace)
    plain = FeatureStore(fs_yaml_file=workspace / "features" / "feature_store.yaml")
    row = pd.DataFrame(
        {"customer_id": ["ann"], "spend__sum": [9.0], "event_timestamp": [JAN], "created_timestamp": [JAN]}
    )
    with pytest.raises(BadConfiguration, match="written by `nextbest features` alone"):
        plain.write_to_offline_store("spend", row)


def test_rows_for_a_file_that_does_not_exist_are_refused_by_name(
    store: Store, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    source = FileSource(name="tips", path=str(workspace / "tips.parquet"), timestamp_field="event_timestamp")
    customer = Entity(name="tipper", join_keys=["customer_id"], value_type=ValueType.STRING)
    fields = [Field(name="customer_id", dtype=String), Field(name="tip", dtype=Float64)]
    store.feast.apply([customer, FeatureView(name="tips", entities=[customer], schema=fields, source=source)])
    row = pd.DataFrame({"customer_id": ["ann"], "tip": [9.0], "event_timestamp": [JAN]})
    with pytest.raises(BadConfiguration, match="'tips' does not exist"):
        store.feast.write_to_offline_store("tips", row)


def run(workspace: Path) -> list[str]:
    shown = "\nprint(frame.to_dict('list')['spend__sum'], ann['spend__sum'], ann['visits__n'])\n"
    program = [sys.executable, "-W", "ignore", "-c", script() + shown]
    ran = subprocess.run(program, cwd=workspace, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.parametrize("backend", ["sqlite", "redis"])
def test_a_plain_feast_script_works_against_the_store(
    store: Store, workspace: Path, write_view, backend: str, request: pytest.FixtureRequest
) -> None:
    views = [
        write_view("spend", {"spend__sum": "float"}, {JAN: [("ann", 1.5), ("bob", 2.5)]}),
        write_view("visits", {"visits__n": "int"}, {JAN: [("ann", 3)]}),
    ]
    store.apply(views, [ServiceDefinition("customer", ("spend__sum", "visits__n"))])
    if backend == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        request.getfixturevalue("monkeypatch").setenv("PLAIN_REDIS", server.url)
        keep_in_redis(workspace, "${env:PLAIN_REDIS}")
    assert run(workspace)[-1] == "[1.5, 2.5] [1.5] [3]"
    if backend == "sqlite":  # what Feast materialized is what we read
        (bob,) = open_reader(workspace).read(["bob"], "customer", as_of=JAN)
        assert bob.values == {"spend__sum": 2.5, "visits__n": None}
        assert bob.event_times == {"spend": JAN, "visits": None}
