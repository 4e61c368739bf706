"""A calibrated classifier of any binary outcome, in scikit-learn's style."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import assert_all_finite, check_consistent_length, check_is_fitted, column_or_1d

from training.estimators.input_frame import InvalidInput, input_frame, value_errors
from training.evaluate.ranking import single_feature_aucs
from training.models import classifier
from training.models.booster import BoosterSettings
from training.models.classifier import Direction
from training.models.tuning import Search

Array = NDArray[np.float64]
LEAK = 0.999  # AUC of one column alone from which it is taken for the outcome itself


class LeakWarning(UserWarning):
    """A column alone gives nearly every outcome away."""


class ChurnClassifier(ClassifierMixin, BaseEstimator):
    """Gradient boosted trees, blended with a regularised logistic regression where that helps, and calibrated.

    The columns may be numbers, booleans, texts and categories, with missing values; nothing needs encoding or
    scaling. Settings are searched, the number of trees, the blend and the calibration chosen on rows held out in
    turn: other customers (``groups``), or later rows where ``times`` are given. Classes are never weighted: the
    probabilities are those of the population of the rows.

    Parameters
    ----------
    trials : int, default=20
        Settings of the trees that are tried; 0 keeps the usual ones.
    seconds : float, default=300
        The search ends after so long. A search that time ends, not ``trials``, may differ from run to run.
    study_folder : str or path, optional
        Where trials are stored: a fit that was interrupted goes on with its search when it is called again with the
        same rows.
    monotone : mapping of column name to ``"up"`` or ``"down"``, optional
        Columns whose rise may only raise or lower the probability of ``classes_[1]``.
    embargo : timedelta or number, optional
        How long after its time the outcome of a row is known, in the unit of ``times``.
    min_positives : int, default=30
        Fewer rows of either class are refused.
    max_rounds : int, default=2000
        Trees at most; fewer are grown where more do not help.
    n_jobs : int, default=1
        Threads of LightGBM.
    random_state : int, RandomState or None, default=0
        The same number and rows give the same model.

    Attributes
    ----------
    classes_ : array of shape (2,)
        The outcomes, sorted; the probability of the second is what is learnt.
    classifier_ : training.models.scorers.Classifier
        What scores: encoding, trees, curves and calibration.
    learned_ : training.models.classifier.Learned
        How each part was chosen: the search, the calibration on later rows, and held-out probabilities.
    n_features_in_, feature_names_in_
        As scikit-learn defines them.

    See Also
    --------
    training.platform.Platform : trains on the features and labels of a workspace, with gates and a registry.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> tenure = rng.uniform(0, 10, 400)
    >>> X = pd.DataFrame({"tenure": tenure, "plan": rng.choice(["basic", "plus"], 400)})
    >>> y = np.where(rng.random(400) < 1 / (1 + np.exp(tenure - 4)), "left", "stays")
    >>> model = ChurnClassifier(trials=2).fit(X, y)
    >>> stays = model.predict_proba(pd.DataFrame({"tenure": [0.5, 9.5], "plan": ["basic", "plus"]}))[:, 1]
    >>> bool(stays[0] < 0.2), bool(stays[1] > 0.8)
    (True, True)
    >>> model.predict(pd.DataFrame({"tenure": [0.5], "plan": ["a new plan"]})).tolist()
    ['left']
    """

    def __init__(
        self,
        *,
        trials: int = 20,
        seconds: float = 300.0,
        study_folder: str | Path | None = None,
        monotone: Mapping[str, Direction] | None = None,
        embargo: timedelta | float | None = None,
        min_positives: int = 30,
        max_rounds: int = 2000,
        n_jobs: int = 1,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.trials = trials
        self.seconds = seconds
        self.study_folder = study_folder
        self.monotone = monotone
        self.embargo = embargo
        self.min_positives = min_positives
        self.max_rounds = max_rounds
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        *,
        groups: Sequence[Any] | NDArray[Any] | None = None,
        times: Sequence[Any] | NDArray[Any] | None = None,
    ) -> Self:
        """Learn the probability of ``classes_[1]``.

        Parameters
        ----------
        X : DataFrame or array of shape (rows, columns)
        y : array of shape (rows,), two different values
        groups : the customer of each row, when some have several
        times : the moment or ordinal number of each row; later rows are then held out, not other customers

        Raises
        ------
        InvalidInput : a column of dates or lists, infinite values, one class, too few rows of a class, …
        """
        frame = input_frame(self, X, fitting=True)
        target = self._target(y)
        check_consistent_length(frame, target)
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 1)
        with value_errors():
            encoding, self.learned_ = classifier.learn(
                frame,
                target,
                groups=groups,
                times=times,
                embargo=self.embargo,
                monotone=self.monotone,
                settings=BoosterSettings(
                    min_positives=self.min_positives, max_rounds=self.max_rounds, num_threads=self.n_jobs
                ),
                search=Search(self.trials, self.seconds, Path(self.study_folder) if self.study_folder else None),
                seed=int(seed),
            )
            matrix = encoding.matrix(frame)
            alone = single_feature_aucs(matrix, target, categorical=encoding.categorical)
        leaks = [name for name, auc in zip(encoding.names, alone, strict=True) if auc >= LEAK]
        if leaks:
            message = f"{', '.join(leaks)}: alone gives the outcome away; is it known before the outcome?"
            warnings.warn(message, LeakWarning, stacklevel=2)
        self.classifier_ = self.learned_.classifier(encoding)
        return self

    def predict_proba(self, X: Any) -> Array:
        """Return the calibrated probability of each class, shape (rows, 2).

        Parameters
        ----------
        X : the columns of the fit, in any order; a level that it did not see counts as other or missing
        """
        check_is_fitted(self)
        frame = input_frame(self, X, fitting=False)
        with value_errors():
            second = self.classifier_.score(self.classifier_.encoding.matrix(frame), threads=self.n_jobs)
        return np.column_stack([1.0 - second, second])

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the likelier class of each row, shape (rows,)."""
        likelier = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[likelier])

    def _target(self, y: ArrayLike) -> Array:
        """Return 1.0 for the second class, and keep the classes."""
        if y is None:
            raise InvalidInput("label.values", "this estimator requires y to be passed, but the target y is None")
        values = column_or_1d(y, warn=True)
        assert_all_finite(values, input_name="y")
        kind = type_of_target(values, input_name="y", raise_unknown=True)
        if kind != "binary":
            raise InvalidInput(
                "label.values",
                f"Only binary classification is supported. The type of the target is {kind}.",
                hint="give two different outcomes, and drop rows without one",
            )
        self.classes_, code = np.unique(values, return_inverse=True)
        if len(self.classes_) < 2:
            raise InvalidInput("label.one_class", "y has one class only", hint="nothing can be learnt from one outcome")
        return np.asarray(code, dtype=np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags
