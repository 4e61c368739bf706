"""What every model is compared with: the simple rules and the plain libraries, on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.baselines import bgnbd, classifiers
from training.dataset.frame import Frame
from training.dataset.splits import Fold
from training.labels.label_settings import Acquisition, Inactivity, Label
from training.labels.purchase_history import purchase_history, taken_before
from training.models.feature_encoding import Encoding

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Peer:
    """A peer's scores of a fold's test rows.

    Parameters
    ----------
    name : as it stands in the report
    score : shape (test rows,) or (test rows, candidates), higher is likelier
    is_probability : whether its scores are probabilities, for log loss and calibration
    """

    name: str
    score: Array
    is_probability: bool


@dataclass(frozen=True)
class PurchaseHistory:
    """What the rules for inactivity are computed from.

    Parameters
    ----------
    history : `purchase_history` of every customer at every cutoff, whether in the population or not
    ahead : days from a cutoff to the end of its outcome window
    """

    history: pd.DataFrame
    ahead: float


def peers_of_label(
    engine: duckdb.DuckDBPyConnection, label: Label, frame: Frame, *, seed: int
) -> Callable[[Fold], Sequence[Peer]]:
    """Return a function that fits and scores the peers of a label on a fold.

    Parameters
    ----------
    engine : with the canonical tables; it is read at once
    label : what is predicted
    frame : the rows that are learnt from and scored
    seed : for LightGBM
    """
    cutoffs = [moment.to_pydatetime() for moment in pd.DatetimeIndex(frame.rows["as_of"].unique())]
    match label:
        case Acquisition():
            counts = taken_before(engine, label, cutoffs, frame.candidates)
            before = aligned(frame, counts, fill=dict.fromkeys(frame.candidates, 0.0))
            matrix = before[list(frame.candidates)].to_numpy(dtype=np.float64)
            return lambda fold: ranking_peers(frame, fold, matrix)
        case Inactivity():
            days = (label.gap + label.horizon) / timedelta(days=1)
            past = PurchaseHistory(purchase_history(engine, label.event, cutoffs), ahead=days)
            return lambda fold: binary_peers(frame, fold, past, seed=seed)
        case _:
            return lambda fold: binary_peers(frame, fold, None, seed=seed)


def binary_peers(frame: Frame, fold: Fold, past: PurchaseHistory | None, *, seed: int) -> list[Peer]:
    """Return the peers of a binary model: logistic regression, default LightGBM, and for inactivity the rules.

    Parameters
    ----------
    frame, fold : rows, and which of them to learn from and to score
    past : None when the label is no inactivity
    seed : for LightGBM
    """
    train, test = frame.take(fold.train), frame.take(fold.test)
    encoding = Encoding.fit(train.features)
    known, unknown = encoding.matrix(train.features), encoding.matrix(test.features)
    logistic = classifiers.fit_logistic(known, train.target, encoding=encoding)
    plain = classifiers.fit_plain_boosting(known, train.target, encoding=encoding, seed=seed)
    peers = [
        Peer("logistic_regression", logistic.score(unknown), is_probability=True),
        Peer("default_lightgbm", plain.score(unknown), is_probability=True),
    ]
    return peers if past is None else [*peers, *_rules(test, past)]


def _rules(test: Frame, past: PurchaseHistory) -> list[Peer]:
    """Return recency and BG/NBD, which learns from histories alone.

    It needs no outcome, so it is fitted on all that was known at the last test cutoff. A population that was
    active lately would bias it: among those nobody seems to drop out.
    """
    before = aligned(test, past.history, fill={})
    known = past.history[past.history["as_of"] == before["as_of"].max()]
    model = bgnbd.fit(*_numbers(known))
    return [
        Peer("recency", classifiers.recency((before["age"] - before["recency"]).to_numpy(dtype=np.float64)), False),
        Peer("bg_nbd_p_alive", 1.0 - model.p_alive(*_numbers(before)), False),
        Peer("bg_nbd_expected", -model.expected_purchases(*_numbers(before), ahead=past.ahead), False),
    ]


def _numbers(history: pd.DataFrame) -> tuple[Array, Array, Array]:
    frequency, recency, age = (history[name].to_numpy(dtype=np.float64) for name in ("frequency", "recency", "age"))
    return frequency, recency, age


def ranking_peers(frame: Frame, fold: Fold, taken_before: Array) -> list[Peer]:
    """Return the peers of a ranking: what everybody takes, and what the customer took most often.

    Parameters
    ----------
    frame, fold : rows, and which of them to learn from and to score
    taken_before : shape (rows, candidates), how often each was taken before the cutoff
    """
    popular = classifiers.popularity(frame.target[fold.train], rows=int(fold.test.sum()))
    own = classifiers.own_most_frequent(taken_before[fold.test], popular=popular)
    return [
        Peer("popularity", popular, is_probability=False),
        Peer("own_most_frequent", own, is_probability=False),
    ]


def aligned(frame: Frame, values: pd.DataFrame, *, fill: Mapping[str, float]) -> pd.DataFrame:
    """Return `values` (by customer_id and as_of) for each of the frame's rows, in its order."""
    joined = frame.rows.merge(values, on=["customer_id", "as_of"], how="left", validate="many_to_one")
    return joined.fillna(dict(fill))
