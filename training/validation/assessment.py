"""Judge a model on rows that lie after (or apart from) those it learnt from, beside its peers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadData
from training.baselines.peers import Peer
from training.dataset.frame import Frame
from training.dataset.splits import Fold
from training.evaluate import bootstrap, calibration, profit, ranking, recommendation
from training.evaluate.calibration import Reliability
from training.evaluate.ranking import GainCurve
from training.evaluate.recommendation import PerCustomer
from training.models.frame_fit import FitSettings, fit
from training.validation.gates import GateEvidence, PeerComparison

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
TOP = 5
CHAMPION = "champion"  # the name of the champion among the peers
ROUNDS = 200  # bootstrap draws of a difference


@dataclass(frozen=True)
class Assessment:
    """How good a model is on held-out rows, and how good the others are.

    Parameters
    ----------
    metrics : ours, the mean over the folds
    peers : the same for each peer
    evidence : what the promotion rules decide on
    curves : gain curves by name, ours as ``model``; empty for a ranking
    reliability : ours; None for a ranking
    folds : names of the folds
    """

    metrics: Mapping[str, float]
    peers: Mapping[str, Mapping[str, float]]
    evidence: GateEvidence
    curves: Mapping[str, GainCurve]
    reliability: Reliability | None
    folds: tuple[str, ...]


@dataclass(frozen=True)
class _HeldOut:
    """One fold's test rows with the scores of the model and of its peers."""

    target: Array
    customers: NDArray[np.object_]
    ours: Peer
    peers: Sequence[Peer]
    single_aucs: Array | None


@dataclass(frozen=True)
class _Measures:
    """What is computed of scores.

    Parameters
    ----------
    primary : the metric that promotion is decided by
    metrics : all metrics of a peer's scores by name
    resampled : the primary metric as a function of drawn rows
    """

    primary: str
    metrics: Callable[[Array, Peer], dict[str, float]]
    resampled: Callable[[Array, Peer], Callable[[Rows], float]]


def assess(
    frame: Frame,
    folds: Sequence[Fold],
    peers_of: Callable[[Fold], Sequence[Peer]],
    *,
    fitting: FitSettings,
    advance: Callable[[], None],
) -> Assessment:
    """Fit a model once a fold and compare its held-out scores with those of its peers.

    Parameters
    ----------
    frame : all labelled rows; with candidates a ranking is fitted, else a binary model
    folds : the rows that are learnt from and those that are scored
    peers_of : the peers' scores of a fold, the champion's among them under the name ``champion``
    fitting : how the model is fitted; its seed is also the bootstrap's
    advance : called after each fold
    """
    held_out = []
    for fold in folds:
        held_out.append(_held_out(frame, fold, peers_of, fitting))
        advance()
    names = [peer.name for peer in held_out[0].peers]
    measures = _RANKING if frame.candidates else _BINARY
    by_fold = [measures.metrics(each.target, each.ours) for each in held_out]
    metrics = _mean(by_fold)
    compared = _compared(held_out, names, measures.resampled, fitting.seed)
    target = np.concatenate([each.target.ravel() for each in held_out])
    scores = {"model": np.concatenate([each.ours.score.ravel() for each in held_out])} | {
        name: np.concatenate([each.peers[at].score.ravel() for each in held_out]) for at, name in enumerate(names)
    }
    return Assessment(
        metrics=metrics,
        peers={
            name: _mean([measures.metrics(each.target, each.peers[at]) for each in held_out])
            for at, name in enumerate(names)
        },
        evidence=GateEvidence(
            metric=measures.primary,
            value=metrics[measures.primary],
            positives=int(target.sum()),
            peers={name: found for name, found in compared.items() if name != CHAMPION},
            ece=metrics["ece"],
            single_aucs=_largest_single_aucs(frame, held_out),
            leaks=frame.leaks.findings,
            champion=compared.get(CHAMPION),
            folds=tuple(found[measures.primary] for found in by_fold),
        ),
        curves={} if frame.candidates else {name: ranking.gain_curve(target, each) for name, each in scores.items()},
        reliability=calibration.reliability(target, scores["model"]),
        folds=tuple(fold.name for fold in folds),
    )


