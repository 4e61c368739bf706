"""A load that a check refuses at the end leaves nothing in the history of records."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.base.errors import BadData
from tests.features.tiny import company, table, unified

FEEDS = """\
company: {currency: GBP, timezone: UTC}
identity: {rules: exact}
feeds:
  crm: {source: crm.csv, kind: customers, key: id, fields: {email: mail, country: land}}
  web: {source: web.csv, kind: customers, key: id, fields: {email: mail, country: land}}
  till: {source: till.csv, kind: events, event: purchase, key: no, customer: crm.id = till.who, event_time: day,
    timezone: UTC}
quality:
  agree: [country]
  checks: {FQ015: {severity: refuse}, FQ017: {severity: warn}, FQ018: {severity: warn}, FQ019: {severity: warn}}
"""


def test_a_refused_load_leaves_nothing_in_the_history_of_records(tmp_path: Path) -> None:
    workspace = company(tmp_path, feeds=FEEDS, files={"web.csv": "id,mail,land\nw1,a@x.example,GB\n"})
    for month, country in ((3, "GB"), (4, "WRONG"), (5, "GB")):
        days = "".join(f"{number},1,2026-{number:02d}-01\n" for number in range(1, month + 1))
        new = f"2,{month}@x.example,GB\n" if month > 3 else ""
        files = {"crm.csv": f"id,mail,land\n1,a@x.example,{country}\n{new}", "till.csv": f"no,who,day\n{days}"}
        company(tmp_path, feeds=FEEDS, files=files, delivered=datetime(2026, month, 2, tzinfo=UTC))
        if country == "WRONG":
            accepted = (workspace.staged / "crm" / "rows.parquet").read_bytes()
            with pytest.raises(BadData, match="FQ015"):
                unified(workspace)
            assert (workspace.staged / "crm" / "rows.parquet").read_bytes() == accepted
        else:
            unified(workspace)
    held = {
        (row["country"], row["known_at"].month, row["known_until"])
        for row in table(workspace.unified / "customers.parquet")
        if row["feed"] == "crm"
    }
    assert held == {("GB", 3, None), ("GB", 5, None)}
    assert not any(path.name == "loads" for path in workspace.unified.iterdir())
