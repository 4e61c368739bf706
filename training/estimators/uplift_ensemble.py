"""Uplift for people who bring a table: fit, predict, and choose whom to treat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from training.estimators.input_frame import input_frame
from training.models import uplift_model
from training.models.uplift_learners import UpliftSettings

SEGMENTS = {1: "persuadable", 0: "not sure", -1: "harmed"}


class UpliftEnsemble(BaseEstimator):
    """Predict what each treatment changes for each customer, and refuse where no difference can be seen.

    The mean of S-, T- and DR-learners over LightGBM, fitted on parts of the customers and judged on the others,
    for several seeds. Whether the effect differs between customers is a test on rows that the models did not see.

    Parameters
    ----------
    control : the label of no treatment; None: 0, False, or a label such as ``"control"`` or ``"none"``
    alpha : chance of finding a difference where there is none
    max_treatment_auc : features that predict the treatment better than this are refused
    settings : `UpliftSettings`: parts, seeds, trees, threads; None for the defaults
    random_state : seed of everything that is drawn

    Attributes
    ----------
    treatments_ : labels of the treatments, in the order of the columns of `predict`
    p_value_ : of "no treatment's effect differs between customers"
    detectable_ : whether ``p_value_`` is at most ``alpha``
    summary_ : DataFrame with a row for each treatment: average effect with interval and p-value, p-value of the
        difference between customers, how many training rows are surely persuadable and surely harmed
    model_ : `UpliftModel`

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> X = pd.DataFrame({"months": rng.integers(1, 60, size=3000), "calls": rng.poisson(1, size=3000)})
    >>> called = rng.integers(2, size=3000)
    >>> stays = rng.random(3000) < 0.5 + called * np.where(X["months"] < 24, 0.25, -0.15)
    >>> quick = UpliftSettings(seeds=1, effect_rounds=30)
    >>> model = UpliftEnsemble(settings=quick).fit(X, stays, called)
    >>> model.detectable_, model.predict(X.head(2)).shape
    (True, (2, 1))
    >>> customers = pd.DataFrame({"months": [6, 50], "calls": [1, 1]})
    >>> model.choose(customers, value=100, cost=3).tolist(), model.segments(customers).ravel().tolist()
    ([1, 0], ['persuadable', 'harmed'])

    References
    ----------
    Künzel et al. (2019); Kennedy (2023); Chernozhukov, Demirer, Duflo and Fernández-Val (2025).
    """

    def __init__(
        self,
        *,
        control: object = None,
        alpha: float = 0.05,
        max_treatment_auc: float = 0.75,
        settings: UpliftSettings | None = None,
        random_state: int = 0,
    ) -> None:
        self.control = control
        self.alpha = alpha
        self.max_treatment_auc = max_treatment_auc
        self.settings = settings
        self.random_state = random_state

    def fit(
        self,
        X: pd.DataFrame | ArrayLike,
        y: ArrayLike,
        treatment: ArrayLike,
        *,
        propensity: ArrayLike | None = None,
        groups: Sequence[Any] | NDArray[Any] | None = None,
    ) -> Self:
        """Learn from an experiment, or from a log whose treatments the features do not decide.

        Parameters
        ----------
        X : features known before the treatment, shape (rows, features), text columns allowed
        y : outcome, 0 or 1 or an amount, shape (rows,)
        treatment : label of what each row got, shape (rows,)
        propensity : logged probability of each arm, shape (rows, arms): control, then treatments in sorted order
        groups : the customer of each row; None if each row is its own

        Raises
        ------
        BadData : ``treatment.*``, ``label.*``, ``features.*``
        """
        self.model_ = uplift_model.fit(
            input_frame(self, X, fitting=True),
            y,
            treatment,
            control=self.control,
            propensity=propensity,
            customers=groups,
            settings=uplift_model.DEFAULTS if self.settings is None else self.settings,
            alpha=self.alpha,
            max_treatment_auc=self.max_treatment_auc,
            seed=self.random_state,
        )
        effects = self.model_.effects
        self.treatments_ = self.model_.treatments
        self.p_value_ = min(effect.p_value for effect in effects)
        self.detectable_ = self.model_.detectable
        self.summary_ = pd.DataFrame(
            {
                "treatment": list(self.treatments_),
                "average_effect": [effect.average.value for effect in effects],
                "low": [effect.average.low for effect in effects],
                "high": [effect.average.high for effect in effects],
                "average_p_value": [effect.average.p_value for effect in effects],
                "difference_p_value": [effect.p_value for effect in effects],
                "detectable": [effect.detectable for effect in effects],
                "persuadable": [effect.persuadable for effect in effects],
                "harmed": [effect.harmed for effect in effects],
            }
        )
        return self

    def predict(self, X: pd.DataFrame | ArrayLike) -> NDArray[np.float64]:
        """Return the effect of each treatment in units of the outcome, shape (rows, treatments).

        Where no difference between customers is detectable, everybody gets the treatment's average effect.
        """
        model = self._model()
        return model.predict(model.encoding.matrix(input_frame(self, X, fitting=False)))

    def segments(self, X: pd.DataFrame | ArrayLike) -> NDArray[np.object_]:
        """Return ``"persuadable"``, ``"harmed"`` or ``"not sure"`` for each row and treatment."""
        model = self._model()
        found = model.segments(model.encoding.matrix(input_frame(self, X, fitting=False)))
        names = np.array([SEGMENTS[verdict] for verdict in (0, 1, -1)], dtype=object)  # -1 is the last
        return np.asarray(names[found], dtype=object)

    def choose(
        self,
        X: pd.DataFrame | ArrayLike,
        *,
        value: float = 1.0,
        cost: ArrayLike = 0.0,
    ) -> NDArray[np.object_]:
        """Return the label of the best treatment of each row, control where none is worth its cost.

        Parameters
        ----------
        value : what one unit of the outcome is worth
        cost : of each treatment, in the same currency

        Raises
        ------
        BadData : ``uplift.no_effect`` if no effect differs detectably between customers
        """
        model = self._model()
        labels = np.array([model.control, *model.treatments], dtype=object)
        return np.asarray(
            labels[model.choose(model.encoding.matrix(input_frame(self, X, fitting=False)), value=value, cost=cost)],
            dtype=object,
        )

    def _model(self) -> uplift_model.UpliftModel:
        check_is_fitted(self)
        model: uplift_model.UpliftModel = self.model_
        return model
