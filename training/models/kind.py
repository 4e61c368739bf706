"""A kind of model: which labels it is learnt from, how it is fitted, and how its predictions are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from training.dataset.frame import Frame
from training.evaluate.calibration import Reliability
from training.models.booster import BoosterSettings
from training.models.fitted_model import FittedModel

Array = NDArray[np.float64]
#: A metric of drawn rows, for a bootstrap.
Resampled = Callable[[NDArray[np.int64]], float]


@dataclass(frozen=True)
class FitSettings:
    """How a model is fitted.

    Parameters
    ----------
    boosting : how trees are grown
    half_life : a cutoff this much older than the latest one weighs half; None when all weigh alike
    seed : of everything that is drawn
    trials, seconds : of the search for better settings in each fit; no trial, no search
    monotone : feature → whether its rise may only raise (``up``) or lower (``down``) the score
    study_folder : where a search that was interrupted goes on; no part of what is learnt
    """

    boosting: BoosterSettings
    half_life: timedelta | None
    seed: int
    trials: int = 0
    seconds: float = 600.0
    monotone: Mapping[str, Literal["up", "down"]] = field(default_factory=dict)
    study_folder: Annotated[Path | None, Field(exclude=True)] = field(default=None, compare=False)


class ModelKind(Protocol):
    """One kind of model. A new one is a file with such a class, an entry in `training.models.model_kinds`, and tests.

    How its models are stored, read back, scored and explained is `training.models.fitted_model.FittedModel`.
    A promotion rule whose number a kind does not measure is not applicable to it.

    Attributes
    ----------
    name : as a bundle's manifest names it
    labels : the kinds of labels that it is learnt from
    predicts : what a prediction is, in words
    primary : the metric that promotion is decided by
    peers : what it is judged beside, by their names in `training.baselines.peers.PEERS`
    orders_customers : whether one score orders the customers: then gain curves are drawn, each column is judged alone
    boosting : how its trees are grown when nothing is declared
    """

    name: ClassVar[str]
    labels: ClassVar[tuple[str, ...]]
    predicts: ClassVar[str]
    primary: ClassVar[str]
    peers: ClassVar[tuple[str, ...]]
    orders_customers: ClassVar[bool]
    boosting: ClassVar[BoosterSettings]

    def fit(self, frame: Frame, settings: FitSettings) -> FittedModel:
        """Return a model fitted on every row of a frame, recent cutoffs weighing more where that is set.

        Raises
        ------
        BadData : there are too few labels, or a feature cannot be learnt from
        """

    def metrics(self, test: Frame, score: Array, *, is_probability: bool) -> dict[str, float]:
        """Return every metric of scores by its name.

        Parameters
        ----------
        test : the rows that are judged by
        score : what was predicted of each, of the shape of their target
        is_probability : whether the scores are probabilities, for log loss and calibration
        """

    def resampled(self, test: Frame, score: Array, *, is_probability: bool) -> dict[str, Resampled]:
        """Return the headline metrics, the primary one first, each as a function of drawn rows."""

    def positives(self, target: Array) -> int | None:
        """Return how many outcomes happened; None where outcomes are amounts."""

    def reliability(self, target: Array, score: Array) -> Reliability | None:
        """Return predicted beside observed shares; None where predictions are no probabilities."""
