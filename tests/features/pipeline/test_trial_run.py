"""A trial run accepts what `unify` accepts: it reads the settings alike, and needs no judgements of pairs."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.base.progress import Silent
from features.pipeline.trial_run import try_feeds
from tests.features.tiny import company, lines, unified

CRM = "crm: {source: crm.csv, kind: customers, key: id, fields: {email: mail}}"


@pytest.mark.parametrize(
    "feeds",
    [
        f"company: {{currency: NOK, country: NO}}\nfeeds:\n  {CRM}\n",
        f"feeds:\n  {CRM.replace('key: id', 'key: no')}\n",
        f"feeds:\n  {CRM.replace('key: id', 'key: id, column_names: [id, on, mail]')}\n",
        f"feeds:\n  {CRM}\nidentity: {{rules: exact, never: pairs.csv}}\n",
    ],
)
def test_what_unify_accepts_is_tried(tmp_path: Path, feeds: str) -> None:
    rows = ["1,1,ann@x.example", "2,2,bob@x.example"]
    header = "id,no,mail" if "column_names" not in feeds else rows.pop(0)
    files = {"crm.csv": lines(header, rows), "pairs.csv": lines("left,right", ["crm:1,crm:2"])}
    unified(company(tmp_path, feeds=feeds, files=files))
    assert [trial.rows for trial in try_feeds(tmp_path, feeds, Silent())] == [2]
