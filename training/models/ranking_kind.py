"""The kind of model that predicts what is taken next: a calibrated probability for each customer and candidate."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadData
from training.dataset.frame import Frame
from training.dataset.splits import recency_weights
from training.evaluate import calibration, recommendation
from training.evaluate.calibration import Reliability
from training.evaluate.recommendation import PerCustomer
from training.models import ranker
from training.models.booster import BoosterSettings
from training.models.kind import Array, FitSettings, Resampled
from training.models.scorers import Ranker

TOP = 5


class RankingKind:
    """Which of several candidates each customer takes: one probability for each of them."""

    name: ClassVar[str] = Ranker.kind
    labels: ClassVar[tuple[str, ...]] = ("acquisition",)
    predicts: ClassVar[str] = "a probability for each customer and candidate"
    primary: ClassVar[str] = f"ndcg_{TOP}"
    peers: ClassVar[tuple[str, ...]] = ("popularity_rules",)
    orders_customers: ClassVar[bool] = False
    boosting: ClassVar[BoosterSettings] = ranker.DEFAULTS

    def fit(self, frame: Frame, settings: FitSettings) -> Ranker:
        """Return a ranker fitted on every row of a frame."""
        return ranker.fit(
            frame.features,
            frame.target,
            candidates=frame.candidates,
            weight=recency_weights(frame, half_life=settings.half_life),
            groups=frame.customers,
            settings=settings.boosting,
            seed=settings.seed,
        )

    def metrics(self, target: Array, score: Array, *, is_probability: bool) -> dict[str, float]:
        """Return hits, recall, NDCG and mean reciprocal rank; log loss and ECE of probabilities."""
        numbers = {
            f"hit_{TOP}": recommendation.hit(score, target, k=TOP).mean,
            "hit_1": recommendation.hit(score, target, k=1).mean,
            f"recall_{TOP}": recommendation.recall(score, target, k=TOP).mean,
            f"ndcg_{TOP}": recommendation.ndcg(score, target, k=TOP).mean,
            "mrr": recommendation.reciprocal_rank(score, target).mean,
        }
        if is_probability:
            numbers |= {
                "log_loss": calibration.log_loss(target.ravel(), score.ravel()),
                "ece": calibration.ece(target.ravel(), score.ravel()),
            }
        return numbers

    def resampled(self, target: Array, score: Array) -> Resampled:
        """Return the mean NDCG of drawn customers."""
        return _ResampledMean(recommendation.ndcg(score, target, k=TOP))

    def positives(self, target: Array) -> int:
        """Return how many candidates were taken."""
        return int(target.sum())

    def reliability(self, target: Array, score: Array) -> Reliability:
        """Return predicted beside observed shares, over all pairs."""
        return calibration.reliability(target.ravel(), score.ravel())


class _ResampledMean:
    """The mean of a metric of each row over drawn rows; those without a value are passed over."""

    def __init__(self, found: PerCustomer) -> None:
        self._value = np.full(len(found.judged), np.nan)
        self._value[found.judged] = found.value

    def __call__(self, rows: NDArray[np.int64]) -> float:
        value = self._value[rows]
        if np.isnan(value).all():
            raise BadData("metric.no_positive", "none of the rows drawn can be judged")
        return float(np.nanmean(value))
