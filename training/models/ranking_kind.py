"""The kind of model that predicts what is taken next: a calibrated probability for each customer and candidate."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from training.dataset.frame import Frame
from training.dataset.splits import recency_weights
from training.evaluate import calibration, recommendation
from training.evaluate.calibration import Reliability
from training.evaluate.recommendation import PerCustomer
from training.models import ranker
from training.models.binary_kind import ResampledMean
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

    def resampled(self, test: Frame, score: Array, *, is_probability: bool) -> dict[str, Resampled]:
        """Return NDCG, hits and, of probabilities, each customer's mean log loss."""
        asked = ~np.isnan(test.target)
        ranked, taken = _among(asked, test.target, score)
        metrics: dict[str, Resampled] = {
            f"ndcg_{TOP}": _resampled(recommendation.ndcg(ranked, taken, k=TOP)),
            f"hit_{TOP}": _resampled(recommendation.hit(ranked, taken, k=TOP)),
        }
        if is_probability:
            likely = np.clip(np.where(taken == 1, score, 1 - score), calibration.SMALLEST, 1.0)
            loss = np.where(asked, -np.log(likely), 0.0).sum(axis=1) / np.maximum(asked.sum(axis=1), 1)
            metrics["log_loss"] = ResampledMean(loss)
        return metrics

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


def _resampled(found: PerCustomer) -> ResampledMean:
    value = np.full(len(found.judged), np.nan)
    value[found.judged] = found.value
    return ResampledMean(value)
