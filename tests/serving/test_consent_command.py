"""``nextbest consent`` shows what somebody allowed, and counts who is withheld; as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serving.cli.main import _run
from tests.features.consent.world import who, world
from tests.features.tiny import unified

SAID = ["A1,marketing,granted,v1,2026-01-02", "A1,marketing,withdrawn,v2,2026-01-06"]


def test_consent_is_shown_as_it_stood_and_as_it_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = world(tmp_path, SAID)
    unified(workspace)
    ann = who(workspace, "A1")
    asked = ["consent", "show", ann, "-w", str(tmp_path), "--json"]
    assert _run(asked) == 0
    now = json.loads(capsys.readouterr().out)
    assert now["purposes"]["marketing"] == {"basis": "consent", "allowed": False, "reason": "withdrawn"}
    assert [(word["status"], word["notice"]) for word in now["words"]] == [("granted", "v1"), ("withdrawn", "v2")]
    assert _run([*asked, "--as-of", "2026-01-03"]) == 0
    then = json.loads(capsys.readouterr().out)
    assert then["purposes"]["marketing"]["allowed"] is True


def test_an_unknown_customer_is_no_customer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unified(world(tmp_path, SAID))
    assert _run(["consent", "show", "nobody", "-w", str(tmp_path)]) == 65
    assert "consent.unknown_customer" in capsys.readouterr().err


def test_the_withheld_are_counted_by_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unified(world(tmp_path, SAID))
    assert _run(["consent", "withheld", "-w", str(tmp_path), "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)["withheld_by"]
    assert counted == {"care": {}, "marketing": {"no_consent": 2, "withdrawn": 1}, "service": {}}
