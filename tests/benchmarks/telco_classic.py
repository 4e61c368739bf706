"""RecordedField churn on the classic telecom table: ours beside logistic regression and LightGBM as it comes.

Stratified 5 folds × 2 repeats; encoding, trees, early stopping and calibration see the training folds only.
Run it from the repository root: ``python -m tests.benchmarks.telco_classic``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from training.baselines import classifiers
from training.dataset import folds
from training.evaluate import calibration, ranking
from training.models import classifier
from training.models.feature_encoding import Encoding, Matrix

DATA = Path(os.environ.get("NEXTBEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
TABLE = "ibm_telco_classic/telco_customer_churn.parquet"
PARTS, REPEATS = 5, 2
MIN_AUC, MAX_LOG_LOSS = 0.845, 0.415
COLUMNS = ("auc", "log_loss", "brier", "ece", "lift_10", "seconds")
Scorer = Callable[[Matrix], np.ndarray]


def telco(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Return features and labels; a blank total is a missing one."""
    table = pd.read_parquet(folder / TABLE)
    total = pd.to_numeric(table["TotalCharges"].str.strip().replace("", None))
    churned = (table["Churn"] == "Yes").to_numpy(dtype=float)
    return table.drop(columns=["customerID", "Churn"]).assign(TotalCharges=total), churned


def ours(frame: pd.DataFrame, target: np.ndarray, seed: int) -> tuple[Encoding, Scorer]:
    model = classifier.fit(frame, target, seed=seed)
    return model.encoding, model.score


def logistic(frame: pd.DataFrame, target: np.ndarray, _: int) -> tuple[Encoding, Scorer]:
    encoding = Encoding.fit(frame)
    return encoding, classifiers.fit_logistic(encoding.matrix(frame), target, encoding=encoding).score


def plain(frame: pd.DataFrame, target: np.ndarray, seed: int) -> tuple[Encoding, Scorer]:
    encoding = Encoding.fit(frame)
    return encoding, classifiers.fit_plain_boosting(encoding.matrix(frame), target, encoding=encoding, seed=seed).score


MODELS = {"nextbest": ours, "logistic regression": logistic, "default LightGBM": plain}


def measure(frame: pd.DataFrame, target: np.ndarray) -> dict[str, dict[str, float]]:
    """Return, per model, the mean over all test folds."""
    rows: dict[str, list[list[float]]] = {name: [] for name in MODELS}
    for repeat in range(REPEATS):
        part = folds.assign(target, groups=None, folds=PARTS, seed=1000 + repeat)
        for held in range(PARTS):
            train, test = part != held, part == held
            for name, fit in MODELS.items():
                began = time.perf_counter()
                encoding, score = fit(frame[train], target[train], repeat)
                p = score(encoding.matrix(frame[test]))
                took = time.perf_counter() - began
                y = target[test]
                found = [ranking.auc(y, p), calibration.log_loss(y, p), calibration.brier(y, p), calibration.ece(y, p)]
                rows[name].append([*found, ranking.lift(y, p), took])
    return {name: dict(zip(COLUMNS, np.mean(values, axis=0).tolist(), strict=True)) for name, values in rows.items()}


def shortfalls(found: dict[str, dict[str, float]]) -> list[str]:
    """Return the rows that miss a stated bar."""
    own = found["nextbest"]
    short = []
    if own["auc"] < MIN_AUC:
        short.append(f"nextbest auc {own['auc']:.4f} is below {MIN_AUC}")
    if own["log_loss"] > MAX_LOG_LOSS:
        short.append(f"nextbest log_loss {own['log_loss']:.4f} is above {MAX_LOG_LOSS}")
    return short


def main() -> int:
    if not (DATA / TABLE).is_file():
        print(f"no {TABLE} in {DATA}: set NEXTBEST_DATA to the folder of real data", file=sys.stderr)
        return 74
    found = measure(*telco(DATA))
    print(
        f"{'telco_classic, ' + str(PARTS) + ' × ' + str(REPEATS) + ' folds':28}" + "".join(f"{c:>10}" for c in COLUMNS)
    )
    for name, values in found.items():
        print(f"{name:28}" + "".join(f"{values[c]:10.4f}" for c in COLUMNS))
    short = shortfalls(found)
    for line in short:
        print(f"falls short: {line}", file=sys.stderr)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
