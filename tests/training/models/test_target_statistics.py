"""Shares of positives by level: a row's own outcome has no part in what it is learnt from."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from features.base.errors import BadData
from training.evaluate.ranking import auc
from training.models import classifier, held_out, target_statistics
from training.models.booster import BoosterSettings
from training.models.target_statistics import TargetStatistics

QUICK = BoosterSettings(learning_rate=0.1, max_rounds=60, patience=10, folds=3, num_threads=1, bags=1)


def test_a_row_is_learnt_from_without_its_own_outcome() -> None:
    rng = np.random.default_rng(1)
    matrix = np.column_stack([rng.integers(0, 300, 3000).astype(float), rng.normal(size=3000)])
    target = rng.integers(0, 2, 3000).astype(float)  # no level means anything
    parts = held_out.by_customer(target, groups=None, number=5, seed=1)
    statistics, numbers = target_statistics.fit(matrix, target, columns={0: 301}, parts=parts, weight=np.ones(3000))
    assert auc(target, numbers[:, 0]) == pytest.approx(0.5, abs=0.06)
    assert auc(target, statistics.apply(matrix)[:, 0]) > 0.6  # what scores new rows saw every outcome
    np.testing.assert_array_equal(numbers[:, 1], matrix[:, 1])


def test_a_missing_value_has_a_share_of_its_own_and_rare_levels_are_drawn_to_the_mean() -> None:
    matrix = np.concatenate([np.full(500, 0.0), np.full(500, np.nan), [1.0]])[:, None]
    target = np.concatenate([np.zeros(500), np.ones(500), [1.0]])
    everything, _ = target_statistics.fit(
        matrix,
        target,
        columns={0: 3},
        parts=held_out.by_customer(target, groups=None, number=2, seed=1),
        weight=np.ones(len(target)),
    )
    shares = everything.columns[0].shares
    assert shares[0] < 0.05
    assert shares[3] > 0.95
    assert shares[1] == pytest.approx((1 + 20 * target.mean()) / 21)
    assert shares[2] == pytest.approx(target.mean())


def test_a_category_of_five_thousand_levels_is_learnt_and_new_levels_are_scored() -> None:
    rng = np.random.default_rng(3)
    level = rng.integers(0, 5000, 40_000)
    chance = rng.beta(1.0, 3.0, 5000)
    frame = pd.DataFrame({"shop": [f"shop {at}" for at in level], "noise": rng.normal(size=40_000)})
    target = (rng.random(40_000) < chance[level]).astype(float)
    model = classifier.fit(frame[:30_000], target[:30_000], settings=QUICK, seed=1)
    p = model.score(model.encoding.matrix(frame[30_000:]))
    assert auc(target[30_000:], p) > 0.62
    unseen = model.score(model.encoding.matrix({"shop": ["a new shop", None], "noise": [0.0, 0.0]}))
    assert unseen == pytest.approx(np.full(2, target.mean()), abs=0.1)
    assert model.contributions(model.encoding.matrix(frame[:3])).encoding.columns[0].levels[0].startswith("shop")


def test_shares_survive_json_and_what_are_none_is_refused() -> None:
    found = TargetStatistics.from_json([{"position": 1, "shares": [0.1, 0.2]}])
    assert TargetStatistics.from_json(json.loads(json.dumps(found.to_json()))) == found
    for wrong in ([{"position": 1}], [{"position": -1, "shares": [0.1]}], [{"position": 0, "shares": [float("nan")]}]):
        with pytest.raises(BadData, match=r"statistics\.document"):
            TargetStatistics.from_json(wrong)
