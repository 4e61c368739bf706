"""`nextbest why` and `nextbest owners` on a small company: what is told, what is masked, what is refused."""

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
  crm: {source: crm.csv, owner: sales, kind: customers, key: id, updated_at: changed, timezone: UTC,
    fields: {email: mail, city: town}, drop: [mail]}
  news: {source: news.csv, owner: marketing, kind: customers, key: mail, updated_at: changed, timezone: UTC,
    fields: {email: mail}}
identity: {rules: exact, match: [email]}
"""
SECRET = "zoe.smith@example.com"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    crm = [f"1,2026-01-02,{SECRET},Leeds", f"2,2026-01-04,{SECRET},York [north]"]
    files = {
        "crm.csv": lines("id,changed,mail,town", crm),
        "news.csv": lines("changed,mail", [f"2026-01-03,{SECRET}"]),
    }
    made = company(tmp_path, feeds=FEEDS, files=files)
    unified(made)
    return made


def said(workspace: Workspace, *arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert _run([*arguments, "-w", str(workspace.root)]) == 0
    return capsys.readouterr().out


def customer(workspace: Workspace) -> str:
    (only,) = people(workspace)
    return only


def test_why_tells_value_record_rule_time_and_what_lost(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    document: dict[str, Any] = json.loads(said(workspace, "why", customer(workspace), "city", "--json", capsys=capsys))
    assert (document["value"], document["record"], document["rule"]) == ("York [north]", "crm:2", "last_updated")
    assert document["changed_at"] == "2026-01-04T00:00:00Z"
    assert [c["verdict"] for c in document["candidates"]] == ["won", "lost", "not a candidate"]
    text = said(workspace, "why", customer(workspace), "city", capsys=capsys)
    assert "city: York [north]  (rule last_updated)" in text
    assert "lost: crm:1 Leeds, 2026-01-02T00:00:00Z: changed earlier" in text
    assert "next: nextbest identity history" in text


def test_personal_values_and_keys_are_masked_until_they_are_asked_for(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ([], ["--json"]):
        for field in ("email", "city"):
            assert SECRET not in said(workspace, "why", customer(workspace), field, *more, capsys=capsys)
    assert "z***@…" in said(workspace, "why", customer(workspace), "email", capsys=capsys)
    assert SECRET in said(workspace, "why", customer(workspace), "email", "--show-personal", capsys=capsys)


def test_why_as_of_a_moment(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(workspace, "why", customer(workspace), "city", "--as-of", "2026-01-03", "--json", capsys=capsys)
    assert json.loads(told)["value"] == "Leeds"


def test_an_unknown_customer_is_65_with_a_hint(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["why", "c0", "city", "--json", "-w", str(workspace.root)]) == 65
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], "golden.parquet" in error["hint"]) == ("why.unknown_customer", True)


def test_an_unknown_field_is_64_with_the_nearest_one(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["why", customer(workspace), "ctiy", "--json", "-w", str(workspace.root)]) == 64
    assert json.loads(capsys.readouterr().out)["error"]["hint"] == "did you mean 'city'?"


def test_owners_tells_how_many_each_counts(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(said(workspace, "owners", "--json", capsys=capsys))
    assert document["customers"] == 1
    found = document["owners"]
    counts = {name: (owner["counted"], owner["customers"], owner["only_here"]) for name, owner in found.items()}
    assert counts == {"marketing": (1, 1, 0), "sales": (2, 1, 0)}
    assert "sales counts 2 customers, who are 1; 0 of them only here (crm)" in said(workspace, "owners", capsys=capsys)


def test_before_unification_both_say_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = company(tmp_path, feeds=FEEDS)
    for arguments in (["why", "c0", "city"], ["owners"]):
        assert _run([*arguments, "--json", "-w", str(made.root)]) == 65
        assert "nextbest unify" in json.loads(capsys.readouterr().out)["error"]["hint"]
