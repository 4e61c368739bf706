"""``nextbest features reconcile`` and ``consistency``: what they answer, and their exit codes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from features.base.workspace import Workspace
from features.store.online_backend import open_records
from serving.cli.main import _run
from tests.features.monitoring.world import MIDNIGHT, built_shop, copied, customers, serve


def call(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = _run(["features", *words, "-w", str(folder), "--json"])
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    return code, json.loads(said)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return built_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def workspace(built: Workspace, tmp_path: Path) -> Workspace:
    return copied(built, tmp_path)


def test_differences_are_told_without_values_and_mended(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    ann = customers(workspace)[0]
    open_records(workspace.root).delete(ann)
    code, told = call(capsys, workspace.root, "reconcile", "--dry-run")
    assert (code, told["different"], told["left"], told["error"]["code"]) == (65, 4, 4, "store.differs")
    assert told["views"]["buys"] == {
        "cutoff": "2026-01-09T00:00:00Z",
        "counts": {"missing": 1},
        "customers": {"missing": [ann]},
    }
    code, mended = call(capsys, workspace.root, "reconcile")
    assert (code, mended["different"], mended["left"], "error" in mended) == (0, 4, 0, False)
    assert _run(["features", "reconcile", "-w", str(workspace.root)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == ["online and offline are the same", "next: nextbest features consistency"]


def test_a_build_as_of_an_earlier_moment_says_that_the_online_store_went_back(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(["features", "--as-of", "2026-01-05", "-w", str(workspace.root)]) == 0
    assert "they were as of 2026-01-09T00:00:00Z: the online store went back, too" in capsys.readouterr().out
    assert call(capsys, workspace.root, "reconcile", "--dry-run")[0] == 0
    document = call(capsys, workspace.root)[1]
    assert (document["as_of_before"], document["as_of"]) == ("2026-01-05T00:00:00Z", "2026-01-09T00:00:00Z")
    assert _run(["features", "-w", str(workspace.root)]) == 0
    assert "went back" not in capsys.readouterr().out


def test_a_skew_above_the_limit_is_65_and_names_the_feature(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    ann, *others = customers(workspace)
    serve(workspace, [ann, *others], at=MIDNIGHT)
    code, document = call(capsys, workspace.root, "consistency")
    assert (code, document["vectors"], "error" in document) == (0, 3, False)
    records = open_records(workspace.root)
    (held,) = records.read([ann], deadline_s=5)
    profile = held["profile"]
    records.write([(ann, {"profile": replace(profile, values=("Paris",))})])
    serve(workspace, [ann], at=MIDNIGHT)
    code, document = call(capsys, workspace.root, "consistency")
    assert (code, document["error"]["code"], document["error"]["where"]) == (
        65,
        "consistency.mismatch",
        "profile__city",
    )
    assert document["features"]["profile__city"]["mismatch_rate"] == pytest.approx(0.25)
    assert call(capsys, workspace.root, "consistency", "--limit", "0.25")[0] == 0
    assert _run(["features", "consistency", "-w", str(workspace.root)]) == 65
    page = capsys.readouterr()
    assert len(page.out.splitlines()) <= 40
    assert page.out.splitlines()[1].split() == ["profile__city", "4", "4", "0.2500", "0.0000", "0.0000"]
    assert "Paris" not in page.out + page.err


def test_without_a_log_there_is_no_proof(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = call(capsys, workspace.root, "consistency")
    assert (code, document["error"]["code"]) == (65, "consistency.no_log")
