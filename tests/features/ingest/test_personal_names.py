"""A column of customers that is named like what identifies a person lies apart, also in nested files and in German."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from tests.features.tiny import company, unified

FEEDS = """\
feeds:
  crm: {source: crm.json, kind: customers, key: id, updated_at: changed, timezone: UTC}
identity: {rules: keys}
"""


def test_nested_and_german_names_lie_apart_though_nothing_declares_them(tmp_path: Path) -> None:
    person = {
        "id": 1,
        "changed": "2026-01-01",
        "name": {"first": "Ann", "last": "Lee"},
        "address": {"street": "High St 1", "city": "Hull", "postcode": "HU1 1AA"},
        "PLZ": "HU1 1AA",
        "Vorname": "Ann",
        "Nachname": "Lee",
        "Geburtsdatum": "1980-01-01",
        "level": "gold",
    }
    workspace = company(tmp_path, feeds=FEEDS, files={"crm.json": json.dumps([person])})
    unified(workspace)
    own = {name for name in pq.read_schema(workspace.unified / "customers.parquet").names if name.startswith("crm.")}
    assert own == {"crm.changed", "crm.address_city", "crm.level"}
