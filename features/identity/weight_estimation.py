"""How probable each level of agreement is among true pairs (m) and among others (u), learnt without labels.

Expectation-maximisation over counted patterns of agreement, with what is usual for each level as a prior, so that a
level that hardly occurs keeps a sensible weight. One model is learnt from the pairs of all blocking keys together; the
comparisons that a key is made of give no evidence among its own pairs. Pairs drawn at random give u, less the true
pairs among them. After Fellegi and Sunter (1969) and Winkler (2000).

Among people, a pair is weighed against two others: two strangers, and two people of one home, who share the family
name, the address and the telephone as one person's records do. Only what is a person's own separates those; how many
such pairs there are for each true one is learnt too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.identity.comparisons import Level

Floats = NDArray[np.float64]
#: How many pairs the prior of a comparison's m counts for.
PRIOR_PAIRS = 40.0
#: What a level that never occurs among random pairs counts for.
UNSEEN = 0.5
#: Values that two people share less often than this are taken to be one person's wherever they are equal.
RARE = 0.001
ROUNDS = 60
#: The least share of pairs of one home that is thought possible: no table is so clean that there are none.
FEWEST_HOMES = 0.01


@dataclass(frozen=True)
class Patterns:
    """Patterns of agreement and how many pairs show them.

    Parameters
    ----------
    level : array of shape (n_patterns, n_comparisons); the place of the level, below 0 where a value is missing
    pairs : array of shape (n_patterns,)
    key : array of shape (n_patterns,); the blocking key that the pairs share, plus the number of keys where it is the
        first that they share
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
    homes : pairs of two people of one home, for each pair of one person
    """

    m: Mapping[str, Floats]
    u: Mapping[str, Floats]
    match: float
    homes: float


def estimate(
    comparisons: Mapping[str, Sequence[Level]],
    *,
    random: Patterns,
    blocked: Patterns,
    silent: NDArray[np.bool_],
    all_pairs: float,
    personal: Mapping[str, float],
    address: Sequence[str] = (),
    labelled: Patterns | None = None,
) -> Estimate:
    """Learn the parameters.

    Parameters
    ----------
    comparisons : the levels of each comparison, the closest first
    random : patterns of pairs drawn at random
    blocked : patterns of pairs by blocking key, a pair under each key that it shares
    silent : array of shape (n_keys, n_comparisons); comparisons that the key is made of
    all_pairs : how many pairs of records there are
    personal : comparisons that tell people of one home apart, and the most bits that each can add; may be empty
    address : comparisons of which only the strongest evidence against one person is counted, as they change together
    labelled : patterns of pairs that people judged; key 1 for matches, 0 for others
    """
    names = list(comparisons)
    prior = [np.array([level.m for level in comparisons[name]]) for name in names]
    prior = [share / share.sum() for share in prior]
    m = [share.copy() for share in prior]
    u = [_shares(random.level[:, at], random.pairs, len(prior[at])) for at in range(len(names))]
    match = 1.0 / max(all_pairs, 2.0) ** 0.5 * 0.1
    caps = np.array([personal.get(name, 0.0) for name in names]) * np.log(2)
    moved = np.array([name in address for name in names])
    key, first = blocked.key % len(silent), blocked.key >= len(silent)
    speaks = ~silent[key]
    per_key = np.full(len(silent), 0.1)
    homes = 1.0 if caps.any() else 0.0
    known = (
        labelled
        if labelled is not None
        else Patterns(np.empty((0, len(names)), np.int64), np.empty(0), np.empty(0, np.int64))
    )
    for _ in range(ROUNDS):
        before = np.concatenate(m)
        odds = per_key[key] / (1 - per_key[key])
        belief, _ = _belief(blocked.level, m, u, np.log(odds), caps, moved, homes, speaks)
        per_key = _clipped(
            np.bincount(key, belief * blocked.pairs, len(silent)),
            np.bincount(key, blocked.pairs, len(silent)),
        )
        once, home = _belief(blocked.level[first], m, u, np.log(match / (1 - match)), caps, moved, homes)
        matches, others = (once * blocked.pairs[first]).sum(), (home * blocked.pairs[first]).sum()
        match = float(np.clip(matches / all_pairs, 0.5 / all_pairs, 0.5))
        homes = float(np.clip(others / max(matches, 1.0), FEWEST_HOMES, 10.0)) if caps.any() else 0.0
        random_belief, _ = _belief(random.level, m, u, np.log(match / (1 - match)), caps, moved, homes)
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
    return Estimate(dict(zip(names, m, strict=True)), dict(zip(names, u, strict=True)), match, homes)


def raised(usual: Sequence[float], level: NDArray[np.int64], pairs: Floats, *, fewest: int) -> list[float]:
    """Return u of a comparison's levels among few records: what is usual, or what is seen where that is more.

    Parameters
    ----------
    usual : of shape (n_levels,); how probable each level usually is among records of two people, the closest first
    level : of shape (n_patterns,); the place of the level, below 0 where a value is missing
    pairs : of shape (n_patterns,); how many pairs show each pattern
    fewest : how many pairs may be of one person; only what is seen beyond these counts

    Examples
    --------
    Of 100 pairs of 20 records 60 have an e-mail address that is nearly equal, so that this is weak evidence.

    >>> raised([0.00001, 0.00002, 0.99997], np.array([1, 2]), np.array([60.0, 40.0]), fewest=20)
    [1e-05, 0.4, 0.59999]
    """
    counts = _counts(level, pairs, len(usual))
    excess = np.maximum(counts - fewest, 0) / max(counts.sum(), 1.0)
    found = [float(max(share, seen)) for share, seen in zip(usual[:-1], excess[:-1], strict=True)]
    if usual[0] < RARE:
        found[0] = usual[0]
    return [*found, max(1 - sum(found), UNSEEN / max(counts.sum(), 1.0))]


def _belief(
    level: NDArray[np.int64],
    m: Sequence[Floats],
    u: Sequence[Floats],
    prior: Floats | float,
    caps: Floats,
    moved: NDArray[np.bool_],
    homes: float,
    speaks: NDArray[np.bool_] | None = None,
) -> tuple[Floats, Floats]:
    """Return the probability that each pattern is of one person, and that it is of two people of one home."""
    stranger, other, away = np.zeros(len(level)) + prior, np.zeros(len(level)), np.zeros(len(level))
    for at, (m_level, u_level) in enumerate(zip(m, u, strict=True)):
        filled = level[:, at] >= 0
        weight = np.where(filled, np.log(m_level / u_level)[level[:, at]], 0.0)
        counted = weight if speaks is None else weight * speaks[:, at]
        if moved[at]:
            away = np.minimum(away, counted)
            counted = np.maximum(counted, 0)
        stranger += counted
        other += np.minimum(weight, caps[at]) * (caps[at] > 0)
    against = np.exp(-np.clip(stranger + away, -300, 300))
    home = homes * np.exp(-np.clip(other, -300, 300))
    whole = 1 + against + home
    return np.asarray(1 / whole), np.asarray(home / whole)


def _counts(level: NDArray[np.int64], pairs: Floats, levels: int) -> Floats:
    filled = level >= 0
    return np.asarray(np.bincount(level[filled], pairs[filled], levels), dtype=np.float64)


def _shares(level: NDArray[np.int64], pairs: Floats, levels: int) -> Floats:
    counts = _counts(level, pairs, levels) + UNSEEN
    return np.asarray(counts / counts.sum())


def _clipped(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    return np.asarray(part / np.maximum(whole, 1e-9)).clip(1e-6, 0.99)
