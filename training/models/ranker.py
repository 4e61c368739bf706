"""Which of several candidates does a customer take next: one model over (customer, candidate) pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadData
from training.models import booster, classifier
from training.models.booster import BoosterSettings, Task
from training.models.feature_encoding import Column, Encoding, Matrix
from training.models.scorers import Pairs, Ranker, Stem

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

CANDIDATE, POPULARITY = "candidate", "candidate_popularity"
SHARE = "__share"  # of a customer's total over all candidates
RANK = "__rank"  # among the customer's candidates, 0 the most; ties go to the more popular
MAX_CUSTOMER_COLUMNS = 12
MAX_PAIRS = 400_000
PRESELECTION_PAIRS, PRESELECTION_ROUNDS = 50_000, 60
DEFAULTS = BoosterSettings(
    learning_rate=0.06,
    num_leaves=15,
    min_data_in_leaf=300,
    feature_fraction=0.7,
    max_rounds=300,
    patience=15,
    folds=2,
    bags=1,
)


def stems(columns: Sequence[str], candidates: Sequence[str]) -> tuple[Stem, ...]:
    """Return the per-candidate features among ``columns``: those named ``<stem>__<candidate>``.

    Examples
    --------
    >>> stems(["spend__wine", "spend__toys", "age"], ["toys", "wine"])
    (Stem(name='spend', columns=('spend__toys', 'spend__wine')),)
    """
    found: dict[str, dict[str, str]] = {}
    for column in columns:
        for candidate in candidates:
            if column.endswith(f"__{candidate}") and len(column) > len(candidate) + 2:
                found.setdefault(column[: -len(candidate) - 2], {})[candidate] = column
    return declared(found, candidates)


def declared(columns: Mapping[str, Mapping[str, str]], candidates: Sequence[str]) -> tuple[Stem, ...]:
    """Return per-candidate features from a mapping of stem → {candidate: column}.

    Examples
    --------
    >>> declared({"spend": {"wine": "wine_total"}}, ["toys", "wine"])
    (Stem(name='spend', columns=(None, 'wine_total')),)
    """
    return tuple(Stem(name, tuple(own.get(c) for c in candidates)) for name, own in columns.items())


def fit(
    frame: pd.DataFrame,
    taken: Array,
    *,
    candidates: Sequence[str],
    per_candidate: Sequence[Stem] | None = None,
    weight: Array | None = None,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    settings: BoosterSettings = DEFAULTS,
    max_customer_columns: int = MAX_CUSTOMER_COLUMNS,
    max_pairs: int = MAX_PAIRS,
    seed: int,
) -> Ranker:
    """Learn which candidate a customer takes next.

    Popularity is counted in ``taken`` alone, so later rows have no part in it. Above ``max_pairs`` pairs,
    whole rows are drawn. Of the customer's own columns the ``max_customer_columns`` that a quick first
    model gains most from are kept.

    Parameters
    ----------
    frame : one row per (customer, cutoff): customer-level and per-candidate columns
    taken : array of shape (rows, candidates): 1 taken, 0 not taken, NaN not in question (already held)
    candidates : names, in the order of ``taken``'s columns
    per_candidate : as `stems` or `declared` gives; None finds the columns named ``<stem>__<candidate>``
    weight : array of shape (rows,), positive: how much each row counts; all alike if left out
    groups : the customer of each row

    Raises
    ------
    BadData : ``candidates.*``, ``label.*``, ``features.*``, ``weight.values``
    """
    names = tuple(candidates)
    if len(names) < 2 or len(set(names)) < len(names):
        raise BadData("candidates.names", f"{len(set(names))} different candidates: two at least, each named once")
    target = np.asarray(taken, dtype=np.float64)
    if target.shape != (len(frame), len(names)):
        raise BadData("label.values", f"labels of shape {target.shape} for {len(frame)} rows × {len(names)} candidates")
    found = stems([str(c) for c in frame.columns], names) if per_candidate is None else tuple(per_candidate)
    everything = Encoding.fit(frame, max_levels=settings.max_levels)
    own = {column for stem in found for column in stem.columns if column is not None}
    _check(everything, own)
    customer = tuple(name for name in everything.names if name not in own)
    counts = np.ones(len(target)) if weight is None else np.asarray(weight, dtype=np.float64)
    if counts.shape != (len(target),) or not (np.isfinite(counts).all() and (counts > 0).all()):
        raise BadData("weight.values", "weights must be positive, finite, and one per row")
    pairs = _pairs(names, _popularity(target, counts), found, customer, everything)
    wide = everything.matrix(frame)
    classifier.labels(
        target[~np.isnan(target)], rows=int((~np.isnan(target)).sum()), min_positives=settings.min_positives
    )
    member = np.arange(len(target)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    if len(customer) > max_customer_columns:
        row, candidate = _sample(target, PRESELECTION_PAIRS, rng)
        first = _gather(pairs, wide, everything.names, row, candidate)
        task = Task(first, target[row, candidate], categorical=pairs.encoding.categorical, weight=counts[row])
        gain = booster.train(task, rounds=PRESELECTION_ROUNDS, settings=settings, seed=seed).gain()[-len(customer) :]
        best = set(np.argsort(-gain, kind="stable")[:max_customer_columns].tolist())
        customer = tuple(name for at, name in enumerate(customer) if at in best)
        pairs = _pairs(names, pairs.popularity, found, customer, everything)
    row, candidate = _sample(target, max_pairs, rng)
    fitted = classifier.fit_matrix(
        _gather(pairs, wide, everything.names, row, candidate),
        target[row, candidate],
        categorical=pairs.encoding.categorical,
        weight=counts[row],
        groups=member[row],
        settings=settings,
        seed=seed,
    )
    return Ranker(everything.select(pairs.wide), pairs, fitted.trees, fitted.calibrated.table)


def _popularity(taken: Array, weight: Array) -> tuple[float, ...]:
    """Return the share that took each candidate among those who could; smoothed by one customer at the mean."""
    could, took = weight @ ~np.isnan(taken), weight @ np.nan_to_num(taken)
    mean = took.sum() / max(1.0, could.sum())
    return tuple(((took + mean) / (could + 1)).tolist())


def _pairs(
    candidates: tuple[str, ...],
    popularity: tuple[float, ...],
    found: tuple[Stem, ...],
    customer: tuple[str, ...],
    wide: Encoding,
) -> Pairs:
    columns = (
        Column(CANDIDATE, "categorical", candidates),
        Column(POPULARITY, "numeric"),
        *(Column(stem.name, "numeric") for stem in found),
        *(Column(stem.name + SHARE, "numeric") for stem in found),
        *(Column(stem.name + RANK, "numeric") for stem in found),
        *wide.select(customer).columns,
    )
    return Pairs(candidates, popularity, found, customer, Encoding(columns))


def _check(wide: Encoding, own: set[str]) -> None:
    absent = sorted(own - set(wide.names))
    if absent:
        raise BadData("features.missing", f"{len(absent)} per-candidate columns are not there", where=absent[0])
    for column in wide.columns:
        if column.name in own and column.kind != "numeric":
            raise BadData("candidates.type", "a per-candidate column must be a number", where=column.name)


def _sample(target: Array, at_most: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return row and candidate of the pairs in question of as many whole rows as give at most so many pairs.

    Whole rows, drawn alike, and not single pairs: what a customer took stays beside what the same customer left.
    """
    rows = max(1, at_most // target.shape[1])
    chosen = np.arange(len(target)) if rows >= len(target) else np.sort(rng.choice(len(target), rows, replace=False))
    row, candidate = np.nonzero(~np.isnan(target[chosen]))
    return chosen[row], candidate


def _gather(
    pairs: Pairs, wide: Matrix, names: Sequence[str], row: NDArray[np.int64], candidate: NDArray[np.int64]
) -> Array:
    """Return the chosen pairs only, shape (chosen, features), a block of customers at a time; ``row`` rises."""
    out = np.empty((len(row), len(pairs.encoding.columns)))
    for start in range(0, len(wide), 2_000):
        low, high = np.searchsorted(row, [start, start + 2_000])
        block = pairs.matrix(wide[start : start + 2_000], names)
        out[low:high] = block[row[low:high] - start, candidate[low:high]]
    return out
