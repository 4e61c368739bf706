"""Fit the model that a frame asks for: a binary model, or a ranking where it has candidates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from training.dataset.frame import Frame
from training.dataset.splits import recency_weights
from training.models import classifier, ranker
from training.models.booster import BoosterSettings
from training.models.scorers import Classifier, Ranker


@dataclass(frozen=True)
class FitSettings:
    """How a model is fitted.

    Parameters
    ----------
    boosting : how trees are grown
    half_life : a cutoff this much older than the latest one weighs half; None when all weigh alike
    seed : of everything that is drawn
    """

    boosting: BoosterSettings
    half_life: timedelta | None
    seed: int


def fit(frame: Frame, settings: FitSettings) -> Classifier | Ranker:
    """Return a model fitted on every row of a frame, recent cutoffs weighing more where that is set.

    Raises
    ------
    BadData : there are too few labels, or a feature cannot be learnt from
    """
    weight = recency_weights(frame, half_life=settings.half_life)
    if frame.candidates:
        return ranker.fit(
            frame.features,
            frame.target,
            candidates=frame.candidates,
            weight=weight,
            groups=frame.customers,
            settings=settings.boosting,
            seed=settings.seed,
        )
    return classifier.fit(
        frame.features,
        frame.target,
        weight=weight,
        groups=frame.customers,
        settings=settings.boosting,
        seed=settings.seed,
    )
