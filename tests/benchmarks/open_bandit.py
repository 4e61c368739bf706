"""What the Bernoulli Thompson sampler would earn, estimated from the log of the random policy (Open Bandit, men).

The truth is the click rate of the sampler's own log of the same days. The sampler looks at no context, so that its
distribution of the items at each position, over the days, is the share of its log. Run it from the repository root:
``python -m tests.benchmarks.open_bandit``.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd

from tests.benchmarks._run import DATA, closing, table
from training.estimators import evaluate_policy

FOLDER = "open_bandit_men"
ROUNDS = 200


def log_of(folder_table: pd.DataFrame) -> pd.DataFrame:
    """Return the log by the names of `evaluate_policy`, positions from 0."""
    named = folder_table.rename(columns={"item_id": "action", "click": "reward", "propensity_score": "pscore"})
    users = [name for name in named.columns if name.startswith("user_feature")]
    return named[["action", "reward", "pscore", *users]].assign(position=named["position"] - 1)


def shares(sampler: pd.DataFrame, rows: int) -> np.ndarray:
    """Return the sampler's share of each item at each position, for each decision of another log."""
    counts = pd.crosstab(sampler["action"], sampler["position"]).to_numpy(dtype=float)
    return np.broadcast_to(counts / counts.sum(axis=0), (rows, *counts.shape))


def main() -> int:
    if not (DATA / FOLDER).is_dir():
        print(f"no {FOLDER} in {DATA}: set NEXTBEST_DATA to the folder of real data", file=sys.stderr)
        return 74
    chance, sampler = (log_of(pd.read_parquet(DATA / FOLDER / f"{name}_men.parquet")) for name in ("random", "bts"))
    truth = float(sampler["reward"].mean())
    began = time.perf_counter()
    found = evaluate_policy(chance, shares(sampler, len(chance)), rounds=ROUNDS)
    took = time.perf_counter() - began
    rows = {
        str(name): {"value": row["value"], "low": row["low"], "high": row["high"]}
        for name, row in found.estimates.iterrows()
    }
    rows["truth"] = {"value": truth}
    rows["the log's own policy"] = {"value": found.logged_value}
    table(f"random to bts, {ROUNDS} draws", rows, ("value", "low", "high"))
    print(f"effective sample size {found.effective_sample_size:.0f} of {len(chance)}, {took:.0f} s")
    for warning in found.warnings:
        print(f"warning: {warning}")
    return closing(
        [
            f"{name}: [{rows[name]['low']:.4f}, {rows[name]['high']:.4f}] does not hold the truth {truth:.4f}"
            for name in ("ips", "snips", "dr", "switch_dr")
            if not rows[name]["low"] <= truth <= rows[name]["high"]
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
