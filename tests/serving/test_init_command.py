"""``nextbest init``: what it writes, what it refuses, and what it says."""

from __future__ import annotations

import io
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


def orders(folder: Path) -> None:
    amounts = ("1.500", "750", "12.250")
    rows = [f"{at};p{at % 9}@x.example;2026-01-{at % 28 + 1:02d} 10:00:00;{amounts[at % 3]}" for at in range(60)]
    (folder / "orders.csv").write_text("\n".join(["order_no;email;ordered_at;amount", *rows, ""]), encoding="utf-8")


@pytest.mark.parametrize(("mark", "amount"), [(",", 20 * 14.5e3), (".", 20 * 763.75)])
def test_numbers_that_no_row_decides_are_refused_with_how_to_answer_and_then_read(
    mark: str, amount: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    orders(tmp_path)
    call = ["init", "shop", "--from", "orders.csv", "-w", str(tmp_path), "--json"]
    assert _run(call) == 65
    hint = json.loads(capsys.readouterr().out)["error"]["hint"]
    assert "--interactive" in hint
    assert f"--answer orders.decimal={mark}" in hint
    assert not (tmp_path / "shop").exists()
    assert _run([*call, "--answer", f"orders.decimal={mark}"]) == 0
    trials = {trial["feed"]: trial["amount"] for trial in json.loads(capsys.readouterr().out)["trial"]}
    assert amount in trials.values()


def test_numbers_that_no_row_decides_are_asked_with_their_sums(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    orders(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(",\nEUR\nUTC\n\n"))
    assert _run(["init", "shop", "--from", "orders.csv", "-w", str(tmp_path), "--interactive"]) == 0
    asked = capsys.readouterr().err
    assert "290,000.00 with a decimal comma and to 15,275.00 with a decimal point" in asked


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("curency=GBP", "nothing asks for 'curency'"),
        ("currency=pounds", "'pounds' is no answer to currency"),
        ("timezone=London", "'London' is no answer to timezone"),
        ("orders.decimal=;", "';' is no answer to orders.decimal"),
    ],
)
def test_answers_that_are_none_are_refused(
    answer: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    orders(tmp_path)
    assert _run(["init", "shop", "--from", "orders.csv", "-w", str(tmp_path), "--answer", answer]) == 64
    assert message in capsys.readouterr().err
