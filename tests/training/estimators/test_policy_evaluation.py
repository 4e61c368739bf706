"""A log as a table or in the Open Bandit Pipeline's form gives the same estimates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.base.errors import BadData
from training.estimators import evaluate_policy


def log_of(rows: int = 1500) -> pd.DataFrame:
    """Return a log of two actions by chance; the right one for an age earns three times as much."""
    rng = np.random.default_rng(1)
    age, action = rng.integers(20, 80, size=rows), rng.integers(2, size=rows)
    reward = (rng.random(rows) < np.where(action == (age > 50), 0.3, 0.1)).astype(int)
    return pd.DataFrame({"age": age, "action": action, "reward": reward, "pscore": 0.5})


def by_age(log: pd.DataFrame) -> np.ndarray:
    older = (log["age"] > 50).to_numpy(dtype=float)
    return np.column_stack([1 - older, older])


def test_a_better_policy_is_worth_what_it_would_have_earned() -> None:
    log = log_of()
    found = evaluate_policy(log, by_age(log))
    assert list(found.estimates.index) == ["ips", "snips", "dm", "dr", "switch_dr"]
    assert (found.estimates["low"] <= found.estimates["value"]).all()
    for name in ("ips", "snips", "dr", "switch_dr"):
        _, low, high = found.estimates.loc[name].to_numpy(dtype=float)
        assert low < 0.3 < high
    assert found.logged_value == pytest.approx(log["reward"].mean())
    assert found.effective_sample_size == pytest.approx(len(log) / 2, rel=0.1)
    assert found.warnings == ()


def test_the_feedback_of_the_open_bandit_pipeline_is_a_log() -> None:
    log = log_of(600)
    feedback = {
        "n_rounds": 600,
        "n_actions": 2,
        "context": log[["age"]].to_numpy(),
        "action": log["action"].to_numpy(),
        "reward": log["reward"].to_numpy(),
        "pscore": log["pscore"].to_numpy(),
        "position": None,
    }
    given = np.full((600, 2), 0.2)
    ours = evaluate_policy(log, by_age(log), expected=given, rounds=20)
    theirs = evaluate_policy(feedback, by_age(log), expected=given, rounds=20)
    pd.testing.assert_frame_equal(ours.estimates, theirs.estimates)


def test_a_policy_by_position_is_read_at_the_position_of_each_decision() -> None:
    log = log_of(300).assign(position=[0, 1] * 150)
    target = np.stack([np.tile([1.0, 0.0], (300, 1)), np.tile([0.0, 1.0], (300, 1))], axis=2)
    flat = np.array([[1.0, 0.0], [0.0, 1.0]] * 150)
    given = np.full((300, 2), 0.2)
    by_position = evaluate_policy(log, target, expected=given, rounds=20)
    assert by_position.estimates.equals(evaluate_policy(log, flat, expected=given, rounds=20).estimates)
    with pytest.raises(BadData, match=r"log\.position"):
        evaluate_policy(log.assign(position=2), target)
    with pytest.raises(BadData, match=r"log\.position"):
        evaluate_policy(log.drop(columns="position"), target)


def test_a_log_without_propensities_is_refused() -> None:
    log = log_of(50)
    with pytest.raises(BadData, match=r"log\.columns"):
        evaluate_policy(log.drop(columns="pscore"), by_age(log))
