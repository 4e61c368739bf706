"""How probable each level of agreement is among true pairs (m) and among others (u), learnt without labels.

Expectation-maximisation over counted patterns of agreement, with what is usual for each level as a prior, so that a
level that hardly occurs keeps a sensible weight. One model is learnt from the pairs of all blocking keys together; the
comparisons that a key is made of say nothing among its own pairs. Pairs drawn at random give u, less the true pairs
among them. After Fellegi and Sunter (1969) and Winkler (2000).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.unify.comparisons import Level

Floats = NDArray[np.float64]
#: How many pairs the prior of a comparison's m counts for.
PRIOR_PAIRS = 40.0
#: What a level that never occurs among random pairs counts for.
UNSEEN = 0.5
ROUNDS = 60


@dataclass(frozen=True)
class Patterns:
    """Patterns of agreement and how many pairs show them.

    Parameters
    ----------
    level : array of shape (n_patterns, n_comparisons); the place of the level, below 0 where a value is missing
    pairs : array of shape (n_patterns,)
    key : array of shape (n_patterns,); the blocking key that proposed the pairs
    """

    level: NDArray[np.int64]
    pairs: Floats
    key: NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """Parameters of the model.

    Parameters
    ----------
    m, u : by comparison, arrays of shape (n_levels,)
    match : the probability that two records drawn at random are one
    """

    m: Mapping[str, Floats]
    u: Mapping[str, Floats]
    match: float


def estimate(
    comparisons: Mapping[str, Sequence[Level]],
    *,
    random: Patterns,
    blocked: Patterns,
    once: Patterns,
    silent: NDArray[np.bool_],
    all_pairs: float,
    labelled: Patterns | None = None,
) -> Estimate:
    """Learn the parameters.

    Parameters
    ----------
    comparisons : the levels of each comparison, the closest first
    random : patterns of pairs drawn at random
    blocked : patterns of pairs by blocking key, a pair under each key that it shares
    once : the same pairs, each once, its weight the number of pairs that it stands for
    silent : array of shape (n_keys, n_comparisons); comparisons that the key is made of
    all_pairs : how many pairs of records there are
    labelled : patterns of pairs that people judged; key 1 for matches, 0 for others
    """
    names = list(comparisons)
    prior = [np.array([level.m for level in comparisons[name]]) for name in names]
    prior = [share / share.sum() for share in prior]
    m = [share.copy() for share in prior]
    u = [_shares(random.level[:, at], random.pairs, len(prior[at])) for at in range(len(names))]
    match = 1.0 / max(all_pairs, 2.0) ** 0.5 * 0.1
    speaks = ~silent[blocked.key] if len(blocked.key) else np.ones(blocked.level.shape, dtype=bool)
    per_key = np.full(len(silent), 0.1)
    known = (
        labelled
        if labelled is not None
        else Patterns(np.empty((0, len(names)), np.int64), np.empty(0), np.empty(0, np.int64))
    )
    for _ in range(ROUNDS):
        before = np.concatenate(m)
        odds = per_key[blocked.key] / (1 - per_key[blocked.key])
        belief = _belief(blocked.level, m, u, np.log(odds), speaks)
        per_key = _clipped(
            np.bincount(blocked.key, belief * blocked.pairs, len(silent)),
            np.bincount(blocked.key, blocked.pairs, len(silent)),
        )
        once_belief = _belief(once.level, m, u, np.log(match / (1 - match)))
        match = float(np.clip((once_belief * once.pairs).sum() / all_pairs, 0.5 / all_pairs, 0.5))
        random_belief = _belief(random.level, m, u, np.log(match / (1 - match)))
        for at, share in enumerate(prior):
            seen = speaks[:, at]
            weight = (belief * blocked.pairs)[seen]
            scale = min(1.0, 20_000 / max(weight.sum(), 1.0))
            counts = _counts(blocked.level[seen, at], weight * scale, len(share))
            counts += 5 * _counts(known.level[:, at], known.pairs * (known.key == 1), len(share))
            m[at] = (counts + PRIOR_PAIRS * share) / (counts.sum() + PRIOR_PAIRS)
            u[at] = _shares(random.level[:, at], random.pairs * (1 - random_belief), len(share))
        if np.abs(np.concatenate(m) - before).max() < 1e-5:
            break
    return Estimate(dict(zip(names, m, strict=True)), dict(zip(names, u, strict=True)), match)


def _belief(
    level: NDArray[np.int64],
    m: Sequence[Floats],
    u: Sequence[Floats],
    prior: Floats | float,
    speaks: NDArray[np.bool_] | None = None,
) -> Floats:
    """Return the probability that each pattern is a true pair's."""
    weight = np.zeros(len(level)) + prior
    for at, (m_level, u_level) in enumerate(zip(m, u, strict=True)):
        each = np.log(m_level / u_level)
        counts = level[:, at] >= 0
        if speaks is not None:
            counts &= speaks[:, at]
        weight[counts] += each[level[counts, at]]
    return np.asarray(1 / (1 + np.exp(-np.clip(weight, -500, 500))))


def _counts(level: NDArray[np.int64], pairs: Floats, levels: int) -> Floats:
    filled = level >= 0
    return np.asarray(np.bincount(level[filled], pairs[filled], levels), dtype=np.float64)


def _shares(level: NDArray[np.int64], pairs: Floats, levels: int) -> Floats:
    counts = _counts(level, pairs, levels) + UNSEEN
    return np.asarray(counts / counts.sum())


def _clipped(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    return np.asarray(part / np.maximum(whole, 1e-9)).clip(1e-6, 0.99)
