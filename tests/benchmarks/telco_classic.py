"""Recorded churn on the classic telecom table: ours beside the peers, on stratified 5 folds × 2 repeats.

Encoding, search, early stopping, blend and calibration see the training folds only.
Run it from the repository root: ``python -m tests.benchmarks.telco_classic``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from tests.benchmarks._run import DATA, closing, table
from tests.benchmarks._tabular import COLUMNS, OURS, mean_over_folds

TABLE = "ibm_telco_classic/telco_customer_churn.parquet"
MIN_AUC, MAX_LOG_LOSS, MIN_EMPC = 0.8505, 0.4100, 10.42


def telco(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return features and labels; a blank total is a missing one."""
    rows = pd.read_parquet(folder / TABLE)
    total = pd.to_numeric(rows["TotalCharges"].str.strip().replace("", None))
    churned = (rows["Churn"] == "Yes").to_numpy(dtype=float)
    return rows.drop(columns=["customerID", "Churn"]).assign(TotalCharges=total), churned


def shortfalls(found: dict[str, dict[str, float]]) -> list[str]:
    """Return the rows that miss a stated bar."""
    own = found[OURS]
    short = []
    if own["auc"] < MIN_AUC:
        short.append(f"{OURS} auc {own['auc']:.4f} is below {MIN_AUC}")
    if own["log_loss"] > MAX_LOG_LOSS:
        short.append(f"{OURS} log_loss {own['log_loss']:.4f} is above {MAX_LOG_LOSS}")
    if own["empc"] < MIN_EMPC:
        short.append(f"{OURS} empc {own['empc']:.3f} is below {MIN_EMPC}")
    return short


def main() -> int:
    if not (DATA / TABLE).is_file():
        print(f"no {TABLE} in {DATA}: set NEXTBEST_DATA to the folder of real data", file=sys.stderr)
        return 74
    found = mean_over_folds(*telco(DATA))
    table("telco_classic, 5 × 2 folds", found, COLUMNS)
    return closing(shortfalls(found))


if __name__ == "__main__":
    sys.exit(main())
