"""A judgement: ours and the peers' figures on the same held-out rows, with the interval of the difference."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from tests.training.rows import frame_of
from training.baselines.peers import Peer
from training.dataset.splits import Fold, by_time
from training.evaluate import ranking
from training.models.binary_kind import BinaryKind, ResampledAuc
from training.models.booster import BoosterSettings
from training.models.kind import FitSettings
from training.validation.assessment import Assessment, assess

QUICK = BoosterSettings(learning_rate=0.2, max_rounds=20, patience=5, folds=2, num_threads=1, min_positives=5)
FRAME = frame_of(np.random.default_rng(3).integers(0, 2, 900).astype(float), days=[0, 30, 60])


def judged() -> Assessment:
    def constant(fold: Fold) -> list[Peer]:
        return [Peer("constant", np.zeros(int(fold.test.sum())), is_probability=False)]

    return assess(
        BinaryKind(),
        FRAME,
        by_time(FRAME, parts=2, embargo=timedelta(days=30)),
        constant,
        fitting=FitSettings(QUICK, half_life=timedelta(days=30), seed=1),
        advance=lambda: None,
    )


def test_a_peer_that_knows_nothing_is_beaten_for_sure() -> None:
    found = judged()
    constant = found.evidence.peers["constant"]
    assert constant.value == 0.5
    assert constant.low is not None
    assert constant.low > 0
    assert found.metrics["auc"] == pytest.approx(np.mean(found.evidence.folds))


def test_the_same_seed_gives_the_same_judgement() -> None:
    assert judged().evidence == judged().evidence


def test_every_headline_metric_has_an_interval_and_a_paired_difference() -> None:
    found = judged()
    assert list(found.intervals) == ["auc", "lift_10", "log_loss"]
    for metric, interval in found.intervals.items():
        assert interval.low < found.metrics[metric] < interval.high
    constant = found.differences["constant"]
    assert list(constant) == ["auc", "lift_10"]  # its scores are no probabilities
    assert constant["auc"].difference == pytest.approx(found.metrics["auc"] - 0.5)
    assert (constant["auc"].low, constant["auc"].high) == (
        found.evidence.peers["constant"].low,
        found.evidence.peers["constant"].high,
    )


def test_the_lift_of_drawn_rows_is_the_lift_of_those_rows() -> None:
    rng = np.random.default_rng(2)
    rows = rng.integers(0, 900, 700)
    score = rng.integers(0, 40, 900).astype(float)
    lift = BinaryKind().resampled(FRAME, score, is_probability=False)["lift_10"]
    assert lift(rows) == pytest.approx(ranking.lift(FRAME.target[rows], score[rows], share=0.10))


def test_the_area_of_drawn_rows_is_the_area_of_those_rows() -> None:
    rng = np.random.default_rng(2)
    target, score = rng.integers(0, 2, 200).astype(float), rng.integers(0, 9, 200).astype(float)
    rows = rng.integers(0, 200, 300)
    assert ResampledAuc(target, score)(rows) == pytest.approx(ranking.auc(target[rows], score[rows]))
