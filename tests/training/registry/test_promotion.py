"""What MLflow no longer holds is refused before anything is written."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from features.base.errors import BadConfiguration, BadData
from features.base.workspace import Workspace
from training.models import classifier, golden_rows
from training.models.booster import BoosterSettings
from training.registry import bundle, promotion
from training.registry.bundle import About, Bundle
from training.registry.champions import bundle_folder, read_champions, read_deployments
from training.registry.mlflow_settings import MlflowFile
from training.registry.mlflow_sink import connect, require_experiment

QUICK = BoosterSettings(learning_rate=0.2, max_rounds=5, patience=2, folds=2, num_threads=1, min_positives=5)
AT = datetime(2026, 7, 1, tzinfo=UTC)
SETTINGS = MlflowFile()
NAME = SETTINGS.registered("churn")


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a workspace with two registered versions, both promoted in turn."""
    workspace = Workspace(tmp_path_factory.mktemp("promoted"))
    client = connect(SETTINGS, workspace)
    run = client.create_run(require_experiment(client, SETTINGS)).info
    for version in (1, 2):
        tags = {promotion.DIGEST: written_bundle(workspace, version)}
        source, run_id = str(run.artifact_uri), str(run.run_id)
        assert promotion.register(client, SETTINGS, "churn", source=source, run_id=run_id, tags=tags) == version
        promotion.promote(client, SETTINGS, workspace, "churn", version=version, reason="a test", at=AT)
    return workspace.root


@pytest.fixture
def workspace(promoted: Path, tmp_path: Path) -> Workspace:
    """Return a copy of that workspace which a test may change."""
    return Workspace(shutil.copytree(promoted, tmp_path / "workspace"))


def written_bundle(workspace: Workspace, seed: int) -> str:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"age": rng.uniform(18, 90, 120)})
    scorer = classifier.fit(frame, (rng.random(120) < 0.4).astype(float), settings=QUICK, seed=seed)
    rows = golden_rows.synthetic_rows(scorer.encoding, scorer.encoding.matrix(frame))
    part = workspace.models / "churn" / ".part"
    digest = bundle.write(Bundle.of(scorer, about=About(model="churn", label="a test"), rows=rows), part)
    part.rename(bundle_folder(workspace, "churn", digest))
    return digest


def alias(client: MlflowClient) -> int:
    return int(client.get_model_version_by_alias(NAME, promotion.CHAMPION).version)


def test_a_rollback_moves_the_champion_its_ledger_and_the_alias_together(workspace: Workspace) -> None:
    client = connect(SETTINGS, workspace)
    promotion.roll_back(client, SETTINGS, workspace, "churn", reason="a test", at=AT)
    assert read_champions(workspace)["churn"].version == alias(client) == read_deployments(workspace)[-1].version == 1


def test_a_rollback_to_a_version_that_was_deleted_in_mlflow_changes_nothing(workspace: Workspace) -> None:
    client = connect(SETTINGS, workspace)
    client.delete_model_version(NAME, "1")
    with pytest.raises(BadData, match="version 1 of churn") as refused:
        promotion.roll_back(client, SETTINGS, workspace, "churn", reason="a test", at=AT)
    assert refused.value.first.code == "registry.version_missing"
    assert "nextbest promote churn --version N" in refused.value.first.hint
    assert [entry.version for entry in read_deployments(workspace)] == [1, 2]
    assert read_champions(workspace)["churn"].version == alias(client) == 2


def test_a_rollback_to_a_version_that_is_another_bundle_in_mlflow_changes_nothing(workspace: Workspace) -> None:
    client = connect(SETTINGS, workspace)
    client.set_model_version_tag(NAME, "1", promotion.DIGEST, "0" * 64)
    with pytest.raises(BadData, match="another bundle"):
        promotion.roll_back(client, SETTINGS, workspace, "churn", reason="a test", at=AT)
    assert read_champions(workspace)["churn"].version == alias(client) == 2


def test_a_version_that_was_not_registered_by_train_is_not_promoted(workspace: Workspace) -> None:
    client = connect(SETTINGS, workspace)
    known = client.get_model_version(NAME, "2")
    client.create_model_version(NAME, source=known.source, run_id=known.run_id)
    with pytest.raises(BadData, match="not registered by `nextbest train`"):
        promotion.promote(client, SETTINGS, workspace, "churn", version=3, reason="a test", at=AT)
    assert read_champions(workspace)["churn"].version == alias(client) == 2


def test_a_deleted_experiment_is_refused_with_how_to_restore_it(workspace: Workspace) -> None:
    client = connect(SETTINGS, workspace)
    number = require_experiment(client, SETTINGS)
    client.delete_experiment(number)
    with pytest.raises(BadConfiguration, match="deleted in MLflow") as refused:
        require_experiment(connect(SETTINGS, workspace), SETTINGS)
    assert f"id {number}" in refused.value.first.message
    assert "mlflow experiments restore" in refused.value.first.hint
    client.restore_experiment(number)
    assert require_experiment(connect(SETTINGS, workspace), SETTINGS) == number
