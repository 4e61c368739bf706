"""``nextbest tables``: what the canonical tables hold, before any feature is built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from features.base.workspace import Workspace
from serving.cli.main import _run
from tests.features.tiny import company, lines, people, unified

FEEDS = """\
feeds:
  crm: {source: crm.csv, kind: customers, key: no, updated_at: changed, timezone: UTC,
    fields: {email: mail, city: town}, drop: [mail]}
  till: {source: till.csv, kind: events, event: purchase, customer: crm.no = till.who, event_time: at, timezone: UTC,
    key: bill, fields: {amount: paid}}
  calls: {source: calls.csv, kind: events, event: call, customer: crm.no = calls.who, event_time: at, timezone: UTC,
    key: call}
  tariffs: {source: tariffs.csv, kind: holdings, customer: crm.no = tariffs.who, timezone: UTC, key: contract,
    fields: {item: plan, held_from: since, price: fee}}
  said: {source: said.csv, kind: consents, customer: crm.no = said.who, key: [who, what], event_time: at,
    timezone: UTC, fields: {purpose: what, status: word}}
"""
FILES = {
    "crm.csv": lines("no,changed,mail,town", [f"{n},2026-01-01,p{n}@mail.example,York" for n in (1, 2, 3)]),
    "till.csv": lines("bill,who,at,paid", ["1,1,2026-01-02,0.1", "2,1,2026-02-03,0.2", "3,2,2026-01-04,10"]),
    "calls.csv": lines("call,who,at", ["1,3,2026-01-05"]),
    "tariffs.csv": lines("contract,who,plan,since,fee", ["1,2,basic,2026-01-06,5"]),
    "said.csv": lines("who,what,word,at", ["1,care,granted,2026-01-02", "2,care,objected,2026-01-07"]),
}


def call(capsys: pytest.CaptureFixture[str], root: Path) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = _run(["tables", "-w", str(root), "--json"])
    return code, json.loads(capsys.readouterr().out)


def at(text: str) -> str:
    return f"{text}T00:00:00Z"


def tables(root: Path, capsys: pytest.CaptureFixture[str], purposes: str) -> tuple[Workspace, dict[str, Any]]:
    workspace = company(root, feeds=FEEDS + purposes, files=FILES)
    unified(workspace)
    code, document = call(capsys, root)
    assert (code, list(document)) == (0, ["tables"])
    return workspace, document["tables"]


def test_each_table_is_counted_in_every_way_that_applies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = tables(tmp_path, capsys, "purposes: {care: {basis: legitimate_interest}, bills: {basis: contract}}")
    assert found["events"] == {
        "rows": 4,
        "customers": 3,
        "amount": 10.3,
        "first": at("2026-01-02"),
        "last": at("2026-02-03"),
        "by_event": {"call": 1, "purchase": 3},
        "by_feed": {"calls": 1, "till": 3},
    }
    assert found["consents"] == {
        "rows": 2,
        "customers": 2,
        "first": at("2026-01-02"),
        "last": at("2026-01-07"),
        "by_status": {"granted": 1, "objected": 1},
        "by_feed": {"said": 2},
    }
    assert found["holdings"]["first"] == found["holdings"]["last"] == at("2026-01-06")
    assert (found["customers"]["rows"], found["customers"]["by_feed"]) == (3, {"crm": 3})


def test_customers_without_a_lawful_basis_are_not_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace, found = tables(tmp_path, capsys, "purposes: {care: {basis: legitimate_interest}}")
    assert len(people(workspace)) == 3
    assert (found["customers"]["customers"], found["events"]["amount"]) == (2, 0.3)


def test_people_read_lines_without_a_personal_value_and_the_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unified(company(tmp_path, feeds=FEEDS, files=FILES))
    capsys.readouterr()
    assert _run(["tables", "-w", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "events: 4 rows, 3 customers, amount 10.30" in shown
    assert "  by event: call 1, purchase 3" in shown
    assert shown.splitlines()[-1] == "next: nextbest features"
    assert "mail.example" not in shown


def test_before_anything_is_unified_the_answer_is_65_and_names_the_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    company(tmp_path, feeds=FEEDS, files=FILES)
    code, document = call(capsys, tmp_path)
    assert (code, document["error"]["code"]) == (65, "unify.missing")
    assert document["error"]["hint"] == "run `nextbest unify` first"
