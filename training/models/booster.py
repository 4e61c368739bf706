"""Train LightGBM trees; raw scores and contributions of stored ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import lightgbm
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from features.base.errors import BadData

Array = NDArray[np.float64]
LARGE = 10_000  # rows


class BoosterSettings(BaseModel):
    """How trees are grown; the defaults suit churn tables from a few thousand rows up.

    Small steps, and trees that see a part of the columns and of the rows each. On the public telecom table
    (7,043 rows) 8 leaves beat 31 in held-out log loss, on the public bank table (41,188 rows) 31 beat 8:
    hence leaves by rows. A large table is learnt in steps twice as long and cut into fewer parts, to save time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: float | None = Field(
        default=None, gt=0, le=1, description="step of each tree; left out, 0.03, and 0.06 from 20,000 rows on"
    )
    num_leaves: int | None = Field(
        default=None, ge=2, le=1024, description="leaves per tree; left out, one per 1,000 rows within 8 and 31"
    )
    min_data_in_leaf: int = Field(
        default=50, ge=1, description="rows that a leaf must hold (fewer when the table is small)"
    )
    feature_fraction: float = Field(default=0.5, gt=0, le=1, description="share of the features that a tree sees")
    bagging_fraction: float = Field(default=0.7, gt=0, le=1, description="share of the rows that a tree sees")
    lambda_l2: float = Field(default=5.0, ge=0, description="L2 penalty on leaf values")
    max_rounds: int = Field(default=2000, ge=1, le=20_000, description="trees at most")
    patience: int | None = Field(
        default=None,
        ge=1,
        description="trees without a better held-out log loss before stopping; left out, 60, 30 from 20,000 rows on",
    )
    folds: int | None = Field(
        default=None,
        ge=2,
        le=20,
        description="parts for early stopping and calibration; left out, 5, and 3 from 20,000 rows on",
    )
    min_positives: int = Field(default=30, ge=2, description="fewer rows than this in either class are refused")
    max_levels: int = Field(default=64, ge=2, le=1000, description="levels that are kept per categorical column")
    num_threads: int = Field(
        default=2, ge=1, description="fixed, because the number of threads can change the last digits"
    )

    def leaves(self, rows: int) -> int:
        """Return the leaves per tree for a table of this many rows.

        Examples
        --------
        >>> BoosterSettings().leaves(5_000), BoosterSettings().leaves(20_000), BoosterSettings().leaves(1_000_000)
        (8, 20, 31)
        """
        return self.num_leaves if self.num_leaves is not None else max(8, min(31, rows // 1000))

    def step(self, rows: int) -> float:
        """Return the learning rate for a table of this many rows.

        Examples
        --------
        >>> BoosterSettings().step(5_000), BoosterSettings().step(50_000)
        (0.03, 0.06)
        """
        return self.learning_rate if self.learning_rate is not None else (0.06 if rows >= LARGE else 0.03)

    def wait(self, rows: int) -> int:
        """Return the trees without improvement after which a table of this many rows is done.

        Examples
        --------
        >>> BoosterSettings().wait(5_000), BoosterSettings(patience=5).wait(5_000)
        (60, 5)
        """
        return self.patience if self.patience is not None else (30 if rows >= LARGE else 60)

    def parts(self, rows: int) -> int:
        """Return the parts into which a table of this many rows is cut.

        Examples
        --------
        >>> BoosterSettings().parts(5_000), BoosterSettings().parts(50_000)
        (5, 3)
        """
        return self.folds if self.folds is not None else (3 if rows >= LARGE else 5)


@dataclass(frozen=True)
class Trees:
    """A trained Booster; two with equal text are equal."""

    text: str
    features: int = field(compare=False)
    booster: lightgbm.Booster = field(compare=False, repr=False)

    @classmethod
    def load(cls, text: str) -> Trees:
        """Parse a model text. Verify its digest first: LightGBM aborts the process on a damaged one."""
        booster = lightgbm.Booster(model_str=text)
        return cls(text, booster.num_feature(), booster)

    def raw(self, matrix: Array, *, threads: int = 1) -> Array:
        """Return log-odds, shape (rows,)."""
        if not len(matrix):
            return np.empty(0)
        return np.asarray(self.booster.predict(matrix, raw_score=True, num_threads=threads), dtype=np.float64)

    def contributions(self, matrix: Array, *, threads: int = 1) -> Array:
        """Return each feature's share of the log-odds, shape (rows, features + 1); the last is the base.

        References
        ----------
        Lundberg, Erion and Lee (2018), "Consistent individualized feature attribution for tree ensembles".
        """
        if not len(matrix):
            return np.empty((0, self.features + 1))
        return np.asarray(self.booster.predict(matrix, pred_contrib=True, num_threads=threads), dtype=np.float64)

    def gain(self) -> Array:
        """Return the loss that each feature's splits removed, shape (features,)."""
        return np.asarray(self.booster.feature_importance(importance_type="gain"), dtype=np.float64)


@dataclass(frozen=True)
class Task:
    """What to learn from: numbers, answers, and which part holds each row out."""

    matrix: Array
    target: Array
    fold: NDArray[np.int64]
    categorical: Sequence[int] = ()
    weight: Array | None = None


def cross_fit(task: Task, *, settings: BoosterSettings, seed: int) -> tuple[Array, int]:
    """Return log-odds of every row from trees that never saw its part, and the best number of trees.

    The number is the one with the least mean held-out log loss over all parts, and all parts use it: so no
    part chooses its own stopping point on the rows that it is judged on.
    """
    whole = _dataset(task, settings)
    parts = [(np.flatnonzero(task.fold != part), np.flatnonzero(task.fold == part)) for part in np.unique(task.fold)]
    found = lightgbm.cv(
        _parameters(settings, rows=len(task.target), seed=seed),
        whole,
        num_boost_round=settings.max_rounds,
        folds=parts,
        callbacks=[lightgbm.early_stopping(settings.wait(len(task.target)), verbose=False)],
        return_cvbooster=True,
    )
    rounds = len(found["valid binary_logloss-mean"])
    raw = np.empty(len(task.target))
    for booster, (_, held) in zip(found["cvbooster"].boosters, parts, strict=True):
        raw[held] = booster.predict(
            task.matrix[held], raw_score=True, num_iteration=rounds, num_threads=settings.num_threads
        )
    return raw, rounds


def train(task: Task, *, rounds: int, settings: BoosterSettings, seed: int) -> Trees:
    """Return trees grown on every row."""
    parameters = _parameters(settings, rows=len(task.target), seed=seed)
    booster = lightgbm.train(parameters, _dataset(task, settings), num_boost_round=rounds)
    return Trees.load(booster.model_to_string())  # what is scored is what is stored


def _dataset(task: Task, settings: BoosterSettings) -> lightgbm.Dataset:
    if not len(task.target):
        raise BadData("frame.empty", "there is no row to learn from", hint="widen the population")
    return lightgbm.Dataset(
        task.matrix,
        task.target,
        weight=task.weight,
        categorical_feature=list(task.categorical),
        params=_parameters(settings, rows=len(task.target), seed=0),
        free_raw_data=False,
    )


def _parameters(settings: BoosterSettings, *, rows: int, seed: int) -> dict[str, object]:
    return {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": settings.step(rows),
        "num_leaves": settings.leaves(rows),
        "min_data_in_leaf": max(5, min(settings.min_data_in_leaf, rows // 40)),
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": settings.bagging_fraction,
        "bagging_freq": 1,
        "lambda_l2": settings.lambda_l2,
        "max_cat_to_onehot": 8,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": settings.num_threads,
        "verbosity": -1,
    }
