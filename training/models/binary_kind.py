"""The kind of model that predicts whether one thing happens: a calibrated probability for each customer."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadData
from training.dataset.frame import Frame
from training.dataset.splits import recency_weights
from training.evaluate import calibration, profit, ranking
from training.evaluate.calibration import Reliability
from training.models import classifier
from training.models.booster import BoosterSettings
from training.models.kind import Array, FitSettings, Resampled
from training.models.scorers import Classifier
from training.models.tuning import Search


class BinaryKind:
    """Who leaves, who has what: one probability for each customer."""

    name: ClassVar[str] = Classifier.kind
    labels: ClassVar[tuple[str, ...]] = ("inactivity", "end_of_holding", "recorded")
    predicts: ClassVar[str] = "a probability for each customer"
    primary: ClassVar[str] = "auc"
    peers: ClassVar[tuple[str, ...]] = ("past_rate", "plain_classifiers", "purchase_rules")
    orders_customers: ClassVar[bool] = True
    boosting: ClassVar[BoosterSettings] = classifier.DEFAULTS

    def fit(self, frame: Frame, settings: FitSettings) -> Classifier:
        """Return a classifier fitted on every row of a frame."""
        return classifier.fit(
            frame.features,
            frame.target,
            weight=recency_weights(frame, half_life=settings.half_life),
            groups=frame.customers,
            monotone=settings.monotone,
            settings=settings.boosting,
            search=Search(settings.trials, settings.seconds, settings.study_folder) if settings.trials else None,
            seed=settings.seed,
        )

    def metrics(self, test: Frame, score: Array, *, is_probability: bool) -> dict[str, float]:
        """Return AUC, average precision, lift and profit; log loss, Brier score and ECE of probabilities."""
        target = test.target
        numbers = {
            "auc": ranking.auc(target, score),
            "average_precision": ranking.average_precision(target, score),
            "lift_10": ranking.lift(target, score, share=0.10),
            "empc": profit.empc(target, score).profit,
        }
        if is_probability:
            numbers |= {
                "log_loss": calibration.log_loss(target, score),
                "brier": calibration.brier(target, score),
                "ece": calibration.ece(target, score),
            }
        return numbers

    def resampled(self, test: Frame, score: Array, *, is_probability: bool) -> dict[str, Resampled]:
        """Return AUC, lift and, of probabilities, log loss."""
        metrics: dict[str, Resampled] = {
            "auc": ResampledAuc(test.target, score),
            "lift_10": _ResampledLift(test.target, score, share=0.10),
        }
        if is_probability:
            likely = np.clip(np.where(test.target == 1, score, 1 - score), calibration.SMALLEST, 1.0)
            metrics["log_loss"] = ResampledMean(-np.log(likely))
        return metrics

    def positives(self, target: Array) -> int:
        """Return how many rows are positive."""
        return int(target.sum())

    def reliability(self, target: Array, score: Array) -> Reliability:
        """Return predicted beside observed shares."""
        return calibration.reliability(target, score)


class ResampledMean:
    """The mean of a number of each row over drawn rows; those without a number are passed over."""

    def __init__(self, value: Array) -> None:
        self._value = value

    def __call__(self, rows: NDArray[np.int64]) -> float:
        value = self._value[rows]
        if np.isnan(value).all():
            raise BadData("metric.no_positive", "none of the rows drawn can be judged")
        return float(np.nanmean(value))


class _ResampledLift:
    """The lift of drawn rows; the scores are ordered once for all draws, tied ones are taken together."""

    def __init__(self, target: Array, score: Array, *, share: float) -> None:
        self._target, self._share = target, share
        self._place = np.unique(-score, return_inverse=True)[1]
        self._places = int(self._place.max()) + 1

    def __call__(self, rows: NDArray[np.int64]) -> float:
        place, target = self._place[rows], self._target[rows]
        taken = np.append(0.0, np.cumsum(np.bincount(place, minlength=self._places)))
        hits = np.append(0.0, np.cumsum(np.bincount(place, target, minlength=self._places)))
        size = int(np.ceil(self._share * len(rows) - 1e-9))
        if not hits[-1]:
            raise BadData("metric.no_positive", "none of the rows drawn is positive")
        return float(np.interp(size, taken, hits) / size / (hits[-1] / len(rows)))


class ResampledAuc:
    """AUC of drawn rows; the scores are ranked once for all draws."""

    def __init__(self, target: Array, score: Array) -> None:
        self._positive = target == 1
        self._rank = np.unique(score, return_inverse=True)[1]
        self._ranks = int(self._rank.max()) + 1

    def __call__(self, rows: NDArray[np.int64]) -> float:
        rank, positive = self._rank[rows], self._positive[rows]
        positives = np.bincount(rank[positive], minlength=self._ranks)
        negatives = np.bincount(rank, minlength=self._ranks) - positives
        if not positives.any() or not negatives.any():
            raise BadData("metric.one_class", "the rows drawn have one label only")
        return ranking.auc_of_counts(positives, negatives)
