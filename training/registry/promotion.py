"""Register, promote, roll back: MLflow's registry and our ledger kept in step."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from features.base.errors import BadData
from features.base.workspace import Workspace
from features.base.workspace_lock import locked
from training.registry import bundle as bundles
from training.registry.champions import Champion, Deployment, bundle_folder, previous_champion, set_champion
from training.registry.mlflow_settings import MlflowFile

Client = MlflowClient
CHAMPION = "champion"
DIGEST = "bundle_digest"


def find_version(client: MlflowClient, settings: MlflowFile, model: str, *, digest: str) -> int | None:
    """Return the registered version of a bundle, if there is one."""
    for version in _versions(client, settings, model):
        if version.tags.get(DIGEST) == digest:
            return int(version.version)
    return None


def register(
    client: MlflowClient, settings: MlflowFile, model: str, *, source: str, run_id: str, tags: Mapping[str, str]
) -> int:
    """Register a logged Booster as the model's next version; its tags come with it in one step.

    Parameters
    ----------
    source : URI of the logged Booster
    run_id : the run that made it
    tags : ``bundle_digest``, the verdict, versions of data and code
    """
    name = settings.registered(model)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.create_model_version(name, source=source, run_id=run_id, tags=dict(tags))
    return int(made.version)


@locked("promote")
def promote(
    client: MlflowClient,
    settings: MlflowFile,
    workspace: Workspace,
    model: str,
    *,
    version: int | None,
    reason: str,
    at: datetime,
) -> Deployment:
    """Make a version (the latest if none is named) the champion, here and in MLflow.

    Raises
    ------
    BadData : there is no such version, or its bundle is not here
    StorageFailure : the bundle is damaged
    """
    versions = {int(each.version): each for each in _versions(client, settings, model)}
    if not versions:
        raise BadData(
            "registry.no_version", f"no version of {model} is registered", hint=f"run `nextbest train {model}`"
        )
    number = max(versions) if version is None else version
    if number not in versions:
        known = ", ".join(str(each) for each in sorted(versions))
        raise BadData("registry.no_version", f"{model} has no version {number}", hint=f"registered: {known}")
    champion = Champion(model, number, versions[number].tags[DIGEST])
    _verified(workspace, champion)
    entry = set_champion(workspace, champion, move="promote", reason=reason, at=at)
    client.set_registered_model_alias(settings.registered(model), CHAMPION, str(number))
    return entry


@locked("rollback")
def roll_back(
    client: MlflowClient, settings: MlflowFile, workspace: Workspace, model: str, *, reason: str, at: datetime
) -> Deployment:
    """Make the version that decided before the present one the champion again.

    Raises
    ------
    BadData : there is none, or its bundle is not here
    """
    champion = previous_champion(workspace, model)
    _verified(workspace, champion)
    entry = set_champion(workspace, champion, move="rollback", reason=reason, at=at)
    client.set_registered_model_alias(settings.registered(model), CHAMPION, str(champion.version))
    return entry


def _verified(workspace: Workspace, champion: Champion) -> Path:
    folder = bundle_folder(workspace, champion.model, champion.digest)
    if not folder.is_dir():
        raise BadData(
            "registry.no_bundle",
            f"the bundle of {champion.model} version {champion.version} is not in state/models",
            hint="train it again, or restore the folder from the run's artifacts (bundle/)",
        )
    bundles.load(folder, expected_digest=champion.digest)
    return folder


def _versions(client: MlflowClient, settings: MlflowFile, model: str) -> list[ModelVersion]:
    return list(client.search_model_versions(f"name = '{settings.registered(model)}'"))