def _held_out(frame: Frame, fold: Fold, peers_of: Callable[[Fold], Sequence[Peer]], fitting: FitSettings) -> _HeldOut:
    test = frame.take(fold.test)
    model = fit(frame.take(fold.train), fitting)
    matrix = model.encoding.matrix(test.features)
    score = model.score(matrix, threads=fitting.boosting.num_threads)
    single = None
    if not frame.candidates:
        single = ranking.single_feature_aucs(matrix, test.target, categorical=model.encoding.categorical)
    ours = Peer("model", score, is_probability=True)
    return _HeldOut(test.target, test.customers, ours, list(peers_of(fold)), single)


def _largest_single_aucs(frame: Frame, held_out: Sequence[_HeldOut]) -> dict[str, float] | None:
    found = [np.maximum(each.single_aucs, 1 - each.single_aucs) for each in held_out if each.single_aucs is not None]
    if not found:
        return None
    largest = np.maximum.reduce(found)
    return {str(name): float(auc) for name, auc in zip(frame.features.columns, largest, strict=True)}


def _binary_metrics(target: Array, peer: Peer) -> dict[str, float]:
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


def _ranking_metrics(target: Array, peer: Peer) -> dict[str, float]:
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


class _ResampledAuc:
    """AUC of drawn rows; the scores are ranked once for all draws."""

    def __init__(self, target: Array, score: Array) -> None:
        self._positive = target == 1
        self._rank = np.unique(score, return_inverse=True)[1]
        self._ranks = int(self._rank.max()) + 1

    def __call__(self, rows: Rows) -> float:
        rank, positive = self._rank[rows], self._positive[rows]
        positives = np.bincount(rank[positive], minlength=self._ranks)
        negatives = np.bincount(rank, minlength=self._ranks) - positives
        if not positives.any() or not negatives.any():
            raise BadData("metric.one_class", "the rows drawn have one label only")
        return ranking.auc_of_counts(positives, negatives)


class _ResampledMean:
    """The mean of a metric of each row over drawn rows; those without a value are passed over."""

    def __init__(self, found: PerCustomer) -> None:
        self._value = np.full(len(found.judged), np.nan)
        self._value[found.judged] = found.value

    def __call__(self, rows: Rows) -> float:
        value = self._value[rows]
        if np.isnan(value).all():
            raise BadData("metric.no_positive", "none of the rows drawn can be judged")
        return float(np.nanmean(value))


_BINARY = _Measures("auc", _binary_metrics, lambda target, peer: _ResampledAuc(target, peer.score))
_RANKING = _Measures(
    f"ndcg_{TOP}",
    _ranking_metrics,
    lambda target, peer: _ResampledMean(recommendation.ndcg(peer.score, target, k=TOP)),
)


def _compared(
    held_out: Sequence[_HeldOut],
    names: Sequence[str],
    resampled: Callable[[Array, Peer], Callable[[Rows], float]],
    seed: int,
) -> dict[str, PeerComparison]:
    """Return every peer's primary metric (mean over folds) with the interval of ours minus theirs."""
    sizes = np.cumsum([0, *(len(each.target) for each in held_out)])
    customers = np.concatenate([each.customers for each in held_out])
    everything = np.arange(sizes[-1])

    def mean_over_folds(metrics: Sequence[Callable[[Rows], float]], rows: Rows) -> float:
        fold = np.searchsorted(sizes, rows, side="right") - 1
        return float(np.mean([metric(rows[fold == at] - sizes[at]) for at, metric in enumerate(metrics)]))

    ours = [resampled(each.target, each.ours) for each in held_out]
    found: dict[str, PeerComparison] = {}
    for at, name in enumerate(names):
        theirs = [resampled(each.target, each.peers[at]) for each in held_out]

        def metric(rows: Rows, is_ours: bool, theirs: list[Callable[[Rows], float]] = theirs) -> float:
            return mean_over_folds(ours if is_ours else theirs, rows)

        drawn = bootstrap.difference(metric, customers=customers, rounds=ROUNDS, seed=seed)
        found[name] = PeerComparison(mean_over_folds(theirs, everything), drawn.low, drawn.high)
    return found
