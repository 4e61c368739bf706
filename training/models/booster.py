"""Train LightGBM trees; raw scores and contributions of stored ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from features.base.errors import BadData
from training.models.parts import NONE, Parts

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
        default=None, gt=0, le=1, description="step of each tree; left out, 0.03, and 0.06 from 10,000 rows on"
    )
    num_leaves: int | None = Field(
        default=None, ge=2, le=1024, description="leaves per tree; left out, one per 1,000 rows within 8 and 31"
    )
    min_data_in_leaf: int = Field(
        default=50, ge=1, description="rows that a leaf must hold (fewer when the table is small)"
    )
    feature_fraction: float = Field(default=0.5, gt=0, le=1, description="share of the features that a tree sees")
    bagging_fraction: float = Field(default=0.7, gt=0, le=1, description="share of the rows that a tree sees")
    lambda_l1: float = Field(default=0.0, ge=0, le=1e6, description="L1 penalty on leaf values")
    lambda_l2: float = Field(default=5.0, ge=0, le=1e6, description="L2 penalty on leaf values")
    path_smooth: float = Field(default=0.0, ge=0, le=1e6, description="how strongly a leaf is drawn to its parent")
    bags: int | None = Field(
        default=None,
        ge=1,
        le=20,
        description="runs with other samples that are averaged; left out, 3, and 1 from 10,000 rows on",
    )
    max_rounds: int = Field(default=2000, ge=1, le=20_000, description="trees at most")
    patience: int | None = Field(
        default=None,
        ge=1,
        description="trees without a better held-out log loss before stopping; left out, 60, 30 from 10,000 rows on",
    )
    folds: int | None = Field(
        default=None,
        ge=2,
        le=20,
        description="parts for early stopping and calibration; left out, 5, and 3 from 10,000 rows on",
    )
    min_positives: int = Field(default=30, ge=2, description="fewer rows than this in either class are refused")
    max_levels: int = Field(default=64, ge=2, le=1000, description="levels that are kept per categorical column")
    max_share_levels: int = Field(
        default=5000,
        ge=2,
        le=100_000,
        description="levels that are kept of a categorical column with more than max_levels, as shares of positives",
    )
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

    def bags_of(self, rows: int) -> int:
        """Return the runs that are averaged for a table of this many rows.

        Examples
        --------
        >>> BoosterSettings().bags_of(5_000), BoosterSettings().bags_of(50_000)
        (3, 1)
        """
        return self.bags if self.bags is not None else (1 if rows >= LARGE else 3)


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
    """What to learn from: numbers, answers, and which rows are held out in turn.

    ``monotone`` holds 1 for each feature whose rise may only raise the score, -1 where it may only lower it, else 0.
    """

    matrix: Array
    target: Array
    parts: Parts = NONE
    categorical: Sequence[int] = ()
    weight: Array | None = None
    monotone: Sequence[int] = ()

    def dataset(self) -> lightgbm.Dataset:
        """Return the rows in LightGBM's bins, which all fits of a search share."""
        if not len(self.target):
            raise BadData("frame.empty", "there is no row to learn from", hint="widen the population")
        return lightgbm.Dataset(
            self.matrix,
            self.target,
            weight=self.weight,
            categorical_feature=list(self.categorical),
            params={"verbosity": -1, "feature_pre_filter": False, "max_cat_to_onehot": 8},
            free_raw_data=False,
        )


