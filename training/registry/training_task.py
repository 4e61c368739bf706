"""One model's training with everything that it reads, and the digest of that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version as library

from features.base.storage import digest_of
from features.base.workspace import Workspace
from features.config.feeds_file import FeedsFile
from features.snapshots.build_report import FeaturesReport
from training.labels.label_settings import LabelsFile, ModelSettings
from training.models.kind import FitSettings, ModelKind
from training.models.model_kinds import kind_of_label
from training.registry.mlflow_settings import MlflowFile

#: Raised when the pipeline would train another model from the same input.
VERSION = 11
#: Whose versions a bundle names: another version may train another model.
LIBRARIES = ("lightgbm", "numpy", "optuna", "scikit-learn", "nextbest")


@dataclass(frozen=True)
class TrainingTask:
    """One model's training, with all that it reads.

    Parameters
    ----------
    name, settings : the model as declared
    file, feeds, mlflow : the configuration that it is declared in
    report : of the build of the features
    workspace : whose models are written
    """

    name: str
    settings: ModelSettings
    file: LabelsFile
    feeds: FeedsFile
    mlflow: MlflowFile
    report: FeaturesReport
    workspace: Workspace

    @cached_property
    def digest(self) -> str:
        """The digest of everything that the trained model depends on."""
        return digest_of(
            [
                VERSION,
                self.report.digest,
                self.settings.model_dump(mode="json"),
                self.file.validation.model_dump(mode="json"),
                self.file.exclude,
                self.mlflow.model_dump(mode="json"),
                library_versions(),
            ]
        )

    @property
    def kind(self) -> ModelKind:
        """The kind of the model."""
        return kind_of_label(self.settings.label)

    @property
    def fitting(self) -> FitSettings:
        """How the model is fitted."""
        boosting = self.kind.boosting.model_copy(update={"min_positives": self.settings.min_positives})
        learn = self.settings.learn
        return FitSettings(
            boosting,
            self.settings.cutoffs.half_life,
            self.settings.seed,
            trials=learn.trials,
            seconds=learn.time_budget.total_seconds(),
            monotone=learn.monotone,
            study_folder=self.workspace.models / self.name,
        )


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that a trained model depends on.

    Examples
    --------
    >>> sorted(library_versions())
    ['lightgbm', 'nextbest', 'numpy', 'optuna', 'scikit-learn']
    """
    return {package: library(package) for package in LIBRARIES}
