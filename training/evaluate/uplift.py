"""How well a score ranks customers by the effect of a treatment: Qini, AUUC, uplift of the best share.

All are those of scikit-uplift 0.5.1, except where rows tie: there scikit-uplift's ``uplift_at_k`` takes the rows that
happen to stand last, and `uplift_at_k` here takes the same part of each tied row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import auc as area_below

from features.base.errors import BadData
from training.evaluate import bootstrap
from training.evaluate.array_checks import Array, target_and_score

Metric = Callable[[ArrayLike, ArrayLike, ArrayLike], float]


@dataclass(frozen=True)
class UpliftCurve:
    """What treating the best customers gains, from nobody to everybody; tied customers are one step.

    Parameters
    ----------
    treated : number of rows from the top, starting at 0
    gain : further outcomes that treating them brings, starting at 0
    """

    treated: Array
    gain: Array

    @property
    def area(self) -> float:
        """Return the area between the curve and the straight line from its start to its end (random order)."""
        line = float(self.treated[-1] * self.gain[-1]) / 2
        return float(area_below(self.treated, self.gain)) - line


def qini_curve(target: ArrayLike, score: ArrayLike, treatment: ArrayLike) -> UpliftCurve:
    """Return the Qini curve: outcomes of the treated, less those of as many untreated of the same scores.

    Parameters
    ----------
    target : array of shape (rows,), 0 or 1, or an amount
    score : array of shape (rows,), predicted effect; higher is treated first
    treatment : array of shape (rows,), 1 treated, 0 control

    Raises
    ------
    BadData : ``metric.treatment``, ``metric.shape``, ``metric.missing``, ``metric.empty``

    Examples
    --------
    >>> curve = qini_curve([1, 0, 0, 1], [0.9, 0.8, 0.2, 0.1], [1, 0, 1, 0])
    >>> curve.treated.tolist(), curve.gain.tolist()
    ([0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 1.0, 1.0, 1.0, 0.0])

    References
    ----------
    Radcliffe (2007), "Using control groups to target on predicted lift".
    """
    rows, treated, control, treated_sum, control_sum = _steps(*_checked(target, score, treatment))
    scale = np.divide(treated, control, out=np.zeros_like(treated), where=control > 0)
    return UpliftCurve(rows, treated_sum - control_sum * scale)


def uplift_curve(target: ArrayLike, score: ArrayLike, treatment: ArrayLike) -> UpliftCurve:
    """Return the uplift curve: the difference of both groups' mean outcomes, times the rows; see `qini_curve`.

    Examples
    --------
    >>> uplift_curve([1, 0, 0, 1], [0.9, 0.8, 0.2, 0.1], [1, 0, 1, 0]).gain.tolist()
    [0.0, 1.0, 2.0, 1.5, 0.0]

    References
    ----------
    Devriendt, Guns and Verbeke (2020), "Learning to rank for uplift modeling".
    """
    rows, treated, control, treated_sum, control_sum = _steps(*_checked(target, score, treatment))
    return UpliftCurve(rows, (_mean(treated_sum, treated) - _mean(control_sum, control)) * rows)


def perfect_qini_curve(target: ArrayLike, treatment: ArrayLike, *, negative_effect: bool = True) -> UpliftCurve:
    """Return the Qini curve of the best possible order of these rows.

    Parameters
    ----------
    target, treatment : as in `qini_curve`, target 0 or 1
    negative_effect : whether the order may place customers last whom the treatment drives away; if not, the curve
        rises by one outcome a row to the gain of treating everybody, and stays there

    Raises
    ------
    BadData : ``metric.negative_gain`` if the treatment loses outcomes over all and ``negative_effect`` is False

    Examples
    --------
    >>> perfect_qini_curve([1, 0, 0, 1], [1, 0, 1, 0]).gain.tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    y, _, t = _checked(target, np.zeros(len(np.asarray(target))), treatment, binary=True)
    if negative_effect:
        return qini_curve(y, y * (2 * t - 1), t)
    gain = float(y[t == 1].sum() - (t == 1).sum() * y[t == 0].mean())
    if gain < 0:
        raise BadData(
            "metric.negative_gain",
            "treating everybody loses outcomes, so that a curve without negative effects does not exist",
            hint="use negative_effect=True",
        )
    return UpliftCurve(np.array([0.0, gain, len(y)]), np.array([0.0, gain, gain]))


