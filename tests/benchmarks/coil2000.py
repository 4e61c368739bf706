"""Who takes a caravan insurance (the training part of CoIL 2000): ours beside the peers, 5 folds × 2 repeats.

Run it from the repository root: ``python -m tests.benchmarks.coil2000``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from tests.benchmarks._run import DATA, closing, table
from tests.benchmarks._tabular import BY_HAND, COLUMNS, LOGISTIC, behind, mean_over_folds

TABLE = "coil2000_train/ticdata.parquet"


def coil(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return features and labels of the part that the challenge gave for training."""
    rows = pd.read_parquet(folder / TABLE)
    return rows.drop(columns="CARAVAN"), (rows["CARAVAN"] == "insurance").to_numpy(dtype=float)


def main() -> int:
    if not (DATA / TABLE).is_file():
        print(f"no {TABLE} in {DATA}: set NEXTBEST_DATA to the folder of real data", file=sys.stderr)
        return 74
    found = mean_over_folds(*coil(DATA))
    table("coil2000, 5 × 2 folds", found, COLUMNS)
    return closing(behind(found, (LOGISTIC, BY_HAND), higher=("auc",)))


if __name__ == "__main__":
    sys.exit(main())
