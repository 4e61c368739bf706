"""Customer value for people who bring a table of transactions: purchases, spend and return, each with an interval."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from features.base.errors import BadData
from training.estimators.purchase_features import DAY, PurchaseModels, features_of, moments, outcomes, purchase_days
from training.models import amount_model
from training.models.amount_model import AmountModel, AmountPrediction

MIN_RETURNING = 30
QUIET = 0.05  # of the horizon without a transaction at its end do not mean that the table ends early


class ValueRegressor(BaseEstimator):
    """Predict purchases, spend and the probability of return in the period after a moment.

    BG/NBD and gamma-gamma give the first guess; LightGBM corrects it by the customer's own rhythm: a hurdle (does the
    customer come back at all) times a spread (how much then). Intervals are quantiles, moved so that they cover the
    wanted share of customers whom the trees did not see.

    Parameters
    ----------
    horizon : length of the period, such as ``"39W"`` or ``"365d"``, or a timedelta
    level : share of the customers whose purchases and spend the intervals hold
    folds : parts of the customers; each is predicted by the others
    n_jobs : threads of LightGBM
    random_state : seed of everything that is drawn

    Attributes
    ----------
    cutoff_ : moment up to which the features were computed
    coverage_ : share of training customers within their held-out interval, of purchases and spend
    purchase_models_ : BG/NBD and gamma-gamma
    feature_names_ : names of the features

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> rate = rng.gamma(1.0, 0.02, size=400)
    >>> rows = [(c, t) for c, r in enumerate(rate) for t in np.flatnonzero(rng.random(540) < r)]
    >>> log = pd.DataFrame(rows, columns=["customer", "day"])
    >>> log["time"] = pd.Timestamp("2025-01-01") + pd.to_timedelta(log["day"], unit="D")
    >>> log["amount"] = rng.gamma(5.0, 6.0, size=len(log))
    >>> model = ValueRegressor(horizon="26W").fit(log, cutoff="2025-12-31")
    >>> found = model.predict(log)
    >>> list(found.columns[:3]), bool((found["spend_low"] <= found["spend_high"]).all())
    (['purchases', 'purchases_low', 'purchases_high'], True)

    References
    ----------
    Fader, Hardie and Lee (2005), BG/NBD and gamma-gamma; Mullahy (1986), hurdle models; Romano, Patterson and Candès
    (2019), conformalized quantile regression.
    """

    def __init__(
        self,
        horizon: str | timedelta = "26W",
        *,
        level: float = 0.8,
        folds: int = 5,
        n_jobs: int = 1,
        random_state: int = 0,
    ) -> None:
        self.horizon = horizon
        self.level = level
        self.folds = folds
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, transactions: pd.DataFrame, cutoff: str | datetime | pd.Timestamp) -> Self:
        """Learn from what customers did up to the cutoff, and in the horizon after it.

        Parameters
        ----------
        transactions : columns ``customer``, ``time``, ``amount``; the purchases of one day count as one, returns are
            amounts below 0. They must reach from before the cutoff to the end of the horizon after it
        cutoff : the moment that divides what is known from what is predicted

        Raises
        ------
        BadData : ``transactions.*``, ``value.horizon``, ``value.cutoff``, ``value.few``, ``bgnbd.*``
        """
        horizon, at = self._span(), _moment(cutoff)
        days = purchase_days(transactions)
        latest = moments(transactions["time"]).max()
        if latest + max(DAY, QUIET * horizon) < at + horizon:
            raise BadData(
                "value.cutoff",
                f"the transactions end on {latest:%Y-%m-%d}, before the horizon after the cutoff does",
                hint=f"give a cutoff of {latest.floor('D') - horizon:%Y-%m-%d} at the latest, or a shorter horizon",
            )
        if not (days["day"] <= at).any():
            raise BadData("value.cutoff", "no customer has bought by the cutoff", hint="give a later cutoff")
        self.purchase_models_ = PurchaseModels.fit(days, at)
        table = features_of(days, at, horizon=horizon, models=self.purchase_models_)
        actual = outcomes(days, at, horizon=horizon, customers=table.index)
        returning = int((actual["purchases"] > 0).sum())
        if returning < MIN_RETURNING:
            raise BadData(
                "value.few",
                f"{returning} customers came back within the horizon: {MIN_RETURNING} are needed",
                hint="lengthen the horizon, or give more customers",
            )
        self.cutoff_, self.feature_names_ = at, tuple(table.columns)
        self.models_: dict[str, AmountModel] = {
            name: amount_model.fit(
                table.to_numpy(dtype=np.float64),
                actual[name].to_numpy(dtype=np.float64),
                _start(table, name),
                level=self.level,
                folds=self.folds,
                threads=self.n_jobs,
                seed=self.random_state,
            )
            for name in ("purchases", "spend")
        }
        self.coverage_ = {name: model.covered for name, model in self.models_.items()}
        return self

    def predict(
        self, transactions: pd.DataFrame, *, as_of: str | datetime | pd.Timestamp | None = None
    ) -> pd.DataFrame:
        """Return expectations for the horizon after a moment, one row per customer who has bought by then.

        Parameters
        ----------
        transactions : columns ``customer``, ``time``, ``amount``
        as_of : the moment; later transactions are not looked at. None: the end of the latest day given

        Returns
        -------
        DataFrame by customer: ``purchases``, ``spend`` and ``p_return``, each with ``_low`` and ``_high``
        """
        check_is_fitted(self)
        days = purchase_days(transactions)
        at = moments(transactions["time"]).max().floor("D") if as_of is None else _moment(as_of)
        if not (days["day"] <= at).any():
            raise BadData("value.cutoff", "no customer has bought by this moment", hint="give a later one")
        table = features_of(days, at, horizon=self._span(), models=self.purchase_models_)
        matrix = table.to_numpy(dtype=np.float64)
        found: dict[str, AmountPrediction] = {
            name: model.predict(matrix, _start(table, name)) for name, model in self.models_.items()
        }
        returns = found["purchases"]
        columns = {
            "purchases": returns.amount,
            "purchases_low": returns.low,
            "purchases_high": returns.high,
            "spend": found["spend"].amount,
            "spend_low": found["spend"].low,
            "spend_high": found["spend"].high,
            "p_return": returns.probability,
            "p_return_low": returns.probability_low,
            "p_return_high": returns.probability_high,
        }
        return pd.DataFrame(columns, index=table.index)

    def _span(self) -> pd.Timedelta:
        try:
            span = pd.Timedelta(self.horizon)
        except ValueError as error:
            raise BadData(
                "value.horizon", "the horizon is no length of time", hint='such as "39W" or "365d"'
            ) from error
        if not span >= DAY:
            raise BadData("value.horizon", "the horizon is shorter than a day", hint='such as "39W" or "365d"')
        return span


def _start(table: pd.DataFrame, name: str) -> np.ndarray:
    """Return what BG/NBD and gamma-gamma expect of those who come back at all."""
    purchases = np.maximum(table["bgnbd_purchases"].to_numpy(dtype=np.float64), 1e-3)
    returning = purchases / -np.expm1(-purchases)
    amount = 1.0 if name == "purchases" else table["per_purchase"].to_numpy(dtype=np.float64)
    return np.asarray(returning * amount, dtype=np.float64)


def _moment(value: str | datetime | pd.Timestamp) -> pd.Timestamp:
    found = pd.Timestamp(value)
    if pd.isna(found):
        raise BadData("value.cutoff", "the cutoff is no moment")
    return found if found.tzinfo is None else found.tz_convert("UTC").tz_localize(None)
