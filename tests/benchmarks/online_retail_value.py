"""Spend in the twelve months after 9 December 2010 (Online Retail): ours beside BG/NBD × gamma-gamma.

Two years of data hold one such period, so that none is left to learn from before it: half of the customers are learnt
from, the other half are predicted, and the other way round; both as of the same moment.
Run it from the repository root: ``python -m tests.benchmarks.online_retail_value``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from tests.benchmarks._run import DATA, closing, table
from training.estimators import ValueRegressor
from training.estimators.purchase_features import features_of, outcomes, purchase_days
from training.evaluate import bootstrap, value_accuracy

FOLDER = "uci_online_retail"
HORIZON, CUTOFF = pd.Timedelta(days=365), pd.Timestamp("2010-12-09")
COVERED = (0.75, 0.85)


def transactions(folder: Path) -> pd.DataFrame:
    """Return both files as one, the days of their overlap once, an amount for each customer and moment."""
    first = pd.read_parquet(folder / "online_retail_ii_sheet_2009_2010.parquet").rename(
        columns={"Invoice": "InvoiceNo", "Price": "UnitPrice", "Customer ID": "CustomerID"}
    )
    second = pd.read_parquet(folder / "online_retail_2010_12_to_2011_12.parquet")
    rows = pd.concat([first[~first["InvoiceNo"].isin(second["InvoiceNo"])], second]).dropna(subset=["CustomerID"])
    rows = rows.assign(amount=rows["Quantity"] * rows["UnitPrice"])
    by_moment = pd.DataFrame(rows.groupby(["CustomerID", "InvoiceDate"], as_index=False)["amount"].sum())
    return by_moment.set_axis(["customer", "time", "amount"], axis=1)


def predictions(log: pd.DataFrame) -> pd.DataFrame:
    """Return, by customer, what ours and the peers expect, and what came."""
    customers = np.sort(log["customer"].unique())
    half = pd.Series(np.random.default_rng(0).permutation(len(customers)) % 2, index=customers)
    parts = []
    for held in (0, 1):
        train, test = (log[log["customer"].map(half).eq(held) == same] for same in (False, True))
        model = ValueRegressor(HORIZON).fit(train, CUTOFF)
        simple = features_of(purchase_days(test), CUTOFF, horizon=HORIZON, models=model.purchase_models_)
        peers = simple[["bgnbd_spend", "bgnbd_purchases", "spend_whole"]]
        parts.append(model.predict(test, as_of=CUTOFF).join(peers))
    found = pd.concat(parts)
    actual = outcomes(purchase_days(log), CUTOFF, horizon=HORIZON, customers=found.index)
    return found.join(actual.add_prefix("actual_"))


def main() -> int:
    if not (DATA / FOLDER).is_dir():
        print(f"no {FOLDER} in {DATA}: set NEXTBEST_DATA to the folder of real data", file=sys.stderr)
        return 74
    began = time.perf_counter()
    found = predictions(transactions(DATA / FOLDER))
    actual, columns = found["actual_spend"].to_numpy(), {"nextbest": "spend", "BG/NBD × gamma-gamma": "bgnbd_spend"}
    rows = {
        name: {
            "rmse": value_accuracy.rmse(actual, found[column]),
            "rank": value_accuracy.rank_correlation(actual, found[column]),
            "gini": value_accuracy.normalised_gini(actual, found[column]),
            "mean": float(found[column].mean()),
        }
        for name, column in (columns | {"spend of the last year": "spend_whole"}).items()
    }
    rows["actual"] = {"mean": float(actual.mean())}
    table(f"spend in a year, {len(found)} customers", rows, ("rmse", "rank", "gini", "mean"))
    covered = {
        of: value_accuracy.coverage(found[f"actual_{of}"], found[f"{of}_low"], found[f"{of}_high"])
        for of in ("spend", "purchases")
    }
    print(f"80 % intervals cover {covered['spend']:.3f} of spend and {covered['purchases']:.3f} of purchases")
    for of, simple in (("purchases", "bgnbd_purchases"),):
        both = [value_accuracy.rmse(found[f"actual_{of}"], found[name]) for name in (of, simple)]
        print(f"rmse of {of}: nextbest {both[0]:.3f}, BG/NBD {both[1]:.3f}")
    ours, theirs = (found[column].to_numpy() for column in columns.values())
    lead = bootstrap.difference(
        lambda at, our: value_accuracy.rmse(actual[at], (ours if our else theirs)[at]),
        customers=found.index.to_numpy(),
        rounds=200,
        seed=1,
    )
    print(f"rmse, nextbest less BG/NBD × gamma-gamma: {lead.difference:.0f} [{lead.low:.0f}, {lead.high:.0f}]")
    print(f"{time.perf_counter() - began:.0f} s")
    own, peer = rows["nextbest"], rows["BG/NBD × gamma-gamma"]
    short = [
        f"{of}: intervals cover {share:.3f}, the bar is {COVERED}"
        for of, share in covered.items()
        if not COVERED[0] <= share <= COVERED[1]
    ]
    if own["rank"] <= peer["rank"]:
        short.append(f"rank correlation {own['rank']:.3f} is not ahead of {peer['rank']:.3f}")
    if own["rmse"] >= peer["rmse"]:
        short.append(f"rmse {own['rmse']:.0f} is not ahead of {peer['rmse']:.0f}")
    return closing(short)


if __name__ == "__main__":
    sys.exit(main())
