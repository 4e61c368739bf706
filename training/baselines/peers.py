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
from training.labels.label_settings import CategoryLabel, Inactivity, Label
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


@dataclass(frozen=True)
class PeerInput:
    """What peers are prepared from.

    Parameters
    ----------
    engine : with the canonical tables; it is read at once
    label : what is predicted
    frame : the rows that are learnt from and scored
    seed : for LightGBM
    """

    engine: duckdb.DuckDBPyConnection
    label: Label
    frame: Frame
    seed: int


PeersOfFold = Callable[[Fold], list[Peer]]


def prepare_peers(
    engine: duckdb.DuckDBPyConnection, names: Sequence[str], label: Label, frame: Frame, *, seed: int
) -> PeersOfFold:
    """Return a function that fits and scores a model's peers on a fold.

    Parameters
    ----------
    engine : with the canonical tables; it is read at once
    names : of groups of peers in `PEERS`; those that a label has nothing for are passed over
    label : what is predicted
    frame : the rows that are learnt from and scored
    seed : for LightGBM
    """
    given = PeerInput(engine, label, frame, seed)
    prepared = [peers for peers in (PEERS[name](given) for name in names) if peers is not None]
    return lambda fold: [peer for peers in prepared for peer in peers(fold)]


def _past_rate(given: PeerInput) -> PeersOfFold:
    return lambda fold: [past_rate(given.frame, fold)]


def _plain_classifiers(given: PeerInput) -> PeersOfFold:
    return lambda fold: plain_classifiers(given.frame, fold, seed=given.seed)


def _purchase_rules(given: PeerInput) -> PeersOfFold | None:
    """Return recency and BG/NBD for labels of who stops; a recorded field has no history."""
    if not isinstance(given.label, Inactivity):
        return None
    days = given.label.closes_after / timedelta(days=1)
    past = PurchaseHistory(purchase_history(given.engine, given.label.event, given.frame.moments), ahead=days)
    return lambda fold: purchase_rules(given.frame.take(fold.test), past)


def _popularity_rules(given: PeerInput) -> PeersOfFold | None:
    if not isinstance(given.label, CategoryLabel):
        return None
    frame = given.frame
    counts = taken_before(given.engine, given.label, given.frame.moments, frame.candidates)
    before = aligned(frame, counts, fill=dict.fromkeys(frame.candidates, 0.0))
    matrix = before[list(frame.candidates)].to_numpy(dtype=np.float64)
    return lambda fold: ranking_peers(frame, fold, matrix)


def past_rate(frame: Frame, fold: Fold) -> Peer:
    """Return each customer's own rate of positive outcomes so far, drawn towards that of all by one outcome.

    Examples
    --------
    >>> from training.dataset.leaks.leak_report import LeakReport
    >>> times = pd.to_datetime([1, 1, 2, 2], utc=True)
    >>> rows = pd.DataFrame({"customer_id": ["ann", "bob", "ann", "bob"], "as_of": times})
    >>> frame = Frame(rows, pd.DataFrame(index=rows.index), np.array([1.0, 0.0, 1.0, 1.0]), (), LeakReport())
    >>> late = np.array([False, False, True, True])
    >>> past_rate(frame, Fold("last", ~late, late)).score.tolist()
    [0.75, 0.25]
    """
    before = pd.Series(frame.target[fold.train]).groupby(frame.customers[fold.train]).agg(["sum", "count"])
    own = before.reindex(frame.customers[fold.test]).fillna(0.0)
    overall = float(frame.target[fold.train].mean())
    score = (own["sum"] + overall) / (own["count"] + 1)
    return Peer("past_rate", score.to_numpy(dtype=np.float64), is_probability=True)


def plain_classifiers(frame: Frame, fold: Fold, *, seed: int) -> list[Peer]:
    """Return logistic regression and default LightGBM.

    Parameters
    ----------
    frame, fold : rows, and which of them to learn from and to score
    seed : for LightGBM
    """
    train, test = frame.take(fold.train), frame.take(fold.test)
    encoding = Encoding.fit(train.features)
    known, unknown = encoding.matrix(train.features), encoding.matrix(test.features)
    logistic = classifiers.fit_logistic(known, train.target, encoding=encoding)
    plain = classifiers.fit_plain_boosting(known, train.target, encoding=encoding, seed=seed)
    return [
        Peer("logistic_regression", logistic.score(unknown), is_probability=True),
        Peer("default_lightgbm", plain.score(unknown), is_probability=True),
    ]


def purchase_rules(test: Frame, past: PurchaseHistory) -> list[Peer]:
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


#: Groups of peers by name; a kind of model names those that it is judged beside.
PEERS: Mapping[str, Callable[[PeerInput], PeersOfFold | None]] = {
    "past_rate": _past_rate,
    "plain_classifiers": _plain_classifiers,
    "purchase_rules": _purchase_rules,
    "popularity_rules": _popularity_rules,
}
