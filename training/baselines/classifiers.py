"""The peers that a model must beat: scikit-learn's logistic regression, LightGBM as it comes, and simple rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from features.base.errors import BadData
from training.models.feature_encoding import Encoding, Matrix

Array = NDArray[np.float64]


def recency(days_since: Array, *, never: float = np.inf) -> Array:
    """Return the churn score of the oldest rule there is: whoever came longest ago leaves first.

    Parameters
    ----------
    days_since : array of shape (rows,), days since the last event; NaN if there was none
    never : days that stand for "none"

    Examples
    --------
    >>> recency(np.array([3.0, 40.0, np.nan])).tolist()
    [3.0, 40.0, inf]
    """
    return np.where(np.isnan(days_since), never, days_since)


@dataclass(frozen=True)
class Logistic:
    """Logistic regression on medians, z-scores and one-hot levels (L2, scikit-learn's default strength)."""

    pipeline: Pipeline

    def score(self, matrix: Matrix) -> Array:
        return np.asarray(self.pipeline.predict_proba(matrix)[:, 1], dtype=np.float64)


def fit_logistic(matrix: Matrix, target: Array, *, encoding: Encoding) -> Logistic:
    """Fit on rows that ``encoding.matrix`` made; a column without any value is left out."""
    filled = np.asarray(~np.isnan(matrix).all(axis=0), dtype=bool)
    categorical = [at for at in encoding.categorical if filled[at]]
    numeric = [at for at in range(matrix.shape[1]) if at not in set(encoding.categorical) and filled[at]]
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    codes = [np.arange(-1.0, len(encoding.columns[at].levels) + 1) for at in categorical]  # missing, levels, other
    levels = make_pipeline(SimpleImputer(strategy="constant", fill_value=-1.0), OneHotEncoder(categories=codes))
    columns = ColumnTransformer([("numbers", numbers, numeric), ("levels", levels, categorical)])
    return Logistic(make_pipeline(columns, LogisticRegression(max_iter=2000)).fit(matrix, target))


@dataclass(frozen=True)
class PlainBoosting:
    """LightGBM with every setting at its default: 100 trees, 31 leaves, no early stopping, no calibration."""

    model: Any

    def score(self, matrix: Matrix) -> Array:
        return np.asarray(self.model.booster_.predict(matrix), dtype=np.float64)


def fit_plain_boosting(
    matrix: Matrix, target: Array, *, encoding: Encoding, seed: int, threads: int = 2
) -> PlainBoosting:
    """Fit on rows that ``encoding.matrix`` made."""
    model = lightgbm.LGBMClassifier(random_state=seed, n_jobs=threads, verbosity=-1)
    return PlainBoosting(model.fit(matrix, target, categorical_feature=list(encoding.categorical)))


def popularity(taken: Array, *, rows: int) -> Array:
    """Return every customer the same ranking: what most training customers took.

    Parameters
    ----------
    taken : array of shape (training rows, candidates), 1, 0 or NaN (not in question)
    rows : customers to score

    Returns
    -------
    array of shape (rows, candidates)

    Examples
    --------
    >>> popularity(np.array([[1.0, 0.0], [1.0, 1.0]]), rows=1).tolist()
    [[1.0, 0.5]]
    """
    could = (~np.isnan(taken)).sum(axis=0)
    share = np.divide(np.nansum(taken, axis=0), could, out=np.zeros(taken.shape[1]), where=could > 0)
    return np.tile(share, (rows, 1))


def own_most_frequent(counts: Array, *, popular: Array) -> Array:
    """Return each customer's own habit: what they took most often; ties and the unknown go by popularity.

    Parameters
    ----------
    counts : array of shape (rows, candidates), how often each was taken before the cutoff; NaN is 0
    popular : array of shape (rows, candidates), as `popularity` gives, within [0, 1]

    Examples
    --------
    >>> own_most_frequent(np.array([[0.0, 3.0]]), popular=np.array([[1.0, 0.5]])).tolist()
    [[0.5, 3.25]]
    """
    if counts.shape != popular.shape:
        raise BadData("baseline.shape", f"counts of shape {counts.shape}, popularity of shape {popular.shape}")
    return np.nan_to_num(counts, nan=0.0) + 0.5 * popular
