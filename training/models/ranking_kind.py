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
Pairs = NDArray[np.bool_]


class RankingKind:
    """Which of several candidates each customer takes: one probability for each of them."""

    name: ClassVar[str] = Ranker.kind
    labels: ClassVar[tuple[str, ...]] = ("acquisition", "repurchase", "next_events")
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

    def metrics(self, test: Frame, score: Array, *, is_probability: bool) -> dict[str, float]:
        """Return hits, recall, NDCG and mean reciprocal rank; log loss and ECE of probabilities.

        Candidates that are not in question are not ranked. Where it is known what had been bought before, hits and NDCG
        are also given among that (``_again``) and among the rest (``_new``).
        """
        asked = ~np.isnan(test.target)
        ranked, taken = _among(asked, test.target, score)
        numbers = {
            f"hit_{TOP}": recommendation.hit(ranked, taken, k=TOP).mean,
            "hit_1": recommendation.hit(ranked, taken, k=1).mean,
            f"recall_{TOP}": recommendation.recall(ranked, taken, k=TOP).mean,
            f"ndcg_{TOP}": recommendation.ndcg(ranked, taken, k=TOP).mean,
            "mrr": recommendation.reciprocal_rank(ranked, taken).mean,
        }
        if is_probability:
            numbers |= {
                "log_loss": calibration.log_loss(test.target[asked], score[asked]),
                "ece": calibration.ece(test.target[asked], score[asked]),
            }
        for name, some in () if test.before is None else (("again", test.before), ("new", ~test.before)):
            ranked, taken = _among(some, test.target, score)
            if taken.any():
                numbers[f"hit_{TOP}_{name}"] = recommendation.hit(ranked, taken, k=TOP).mean
                numbers[f"ndcg_{TOP}_{name}"] = recommendation.ndcg(ranked, taken, k=TOP).mean
        return numbers

    def resampled(self, test: Frame, score: Array) -> Resampled:
        """Return the mean NDCG of drawn customers."""
        ranked, taken = _among(~np.isnan(test.target), test.target, score)
        return _ResampledMean(recommendation.ndcg(ranked, taken, k=TOP))

    def positives(self, target: Array) -> int:
        """Return how many candidates were taken."""
        return int(np.nansum(target))

    def reliability(self, target: Array, score: Array) -> Reliability:
        """Return predicted beside observed shares, over all pairs in question."""
        asked = ~np.isnan(target)
        return calibration.reliability(target[asked], score[asked])


def _among(some: Pairs, target: Array, score: Array) -> tuple[Array, Array]:
    """Return scores and outcomes of some pairs; the others are ranked last, and were not taken."""
    return np.where(some, score, -np.inf), np.where(some, np.nan_to_num(target), 0.0)


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
