"""The present champion as a peer of its challenger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.dataset.frame import Frame
from training.dataset.splits import Fold
from training.registry.bundle import Bundle, load
from training.registry.champions import read_champions
from training.registry.recipe import Recipe
from training.registry.training_task import TrainingTask


@dataclass(frozen=True)
class ChampionPeer:
    """How the champion is compared with its challenger.

    Parameters
    ----------
    note : how it is compared, or why it cannot be
    scores : the champion's scores of a fold's test rows; None where it cannot be compared
    """

    note: str
    scores: Callable[[Fold], NDArray[np.float64]] | None = None


def champion_peer(task: TrainingTask, frame: Frame, folds: Sequence[Fold], *, embargo: timedelta) -> ChampionPeer:
    """Return how the champion is compared with its challenger on the challenger's folds.

    The champion itself mostly learnt from the rows that it would be judged by. So its recipe is fitted again on the
    training rows of each fold. Where the recipe is the challenger's own, that would give the challenger; then the
    champion itself is compared, if it learnt only from rows that were known before the first test cutoff.

    Parameters
    ----------
    task : the challenger's training
    frame, folds : the rows that the challenger is judged by
    embargo : from a cutoff to when its outcome is known

    Raises
    ------
    StorageFailure : the champion's bundle is damaged
    """
    champion = read_champions(task.workspace).get(task.name)
    if champion is None:
        return ChampionPeer("there is no champion")
    bundle = load(champion.folder(task.workspace), expected_digest=champion.digest)
    recipe = Recipe.from_json(bundle.about.recipe)
    same = recipe == Recipe.of(task.kind, task.fitting, frame)
    if recipe is not None and not same and recipe.fits(task.kind, frame):
        return ChampionPeer("refitted on the same rows", lambda fold: recipe.scores(task.kind, frame, fold))
    if _learnt_before(bundle, task, frame, folds, embargo=embargo):
        threads = task.fitting.boosting.num_threads
        return ChampionPeer("as it decides", lambda fold: bundle.score(frame.take(fold.test).features, threads=threads))
    if recipe is None:
        return ChampionPeer("the champion's bundle holds no recipe, and it learnt from rows that it would be judged by")
    if same:
        return ChampionPeer("the champion has the same recipe: from the same rows it learns the same")
    return ChampionPeer("the champion learnt from other columns, and from rows that it would be judged by")


def _learnt_before(
    bundle: Bundle, task: TrainingTask, frame: Frame, folds: Sequence[Fold], *, embargo: timedelta
) -> bool:
    """Return whether the outcomes that the champion learnt from were known before the first test cutoff."""
    if not task.settings.label.in_time:
        return False
    learnt = max(datetime.fromisoformat(cutoff) for cutoff in bundle.about.cutoffs)
    tested = min(pd.Timestamp(frame.cutoffs[fold.test].min(), tz="UTC") for fold in folds)
    same = bundle.candidates == frame.candidates and set(bundle.features) <= set(frame.features.columns)
    return same and learnt + embargo <= tested
