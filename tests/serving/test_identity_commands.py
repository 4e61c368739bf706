"""`nextbest identity …` on a small company: ids lead on, judgements and undone merges are kept, wrong calls refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features.base.workspace import Workspace
from serving.cli.main import _run
from tests.features.tiny import company, lines, people, unified

FEEDS = """\
feeds:
  crm:
    {source: crm.csv, kind: customers, key: id, updated_at: changed, timezone: UTC,
     fields: {email: mail}, drop: [mail]}
identity: {rules: exact}
"""
APART = ["1,2026-01-01,ann@x.org", "2,2026-01-02,a.smith@x.org"]
TOGETHER = ["1,2026-01-01,ann@x.org", "2,2026-01-05,ann@x.org"]
Call = Callable[..., tuple[int, dict[str, Any]]]


def told(root: Path, rows: list[str]) -> Workspace:
    workspace = company(root, feeds=FEEDS, files={"crm.csv": lines("id,changed,mail", rows)})
    unified(workspace)
    return workspace


@pytest.fixture
def merged(tmp_path: Path) -> tuple[Workspace, str, str]:
    """Return a company of which two customers were merged: the id that stayed, and the one that was lost."""
    before = {records[0]: name for name, records in people(told(tmp_path, APART)).items()}
    return told(tmp_path, TOGETHER), before["crm:1"], before["crm:2"]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(workspace: Workspace, *arguments: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = _run(["identity", *arguments, "--json", "-w", str(workspace.root)])
        return code, json.loads(capsys.readouterr().out)

    return run


def test_a_past_id_leads_to_todays_and_its_history_says_why(merged: tuple[Workspace, str, str], call: Call) -> None:
    workspace, stayed, lost = merged
    code, answer = call(workspace, "resolve", lost)
    assert (code, answer["leads_to"], answer["live"]) == (0, [stayed], [True])
    assert call(workspace, "resolve", lost, "--as-of", "2026-01-03")[1]["leads_to"] == [lost]
    events = call(workspace, "history", lost)[1]["events"]
    assert [event["kind"] for event in events] == ["created", "merged"]
    assert events[1]["at"] == "2026-01-05T00:00:00Z"


def test_an_undone_merge_stays_undone_at_the_next_run(merged: tuple[Workspace, str, str], call: Call) -> None:
    workspace, stayed, lost = merged
    event = call(workspace, "history", lost)[1]["events"][-1]["event"]
    code, answer = call(workspace, "undo", event, "--reason", "two people", "--by", "ann")
    assert (code, answer["judged"], [entry["kind"] for entry in answer["events"]]) == (0, 1, ["undone"])
    unified(workspace)
    assert people(workspace) == {stayed: ["crm:1"], lost: ["crm:2"]}
    told(workspace.root, [*TOGETHER, "3,2026-01-06,z@x.org"])
    assert people(workspace)[lost] == ["crm:2"]
    assert call(workspace, "undo", event, "--reason", "again")[0] == 64


def test_a_judgement_counts_from_the_next_run_on(tmp_path: Path, call: Call) -> None:
    workspace = told(tmp_path, APART)
    code, answer = call(workspace, "judge", "always", "crm:1", "crm:2", "--reason", "same passport")
    assert (code, answer["verdict"]) == (0, "always")
    unified(workspace)
    assert len(people(workspace)) == 1
    call(workspace, "judge", "never", "crm:2", "crm:1", "--reason", "twins")
    unified(workspace)
    assert len(people(workspace)) == 2


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (["resolve", "c0123456789abcdef"], 65, "identity.unknown_customer"),
        (["history", "c0123456789abcdef"], 65, "identity.unknown_customer"),
        (["undo", "twelve", "--reason", "x"], 64, "identity.event"),
        (["undo", "e1", "--reason", "x"], 64, "identity.not_a_merge"),
        (["judge", "never", "crm", "crm:2", "--reason", "x"], 64, "identity.record"),
        (["judge", "never", "crm:9", "crm:2", "--reason", "x"], 64, "identity.unknown_record"),
        (["judge", "maybe", "crm:1", "crm:2", "--reason", "x"], 64, "usage"),
    ],
)
def test_a_wrong_call_is_refused_with_its_code(
    tmp_path: Path, call: Call, arguments: list[str], exit_code: int, code: str
) -> None:
    answered, document = call(told(tmp_path, APART), *arguments)
    assert (answered, document["error"]["code"]) == (exit_code, code)
    assert document["error"]["hint"]


def test_without_pairs_for_review_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = told(tmp_path, APART)
    assert _run(["identity", "review", "-w", str(workspace.root)]) == 0
    assert capsys.readouterr().out.startswith("no pair of records waits for review\n")


def test_a_person_reads_one_line_an_entry_and_the_next_step(
    merged: tuple[Workspace, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, stayed, lost = merged
    assert _run(["identity", "history", lost, "-w", str(workspace.root)]) == 0
    *entries, following = capsys.readouterr().out.splitlines()
    assert len(entries) == 2
    assert entries[1].startswith("e3  2026-01-05T00:00:00Z  merged  ")
    assert f"{lost} → {stayed}" in entries[1]
    assert following == "next: nextbest identity undo e3 --reason …"


def test_a_run_that_is_killed_between_ledger_and_tables_heals_with_the_same_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = told(tmp_path, APART)
    before = people(workspace)
    company(tmp_path, feeds=FEEDS, files={"crm.csv": lines("id,changed,mail", [*TOGETHER, "3,2026-01-06,z@x.org"])})

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("features.base.stages.write_json", dies)
        with pytest.raises(KeyboardInterrupt):
            unified(workspace)
    entered = (workspace.identity / "ledger.json").read_bytes()
    assert people(workspace) == before
    unified(workspace)
    assert (workspace.identity / "ledger.json").read_bytes() == entered
    assert sorted(map(len, people(workspace).values())) == [1, 2]
