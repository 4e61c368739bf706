"""The present champion as a peer of its challenger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.dataset.frame import Frame
from training.dataset.splits import Fold
from training.registry.bundle import load
from training.registry.champions import read_champions
from training.registry.training_task import TrainingTask


def champion_scores(
    task: TrainingTask, frame: Frame, folds: Sequence[Fold], *, embargo: timedelta
) -> Callable[[Frame], NDArray[np.float64]] | None:
    """Return a function that scores rows with the champion; None if it learnt from rows that it would be judged by.

    Parameters
    ----------
    task : the challenger's training
    frame, folds : the rows that the challenger is judged by
    embargo : from a cutoff to the end of its outcome window

    Raises
    ------
    StorageFailure : the champion's bundle is damaged
    """
    champion = read_champions(task.workspace).get(task.name)
    if champion is None or not task.settings.label.in_time:
        return None
    bundle = load(champion.folder(task.workspace), expected_digest=champion.digest)
    learnt = max(datetime.fromisoformat(cutoff) for cutoff in bundle.about.cutoffs)
    tested = min(pd.Timestamp(frame.cutoffs[fold.test].min(), tz="UTC") for fold in folds)
    same = bundle.candidates == frame.candidates and set(bundle.features) <= set(frame.features.columns)
    if not same or learnt + embargo > tested:
        return None
    return lambda rows: bundle.score(rows.features, threads=task.fitting.boosting.num_threads)
