"""Uplift of two e-mail campaigns on visits: ours beside plain learners and the response model, on random halves.

Women's and men's e-mail against none, each fitted on one half and judged on the other by the Qini coefficient; then the
three arms together, as a policy. Run it from the repository root: ``python -m tests.benchmarks.hillstrom``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from tests.benchmarks._run import DATA, closing, table
from training.baselines import classifiers
from training.estimators import UpliftEnsemble
from training.evaluate import off_policy, uplift
from training.evaluate.off_policy import PolicyEstimate
from training.models.feature_encoding import Encoding
from training.models.uplift_learners import UpliftSettings

TABLE = "hillstrom_email/hillstrom.parquet"
FEATURES = ["recency", "history_segment", "history", "mens", "womens", "zip_code", "newbie", "channel"]
NONE, WOMEN, MEN = "No E-Mail", "Womens E-Mail", "Mens E-Mail"
HALVES = 10
MIN_QINI_WOMEN = 0.062
TWO_SEEDS = UpliftSettings(seeds=2)  # of 3, to save time
Scorer = Callable[[pd.DataFrame, pd.DataFrame, np.ndarray, np.ndarray, int], np.ndarray]


def ours(train: pd.DataFrame, test: pd.DataFrame, visit: np.ndarray, treated: np.ndarray, seed: int) -> np.ndarray:
    return UpliftEnsemble(settings=TWO_SEEDS, random_state=seed).fit(train, visit, treated).predict(test)[:, 0]


def response(train: pd.DataFrame, test: pd.DataFrame, visit: np.ndarray, _: np.ndarray, seed: int) -> np.ndarray:
    """Return who visits, whatever they get: logistic regression and LightGBM as it comes, mean of both."""
    encoding = Encoding.fit(train)
    known, unknown = encoding.matrix(train), encoding.matrix(test)
    logistic = classifiers.fit_logistic(known, visit, encoding=encoding).score(unknown)
    return (logistic + classifiers.fit_plain_boosting(known, visit, encoding=encoding, seed=seed).score(unknown)) / 2


def response_logistic(train: pd.DataFrame, test: pd.DataFrame, visit: np.ndarray, _: np.ndarray, __: int) -> np.ndarray:
    encoding = Encoding.fit(train)
    fitted = classifiers.fit_logistic(encoding.matrix(train), visit, encoding=encoding)
    return fitted.score(encoding.matrix(test))


def two_models(logistic: bool) -> Scorer:
    """Return a plain T-learner: one model of the treated and one of control."""

    def score(train: pd.DataFrame, test: pd.DataFrame, visit: np.ndarray, treated: np.ndarray, seed: int) -> np.ndarray:
        encoding = Encoding.fit(train)
        known, unknown = encoding.matrix(train), encoding.matrix(test)
        found = []
        for arm in (1, 0):
            rows = treated == arm
            if logistic:
                found.append(classifiers.fit_logistic(known[rows], visit[rows], encoding=encoding).score(unknown))
            else:
                model = classifiers.fit_plain_boosting(known[rows], visit[rows], encoding=encoding, seed=seed)
                found.append(model.score(unknown))
        return found[0] - found[1]

    return score


MODELS: dict[str, Scorer] = {
    "nextbest": ours,
    "response, both": response,
    "response, logistic": response_logistic,
    "T-learner, logistic": two_models(True),
    "T-learner, default LightGBM": two_models(False),
}


def campaign(data: pd.DataFrame, arm: str) -> dict[str, dict[str, float]]:
    """Return, per model, the mean Qini coefficient over the halves, its least and largest, and seconds per fit."""
    rows = data[data["segment"].isin([arm, NONE])]
    visit, treated = rows["visit"].to_numpy(dtype=float), (rows["segment"] == arm).to_numpy(dtype=int)
    found: dict[str, list[list[float]]] = {name: [] for name in MODELS}
    for half in range(HALVES):
        train = np.random.default_rng(half).permutation(len(rows)) < len(rows) // 2
        for name, score in MODELS.items():
            began = time.perf_counter()
            effect = score(rows.loc[train, FEATURES], rows.loc[~train, FEATURES], visit[train], treated[train], half)
            took = time.perf_counter() - began
            flat = float(np.ptp(effect) == 0)
            found[name].append([uplift.qini(visit[~train], effect, treated[~train]), flat, took])
    return {
        name: {
            "qini": float(np.mean([of[0] for of in values])),
            "least": min(of[0] for of in values),
            "largest": max(of[0] for of in values),
            "refused": sum(of[1] for of in values),
            "seconds": float(np.mean([of[2] for of in values])),
        }
        for name, values in found.items()
    }


def policies(data: pd.DataFrame) -> dict[str, PolicyEstimate]:
    """Return visits per customer under policies over three arms; each half is decided by a model of the other."""
    arms = [NONE, MEN, WOMEN]
    action = data["segment"].map(arms.index).to_numpy()
    logged = np.bincount(action)[action] / len(data)
    half = np.random.default_rng(0).permutation(len(data)) % 2
    chosen = np.empty(len(data), dtype=np.int64)
    for held in (0, 1):
        train, test = data[half != held], data[half == held]
        model = UpliftEnsemble(control=NONE, settings=TWO_SEEDS).fit(train[FEATURES], train["visit"], train["segment"])
        print(model.summary_.round(4).to_string(index=False))
        best = model.choose(test[FEATURES]) if model.detectable_ else [MEN] * len(test)
        chosen[half == held] = [arms.index(label) for label in best]
    targets = {"nextbest": chosen, **{arm: np.full(len(data), at) for at, arm in enumerate(arms)}}
    return {
        name: off_policy.estimates(
            off_policy.logged_decisions(data["visit"], action, logged, np.eye(3)[target]), seed=1
        )["snips"]
        for name, target in targets.items()
    }


def shortfalls(women: dict[str, dict[str, float]], men: dict[str, dict[str, float]]) -> list[str]:
    """Return the rows that miss a stated bar."""
    short = []
    if women["nextbest"]["qini"] < MIN_QINI_WOMEN:
        short.append(f"women: nextbest qini {women['nextbest']['qini']:.4f} is below {MIN_QINI_WOMEN}")
    return short + [
        f"men: nextbest qini {men['nextbest']['qini']:.4f} is not above {peer} {men[peer]['qini']:.4f}"
        for peer in ("response, both", "response, logistic")
        if men["nextbest"]["qini"] <= men[peer]["qini"]
    ]


def main() -> int:
    if not (DATA / TABLE).is_file():
        print(f"no {TABLE} in {DATA}: set NEXTBEST_DATA to the folder of real data", file=sys.stderr)
        return 74
    data = pd.read_parquet(DATA / TABLE)
    columns = ("qini", "least", "largest", "refused", "seconds")
    women, men = campaign(data, WOMEN), campaign(data, MEN)
    table(f"women, {HALVES} halves", women, columns)
    table(f"men, {HALVES} halves", men, columns)
    rows = {name: {"value": of.value, "low": of.low, "high": of.high} for name, of in policies(data).items()}
    table("visits, three arms", rows, ("value", "low", "high"))
    return closing(shortfalls(women, men))


if __name__ == "__main__":
    sys.exit(main())
