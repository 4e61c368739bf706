"""Judge a model on rows that lie after (or apart from) those it learnt from, beside its peers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.baselines.peers import Peer
from training.dataset.frame import Frame
from training.dataset.splits import Fold
from training.evaluate import bootstrap, ranking
from training.evaluate.bootstrap import Interval
from training.evaluate.calibration import Reliability
from training.evaluate.ranking import GainCurve
from training.models.kind import FitSettings, ModelKind
from training.validation.gates import GateEvidence, PeerComparison

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
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
    intervals : our headline metrics with their intervals, when customers are drawn again
    differences : by peer, our headline metrics minus the peer's, on the same draws
    """

    metrics: Mapping[str, float]
    peers: Mapping[str, Mapping[str, float]]
    evidence: GateEvidence
    curves: Mapping[str, GainCurve]
    reliability: Reliability | None
    folds: tuple[str, ...]
    intervals: Mapping[str, Interval]
    differences: Mapping[str, Mapping[str, Interval]]


@dataclass(frozen=True)
class _HeldOut:
    """One fold's test rows with the scores of the model and of its peers."""

    test: Frame
    ours: Peer
    peers: Sequence[Peer]
    single_aucs: Array | None


def assess(
    kind: ModelKind,
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
    kind : of the model
    frame : all labelled rows
    folds : the rows that are learnt from and those that are scored
    peers_of : the peers' scores of a fold, the champion's among them under the name ``champion``
    fitting : how the model is fitted; its seed is also the bootstrap's
    advance : called after each fold
    """
    held_out = []
    for fold in folds:
        held_out.append(_held_out(kind, frame, fold, peers_of, fitting))
        advance()
    names = [peer.name for peer in held_out[0].peers]
    by_fold = [_metrics(kind, each.test, each.ours) for each in held_out]
    metrics = _mean(by_fold)
    intervals, differences = _intervals(kind, held_out, names, fitting.seed)
    peers = {
        name: _mean([_metrics(kind, each.test, each.peers[at]) for each in held_out]) for at, name in enumerate(names)
    }
    compared = {
        name: PeerComparison(peers[name][kind.primary], each[kind.primary].low, each[kind.primary].high)
        for name, each in differences.items()
    }
    target = np.concatenate([each.test.target for each in held_out])
    scores = {"model": np.concatenate([each.ours.score for each in held_out])} | {
        name: np.concatenate([each.peers[at].score for each in held_out]) for at, name in enumerate(names)
    }
    curves = {name: ranking.gain_curve(target, each) for name, each in scores.items() if kind.orders_customers}
    return Assessment(
        metrics=metrics,
        peers=peers,
        evidence=GateEvidence(
            metric=kind.primary,
            value=metrics[kind.primary],
            positives=kind.positives(target),
            peers={name: found for name, found in compared.items() if name != CHAMPION},
            ece=metrics.get("ece"),
            single_aucs=_largest_single_aucs(frame, held_out),
            leaks=frame.leaks.findings,
            champion=compared.get(CHAMPION),
            folds=tuple(found[kind.primary] for found in by_fold),
        ),
        curves=curves,
        reliability=kind.reliability(target, scores["model"]),
        folds=tuple(fold.name for fold in folds),
        intervals=intervals,
        differences=differences,
    )


def _held_out(
    kind: ModelKind, frame: Frame, fold: Fold, peers_of: Callable[[Fold], Sequence[Peer]], fitting: FitSettings
) -> _HeldOut:
    test = frame.take(fold.test)
    model = kind.fit(frame.take(fold.train), fitting)
    matrix = model.encoding.matrix(test.features)
    score = model.score(matrix, threads=fitting.boosting.num_threads)
    single = None
    if kind.orders_customers:
        single = ranking.single_feature_aucs(matrix, test.target, categorical=model.encoding.categorical)
    ours = Peer("model", score, is_probability=True)
    return _HeldOut(test, ours, list(peers_of(fold)), single)


def _largest_single_aucs(frame: Frame, held_out: Sequence[_HeldOut]) -> dict[str, float] | None:
    found = [np.maximum(each.single_aucs, 1 - each.single_aucs) for each in held_out if each.single_aucs is not None]
    if not found:
        return None
    largest = np.maximum.reduce(found)
    return {str(name): float(auc) for name, auc in zip(frame.features.columns, largest, strict=True)}


def _metrics(kind: ModelKind, test: Frame, peer: Peer) -> dict[str, float]:
    return kind.metrics(test, peer.score, is_probability=peer.is_probability)


def _mean(folds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for fold in folds for name in fold)
    return {name: float(np.mean([fold[name] for fold in folds if name in fold])) for name in names}


def _intervals(
    kind: ModelKind, held_out: Sequence[_HeldOut], names: Sequence[str], seed: int
) -> tuple[dict[str, Interval], dict[str, dict[str, Interval]]]:
    """Return the headline metrics (means over the folds) with their intervals, and ours minus each peer's.

    Customers are drawn with all their rows, and everybody is judged on the same draws.
    """
    sizes = np.cumsum([0, *(len(each.test.rows) for each in held_out)])
    scored = {"": [each.ours for each in held_out]}
    scored |= {name: [each.peers[at] for each in held_out] for at, name in enumerate(names)}
    functions = {
        name: [
            kind.resampled(each.test, peer.score, is_probability=peer.is_probability)
            for each, peer in zip(held_out, peers, strict=True)
        ]
        for name, peers in scored.items()
    }

    def numbers(rows: Rows) -> dict[str, float]:
        fold = np.searchsorted(sizes, rows, side="right") - 1
        parts = [rows[fold == at] - sizes[at] for at in range(len(held_out))]
        return {
            f"{name}/{metric}": float(np.mean([of[metric](part) for of, part in zip(each, parts, strict=True)]))
            for name, each in functions.items()
            for metric in each[0]
        }

    customers = np.concatenate([each.test.customers for each in held_out])
    whole = numbers(np.arange(sizes[-1]))
    drawn = bootstrap.resample(numbers, customers=customers, rounds=ROUNDS, seed=seed)
    ours = {
        metric: bootstrap.percentile_interval(whole[f"/{metric}"], drawn[f"/{metric}"]) for metric in functions[""][0]
    }
    differences = {
        name: {
            metric: bootstrap.percentile_interval(
                whole[f"/{metric}"] - whole[f"{name}/{metric}"], drawn[f"/{metric}"] - drawn[f"{name}/{metric}"]
            )
            for metric in functions[name][0]
        }
        for name in names
    }
    return ours, differences
