"""Register, promote, roll back: MLflow's registry and our ledger kept in step."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from features.base.errors import BadData
from features.base.workspace import Workspace
from features.base.workspace_lock import locked
from training.registry import bundle as bundles
from training.registry.champions import Champion, Deployment, Move, bundle_folder, previous_champion, set_champion
from training.registry.mlflow_settings import MlflowFile
from training.registry.mlflow_sink import mlflow_errors
from training.registry.run_record import BUNDLE_DIGEST

Client = MlflowClient
CHAMPION = "champion"
DIGEST = BUNDLE_DIGEST


def find_version(client: MlflowClient, settings: MlflowFile, model: str, *, digest: str) -> int | None:
    """Return the registered version of a bundle, if there is one."""
    for number, version in _versions(client, settings, model).items():
        if version.tags.get(DIGEST) == digest:
            return number
    return None


def register(
    client: MlflowClient, settings: MlflowFile, model: str, *, source: str, run_id: str, tags: Mapping[str, str]
) -> int:
    """Register a logged Booster as the model's next version, with its tags in the same step.

    Parameters
    ----------
    source : URI of the logged Booster
    run_id : the run that made it
    tags : ``bundle_digest``, the verdict, versions of data and code

    Raises
    ------
    Unreachable : MLflow refused or did not answer
    """
    name = settings.registered(model)
    with mlflow_errors():
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
    Unreachable : MLflow refused or did not answer
    """
    versions = _versions(client, settings, model)
    if not versions:
        raise BadData(
            "registry.no_version", f"no version of {model} is registered", hint=f"run `nextbest train {model}`"
        )
    number = max(versions) if version is None else version
    if number not in versions:
        raise BadData("registry.no_version", f"{model} has no version {number}", hint=_registered(versions))
    digest = versions[number].tags.get(DIGEST)
    if digest is None:
        raise BadData(
            "registry.foreign_version",
            f"version {number} of {model} was not registered by `nextbest train`: it has no tag {DIGEST}",
            hint="promote a version that `nextbest train` registered",
        )
    return _move(client, settings, workspace, Champion(model, number, digest), move="promote", reason=reason, at=at)


@locked("rollback")
def roll_back(
    client: MlflowClient, settings: MlflowFile, workspace: Workspace, model: str, *, reason: str, at: datetime
) -> Deployment:
    """Make the version that decided before the present one the champion again, here and in MLflow.

    Raises
    ------
    BadData : there is none, its bundle is not here, or MLflow no longer holds that version; nothing was changed
    StorageFailure : the bundle is damaged
    """
    champion = previous_champion(workspace, model)
    versions = _versions(client, settings, model)
    known = versions.get(champion.version)
    if known is None or known.tags.get(DIGEST) != champion.digest:
        state = "was deleted in MLflow" if known is None else "is another bundle in MLflow"
        raise BadData(
            "registry.version_missing",
            f"version {champion.version} of {model} cannot be rolled back to, it {state}; nothing was changed",
            where=settings.registered(model),
            hint=f"`nextbest promote {model} --version N` with another version ({_registered(versions)})",
        )
    return _move(client, settings, workspace, champion, move="rollback", reason=reason, at=at)


def _move(
    client: MlflowClient,
    settings: MlflowFile,
    workspace: Workspace,
    champion: Champion,
    *,
    move: Move,
    reason: str,
    at: datetime,
) -> Deployment:
    """Set the champion here, then MLflow's alias; the version is known to exist in MLflow."""
    _verified(workspace, champion)
    entry = set_champion(workspace, champion, move=move, reason=reason, at=at)
    with mlflow_errors():
        client.set_registered_model_alias(settings.registered(champion.model), CHAMPION, str(champion.version))
    return entry


def _verified(workspace: Workspace, champion: Champion) -> None:
    folder = bundle_folder(workspace, champion.model, champion.digest)
    if not folder.is_dir():
        raise BadData(
            "registry.no_bundle",
            f"the bundle of {champion.model} version {champion.version} is not in state/models",
            hint="train it again, or restore the folder from the run's artifacts (bundle/)",
        )
    bundles.load(folder, expected_digest=champion.digest)


def _versions(client: MlflowClient, settings: MlflowFile, model: str) -> dict[int, ModelVersion]:
    with mlflow_errors():
        found = client.search_model_versions(f"name = '{settings.registered(model)}'")
    return {int(version.version): version for version in found}


def _registered(versions: Mapping[int, ModelVersion]) -> str:
    return f"registered: {', '.join(map(str, sorted(versions))) or 'none'}"
