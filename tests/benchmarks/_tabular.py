"""Models of one table with a binary outcome, ours and the peers', on the same rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import lightgbm
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from training.dataset import folds
from training.estimators import ChurnClassifier
from training.evaluate import calibration, profit, ranking

PARTS, REPEATS = 5, 2
COLUMNS = ("auc", "log_loss", "brier", "ece", "lift_10", "empc", "seconds")
OURS, LOGISTIC, BY_HAND, DEFAULT = "nextbest", "tuned logistic regression", "LightGBM by hand", "default LightGBM"
Fit = Callable[[pd.DataFrame, np.ndarray, int], Callable[[pd.DataFrame], np.ndarray]]


def ours(frame: pd.DataFrame, target: np.ndarray, seed: int) -> Callable[[pd.DataFrame], np.ndarray]:
    model = ChurnClassifier(random_state=seed, n_jobs=1).fit(frame, target)
    return lambda rows: model.predict_proba(rows)[:, 1]


def tuned_logistic(frame: pd.DataFrame, target: np.ndarray, seed: int) -> Callable[[pd.DataFrame], np.ndarray]:
    """Medians, z-scores and one-hot levels; the strength of the penalty by the log loss of 5 inner folds."""
    texts = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    numbers = [name for name in frame if name not in texts]
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            ("texts", OneHotEncoder(handle_unknown="ignore"), texts),
        ]
    )
    search = GridSearchCV(
        make_pipeline(columns, LogisticRegression(max_iter=3000)),
        {"logisticregression__C": [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]},
        scoring="neg_log_loss",
        cv=StratifiedKFold(5, shuffle=True, random_state=seed),
    ).fit(frame, target)
    return lambda rows: np.asarray(search.predict_proba(rows)[:, 1])


def by_hand(frame: pd.DataFrame, target: np.ndarray, seed: int) -> Callable[[pd.DataFrame], np.ndarray]:
    """LightGBM as an expert sets it: small steps, few leaves, strong penalties; leaves and trees by 5 inner folds."""
    coded = _codes(frame, frame)
    inner = list(StratifiedKFold(5, shuffle=True, random_state=seed).split(coded, target))
    best: tuple[dict[str, object], int] = ({}, 1)
    least = np.inf
    for leaves, smallest in ((4, 20), (8, 50), (15, 50), (15, 100)):
        settings = {
            "objective": "binary",
            "learning_rate": 0.03,
            "num_leaves": leaves,
            "min_data_in_leaf": smallest,
            "feature_fraction": 0.5,
            "bagging_fraction": 0.7,
            "bagging_freq": 1,
            "lambda_l2": 5.0,
            "seed": seed,
            "num_threads": 1,
            "verbosity": -1,
        }
        data = lightgbm.Dataset(coded, target, free_raw_data=False, params={"feature_pre_filter": False})
        stop = lightgbm.early_stopping(60, verbose=False)
        losses = lightgbm.cv(settings, data, 2000, folds=inner, callbacks=[stop])["valid binary_logloss-mean"]
        if losses[-1] < least:
            best, least = (settings, len(losses)), losses[-1]
    model = lightgbm.train(best[0], lightgbm.Dataset(coded, target), best[1])
    return lambda rows: np.asarray(model.predict(_codes(rows, frame)))


def default_lightgbm(frame: pd.DataFrame, target: np.ndarray, seed: int) -> Callable[[pd.DataFrame], np.ndarray]:
    model = lightgbm.LGBMClassifier(random_state=seed, n_jobs=1, verbosity=-1).fit(_codes(frame, frame), target)
    return lambda rows: np.asarray(model.predict_proba(_codes(rows, frame))[:, 1])


MODELS: dict[str, Fit] = {OURS: ours, LOGISTIC: tuned_logistic, BY_HAND: by_hand, DEFAULT: default_lightgbm}


def judged(target: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Return the figures of a model's probabilities on rows that it did not learn from."""
    return {
        "auc": ranking.auc(target, probability),
        "log_loss": calibration.log_loss(target, probability),
        "brier": calibration.brier(target, probability),
        "ece": calibration.ece(target, probability),
        "lift_10": ranking.lift(target, probability),
        "empc": profit.empc(target, probability).profit,
    }


def repeated_folds(target: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield training rows, test rows and a seed: stratified 5 folds × 2 repeats."""
    for repeat in range(REPEATS):
        part = folds.assign(target, groups=None, folds=PARTS, seed=1000 + repeat)
        for held in range(PARTS):
            yield part != held, part == held, repeat


def mean_over_folds(
    frame: pd.DataFrame, target: np.ndarray, models: Mapping[str, Fit] = MODELS
) -> dict[str, dict[str, float]]:
    """Return, for each model, the mean of each figure over all test folds."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in models}
    for train, test, seed in repeated_folds(target):
        for name, fit in models.items():
            began = time.perf_counter()
            score = fit(frame[train], target[train], seed)
            figures = judged(target[test], score(frame[test]))
            found[name].append(figures | {"seconds": time.perf_counter() - began})
    return {name: {c: float(np.mean([fold[c] for fold in all_])) for c in COLUMNS} for name, all_ in found.items()}


def behind(
    found: Mapping[str, Mapping[str, float]],
    peers: Sequence[str],
    *,
    higher: Sequence[str] = (),
    lower: Sequence[str] = (),
) -> list[str]:
    """Return a line for each figure in which ours is not ahead of a peer."""
    own = found[OURS]
    return [
        f"{OURS} {figure} {own[figure]:.4f} is not ahead of {peer} {found[peer][figure]:.4f}"
        for peer in peers
        for figures, better in ((higher, 1.0), (lower, -1.0))
        for figure in figures
        if better * own[figure] < better * found[peer][figure]
    ]


def _codes(rows: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Return texts as pandas categories of the levels of the training rows, as LightGBM takes them."""
    texts = [name for name in rows if not pd.api.types.is_numeric_dtype(rows[name])]
    coded = {str(name): pd.Categorical(rows[name], categories=sorted(known[name].dropna().unique())) for name in texts}
    return rows.assign(**coded)
