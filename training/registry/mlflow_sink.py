"""The one place that writes to MLflow's tracking server."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

# Read by MLflow on import: nothing is ever unpickled, and no usage is reported.
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")

import mlflow
import mlflow.lightgbm
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from features.base.errors import BadConfiguration, Unreachable
from features.base.workspace import Workspace
from training.registry.mlflow_settings import MlflowFile
from training.registry.run_record import TrainingRun


def connect(settings: MlflowFile, workspace: Workspace) -> MlflowClient:
    """Return a client of the workspace's tracking server, and create its experiment where there is none.

    Raises
    ------
    Unreachable : the server does not answer
    """
    uri = settings.tracking(workspace)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # that it makes its tables is no news
    with mlflow_errors(), warnings.catch_warnings():
        # MLflow's own tables use a loader that SQLAlchemy 2.1 deprecates: nothing that a user can change.
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        if client.get_experiment_by_name(settings.experiment) is None:
            client.create_experiment(settings.experiment, artifact_location=settings.artifact_location(workspace))
    return client


@contextmanager
def mlflow_errors() -> Iterator[None]:
    """Raise what MLflow raises as `Unreachable`."""
    try:
        yield
    except MlflowException as error:
        raise Unreachable(
            "mlflow.unreachable",
            f"MLflow did not answer, or refused the request ({error.error_code})",
            where="mlflow.yaml: tracking_uri",
            hint="start the server, or use the embedded sqlite:///state/mlflow/mlflow.db; then run the command again",
        ) from None


def require_experiment(client: MlflowClient, settings: MlflowFile) -> str:
    """Return the id of the experiment that runs are logged to.

    Raises
    ------
    BadConfiguration : it was deleted in MLflow: no run can be logged to it
    """
    with mlflow_errors():
        found = client.get_experiment_by_name(settings.experiment)
    if found is None or found.lifecycle_stage != "active":
        number = "" if found is None else f" (id {found.experiment_id})"
        raise BadConfiguration(
            "mlflow.experiment_deleted",
            f"the experiment {settings.experiment!r}{number} was deleted in MLflow; no model was trained",
            where="mlflow.yaml: experiment",
            hint="restore it with `mlflow experiments restore --experiment-id ID`, or name another experiment",
        )
    return str(found.experiment_id)


def log(run: TrainingRun, *, experiment_id: str) -> tuple[str, str]:
    """Write one run; return its id and the URI of the logged Booster.

    Raises
    ------
    Unreachable : MLflow refused or did not answer
    """
    with (
        mlflow_errors(),
        mlflow.start_run(experiment_id=experiment_id, run_name=run.name, tags=dict(run.tags)) as active,
    ):
        mlflow.log_params(dict(run.parameters))
        mlflow.log_metrics(dict(run.metrics))
        for name, figure in run.figures.items():
            mlflow.log_figure(figure, name)
        for name, document in run.documents.items():
            mlflow.log_dict(document, name)
        mlflow.log_artifacts(str(run.bundle), artifact_path="bundle")
        info = mlflow.lightgbm.log_model(
            run.booster, name="booster", pip_requirements=[f"lightgbm=={version('lightgbm')}"]
        )
        return active.info.run_id, info.model_uri
