"""The leak report of a workspace's own frames: clean ones pass, a naive join is caught, a leak holds its model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from features.base.progress import Silent
from features.base.storage import read_json
from features.base.workspace import Workspace
from features.pipeline.build_features import build_features
from features.pipeline.unify import unify
from features.snapshots.build_report import UNIFIED_REPORT
from tests.tiny import LABELS, REPOSITORY, write_tiny
from training.dataset.leaks.leak_report import LeakReport
from training.platform import Platform

LEAVER = """\
  leaver:
    label: {kind: recorded, field: people.closed, positive: "yes"}
    min_positives: 20
"""
CLEAN = dict.fromkeys(("LK001", "LK002", "LK003", "LK004", "LK006"), "passed") | {"LK005": "not_applicable"}
VIEWS_WAS, VIEWS_IS = "fields: [city]", "fields: [city, people.closed, people.reason]"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return the README's shop with closed accounts: of some, somebody wrote down why they were closed."""
    workspace = write_tiny(tmp_path_factory.mktemp("shop"))
    people = pd.read_csv(workspace.root / "data" / "people.csv", dtype=str)
    rng = np.random.default_rng(5)
    closed = rng.random(len(people)) < 0.35
    told = closed & (rng.random(len(people)) < 0.5)
    people = people.assign(closed=np.where(closed, "yes", "no"), reason=np.where(told, "price", ""))
    people.to_csv(workspace.root / "data" / "people.csv", index=False)
    views = workspace.file("features/views.yaml")
    views.write_text(views.read_text(encoding="utf-8").replace(VIEWS_WAS, VIEWS_IS), encoding="utf-8")
    labels = LABELS.replace("validation: {scheme: time, ", f"{LEAVER}validation: {{")
    workspace.file("training/labels.yaml").write_text(labels + "exclude: [people.closed]\n", encoding="utf-8")
    unify(workspace, Silent())
    build_features(workspace, Silent())
    return workspace


@pytest.fixture
def platform(shop: Workspace) -> Iterator[Platform]:
    with Platform(shop.root) as opened:
        yield opened


def outcomes(report: LeakReport) -> dict[str, str]:
    return {answer.code: answer.outcome for answer in report.results}


def test_the_features_of_a_models_frame_are_the_same_when_the_tables_end_at_each_cutoff(platform: Platform) -> None:
    assert outcomes(platform.leaks("churn")) == CLEAN


def test_todays_features_joined_to_labels_of_the_past_are_caught(platform: Platform) -> None:
    frame = platform.frame("churn")
    latest = platform.latest(list(map(str, frame.features))).loc[frame.rows["customer_id"]].reset_index(drop=True)
    report = platform.examine(frame.rows, latest, frame.target)
    moved = next(answer for answer in report.results if answer.code == "LK001")
    assert moved.outcome == "failed"
    assert {"orders__recency", "orders__count_90d"} <= set(moved.features)
    assert "profile__city" not in moved.features


def test_a_feature_of_a_customer_who_was_not_known_yet_is_missing(platform: Platform) -> None:
    requested = pd.DataFrame({"customer_id": platform.customers(3), "as_of": pd.Timestamp("2001-01-01", tz="UTC")})
    features = pd.DataFrame({"orders__count_30d": [None] * 3, "profile__city": [None] * 3})
    assert outcomes(platform.examine(requested, features))["LK001"] == "passed"


def test_features_of_customers_that_were_unified_since_are_not_taken_for_leaking(
    shop: Workspace, platform: Platform
) -> None:
    path = shop.unified / UNIFIED_REPORT
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace(read_json(path)["digest"], "0" * 64), encoding="utf-8")
    try:
        assert outcomes(platform.leaks("churn"))["LK001"] == "not_applicable"
    finally:
        path.write_text(before, encoding="utf-8")
    assert outcomes(platform.leaks("churn"))["LK001"] == "passed"


def test_training_shows_the_report_and_a_leak_holds_the_model(shop: Workspace) -> None:
    command = [
        sys.executable,
        "-c",
        "from serving.cli.main import main; main()",
        "train",
        "--json",
        "-w",
        str(shop.root),
    ]
    said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    done = json.loads(said)["models"]
    assert {leak["code"]: leak["outcome"] for leak in done["churn"]["leaks"]} == CLEAN
    leaks = {leak["code"]: leak for leak in done["leaver"]["leaks"]}
    assert leaks["LK003"]["outcome"] == "failed"
    assert leaks["LK003"]["features"] == ["profile__people_reason"]
    assert [leaks[code]["outcome"] for code in ("LK001", "LK002", "LK004", "LK005")] == ["passed"] * 4
    assert done["leaver"]["verdict"] == "hold"
    assert [why for why in done["leaver"]["reasons"] if why.startswith("TG005") and "profile__people_reason" in why]
