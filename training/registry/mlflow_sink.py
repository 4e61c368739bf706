"""The one place that writes to MLflow's tracking server."""

from __future__ import annotations

import logging
import os
import warnings
from importlib.metadata import version

# Read by MLflow on import: nothing is ever unpickled, and no usage is reported.
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "false")

import mlflow
import mlflow.lightgbm
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from features.base.errors import Unreachable
from features.base.workspace import Workspace
from training.registry.mlflow_settings import MlflowFile
from training.registry.run_record import TrainingRun


def connect(settings: MlflowFile, workspace: Workspace) -> MlflowClient:
    """Return a client of the workspace's tracking server, with its experiment made.

    Raises
    ------
    Unreachable : the server does not answer
    """
    uri = settings.tracking(workspace)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # that it makes its tables is no news
    try:
        with warnings.catch_warnings():
            # MLflow's own tables use a loader that SQLAlchemy 2.1 deprecates: nothing that our user could mend.
            warnings.filterwarnings("ignore", message="The ``noload`` loader strategy is deprecated")
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            known = client.get_experiment_by_name(settings.experiment)
        if known is None:
            client.create_experiment(settings.experiment, artifact_location=settings.artifact_location(workspace))
    except MlflowException as error:
        raise Unreachable(
            "mlflow.unreachable",
            f"the tracking server does not answer ({error.error_code})",
            where="mlflow.yaml: tracking_uri",
            hint="start it, or use the embedded sqlite:///state/mlflow/mlflow.db",
        ) from None
    return client


def log(run: TrainingRun, client: MlflowClient, *, experiment: str) -> tuple[str, str]:
    """Write one run; return its id and the URI of the logged Booster."""
    found = client.get_experiment_by_name(experiment)
    with mlflow.start_run(experiment_id=found.experiment_id, run_name=run.name, tags=dict(run.tags)) as active:
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
