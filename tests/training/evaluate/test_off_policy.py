"""The estimators are the published formulas, written out row by row, and recognise logs that say little."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from features.base.errors import BadData
from training.evaluate import off_policy
from training.evaluate.off_policy import LoggedDecisions, logged_decisions

ROWS, ACTIONS = 400, 5


def drawn(seed: int, rows: int = ROWS) -> tuple[LoggedDecisions, float]:
    """Return a log of a random policy, and the true value of the target policy on its contexts."""
    rng = np.random.default_rng(seed)
    logging = rng.dirichlet(np.ones(ACTIONS) * 5, size=rows)
    target = rng.dirichlet(np.ones(ACTIONS) * 5, size=rows)
    truth = rng.uniform(0.1, 0.9, size=(rows, ACTIONS))
    action = (rng.random(rows)[:, None] > logging.cumsum(axis=1)).sum(axis=1)
    at = np.arange(rows)
    reward = (rng.random(rows) < truth[at, action]).astype(float)
    expected = np.clip(truth + rng.normal(0, 0.1, size=truth.shape), 0, 1)
    log = logged_decisions(reward, action, logging[at, action], target, expected)
    return log, float((target * truth).sum(axis=1).mean())


@pytest.mark.parametrize("seed", range(5))
def test_each_estimator_is_its_formula(seed: int) -> None:
    log, _ = drawn(seed)
    assert log.expected is not None
    clip, switch = 1.5, 1.2
    sums = dict.fromkeys(("ips", "clipped", "weights", "dm", "dr", "switch"), 0.0)
    for row in range(ROWS):
        action, reward = int(log.action[row]), float(log.reward[row])
        weight = float(log.target[row, action]) / float(log.propensity[row])
        model = sum(float(log.target[row, a]) * float(log.expected[row, a]) for a in range(ACTIONS))
        residual = reward - float(log.expected[row, action])
        sums["ips"] += weight * reward
        sums["clipped"] += min(weight, clip) * reward
        sums["weights"] += weight
        sums["dm"] += model
        sums["dr"] += model + weight * residual
        sums["switch"] += model + (weight * residual if weight <= switch else 0.0)
    assert off_policy.ips(log) == pytest.approx(sums["ips"] / ROWS, abs=1e-9)
    assert off_policy.ips(log, clip=clip) == pytest.approx(sums["clipped"] / ROWS, abs=1e-9)
    assert off_policy.snips(log) == pytest.approx(sums["ips"] / sums["weights"], abs=1e-9)
    assert off_policy.dm(log) == pytest.approx(sums["dm"] / ROWS, abs=1e-9)
    assert off_policy.dr(log) == pytest.approx(sums["dr"] / ROWS, abs=1e-9)
    assert off_policy.switch_dr(log, switch=switch) == pytest.approx(sums["switch"] / ROWS, abs=1e-9)


def test_the_effective_sample_size_is_kishs() -> None:
    log, _ = drawn(1)
    weights = [float(w) for w in log.weight]
    expected = math.fsum(weights) ** 2 / math.fsum(w * w for w in weights)
    assert off_policy.overlap(log).effective == pytest.approx(expected, abs=1e-9)


def test_the_intervals_cover_the_truth_about_as_often_as_they_should() -> None:
    covered = dict.fromkeys(off_policy.ESTIMATORS, 0)
    for seed in range(40):
        log, truth = drawn(seed, rows=600)
        for name, found in off_policy.estimates(log, rounds=100, seed=seed).items():
            covered[name] += found.low <= truth <= found.high
    assert min(covered[name] for name in ("ips", "snips", "dr")) >= 34


def test_the_decisions_of_a_customer_are_drawn_together() -> None:
    log, _ = drawn(3)
    repeated = np.repeat(np.arange(ROWS), 10)
    copies = LoggedDecisions(
        log.reward[repeated], log.action[repeated], log.propensity[repeated], log.target[repeated], None
    )
    alone = off_policy.estimates(log, seed=1)["ips"]
    together = off_policy.estimates(copies, customers=repeated, seed=1)["ips"]
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.25)


def test_a_log_that_says_little_is_named() -> None:
    fine, _ = drawn(4)
    assert off_policy.overlap(fine).warnings == ()
    rare = logged_decisions([1.0] * 100, [1] + [0] * 99, [0.01] + [0.99] * 99, [[0.0, 1.0]] * 100)
    found = " ".join(off_policy.overlap(rare).warnings)
    assert "decisions count effectively" in found
    assert "of all weight" in found
    assert "decisions with a reward" in found
    wrong = LoggedDecisions(fine.reward, fine.action, fine.propensity / 2, fine.target)
    assert any("not 1" in warning for warning in off_policy.overlap(wrong).warnings)


def test_without_any_overlap_there_is_no_snips() -> None:
    log = logged_decisions([1.0, 0.0], [0, 0], [0.5, 0.5], [[0.0, 1.0]] * 2)
    with pytest.raises(BadData, match=r"log\.overlap"):
        off_policy.snips(log)
    with pytest.raises(BadData, match=r"log\.expected"):
        off_policy.dr(log)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"reward": [1.0]}, "log.shape"),
        ({"reward": [1.0, np.nan]}, "log.reward"),
        ({"action": [0, 2]}, "log.action"),
        ({"action": [0.0, 1.0]}, "log.action"),
        ({"propensity": [0.5, 0.0]}, "log.propensity"),
        ({"propensity": [0.5, np.nan]}, "log.propensity"),
        ({"target": [[0.5, 0.4], [0.5, 0.5]]}, "log.target"),
        ({"expected": [[0.5, 0.4]]}, "log.expected"),
    ],
)
def test_a_bad_log_is_refused(change: dict, code: str) -> None:
    good: dict[str, Any] = {
        "reward": [1.0, 0.0],
        "action": [0, 1],
        "propensity": [0.5, 0.5],
        "target": [[0.5, 0.5]] * 2,
    }
    logged_decisions(**good)
    with pytest.raises(BadData) as refused:
        logged_decisions(**(good | change))
    assert refused.value.first.code == code
