"""Who subscribes after a call (UCI bank marketing, 2008 to 2010, without `duration`): the last 30 % of the calls.

The rows are in the order of time; all models learn from the first 70 %. Ours is told that order, and so chooses
its settings and its calibration forward in time. The share of subscribers rises from 6 % to 25 % between the two parts,
which nothing in the first can show: no model here has a small calibration error.
Run it from the repository root: ``python -m tests.benchmarks.bank_marketing``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from tests.benchmarks._run import DATA, closing, table
from tests.benchmarks._tabular import COLUMNS, DEFAULT, MODELS, OURS, behind, judged
from training.estimators import ChurnClassifier

TABLE = "uci_bank_marketing/bank_additional_full.parquet"
LEARNT_FROM = 0.7


def bank(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return features and labels in the order of time; `duration` is known only after the call."""
    rows = pd.read_parquet(folder / TABLE)
    return rows.drop(columns=["duration", "y"]), (rows["y"] == "yes").to_numpy(dtype=float)


def forward(frame: pd.DataFrame, target: np.ndarray, seed: int) -> Callable[[pd.DataFrame], np.ndarray]:
    model = ChurnClassifier(random_state=seed, n_jobs=1).fit(frame, target, times=np.arange(len(frame)))
    print(f"calibration: {model.learned_.calibrated.table.method}, recent: {model.learned_.calibrated.recent}")
    print(f"drift: {model.learned_.calibrated.drift or 'none'}")
    return lambda rows: model.predict_proba(rows)[:, 1]


def main() -> int:
    if not (DATA / TABLE).is_file():
        print(f"no {TABLE} in {DATA}: set NEXTBEST_DATA to the folder of real data", file=sys.stderr)
        return 74
    frame, target = bank(DATA)
    size = int(LEARNT_FROM * len(frame))
    found: dict[str, dict[str, float]] = {}
    for name, fit in {**MODELS, OURS: forward}.items():
        began = time.perf_counter()
        score = fit(frame[:size], target[:size], 0)
        figures = judged(target[size:], score(frame[size:]))
        found[name] = figures | {"seconds": time.perf_counter() - began}
    table("bank_marketing, last 30 %", found, COLUMNS)
    return closing(behind(found, (DEFAULT,), higher=("auc",), lower=("log_loss", "ece")))


if __name__ == "__main__":
    sys.exit(main())
