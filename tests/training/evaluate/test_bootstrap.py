"""The interval of a difference: right about means, by customer, repeatable, and honest when it cannot be had."""

from __future__ import annotations

import numpy as np
import pytest

from features.base.errors import BadData
from training.evaluate import bootstrap
from training.evaluate.ranking import auc

CHANCE = np.random.default_rng(3)
OURS, THEIRS = CHANCE.normal(0.3, 1.0, 400), CHANCE.normal(0.0, 1.0, 400)


def mean(rows: bootstrap.Rows, ours: bool) -> float:
    return float((OURS if ours else THEIRS)[rows].mean())


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    found = bootstrap.difference(mean, customers=range(400), rounds=2000, seed=1)
    gap = OURS - THEIRS
    error = gap.std(ddof=1) / 20
    assert found.difference == pytest.approx(gap.mean())
    assert found.low == pytest.approx(gap.mean() - 1.96 * error, abs=0.2 * error)
    assert found.high == pytest.approx(gap.mean() + 1.96 * error, abs=0.2 * error)


def test_copies_of_a_customer_add_no_certainty() -> None:
    def copied(rows: bootstrap.Rows, ours: bool) -> float:
        return mean(rows % 400, ours)

    once = bootstrap.difference(mean, customers=range(400), seed=1)
    thrice = bootstrap.difference(copied, customers=np.tile(np.arange(400), 3), seed=1)
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=1e-9)


def test_the_same_seed_gives_the_same_interval() -> None:
    first, second, other = (
        bootstrap.difference(mean, customers=range(400), rounds=50, seed=seed) for seed in (1, 1, 2)
    )
    assert first == second != other


def test_a_draw_of_one_class_is_drawn_again() -> None:
    y, s = np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0]), np.array([6.0, 5, 4, 3, 2, 1])

    def metric(rows: bootstrap.Rows, ours: bool) -> float:
        return auc(y[rows], s[rows] if ours else -s[rows])

    assert bootstrap.difference(metric, customers=range(6), rounds=100, seed=1).low == 1.0


def test_too_few_customers_of_a_label_are_said_to_be_so() -> None:
    y = np.array([1.0, 0.0])

    def metric(rows: bootstrap.Rows, ours: bool) -> float:
        return auc(y[rows], y[rows] * ours)

    with pytest.raises(BadData, match=r"bootstrap\.draws"):
        bootstrap.difference(metric, customers=[1, 1 + 1], rounds=400, level=0.9, seed=2)


@pytest.mark.parametrize(("level", "rounds"), [(0.0, 10), (1.0, 10), (0.9, 1)])
def test_senseless_settings_are_refused(level: float, rounds: int) -> None:
    with pytest.raises(BadData, match=r"bootstrap\.settings"):
        bootstrap.difference(mean, customers=range(400), level=level, rounds=rounds, seed=1)
