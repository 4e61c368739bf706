"""Champions are loaded verified, or not at all."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.base.errors import BadConfiguration, StorageFailure
from features.base.workspace import Workspace
from features.store.repository import Store
from serving.decisioning.reason_codes import Reason
from serving.decisioning.sentences import explain_reason
from serving.engine import Decider
from serving.scoring.scorer import Scorer
from tests.serving.house import CUSTOMERS, CUTOFF, GROUPS


@pytest.fixture
def columns(decider: Decider, store: Store) -> dict[str, np.ndarray]:
    return decider.columns(store.latest(decider.features, as_of=CUTOFF))


def test_each_champion_scores_in_the_shape_that_deciding_wants(
    decider: Decider, columns: dict[str, np.ndarray]
) -> None:
    scores = decider.scorer.score(columns)
    assert scores["churn"].values.shape == (CUSTOMERS,)
    assert scores["churn"].candidates == ()
    assert scores["cross_sell"].values.shape == (CUSTOMERS, 2)
    assert scores["cross_sell"].candidates == GROUPS
    assert 0 < scores["churn"].values.min() < scores["churn"].values.max() < 1


def test_a_customer_outside_the_population_of_a_model_has_no_score(
    decider: Decider, columns: dict[str, np.ndarray]
) -> None:
    """The condition may read a column that the model does not learn from."""
    whole = decider.scorer.bundles["churn"]
    about = whole.about.model_copy(update={"population": "elsewhere__visits > 2"})
    scorer = Scorer({"churn": replace(whole, about=about)}, {"churn": "a test"})
    assert scorer.features == (*whole.features, "elsewhere__visits")
    visits = np.arange(CUSTOMERS) % 5
    found = scorer.score({**columns, "elsewhere__visits": visits})["churn"].values
    assert (np.isnan(found) == (visits <= 2)).all()
    assert (found[visits > 2] == decider.scorer.score(columns)["churn"].values[visits > 2]).all()
    assert scorer.only(whole.features).models == ()


def test_reasons_name_the_feature_its_value_and_its_direction(decider: Decider, columns: dict[str, np.ndarray]) -> None:
    row = int(np.argmin(columns["purchases__count_30d"]))
    ((first, *_),) = decider.scorer.reasons("churn", columns, rows=[row])
    assert first.code == "driver"
    assert first == Reason("driver", "raises the score", "purchases__count_30d", 0)
    assert explain_reason(first) == "purchases__count_30d = 0 raises the score"


def test_reasons_of_a_ranking_model_are_about_the_candidate_asked_for(
    decider: Decider, columns: dict[str, np.ndarray]
) -> None:
    wine, toys = decider.scorer.reasons("cross_sell", columns, rows=[3, 3], candidates=["wine", "toys"])
    assert wine
    assert wine != toys


def test_without_champions_nothing_is_scored_and_asking_for_a_model_says_what_to_do(tmp_path: Path) -> None:
    scorer = Scorer.load(Workspace(tmp_path))
    assert scorer.score({}) == {}
    with pytest.raises(BadConfiguration, match="nextbest train"):
        scorer.score({}, models=["churn"])


def test_a_bundle_that_is_not_the_promoted_one_is_refused(house: Workspace, tmp_path: Path) -> None:
    shutil.copytree(house.models, tmp_path / "state" / "models")
    trees = next((tmp_path / "state" / "models" / "churn").rglob("model.txt"))
    trees.write_text(trees.read_text().replace("learning_rate", "learning_rata", 1))
    with pytest.raises(StorageFailure):
        Scorer.load(Workspace(tmp_path))


def test_a_champion_without_its_bundle_is_an_error_that_names_it(house: Workspace, tmp_path: Path) -> None:
    (tmp_path / "state" / "models").mkdir(parents=True)
    shutil.copy(house.models / "deployments.jsonl", tmp_path / "state" / "models")
    with pytest.raises(StorageFailure, match=r"bundle\.unreadable"):
        Scorer.load(Workspace(tmp_path))


def test_scoring_needs_no_training_tools() -> None:
    code = "import sys, serving.scoring.scorer; print(sorted({'mlflow', 'feast'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