def cross_fit(task: Task, *, settings: BoosterSettings, seed: int) -> tuple[Array, int]:
    """Return log-odds of every row from trees that never saw its part, and the best number of trees.

    The number is the one with the least mean held-out log loss over all parts, and all parts use it: so no
    part chooses its own stopping point on the rows that it is judged on. A row that is never held out is NaN.
    """
    whole = task.dataset()
    raw = np.full(len(task.target), np.nan)
    losses, boosters = held_out_losses(task, whole, settings=settings, seed=seed)
    rounds = len(losses)
    bags = [boosters]
    for bag in range(1, settings.bags_of(len(task.target))):
        fixed = settings.model_copy(update={"max_rounds": rounds, "patience": rounds})
        bags.append(held_out_losses(task, whole, settings=fixed, seed=seed + bag)[1])
    for at, part in enumerate(task.parts):
        rows = task.matrix[part.held]
        raw[part.held] = np.mean(
            [
                bag[at].predict(rows, raw_score=True, num_iteration=rounds, num_threads=settings.num_threads)
                for bag in bags
            ],
            axis=0,
        )
    return raw, rounds


def held_out_losses(
    task: Task,
    dataset: lightgbm.Dataset,
    *,
    settings: BoosterSettings,
    seed: int,
    watch: Callable[[int, float], None] | None = None,
) -> tuple[list[float], list[lightgbm.Booster]]:
    """Return the mean held-out log loss after each number of trees up to the best one, and the parts' Boosters.

    ``watch`` is called after each tree with its number and the loss; what it raises ends the fit.
    """
    callbacks: list[Callable[[Any], None]] = [lightgbm.early_stopping(settings.wait(len(task.target)), verbose=False)]
    if watch is not None:
        callbacks.append(lambda now: watch(now.iteration, now.evaluation_result_list[0][2]))
    found = lightgbm.cv(
        _parameters(task, settings, seed=seed),
        dataset,
        num_boost_round=settings.max_rounds,
        folds=[(part.train, part.held) for part in task.parts],
        callbacks=callbacks,
        return_cvbooster=True,
    )
    return list(found["valid binary_logloss-mean"]), list(found["cvbooster"].boosters)


def train(task: Task, *, rounds: int, settings: BoosterSettings, seed: int) -> Trees:
    """Return trees grown on every row: the mean of so many runs as ``settings`` has bags, each of its own samples."""
    dataset = task.dataset()
    texts = [
        lightgbm.train(_parameters(task, settings, seed=seed + bag), dataset, num_boost_round=rounds).model_to_string()
        for bag in range(settings.bags_of(len(task.target)))
    ]
    return Trees.load(texts[0] if len(texts) == 1 else averaged(texts))  # what is scored is what is stored


def averaged(texts: Sequence[str]) -> str:
    """Return one model text whose log-odds are the mean of those of several models of the same features."""
    head = texts[0][: texts[0].index("tree_sizes=")]  # without sizes the trees are read one after another
    trees = [text[text.index("Tree=") : text.index("end of trees")] for text in texts]
    tail = texts[0][texts[0].index("end of trees") :]
    scaled = re.sub(r"(?m)^leaf_value=(.*)$", lambda found: _divided(found[1], len(texts)), "".join(trees))
    return str(lightgbm.Booster(model_str=head + "\n" + scaled + tail).model_to_string())


def _divided(values: str, by: int) -> str:
    return "leaf_value=" + " ".join(repr(float(value) / by) for value in values.split())


def _parameters(task: Task, settings: BoosterSettings, *, seed: int) -> dict[str, object]:
    rows = len(task.target)
    parameters: dict[str, object] = {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": settings.step(rows),
        "num_leaves": settings.leaves(rows),
        "min_data_in_leaf": max(5, min(settings.min_data_in_leaf, rows // 40)),
        "feature_fraction": settings.feature_fraction,
        "bagging_fraction": settings.bagging_fraction,
        "bagging_freq": 1,
        "lambda_l1": settings.lambda_l1,
        "lambda_l2": settings.lambda_l2,
        "path_smooth": settings.path_smooth,
        "max_cat_to_onehot": 8,
        "feature_pre_filter": False,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": settings.num_threads,
        "verbosity": -1,
    }
    if any(task.monotone):
        parameters |= {"monotone_constraints": list(task.monotone), "monotone_constraints_method": "intermediate"}
    return parameters
