"""``nextbest quarantine``, ``report`` and ``unify --accept``: what they answer, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serving.cli.main import _run
from tests.features.quality.world import SALES, many, write


def call(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = _run([*words, "-w", str(folder), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_quarantine_is_listed_and_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = "quality: {unknown_customers_above: 0.5}"
    write(tmp_path, sales=[*SALES, "9,77,2026-01-06,1,web,GBP"], more=more)
    assert call(capsys, tmp_path, "unify")[0] == 0
    code, listed = call(capsys, tmp_path, "quarantine", "list", "--feed", "till")
    group = {"feed": "till", "reason": "the customer that it refers to is unknown", "rows": 1}
    assert (code, listed) == (0, {"rows": 1, "groups": [group | {"places": ["record 9"], "earlier": 0}]})
    shown = call(capsys, tmp_path, "quarantine", "list", "--show-rows")[1]["groups"][0]
    assert '"customer_ref"' in shown["contents"][0] or '"__ref"' in shown["contents"][0]
    code, replayed = call(capsys, tmp_path, "quarantine", "replay")
    assert (code, replayed["before"], replayed["rows"]) == (0, 1, 1)


def test_nothing_kept_aside_is_said_and_what_follows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    assert _run(["unify", "-w", str(tmp_path)]) == 0
    capsys.readouterr()
    assert _run(["quarantine", "list", "-w", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == ["no row is quarantined", "next: nextbest features"]


def test_a_feed_that_is_not_declared_is_64(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    for words in (["quarantine", "list", "--feed", "tll"], ["unify", "--accept", "tll"]):
        code, document = call(capsys, tmp_path, *words)
        assert (code, document["error"]["hint"]) == (64, "did you mean 'till'?")


def test_a_poisoned_load_is_65_and_accept_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, sales=many(100))
    assert call(capsys, tmp_path, "unify")[0] == 0
    write(tmp_path, sales=many(10))
    code, document = call(capsys, tmp_path, "unify")
    assert (code, document["error"]["code"], document["error"]["where"]) == (65, "quality.volume", "feed till")
    assert "nextbest unify --accept till" in document["error"]["hint"]
    assert call(capsys, tmp_path, "unify", "--accept", "till")[0] == 0


def test_the_report_is_written_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    assert call(capsys, tmp_path, "report")[0] == 65
    assert call(capsys, tmp_path, "unify")[0] == 0
    page = tmp_path / "state" / "published" / "quality" / "report.html"
    page.unlink()
    code, told = call(capsys, tmp_path, "report")
    assert (code, told["counts"]["customers"], Path(told["page"])) == (0, 2, page)
    assert page.is_file()
