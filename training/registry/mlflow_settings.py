"""``mlflow.yaml``, typed: tracking, registry and champion gates."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator

from features.base.workspace import Workspace, reveal
from features.config.loading import Lines, Settings, load
from training.validation.gates import GateLimits

NAME = "mlflow.yaml"
_SQLITE = "sqlite:///"


class MlflowFile(Settings):
    """The whole of ``mlflow.yaml``."""

    tracking_uri: str = Field(
        default=f"{_SQLITE}state/mlflow/mlflow.db",
        description="database or server; a SQLite path starts from the workspace; secrets as ${env:NAME}",
    )
    artifacts: str = Field(
        default="state/mlflow/artifacts", description="folder or URI of a new experiment's artifacts"
    )
    experiment: str = Field(default="nextbest", min_length=1, description="experiment, and prefix of registered models")
    gates: GateLimits = Field(default_factory=GateLimits, description="limits of the promotion rules TG001 and on")

    @field_validator("tracking_uri")
    @classmethod
    def _no_file_store(cls, value: str) -> str:
        if "://" not in value:
            raise ValueError("MLflow needs a database or a server: write sqlite:///state/mlflow/mlflow.db")
        return value

    def tracking(self, workspace: Workspace) -> str:
        """Return the tracking URI with its path made absolute and its secrets filled in."""
        uri = reveal(self.tracking_uri, root=workspace.root, where=f"{NAME}: tracking_uri")
        if not uri.startswith(_SQLITE):
            return uri
        path = (workspace.root / uri.removeprefix(_SQLITE)).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        return f"{_SQLITE}{path}"

    def artifact_location(self, workspace: Workspace) -> str:
        """Return where a new experiment keeps its artifacts."""
        if "://" in self.artifacts:
            return reveal(self.artifacts, root=workspace.root, where=f"{NAME}: artifacts")
        return Path(workspace.root / self.artifacts).resolve().as_uri()

    def registered(self, model: str) -> str:
        """Return the name under which a model is registered.

        Examples
        --------
        >>> MlflowFile(experiment="shop").registered("churn")
        'shop.churn'
        """
        return f"{self.experiment}.{model}"


def load_mlflow(workspace: Workspace) -> tuple[MlflowFile, Lines]:
    """Read ``mlflow.yaml``."""
    return load(workspace.file(NAME), MlflowFile, name=NAME)
