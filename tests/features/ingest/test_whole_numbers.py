"""A whole number that an expression casts to text has no point, however the file or its column stores it."""

from __future__ import annotations

from pathlib import Path

from tests.features.tiny import company, lines, table, unified

FEEDS = """\
feeds:
  crm: {source: crm.csv, kind: customers, key: id, updated_at: at, timezone: UTC,
    fields: {full_name: cast(by as varchar), last_name: "cast(by as varchar) || '-' || cast(bm as varchar)"}}
"""


def test_years_of_a_csv_file_stay_whole_when_they_are_cast_to_text(tmp_path: Path) -> None:
    rows = ["1,2004,5,2026-01-01", "2,2004.0,,2026-01-01", "3,1999.5,7,2026-01-01"]
    workspace = company(tmp_path, feeds=FEEDS, files={"crm.csv": lines("id,by,bm,at", rows)})
    unified(workspace)
    found = [(row["full_name"], row["last_name"]) for row in table(workspace.personal / "customers.parquet")]
    assert sorted(found, key=str) == [("1999.5", "1999.5-7"), ("2004", "2004-5"), ("2004", None)]
