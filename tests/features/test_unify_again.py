"""Unify again where nothing has changed: nothing is done, unless a table of the last run is no longer there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from features.base.errors import StorageFailure
from tests.features.tiny import company, lines, people, unified

FEEDS = """\
feeds:
  crm: {source: crm.csv, kind: customers, key: id, updated_at: changed, timezone: UTC, fields: {email: mail}}
identity: {rules: exact}
"""
ROWS = ["1,2026-01-01,ann@x.org", "2,2026-01-02,bob@x.org"]
KEPT = ("customers.parquet", "golden.parquet", "ids.parquet", "personal/records.parquet")


@pytest.mark.parametrize("gone", KEPT)
def test_a_table_that_was_removed_is_made_again_and_ids_stay(tmp_path: Path, gone: str) -> None:
    workspace = company(tmp_path, feeds=FEEDS, files={"crm.csv": lines("id,changed,mail", ROWS)})
    unified(workspace)
    before = people(workspace)
    (workspace.unified / gone).unlink()
    unified(workspace)
    assert (workspace.unified / gone).is_file()
    assert people(workspace) == before


def test_nothing_is_written_when_all_is_there(tmp_path: Path) -> None:
    workspace = company(tmp_path, feeds=FEEDS, files={"crm.csv": lines("id,changed,mail", ROWS)})
    unified(workspace)
    before = [(workspace.unified / name).stat().st_ino for name in KEPT]
    unified(workspace)
    assert [(workspace.unified / name).stat().st_ino for name in KEPT] == before


def test_a_ledger_that_is_gone_is_not_begun_anew_while_its_ids_are_in_use(tmp_path: Path) -> None:
    workspace = company(tmp_path, feeds=FEEDS, files={"crm.csv": lines("id,changed,mail", ROWS)})
    unified(workspace)
    before = people(workspace)
    shutil.rmtree(workspace.identity)
    with pytest.raises(StorageFailure, match=r"identity\.lost"):
        unified(workspace)
    assert people(workspace) == before
    shutil.rmtree(workspace.unified)
    assert unified(workspace).customers == 2
