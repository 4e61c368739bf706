"""How well a single column predicts the target, on held-out customers."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.evaluate.ranking import auc_of_counts

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
#: Numbers are cut at this many quantiles; finer cuts would follow noise.
BINS = 32
PARTS = 3
#: Of more rows, or rows times candidates, a part is used: the rest would not change what is found.
MOST_ROWS, MOST = 20_000, 250_000
#: A part with fewer rows of either label is left out.
FEWEST = 5


def is_binary(target: Array) -> bool:
    """Return whether a target holds only 0 and 1, and NaN where an outcome is not in question."""
    return bool(np.isin(target[~np.isnan(target)], (0.0, 1.0)).all())


def single_column_scores(features: pd.DataFrame, target: Array, customers: Codes) -> pd.Series[float]:
    """Return how well each column alone predicts the target; near 1 it contains the outcome.

    Of each group of values (a category, a range between quantiles, the missing) the mean target is learnt from two
    thirds of the customers and compared with the others', so that a column of unique names predicts nothing. A number
    may also predict by its order alone, in its better direction.

    Parameters
    ----------
    features : a column each
    target : shape (rows,) or (rows, candidates); of several candidates the best predicted one counts, by the rows in
        which it is not NaN
    customers : a number for each row's customer; one customer's rows are never on both sides

    Returns
    -------
    by column: AUC of a target of 0 and 1, in [0.5, 1]; R² of any other, at most 1

    Examples
    --------
    >>> left = np.array([0.0, 1.0] * 60)
    >>> columns = pd.DataFrame({"closed": left, "city": ["York", "Bath", "York", "York"] * 30})
    >>> single_column_scores(columns, left, np.arange(120)).round(2).to_dict()
    {'closed': 1.0, 'city': 0.75}
    """
    every = max(1, -(-len(target) // MOST_ROWS), -(-target.size // MOST))
    features, customers = features.iloc[::every], customers[::every]
    targets = target[::every].reshape(len(features), -1)
    part = _parts(customers)
    if is_binary(target):
        positives, rows = np.nansum(targets, axis=0), (~np.isnan(targets)).sum(axis=0)
        targets = targets[:, np.minimum(positives, rows - positives) >= FEWEST]
        measure = _best_auc
    else:
        measure = _r2
    return pd.Series({str(name): measure(column, targets, part) for name, column in features.items()}, dtype="float64")


def _parts(customers: Codes) -> Codes:
    _, member = np.unique(customers, return_inverse=True)
    shuffled = np.random.default_rng(0).permutation(int(member.max(initial=-1)) + 1)
    return np.asarray(shuffled[member] % PARTS, dtype=np.int64)


def _groups(column: pd.Series) -> Codes:
    """Return the group of each value; the missing are one of their own."""
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return np.asarray(pd.factorize(column.astype("string"))[0] + 1, dtype=np.int64)
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    known = values[~np.isnan(values)]
    if not len(known):
        return np.zeros(len(values), dtype=np.int64)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.where(np.isnan(values), 0, np.searchsorted(edges, values, side="left") + 1).astype(np.int64)


def _best_auc(column: pd.Series, targets: Array, part: Codes) -> float:
    if not targets.shape[1]:
        return 0.5
    return max(_learnt_auc(_groups(column), targets, part), _ordered_auc(column, targets))


def _counted(group: Codes, targets: Array, part: Codes) -> tuple[Array, Array]:
    """Return the rows in question of each part and group, and the sums of their targets: (parts, groups, targets)."""
    size = int(group.max(initial=0)) + 1
    place = part * size + group
    order = np.argsort(place, kind="stable")
    there, first = np.unique(place[order], return_index=True)
    sums, rows = np.zeros((2, PARTS * size, targets.shape[1]))
    sums[there] = np.add.reduceat(np.nan_to_num(targets[order]), first, axis=0)
    rows[there] = np.add.reduceat(~np.isnan(targets[order]), first, axis=0, dtype=np.float64)
    return rows.reshape(PARTS, size, -1), sums.reshape(PARTS, size, -1)


def _rate(rows: Array, sums: Array, *, without: int) -> Array:
    """Return each group's mean targets in the other parts, drawn a little towards the mean of all."""
    others = [p for p in range(PARTS) if p != without]
    mean = sums[others].sum(axis=(0, 1)) / np.maximum(rows[others].sum(axis=(0, 1)), 1.0)
    mean_elsewhere = (sums[others].sum(axis=0) + mean) / (rows[others].sum(axis=0) + 1.0)
    return np.asarray(mean_elsewhere, dtype=np.float64)


def _learnt_auc(group: Codes, targets: Array, part: Codes) -> float:
    """Return the AUC of the best predicted target, the mean over the parts that hold enough of either label."""
    rows, hits = _counted(group, targets, part)
    found: list[list[float]] = [[] for _ in range(targets.shape[1])]
    for p in range(PARTS):
        rate = _rate(rows, hits, without=p)
        for at, areas in enumerate(found):
            misses = rows[p, :, at] - hits[p, :, at]
            if min(hits[p, :, at].sum(), misses.sum()) >= FEWEST:
                areas.append(_area(rate[:, at], hits[p, :, at], misses))
    return max((float(np.mean(areas)) for areas in found if areas), default=0.5)


def _ordered_auc(column: pd.Series, targets: Array) -> float:
    """Return the AUC of a number by its order alone, the missing at the better end; 0.5 of a category."""
    if not pd.api.types.is_numeric_dtype(column):
        return 0.5
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    found = []
    for end in (np.inf, -np.inf) if np.isnan(values).any() else (np.inf,):
        _, place = np.unique(np.nan_to_num(values, nan=end), return_inverse=True)
        for target in targets.T:
            hits, rows = np.bincount(place, np.nan_to_num(target)), np.bincount(place, ~np.isnan(target))
            area = auc_of_counts(hits, rows - hits)
            found.append(max(area, 1 - area))
    return max(found)


def _area(score: Array, hits: Array, misses: Array) -> float:
    """Return the AUC of groups of rows that share a score."""
    _, place = np.unique(score, return_inverse=True)
    return auc_of_counts(np.bincount(place, hits), np.bincount(place, misses))


def _r2(column: pd.Series, targets: Array, part: Codes) -> float:
    group = _groups(column)
    rows, sums = _counted(group, targets, part)
    mean_elsewhere = np.choose(part[:, None], [_rate(rows, sums, without=p)[group] for p in range(PARTS)])
    spread = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    off = ((targets - mean_elsewhere) ** 2).sum(axis=0)
    found = [max(1 - off[at] / spread[at], _in_step(column, targets[:, at])) for at in np.flatnonzero(spread > 0)]
    return max((float(value) for value in found), default=0.0)


def _in_step(column: pd.Series, target: Array) -> float:
    """Return the squared correlation of a number with an amount, by value or by rank; 0 of a category."""
    if not pd.api.types.is_numeric_dtype(column) or column.nunique() < 2:
        return 0.0
    values = pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan))
    pairs = [
        (values.fillna(values.mean()), pd.Series(target)),
        (values.rank().fillna(0.0), pd.Series(target).rank()),
    ]
    return max(float(np.corrcoef(a, b)[0, 1] ** 2) for a, b in pairs)
