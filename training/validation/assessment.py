"""Judge a model on rows that lie after (or apart from) those it learnt from, beside its peers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadData
from training.baselines.peers import Peer
from training.dataset.frame import Frame
from training.dataset.splits import Fold, recency_weights
from training.evaluate import bootstrap, calibration, profit, ranking, recommendation
from training.evaluate.calibration import Reliability
from training.evaluate.ranking import GainCurve
from training.evaluate.recommendation import PerCustomer
from training.models import classifier
from training.models import ranker as ranker
from training.models.booster import BoosterSettings
from training.validation.gates import Evidence, Versus

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
TOP = 5
ROUNDS = 200  # bootstrap draws of a difference


@dataclass(frozen=True)
class Assessment:
    """How good a model is on held-out rows, and how good the others are.

    Parameters
    ----------
    metrics : ours, the mean over the folds
    peers : the same for each peer
    evidence : what the promotion rules look at
    curves : gain curves by name, ours as ``model``; empty for a ranking
    reliability : ours; None for a ranking
    folds : names of the folds
    """

    metrics: Mapping[str, float]
    peers: Mapping[str, Mapping[str, float]]
    evidence: Evidence
    curves: Mapping[str, GainCurve]
    reliability: Reliability | None
    folds: tuple[str, ...]


@dataclass(frozen=True)
class _Judged:
    """One fold's test rows with everybody's scores."""

    target: Array
    customers: NDArray[np.object_]
    ours: Peer
    peers: Sequence[Peer]


def assess_binary(
    frame: Frame,
    folds: Sequence[Fold],
    peers_of: Callable[[Fold], Sequence[Peer]],
    *,
    settings: BoosterSettings,
    half_life: timedelta | None,
    champion: Callable[[Frame], Array] | None,
    seed: int,
    advance: Callable[[], None],
) -> Assessment:
    """Fit and judge a binary model once a fold.

    Parameters
    ----------
    frame : all labelled rows
    folds : which of them to learn from and judge by
    peers_of : the peers' scores of a fold
    settings : how trees are grown
    half_life : of a cutoff's weight; None when all count alike
    champion : scores of the present champion, or None when there is none
    seed : of the fits and the bootstrap
    advance : called after each fold
    """
    judged, single = [], np.zeros(frame.features.shape[1])
    for fold in folds:
        train, test = frame.take(fold.train), frame.take(fold.test)
        model = classifier.fit(
            train.features,
            train.target,
            weight=recency_weights(train, half_life=half_life),
            groups=train.customers,
            settings=settings,
            seed=seed,
        )
        matrix = model.encoding.matrix(test.features)
        ours = Peer("model", model.score(matrix, threads=settings.num_threads), is_probability=True)
        peers = list(peers_of(fold))
        if champion is not None:
            peers.append(Peer("champion", champion(test), is_probability=True))
        judged.append(_Judged(test.target, test.customers, ours, peers))
        alone = ranking.single_feature_aucs(matrix, test.target, categorical=model.encoding.categorical)
        single = np.maximum(single, np.maximum(alone, 1 - alone))
        advance()
    target = np.concatenate([each.target for each in judged])
    own = np.concatenate([each.ours.score for each in judged])
    names = [peer.name for peer in judged[0].peers]
    curves = {"model": ranking.gain_curve(target, own)} | {
        name: ranking.gain_curve(target, np.concatenate([each.peers[at].score for each in judged]))
        for at, name in enumerate(names)
    }
    metrics = _mean([_binary(each.target, each.ours) for each in judged])
    versus, left = _versus(judged, names, lambda each, peer: _AreaOf(each.target, peer.score), seed)
    return Assessment(
        metrics=metrics,
        peers={name: _mean([_binary(each.target, each.peers[at]) for each in judged]) for at, name in enumerate(names)},
        evidence=Evidence(
            metric="auc",
            value=metrics["auc"],
            positives=int(target.sum()),
            peers=versus,
            ece=metrics["ece"],
            single_aucs={str(name): float(auc) for name, auc in zip(frame.features.columns, single, strict=True)},
            leaks=frame.leaks.found,
            champion=left,
            folds=tuple(ranking.auc(each.target, each.ours.score) for each in judged),
        ),
        curves=curves,
        reliability=calibration.reliability(target, own),
        folds=tuple(fold.name for fold in folds),
    )


def assess_ranking(
    frame: Frame,
    folds: Sequence[Fold],
    peers_of: Callable[[Fold], Sequence[Peer]],
    *,
    settings: BoosterSettings,
    half_life: timedelta | None,
    champion: Callable[[Frame], Array] | None,
    seed: int,
    advance: Callable[[], None],
) -> Assessment:
    """Fit and judge a ranking of candidates once a fold; the parameters are those of `assess_binary`."""
    judged = []
    for fold in folds:
        train, test = frame.take(fold.train), frame.take(fold.test)
        model = ranker.fit(
            train.features,
            train.target,
            candidates=frame.candidates,
            weight=recency_weights(train, half_life=half_life),
            groups=train.customers,
            settings=settings,
            seed=seed,
        )
        score = model.score(model.encoding.matrix(test.features), threads=settings.num_threads)
        peers = list(peers_of(fold))
        if champion is not None:
            peers.append(Peer("champion", champion(test), is_probability=True))
        judged.append(_Judged(test.target, test.customers, Peer("model", score, is_probability=True), peers))
        advance()
    names = [peer.name for peer in judged[0].peers]
    metrics = _mean([_ranking(each.target, each.ours) for each in judged])
    versus, left = _versus(
        judged, names, lambda each, peer: _MeanOf(recommendation.ndcg(peer.score, each.target, k=TOP)), seed
    )
    return Assessment(
        metrics=metrics,
        peers={
            name: _mean([_ranking(each.target, each.peers[at]) for each in judged]) for at, name in enumerate(names)
        },
        evidence=Evidence(
            metric=f"ndcg_{TOP}",
            value=metrics[f"ndcg_{TOP}"],
            positives=int(sum(each.target.sum() for each in judged)),
            peers=versus,
            ece=metrics["ece"],
            leaks=frame.leaks.found,
            champion=left,
            folds=tuple(_ranking(each.target, each.ours)[f"ndcg_{TOP}"] for each in judged),
        ),
        curves={},
        reliability=calibration.reliability(
            np.concatenate([each.target.ravel() for each in judged]),
            np.concatenate([each.ours.score.ravel() for each in judged]),
        ),
        folds=tuple(fold.name for fold in folds),
    )


def _binary(target: Array, peer: Peer) -> dict[str, float]:
    numbers = {
        "auc": ranking.auc(target, peer.score),
        "average_precision": ranking.average_precision(target, peer.score),
        "lift_10": ranking.lift(target, peer.score, share=0.10),
        "empc": profit.empc(target, peer.score).profit,
    }
    if peer.is_probability:
        numbers |= {
            "log_loss": calibration.log_loss(target, peer.score),
            "brier": calibration.brier(target, peer.score),
            "ece": calibration.ece(target, peer.score),
        }
    return numbers


def _ranking(target: Array, peer: Peer) -> dict[str, float]:
    numbers = {
        f"hit_{TOP}": recommendation.hit(peer.score, target, k=TOP).mean,
        "hit_1": recommendation.hit(peer.score, target, k=1).mean,
        f"recall_{TOP}": recommendation.recall(peer.score, target, k=TOP).mean,
        f"ndcg_{TOP}": recommendation.ndcg(peer.score, target, k=TOP).mean,
        "mrr": recommendation.reciprocal_rank(peer.score, target).mean,
    }
    if peer.is_probability:
        numbers |= {
            "log_loss": calibration.log_loss(target.ravel(), peer.score.ravel()),
            "ece": calibration.ece(target.ravel(), peer.score.ravel()),
        }
    return numbers


def _mean(folds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([fold[name] for fold in folds])) for name in folds[0]}


class _AreaOf:
    """AUC of drawn rows; the scores are ranked once for all draws."""

    def __init__(self, target: Array, score: Array) -> None:
        self._positive = target == 1
        self._rank = np.unique(score, return_inverse=True)[1]
        self._ranks = int(self._rank.max()) + 1

    def __call__(self, rows: Rows) -> float:
        rank, positive = self._rank[rows], self._positive[rows]
        hits = np.bincount(rank[positive], minlength=self._ranks)
        misses = np.bincount(rank[~positive], minlength=self._ranks)
        if not hits.any() or not misses.any():
            raise BadData("metric.one_class", "the rows drawn have one label only")
        return float(hits @ (np.cumsum(misses) - misses / 2) / (hits.sum() * misses.sum()))


class _MeanOf:
    """The mean of a metric of each row over drawn rows; those without a value are passed over."""

    def __init__(self, found: PerCustomer) -> None:
        self._value = np.full(len(found.judged), np.nan)
        self._value[found.judged] = found.value

    def __call__(self, rows: Rows) -> float:
        value = self._value[rows]
        if np.isnan(value).all():
            raise BadData("metric.no_positive", "none of the rows drawn can be judged")
        return float(np.nanmean(value))


def _versus(
    judged: Sequence[_Judged],
    names: Sequence[str],
    metric: Callable[[_Judged, Peer], Callable[[Rows], float]],
    seed: int,
) -> tuple[dict[str, Versus], Versus | None]:
    """Return every peer's metric (mean over folds) with the interval of ours minus theirs; the champion apart."""
    sizes = np.cumsum([0, *(len(each.target) for each in judged)])
    customers = np.concatenate([each.customers for each in judged])
    everything = np.arange(sizes[-1])
    own = [metric(each, each.ours) for each in judged]
    found: dict[str, Versus] = {}
    for at, name in enumerate(names):
        other = [metric(each, each.peers[at]) for each in judged]

        def mean_over_folds(rows: Rows, ours: bool, other: list[Callable[[Rows], float]] = other) -> float:
            fold = np.searchsorted(sizes, rows, side="right") - 1
            judges = own if ours else other
            return float(np.mean([judge(rows[fold == at] - sizes[at]) for at, judge in enumerate(judges)]))

        drawn = bootstrap.difference(mean_over_folds, customers=customers, rounds=ROUNDS, seed=seed)
        found[name] = Versus(mean_over_folds(everything, False), drawn.low, drawn.high)
    champion = found.pop("champion", None)
    return found, champion
