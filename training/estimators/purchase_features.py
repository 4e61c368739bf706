"""What a customer's purchases before a moment show of those after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.base.errors import BadData
from training.baselines import bgnbd, gamma_gamma
from training.baselines.bgnbd import BgNbd
from training.baselines.gamma_gamma import GammaGamma

Array = NDArray[np.float64]
DAY = pd.Timedelta(days=1)
COLUMNS = ("customer", "time", "amount")


def purchase_days(transactions: pd.DataFrame) -> pd.DataFrame:
    """Return one row per customer and day, amounts added; days without an amount above 0 are no purchase.

    Raises
    ------
    BadData : ``transactions.columns``, ``transactions.values``, ``transactions.empty``

    Examples
    --------
    >>> log = pd.DataFrame({"customer": [1, 1], "time": ["2026-01-05 09:00", "2026-01-05 17:00"], "amount": [3.0, 4.0]})
    >>> purchase_days(log)["amount"].tolist()
    [7.0]
    """
    absent = [name for name in COLUMNS if name not in transactions]
    if absent:
        raise BadData(
            "transactions.columns",
            f"the transactions lack {', '.join(absent)}",
            where=absent[0],
            hint="name the columns customer, time and amount",
        )
    if transactions["customer"].isna().any():
        raise BadData("transactions.values", "a transaction has no customer", where="customer")
    time = moments(transactions["time"])
    amount = pd.to_numeric(transactions["amount"], errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(amount).all():
        raise BadData(
            "transactions.values",
            f"{int((~np.isfinite(amount)).sum())} amounts are missing, infinite or no numbers",
            where="amount",
        )
    rows = pd.DataFrame({"customer": transactions["customer"].to_numpy(), "day": time.dt.floor("D"), "amount": amount})
    days = rows.groupby(["customer", "day"], sort=True, as_index=False)["amount"].sum()
    days = days[days["amount"] > 0].reset_index(drop=True)
    if days.empty:
        raise BadData("transactions.empty", "no customer has a purchase with an amount above 0")
    return pd.DataFrame(days)


def moments(time: pd.Series) -> pd.Series:
    """Return times without zone (UTC).

    Raises
    ------
    BadData : ``transactions.values``
    """
    found = pd.to_datetime(time.reset_index(drop=True), errors="coerce", utc=True).dt.tz_localize(None)
    if found.isna().any():
        raise BadData("transactions.values", f"{int(found.isna().sum())} times are missing or no times", where="time")
    return found


@dataclass(frozen=True)
class PurchaseModels:
    """BG/NBD and gamma-gamma, fitted on everybody known at the cutoff, in days."""

    bgnbd: BgNbd
    gamma_gamma: GammaGamma

    @classmethod
    def fit(cls, days: pd.DataFrame, as_of: pd.Timestamp) -> PurchaseModels:
        """Fit on purchases up to a moment."""
        counts = histories(days, as_of)
        x, t, age = (counts[name].to_numpy(dtype=np.float64) for name in ("frequency", "recency", "age"))
        means = counts["mean"].to_numpy(dtype=np.float64)
        return cls(bgnbd.fit(x, t, age), gamma_gamma.fit(x + 1, means))


def histories(days: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Return frequency, recency and age in days, and the mean amount of a purchase, one row per customer.

    Examples
    --------
    >>> days = pd.to_datetime(["2026-01-01", "2026-01-11"])
    >>> bought = pd.DataFrame({"customer": [1, 1], "day": days, "amount": [3, 5]})
    >>> histories(bought, pd.Timestamp("2026-01-31")).loc[1].tolist()
    [1.0, 10.0, 30.0, 4.0]
    """
    by = days[days["day"] <= as_of].groupby("customer")
    first, last = by["day"].min(), by["day"].max()
    return pd.DataFrame(
        {
            "frequency": (by.size() - 1).astype(np.float64),
            "recency": _in_days(last - first),
            "age": _in_days(as_of - first),
            "mean": by["amount"].mean(),
        }
    )


def features_of(
    days: pd.DataFrame, as_of: pd.Timestamp, *, horizon: pd.Timedelta, models: PurchaseModels
) -> pd.DataFrame:
    """Return numbers as of a moment, one row per customer who has bought by then.

    ``bgnbd_purchases`` and ``bgnbd_spend`` are what BG/NBD and gamma-gamma expect in the horizon.
    """
    known = days[days["day"] <= as_of]
    out = histories(known, as_of)
    by = known.groupby("customer")
    out["since"] = out["age"] - out["recency"]
    gap = _in_days(by["day"].diff())
    gaps = gap.groupby(known["customer"])
    out["gap_median"], out["gap_std"] = gaps.median(), gaps.std()
    out["since_over_gap"] = out["since"] / out["gap_median"]
    out["last_amount"], out["largest"], out["total"] = by["amount"].last(), by["amount"].max(), by["amount"].sum()
    for part, span in (("quarter", horizon / 4), ("half", horizon / 2), ("whole", horizon)):
        recent = known[known["day"] > as_of - span].groupby("customer")["amount"]
        out[f"purchases_{part}"] = recent.size().reindex(out.index, fill_value=0)
        out[f"spend_{part}"] = recent.sum().reindex(out.index, fill_value=0.0)
    year = known[(known["day"] > as_of - 365 * DAY) & (known["day"] <= as_of - 365 * DAY + horizon)]
    out["purchases_year_ago"] = year.groupby("customer").size().reindex(out.index, fill_value=0)
    x, t, age = (out[name].to_numpy(dtype=np.float64) for name in ("frequency", "recency", "age"))
    out["p_alive"] = models.bgnbd.p_alive(x, t, age)
    out["bgnbd_purchases"] = models.bgnbd.expected_purchases(x, t, age, ahead=horizon / DAY)
    per_purchase = models.gamma_gamma.expected_spend(x + 1, out["mean"].to_numpy(dtype=np.float64))
    out["per_purchase"] = per_purchase
    out["bgnbd_spend"] = out["bgnbd_purchases"] * per_purchase
    return out.replace([np.inf, -np.inf], np.nan)


def outcomes(days: pd.DataFrame, after: pd.Timestamp, *, horizon: pd.Timedelta, customers: pd.Index) -> pd.DataFrame:
    """Return purchases and spend in ``(after, after + horizon]`` of each customer.

    Examples
    --------
    >>> days = pd.to_datetime(["2026-01-01", "2026-01-11"])
    >>> bought = pd.DataFrame({"customer": [1, 1], "day": days, "amount": [3, 5]})
    >>> week = pd.Timedelta(days=7)
    >>> outcomes(bought, pd.Timestamp("2026-01-05"), horizon=week, customers=pd.Index([1, 2])).to_numpy().tolist()
    [[1.0, 5.0], [0.0, 0.0]]
    """
    later = days[(days["day"] > after) & (days["day"] <= after + horizon)].groupby("customer")["amount"]
    found = pd.DataFrame({"purchases": later.size(), "spend": later.sum()})
    return found.reindex(customers).fillna(0.0).astype(np.float64)


def _in_days(spans: pd.Series) -> pd.Series:
    return pd.Series(spans.dt.total_seconds() / DAY.total_seconds())