def perfect_uplift_curve(target: ArrayLike, treatment: ArrayLike) -> UpliftCurve:
    """Return the uplift curve of the best possible order of these rows; see `perfect_qini_curve`.

    Examples
    --------
    >>> perfect_uplift_curve([1, 0, 0, 1], [1, 0, 1, 0]).gain.tolist()
    [0.0, 1.0, 2.0, 1.5, 0.0]
    """
    y, _, t = _checked(target, np.zeros(len(np.asarray(target))), treatment, binary=True)
    control_responders, treated_idle = (y * (1 - t)).sum(), ((1 - y) * t).sum()
    return uplift_curve(y, 2 * (y == t) + (y if control_responders > treated_idle else t), t)


def qini(target: ArrayLike, score: ArrayLike, treatment: ArrayLike, *, negative_effect: bool = True) -> float:
    """Return the Qini coefficient: the Qini curve's area over the perfect one's. 0 is random, 1 perfect.

    Raises
    ------
    BadData : ``metric.no_gain`` if no order of the rows is better than another, and as in `qini_curve`

    Examples
    --------
    >>> round(qini([1, 0, 0, 1, 0, 0], [6, 5, 4, 3, 2, 1], [1, 0, 1, 0, 1, 0]), 4)
    0.5
    """
    perfect = perfect_qini_curve(target, treatment, negative_effect=negative_effect)
    return _share(qini_curve(target, score, treatment), perfect)


def auuc(target: ArrayLike, score: ArrayLike, treatment: ArrayLike) -> float:
    """Return the area under the uplift curve, above random and over the perfect one's; see `qini`.

    Examples
    --------
    >>> round(auuc([1, 0, 0, 1, 0, 0], [6, 5, 4, 3, 2, 1], [1, 0, 1, 0, 1, 0]), 4)
    0.3667
    """
    return _share(uplift_curve(target, score, treatment), perfect_uplift_curve(target, treatment))


def uplift_at_k(
    target: ArrayLike,
    score: ArrayLike,
    treatment: ArrayLike,
    *,
    k: float = 0.3,
    by: Literal["overall", "group"] = "overall",
) -> float:
    """Return the difference of the mean outcomes of treated and control among the best share of rows.

    Parameters
    ----------
    target, score, treatment : as in `qini_curve`
    k : share of the rows, in (0, 1); a part of a row is left out
    by : ``"overall"`` takes the best share of all rows, ``"group"`` the best share of each group. Of rows that tie
        at the border each counts in part, so that the order of the rows does not matter

    Raises
    ------
    BadData : ``metric.k`` if ``k`` is outside (0, 1) or the share holds no treated or no control row

    Examples
    --------
    >>> uplift_at_k([1, 0, 0, 1], [0.9, 0.8, 0.2, 0.1], [1, 0, 1, 0], k=0.5)
    1.0
    """
    if not 0 < k < 1:
        raise BadData("metric.k", f"k is {k}: a share of the rows, within 0 and 1")
    y, s, t = _checked(target, score, treatment)
    treated, control = t == 1, t == 0
    if by == "overall":
        part = _part(s, int(len(s) * k))
        parts = [part[treated], part[control]]
    else:
        parts = [_part(s[group], int(group.sum() * k)) for group in (treated, control)]
    if not all(part.any() for part in parts):
        raise BadData("metric.k", f"the best {k:.0%} hold no treated or no control row", hint="take a larger share")
    means = [float(np.average(y[group], weights=part)) for group, part in zip((treated, control), parts, strict=True)]
    return means[0] - means[1]


