"""Off-policy evaluation of a log: what another policy would have earned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from features.base.errors import BadData
from training.evaluate import off_policy
from training.models.reward_model import expected_rewards

NEEDED = ("action", "reward", "pscore")
NO_CONTEXT = (*NEEDED, "position", "customer")


@dataclass(frozen=True)
class PolicyEvaluation:
    """What a policy would have earned.

    Parameters
    ----------
    estimates : DataFrame by estimator (``ips``, ``snips``, ``dm``, ``dr``, ``switch_dr``): value, low, high
    logged_value : mean reward of the policy that was logged
    effective_sample_size : decisions of the log that count for the other policy
    warnings : what makes the estimates doubtful, in words; empty where nothing does
    """

    estimates: pd.DataFrame
    logged_value: float
    effective_sample_size: float
    mean_weight: float
    largest_weight: float
    warnings: tuple[str, ...]


def evaluate_policy(
    log: pd.DataFrame | Mapping[str, Any],
    action_dist: ArrayLike,
    *,
    expected: ArrayLike | None = None,
    clip: float = np.inf,
    switch: float = 10.0,
    rounds: int = 200,
    level: float = 0.95,
    random_state: int = 0,
) -> PolicyEvaluation:
    """Estimate the mean reward of a policy from the log of another one.

    Parameters
    ----------
    log : DataFrame with the columns ``action`` (0, 1, …), ``reward``, ``pscore`` (probability of the action when it
        was taken), and where they exist ``position`` and ``customer``; all other columns are the context. Or the
        Open Bandit Pipeline's feedback: a mapping with the same keys and ``context``, an array
    action_dist : the policy's probability of each action, shape (decisions, actions), or with one table for
        each position, shape (decisions, actions, positions)
    expected : reward expected of each action, shape (decisions, actions), from models that did not see the
        decision; None: LightGBM on context, position and action, cross-fitted by customer
    clip : largest weight in IPS, SNIPS and DR
    switch : weight above which switch-DR trusts the reward model
    rounds : draws of the bootstrap, customers resampled
    level : coverage of the intervals
    random_state : seed of everything that is drawn

    Raises
    ------
    BadData : ``log.columns``, ``log.position``, ``log.*`` as in `training.evaluate.off_policy`

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> log = pd.DataFrame({"age": rng.integers(20, 80, size=3000), "action": rng.integers(2, size=3000)})
    >>> log["pscore"] = 0.5
    >>> log["reward"] = (rng.random(3000) < np.where(log["action"] == (log["age"] > 50), 0.3, 0.1)).astype(int)
    >>> older = (log["age"] > 50).to_numpy(dtype=float)
    >>> found = evaluate_policy(log, np.column_stack([1 - older, older]))
    >>> row = found.estimates.loc["dr"]
    >>> bool(row["low"] < 0.3 < row["high"]), round(found.logged_value, 1), found.warnings
    (True, 0.2, ())

    See Also
    --------
    training.evaluate.off_policy : the estimators and their sources
    """
    table, context = _table(log)
    target = np.asarray(action_dist, dtype=np.float64)
    if target.ndim == 3:
        target = _at_position(target, table)
    checked = off_policy.logged_decisions(table["reward"], table["action"], table["pscore"], target, expected)
    customers = table["customer"].to_numpy() if "customer" in table else None
    if expected is None:
        if "position" in table:
            context = context.assign(position=table["position"].to_numpy())
        model = expected_rewards(
            context,
            checked.action,
            checked.reward,
            actions=target.shape[1],
            customers=customers,
            seed=random_state,
        )
        checked = off_policy.logged_decisions(table["reward"], table["action"], table["pscore"], target, model)
    found = off_policy.estimates(
        checked, clip=clip, switch=switch, customers=customers, rounds=rounds, level=level, seed=random_state
    )
    seen = off_policy.overlap(checked)
    return PolicyEvaluation(
        estimates=pd.DataFrame(
            {name: (of.value, of.low, of.high) for name, of in found.items()}, index=["value", "low", "high"]
        ).T,
        logged_value=float(checked.reward.mean()),
        effective_sample_size=seen.effective,
        mean_weight=seen.mean_weight,
        largest_weight=seen.largest_weight,
        warnings=seen.warnings,
    )


def _table(log: pd.DataFrame | Mapping[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the log's own columns, and its context."""
    absent = [name for name in NEEDED if name not in log]
    if absent:
        raise BadData(
            "log.columns",
            f"the log lacks {', '.join(absent)}",
            where=absent[0],
            hint="name the columns action, reward and pscore",
        )
    if isinstance(log, pd.DataFrame):
        own = [name for name in NO_CONTEXT if name in log]
        return log[own].reset_index(drop=True), log.drop(columns=own).reset_index(drop=True)
    table = pd.DataFrame({name: np.asarray(log[name]) for name in NO_CONTEXT if log.get(name) is not None})
    given = log.get("context")
    context = np.empty((len(table), 0)) if given is None else np.asarray(given)
    if context.ndim != 2 or len(context) != len(table):
        raise BadData("log.shape", f"context of shape {context.shape} for {len(table)} decisions", where="context")
    return table, pd.DataFrame(context, columns=[f"x{at}" for at in range(context.shape[1])])


def _at_position(target: np.ndarray, table: pd.DataFrame) -> np.ndarray:
    """Return the table of each decision's own position."""
    if "position" not in table:
        raise BadData("log.position", "the policy has a table for each position, but the log has no column position")
    position = table["position"].to_numpy()
    if len(target) != len(position) or position.dtype.kind not in "iu" or position.min() < 0:
        raise BadData("log.position", "positions must be whole numbers from 0, one for each decision")
    if position.max() >= target.shape[2]:
        raise BadData("log.position", f"position {position.max()} in a policy of {target.shape[2]} positions, from 0")
    return np.asarray(target[np.arange(len(position)), :, position], dtype=np.float64)
