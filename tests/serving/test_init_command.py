"""``nextbest init``: what it writes, what it refuses, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from features.base.workspace import CONFIGURATION
from serving.cli.main import _run


def test_without_files_it_writes_a_small_company_that_checks_and_unifies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(["init", "shop", "-w", str(tmp_path)]) == 0
    assert "next: nextbest check --workspace" in capsys.readouterr().out
    assert all((tmp_path / "shop" / name).is_file() for name in CONFIGURATION)
    assert _run(["check", "-w", str(tmp_path / "shop")]) == 0
    assert _run(["unify", "-w", str(tmp_path / "shop")]) == 0


def test_files_may_follow_one_from_or_have_one_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.csv").write_text(f"customer_id,{name}\nA1,x\nB2,y\n", encoding="utf-8")
    for number, call in enumerate((["--from", "one.csv", "two.csv"], ["--from", "one.csv", "--from", "two.csv"])):
        capsys.readouterr()
        assert _run(["init", f"new{number}", *call, "-w", str(tmp_path), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert {name: feed["kind"] for name, feed in document["feeds"].items()} == dict.fromkeys(
            ("one", "two"), "customers"
        )
        assert document["left_out"] == {}


def test_it_overwrites_nothing_and_says_what_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "mlflow.yaml").write_text("mine", encoding="utf-8")
    assert _run(["init", "shop", "-w", str(tmp_path)]) == 64
    assert "→ name a new folder" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "shop").iterdir()] == ["mlflow.yaml"]
    assert (tmp_path / "shop" / "mlflow.yaml").read_text(encoding="utf-8") == "mine"


def test_files_without_from_are_a_wrong_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["init", "shop", "crm.csv", "-w", str(tmp_path)]) == 64
    assert "--from" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
