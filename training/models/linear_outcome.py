"""Linear and logistic regression on encoded features, scored with numpy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import skew
from sklearn.linear_model import LogisticRegression, RidgeCV

from training.models.feature_encoding import Matrix

Array = NDArray[np.float64]
STRENGTHS = np.logspace(0, 5, 11)  # of the ridge, per standardised column
FAR = 5.0  # standard deviations beyond which a value counts as being there
SKEWED = 1.0  # skewness from which a number that is never below 0 is read on the log scale


@dataclass(frozen=True)
class LinearDesign:
    """How encoded features become standardised columns: medians for missing numbers, one column a level.

    Parameters
    ----------
    levels : for each feature the codes that get a column; none for a number
    median, mean, scale : of each feature that is a number; 0, 0 and 1 for the others
    log : which features are read on the log scale, because a few values lie far above the rest
    """

    levels: tuple[tuple[float, ...], ...]
    median: Array
    mean: Array
    scale: Array
    log: NDArray[np.bool_]

    @classmethod
    def fit(cls, matrix: Matrix, categorical: tuple[int, ...]) -> LinearDesign:
        """Learn medians, scales and levels from training rows.

        Examples
        --------
        >>> design = LinearDesign.fit(np.array([[1.0, 0.0], [3.0, 1.0]]), categorical=(1,))
        >>> design.columns(np.array([[3.0, 1.0], [np.nan, 0.0]])).tolist()
        [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]
        """
        width = matrix.shape[1]
        median, mean, scale = np.zeros(width), np.zeros(width), np.ones(width)
        log = np.zeros(width, dtype=bool)
        levels: list[tuple[float, ...]] = []
        for at in range(width):
            seen = matrix[~np.isnan(matrix[:, at]), at]
            levels.append(tuple(np.unique(seen).tolist()) if at in categorical else ())
            if at not in categorical and len(seen):
                log[at] = seen.min() >= 0 and np.ptp(seen) > 1 and float(skew(seen)) > SKEWED
                values = np.log1p(seen) if log[at] else seen
                median[at], mean[at], scale[at] = np.median(values), values.mean(), values.std() or 1.0
        return cls(tuple(levels), median, mean, scale, log)

    def columns(self, matrix: Matrix) -> Matrix:
        """Return the columns: numbers, levels, and whether each number is missing."""
        numbers = [at for at, codes in enumerate(self.levels) if not codes]
        values, log = matrix[:, numbers], self.log[numbers]
        missing = np.isnan(values)
        filled = np.where(missing, self.median[numbers], np.where(log, np.log1p(np.maximum(values, 0.0)), values))
        standard = np.clip((filled - self.mean[numbers]) / self.scale[numbers], -FAR, FAR)
        one_hot = [matrix[:, [at]] == np.array(codes) for at, codes in enumerate(self.levels) if codes]
        return np.hstack([standard, *one_hot, missing]).astype(np.float64)


@dataclass(frozen=True)
class LinearOutcome:
    """A fitted regression: a probability where ``logistic``, else an amount."""

    design: LinearDesign
    weights: Array
    intercept: float
    logistic: bool

    def predict(self, matrix: Matrix) -> Array:
        """Return probabilities or amounts, shape (rows,)."""
        linear = self.design.columns(matrix) @ self.weights + self.intercept
        return np.asarray(expit(linear) if self.logistic else linear, dtype=np.float64)


def fit(matrix: Matrix, outcome: Array, *, categorical: tuple[int, ...], logistic: bool) -> LinearOutcome:
    """Fit logistic regression, or ridge regression whose strength is chosen by leaving each row out once.

    Parameters
    ----------
    matrix : features as `Encoding.matrix` gives them
    outcome : array of shape (rows,), 0 or 1 where ``logistic``

    Examples
    --------
    >>> x = np.linspace(-1, 1, 50)[:, None]
    >>> model = fit(x, 2 * x[:, 0] + 1, categorical=(), logistic=False)
    >>> model.predict(np.array([[0.5]])).round(1).tolist()
    [2.0]

    References
    ----------
    Hoerl and Kennard (1970).
    """
    design = LinearDesign.fit(matrix, categorical)
    columns = design.columns(matrix)
    if logistic:
        model = LogisticRegression(C=0.1, max_iter=1000).fit(columns, outcome)
    else:
        model = RidgeCV(alphas=STRENGTHS).fit(columns, outcome)
    return LinearOutcome(
        design, np.ravel(model.coef_).astype(np.float64), float(np.ravel(model.intercept_)[0]), logistic
    )
