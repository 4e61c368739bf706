"""A challenger is compared with the champion's recipe on its own folds, also while the champion is young."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from features.base.workspace import Workspace
from features.config.feeds_file import FeedsFile
from features.snapshots.build_report import FeaturesReport
from tests.training.rows import frame_of
from training.baselines.peers import Peer
from training.dataset.frame import Frame
from training.dataset.splits import by_time
from training.labels.label_settings import LabelsFile
from training.labels.labelled_rows import Labels
from training.models.kind import FitSettings
from training.registry.bundle import read_manifest
from training.registry.bundle_export import export
from training.registry.champion_peer import ChampionPeer, champion_peer
from training.registry.champions import Champion, set_champion
from training.registry.mlflow_settings import MlflowFile
from training.registry.recipe import Recipe
from training.registry.training_task import TrainingTask
from training.validation.assessment import CHAMPION, assess
from training.validation.gates import GateLimits, GateResult, apply_gates

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAYS, MONTH = [0, 30, 60, 90], timedelta(days=30)
FRAME = frame_of((np.random.default_rng(3).random(1600) < 0.4).astype(float), days=DAYS)
FOLDS = by_time(FRAME, parts=2, embargo=MONTH)


@dataclass(frozen=True)
class QuickTask(TrainingTask):
    """A training with few trees."""

    learning_rate: float = 0.1

    @property
    def fitting(self) -> FitSettings:
        boosting = super().fitting.boosting.model_copy(
            update={"max_rounds": 30, "patience": 5, "folds": 2, "learning_rate": self.learning_rate, "num_threads": 1}
        )
        return replace(super().fitting, boosting=boosting)


def task(workspace: Workspace, *, learning_rate: float = 0.1) -> QuickTask:
    label = {"kind": "inactivity", "event": "purchase", "horizon": "30d"}
    file = LabelsFile.model_validate({"models": {"churn": {"label": label}}})
    feeds = FeedsFile.model_validate({"feeds": {"crm": {"source": "c.csv", "kind": "customers", "key": "id"}}})
    report = FeaturesReport((), NOW, (NOW,), 0, "digest")
    return QuickTask("churn", file.models["churn"], file, feeds, MlflowFile(), report, workspace, learning_rate)


def promoted(workspace: Workspace, frame: Frame, given: TrainingTask) -> str:
    labels = Labels(frame.rows, frame.target, (), "a test", MONTH)
    scorer = given.kind.fit(frame, given.fitting)
    recipe = Recipe.of(given.kind, given.fitting, frame)
    digest, _ = export(workspace, "churn", scorer, frame, labels, recipe=recipe, population=None)
    set_champion(workspace, Champion("churn", 1, digest), move="promote", reason="a test", at=NOW)
    return digest


def rule(frame: Frame, given: TrainingTask, champion: ChampionPeer) -> GateResult:
    def peers(fold: object) -> list[Peer]:
        at = next(each for each in FOLDS if each is fold)
        return [] if champion.scores is None else [Peer(CHAMPION, champion.scores(at), is_probability=True)]

    found = assess(given.kind, frame, FOLDS, peers, fitting=given.fitting, advance=lambda: None)
    evidence = replace(found.evidence, champion_note=champion.note)
    return next(each for each in apply_gates(evidence, GateLimits()).rules if each.code == "TG006")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_without_a_champion_the_rule_does_not_apply(workspace: Workspace) -> None:
    assert champion_peer(task(workspace), FRAME, FOLDS, embargo=MONTH) == ChampionPeer("there is no champion")


def test_a_young_champion_is_not_replaced_by_a_challenger_that_learns_less(workspace: Workspace) -> None:
    """The champion learnt from every row, the last test cutoff among them: only its recipe can be compared."""
    promoted(workspace, FRAME, task(workspace))
    slow = task(workspace, learning_rate=0.001)
    champion = champion_peer(slow, FRAME, FOLDS, embargo=MONTH)
    assert champion.note == "refitted on the same rows"
    shuffled = FRAME.features["signal"].sample(frac=1, random_state=1)
    found = rule(replace(FRAME, features=FRAME.features.assign(signal=shuffled.array)), slow, champion)
    assert found.outcome == "failed"
    assert "refitted on the same rows" in found.detail


def test_a_champion_whose_columns_are_gone_cannot_be_refitted(workspace: Workspace) -> None:
    promoted(workspace, FRAME, task(workspace))
    found = champion_peer(task(workspace), FRAME.only(["noise"]), FOLDS, embargo=MONTH)
    assert found.scores is None
    assert "other columns" in found.note


def test_a_challenger_that_learns_more_replaces_it(workspace: Workspace) -> None:
    promoted(workspace, FRAME.only(["noise"]), task(workspace))
    challenger = task(workspace)
    champion = champion_peer(challenger, FRAME, FOLDS, embargo=MONTH)
    assert champion.note == "refitted on the same rows"
    assert rule(FRAME, challenger, champion).outcome == "passed"


def test_the_same_recipe_on_later_rows_is_not_compared_with_itself(workspace: Workspace) -> None:
    promoted(workspace, FRAME, task(workspace))
    found = champion_peer(task(workspace), FRAME, FOLDS, embargo=MONTH)
    assert found == ChampionPeer("the champion has the same recipe: from the same rows it learns the same")


def test_an_old_champion_of_the_same_recipe_is_compared_as_it_decides(workspace: Workspace) -> None:
    early = FRAME.take(FRAME.cutoffs < np.datetime64("2026-01-15"))
    promoted(workspace, early, task(workspace))
    found = champion_peer(task(workspace), FRAME, FOLDS, embargo=MONTH)
    assert found.note == "as it decides"
    assert found.scores is not None
    assert found.scores(FOLDS[0]).shape == (400,)


def test_a_recipe_comes_back_from_the_bundle_equal(workspace: Workspace) -> None:
    given = task(workspace)
    digest = promoted(workspace, FRAME, given)
    manifest = read_manifest(Champion("churn", 1, digest).folder(workspace))
    assert Recipe.from_json(manifest.about.recipe) == Recipe.of(given.kind, given.fitting, FRAME)
    assert Recipe.from_json({"kind": "binary", "fitting": {"speed": 1}}) is None
