"""A benchmark's workspace is the same in every run."""

from __future__ import annotations

from pathlib import Path

from features.base.database_engine import open_engine
from features.base.workspace import Workspace
from features.identity.id_changes import new_id
from features.identity.keyed_digest import load_key, register_key
from tests.benchmarks._run import copy_workspace


def test_the_customers_of_a_benchmark_have_the_same_ids_in_every_run(tmp_path: Path) -> None:
    copies = [Workspace(copy_workspace("telco", tmp_path / run)) for run in ("first", "second")]
    found = []
    with open_engine(folders=[]) as engine:
        for copy in copies:
            register_key(engine, "ids", load_key(copy.identity_key))
            select = new_id("record", "'0'", key="ids")
            found.append(engine.execute(f"SELECT {select} FROM (VALUES ('customers:1'), ('customers:2')) r(record)"))
            found[-1] = found[-1].fetchall()
    assert found[0] == found[1]