def interval(
    metric: Metric,
    target: ArrayLike,
    score: ArrayLike,
    treatment: ArrayLike,
    *,
    against: ArrayLike | None = None,
    customers: Sequence[Any] | NDArray[Any],
    rounds: int = 500,
    level: float = 0.95,
    seed: int,
) -> bootstrap.Interval:
    """Return a metric's bootstrap interval, or that of its lead over another score, when customers are resampled.

    Parameters
    ----------
    metric : `qini`, `auuc` or `uplift_at_k`
    against : another score of the same rows: the interval is of the difference; None: of the metric itself
    customers : the customer of each row

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> treated, likes = rng.integers(2, size=400), rng.integers(2, size=400)
    >>> bought = rng.random(400) < 0.1 + 0.5 * treated * likes
    >>> found = interval(qini, bought, likes, treated, customers=range(400), rounds=100, seed=1)
    >>> found.low > 0
    True

    See Also
    --------
    training.evaluate.bootstrap.difference : how it is computed
    """
    y, s, t = _checked(target, score, treatment)
    other = None if against is None else _checked(target, against, treatment)[1]

    def judged(at: NDArray[np.int64], ours: bool) -> float:
        if ours:
            return metric(y[at], s[at], t[at])
        return 0.0 if other is None else metric(y[at], other[at], t[at])

    return bootstrap.difference(judged, customers=customers, rounds=rounds, level=level, seed=seed)


def _checked(
    target: ArrayLike, score: ArrayLike, treatment: ArrayLike, *, binary: bool = False
) -> tuple[Array, Array, Array]:
    """Return outcome, score and treatment as float64; refuse what has no two groups."""
    y = np.asarray(target, dtype=np.float64)
    t, s = target_and_score(treatment, score, both_labels=False)
    if y.shape != s.shape:
        raise BadData("metric.shape", f"outcomes of shape {y.shape} and scores of shape {s.shape}: one of each per row")
    if not np.isfinite(y).all():
        raise BadData("metric.missing", f"{int((~np.isfinite(y)).sum())} of {len(y)} outcomes are missing or infinite")
    if binary and not np.isin(y, (0.0, 1.0)).all():
        raise BadData("metric.labels", "the outcome is 0 or 1 here", hint="judge an amount by qini_curve(...).area")
    if t.all() or not t.any():
        raise BadData(
            "metric.treatment",
            f"all {len(t)} rows are {'treated' if t.any() else 'control'}: this metric needs both",
            hint="keep a random control group",
        )
    return y, s, t


def _steps(y: Array, s: Array, t: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Return, after each distinct score from the top, counts and sums: rows, treated, control, outcomes of both."""
    order = np.argsort(-s, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(s[order])), len(s) - 1)
    at = partial(np.append, 0.0)
    treated, treated_sum, control_sum = (
        at(np.cumsum(values[order], dtype=np.float64)[ends]) for values in (t, y * t, y * (1 - t))
    )
    rows = at(ends + 1.0)
    return rows, treated, rows - treated, treated_sum, control_sum


def _mean(total: Array, count: Array) -> Array:
    return np.asarray(np.divide(total, count, out=np.zeros_like(total), where=count > 0), dtype=np.float64)


def _share(found: UpliftCurve, perfect: UpliftCurve) -> float:
    if perfect.area <= 0:
        raise BadData(
            "metric.no_gain",
            "no order of these rows gains more than another",
            hint="judge on more customers, or on a longer period",
        )
    return found.area / perfect.area


def _part(score: Array, rows: int) -> Array:
    """Return how much of each row belongs to the best ``rows``: 1, 0, and an equal part of the tied ones."""
    if not rows:
        return np.zeros(len(score))
    border = np.partition(score, len(score) - rows)[len(score) - rows]
    above, tied = score > border, score == border
    return np.asarray(above + tied * ((rows - above.sum()) / tied.sum()), dtype=np.float64)
