"""Named checks for leaks: what makes a model look better on a training frame than it can be later."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.base.errors import BadData
from training.dataset.leaks.single_column import is_binary, single_column_scores

Outcome = Literal["passed", "failed", "not_applicable"]
Array = NDArray[np.float64]
#: Recomputes the features of some rows (``customer_id``, ``as_of``), in their order, from what was known by each
#: row's moment and nothing else.
Recompute = Callable[[pd.DataFrame], pd.DataFrame]
KEYS = ["customer_id", "as_of"]
#: Rows that are recomputed: of so many cutoffs, so many of each.
CUTOFFS, ROWS = 3, 100
#: Sums may differ by the order in which they were added, and by nothing else.
TOLERANCE = 1e-9
_SHOWN = 5


@dataclass(frozen=True)
class LeakLimits:
    """The limits of the checks.

    Parameters
    ----------
    max_single_auc : AUC (or R² of an amount) that one column alone may reach on customers held out
    one_sided_probability : how improbable it must be that a column is filled for rows of one label only
    off : codes of checks that are not applied
    """

    max_single_auc: float = 0.98
    one_sided_probability: float = 1e-9
    off: Collection[str] = ()


@dataclass(frozen=True)
class ExaminedFrame:
    """A frame with what is known of how it was made; a check whose input is None does not apply.

    Parameters
    ----------
    rows : ``customer_id`` and ``as_of``, one each
    features : the same rows, a column each
    target : shape (rows,) or (rows, candidates)
    requested : the rows that the frame should hold
    recompute : computes features again from tables that end at each row's moment; it may leave columns out
    first_known : by column, the first moment at which its source held a value
    snapshots : the same rows; for each view the moment of the snapshot that the features were taken from
    splits : the training and the test rows of each split that keeps customers apart
    """

    rows: pd.DataFrame
    features: pd.DataFrame
    target: Array | None = None
    requested: pd.DataFrame | None = None
    recompute: Recompute | None = None
    first_known: Mapping[str, datetime] | None = None
    snapshots: pd.DataFrame | None = None
    splits: Sequence[tuple[NDArray[np.bool_], NDArray[np.bool_]]] | None = None

    def __post_init__(self) -> None:
        lacking = [name for name in KEYS if name not in self.rows]
        if lacking:
            raise BadData("leaks.rows", f"the rows have no {lacking[0]}", hint="give customer_id and as_of")
        sizes = {len(self.rows), len(self.features), len(self.rows if self.target is None else self.target)}
        if len(sizes) > 1:
            raise BadData("leaks.rows", "rows, features and target are not equally many", hint="one line for each row")
        object.__setattr__(self, "rows", _keys(self.rows))
        object.__setattr__(self, "features", self.features.reset_index(drop=True))

    @property
    def moments(self) -> pd.Series[pd.Timestamp]:
        return self.rows["as_of"]

    @property
    def customers(self) -> NDArray[np.int64]:
        """A number for each row's customer."""
        return np.asarray(pd.factorize(self.rows["customer_id"])[0], dtype=np.int64)


@dataclass(frozen=True)
class LeakResult:
    """The outcome of one check, why, and for which columns."""

    code: str
    title: str
    outcome: Outcome
    detail: str
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeakCheck:
    """A check; ``apply`` gives an outcome, its detail, and the columns that it is about."""

    code: str
    title: str
    apply: Callable[[ExaminedFrame, LeakLimits], tuple[Outcome, str, Sequence[str]]]


@dataclass(frozen=True)
class LeakReport:
    """The result of every check.

    Examples
    --------
    >>> rows = pd.DataFrame({"customer_id": ["ann", "ann"], "as_of": ["2026-01-01", "2026-01-01"]})
    >>> examine(ExaminedFrame(rows, pd.DataFrame({"visits": [1, 2]}))).findings
    ('LK004 every requested row is present, once: 1 customers stand twice at one cutoff',)
    """

    results: tuple[LeakResult, ...] = field(default=())

    @property
    def findings(self) -> tuple[str, ...]:
        """The checks that failed; empty if the frame is clean."""
        return tuple(f"{a.code} {a.title}: {a.detail}" for a in self.results if a.outcome == "failed")

    def with_result(self, answer: LeakResult) -> LeakReport:
        """Return the report with the result of one check replaced."""
        return replace(self, results=tuple(answer if a.code == answer.code else a for a in self.results))

    def as_dicts(self) -> list[dict[str, Any]]:
        return [asdict(answer) | {"features": list(answer.features)} for answer in self.results]

    def table(self) -> pd.DataFrame:
        """Return the answers as a table, by code."""
        rows = [(a.code, a.title, a.outcome, a.detail) for a in self.results]
        return pd.DataFrame(rows, columns=["code", "title", "outcome", "detail"]).set_index("code")


def examine(frame: ExaminedFrame, limits: LeakLimits | None = None) -> LeakReport:
    """Apply every check to a frame, whoever made it.

    Examples
    --------
    >>> rows = pd.DataFrame({"customer_id": ["ann", "bob"], "as_of": ["2026-01-01", "2026-01-01"]})
    >>> report = examine(ExaminedFrame(rows, pd.DataFrame({"visits": [1, 2]})))
    >>> report.findings, report.table().loc["LK004", "detail"]
    ((), '2 rows')
    """
    drawn = limits or LeakLimits()
    return LeakReport(tuple(_apply(rule, frame, drawn) for rule in RULES))


def examine_splits(frame: ExaminedFrame, limits: LeakLimits | None = None) -> LeakResult:
    """Apply only LK005: whether a customer is on both sides of a split."""
    return _apply(next(rule for rule in RULES if rule.code == "LK005"), frame, limits or LeakLimits())


def _apply(rule: LeakCheck, frame: ExaminedFrame, limits: LeakLimits) -> LeakResult:
    if rule.code in limits.off:
        return LeakResult(rule.code, rule.title, "not_applicable", "switched off")
    outcome, detail, features = rule.apply(frame, limits)
    return LeakResult(rule.code, rule.title, outcome, detail, tuple(features))


def _keys(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "customer_id": rows["customer_id"].astype("string").astype(object).to_numpy(),
            "as_of": pd.to_datetime(rows["as_of"], utc=True).astype("datetime64[us, UTC]").array,
        }
    )


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


# ── LK001 ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _unmoved(frame: ExaminedFrame, _: LeakLimits) -> tuple[Outcome, str, Sequence[str]]:
    if frame.recompute is None:
        return (
            "not_applicable",
            "the features cannot be recomputed (or `nextbest unify` ran since they were built)",
            (),
        )
    chosen = _sample(frame.moments)
    if not len(chosen):
        return "not_applicable", "there are no rows", ()
    recomputed = frame.recompute(frame.rows.iloc[chosen].reset_index(drop=True)).reset_index(drop=True)
    if len(recomputed) != len(chosen):
        return "failed", f"{len(chosen)} rows were to be recomputed, and {len(recomputed)} came back", ()
    shared = [name for name in frame.features if name in recomputed]
    if not shared:
        return "not_applicable", "no column could be recomputed", ()
    given = frame.features.iloc[chosen].reset_index(drop=True)
    moved = {str(name): n for name in shared if (n := int(_differ(given[name], recomputed[name]).sum()))}
    checked = f"{len(chosen)} rows at {frame.moments.iloc[chosen].nunique()} cutoffs"
    unknown = frame.features.shape[1] - len(shared)
    rest = f"; {unknown} columns could not be recomputed" if unknown else ""
    if not moved:
        return "passed", f"{len(shared)} columns are the same when later data are removed, in {checked}{rest}", ()
    worst = sorted(moved, key=lambda name: (-moved[name], name))
    shown = _named([f"{name} ({moved[name]})" for name in worst])
    return "failed", f"{len(moved)} of {len(shared)} columns hold later data, in {checked}: {shown}", worst


def _sample(moments: pd.Series[pd.Timestamp]) -> NDArray[np.int64]:
    """Return places of rows, spread evenly over the rows of cutoffs that are spread evenly over all."""
    there = np.unique(moments.to_numpy())
    cutoffs = there[np.unique(np.linspace(0, len(there) - 1, CUTOFFS).round().astype(int))] if len(there) else there
    parts = [np.flatnonzero((moments == cutoff).to_numpy()) for cutoff in pd.DatetimeIndex(cutoffs, tz="UTC")]
    even = [part[np.unique(np.linspace(0, len(part) - 1, ROWS).round().astype(int))] for part in parts]
    return np.concatenate([*even, np.empty(0, dtype=np.int64)]).astype(np.int64)


def _differ(given: pd.Series, recomputed: pd.Series) -> NDArray[np.bool_]:
    numbers = [pd.to_numeric(column, errors="coerce") for column in (given, recomputed)]
    if all((number.isna() == column.isna()).all() for number, column in zip(numbers, (given, recomputed), strict=True)):
        a, b = (number.to_numpy(dtype=np.float64, na_value=np.nan) for number in numbers)
        return np.asarray(~np.isclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True), dtype=np.bool_)
    words = [column.astype("string").fillna("").to_numpy(dtype=object) for column in (given, recomputed)]
    return np.asarray((words[0] != words[1]) | (given.isna() != recomputed.isna()).to_numpy(), dtype=np.bool_)


# ── LK002, LK003 ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _no_giveaway(frame: ExaminedFrame, limits: LeakLimits) -> tuple[Outcome, str, Sequence[str]]:
    if frame.target is None or not len(frame.target) or frame.features.empty:
        return "not_applicable", "there is no target", ()
    reached = single_column_scores(frame.features, frame.target, frame.customers)
    measure = "AUC" if is_binary(frame.target) else "R²"
    high = reached[reached > limits.max_single_auc].sort_values(ascending=False)
    if high.empty:
        best = f"{reached.idxmax()} reaches {measure} {reached.max():.3f} alone, {limits.max_single_auc} at most"
        return "passed", best, ()
    shown = _named([f"{name} ({measure} {value:.3f})" for name, value in high.items()])
    return "failed", f"predicts the target alone, on held-out customers: {shown}", [str(name) for name in high.index]


def _known_by_then(frame: ExaminedFrame, limits: LeakLimits) -> tuple[Outcome, str, Sequence[str]]:
    early = _before_birth(frame)
    later = _later_snapshots(frame)
    one_sided = _one_sided(frame, limits.one_sided_probability)
    found = [
        *([f"filled before its source held anything: {_named(list(early.values()))}"] if early else []),
        *([f"taken from snapshots later than the cutoff: {_named(list(later.values()))}"] if later else []),
        *([f"filled only where the outcome is the same: {_named(list(one_sided.values()))}"] if one_sided else []),
    ]
    if found:
        return "failed", "; ".join(found), list(dict.fromkeys([*early, *later, *one_sided]))
    checked = (
        "" if frame.first_known is None else f", and {len(frame.first_known)} against the first row of their sources"
    )
    begin = _late_beginners(frame)
    note = f"; missing for everybody at the first cutoffs: {_named(begin)}" if begin else ""
    return "passed", f"{frame.features.shape[1]} columns were checked{checked}{note}", begin


def _filled(column: pd.Series) -> NDArray[np.bool_]:
    """Return where a column holds a value; a count or a sum of nothing is 0 and counts as none."""
    there = column.notna()
    if pd.api.types.is_numeric_dtype(column):
        there &= column.fillna(0) != 0
    return there.to_numpy(dtype=np.bool_)


def _late_beginners(frame: ExaminedFrame) -> list[str]:
    """Return columns that are missing for everybody at the first cutoff only: they separate old rows from new."""
    if frame.moments.nunique() < 2:
        return []
    there = frame.features.notna().groupby(frame.moments.to_numpy()).any()
    return [str(name) for name in there if not there[name].iloc[0] and there[name].any()]


def _before_birth(frame: ExaminedFrame) -> dict[str, str]:
    found = {}
    for name, moment in (frame.first_known or {}).items():
        if name in frame.features:
            early = (frame.moments < pd.Timestamp(moment)).to_numpy()
            rows = int((early & _filled(frame.features[name])).sum())
            if rows:
                found[name] = f"{name} in {rows} rows before {moment:%Y-%m-%d}"
    return found


def _later_snapshots(frame: ExaminedFrame) -> dict[str, str]:
    found = {}
    for view in frame.snapshots if frame.snapshots is not None else ():
        rows = int((_utc(frame, view) > frame.moments).sum())
        if rows:
            found[str(view)] = f"{view} in {rows} rows"
    return found


def _one_sided(frame: ExaminedFrame, probability: float) -> dict[str, str]:
    """Return columns that are filled for rows of one label only, where that is too improbable.

    What is written down because of the outcome (a reason for leaving, the day an account was closed) is filled for some
    of those who left and for nobody else: too few for a high AUC, and a leak all the same. Customers are counted, since
    rows of one of them are alike.
    """
    if frame.target is None or not is_binary(frame.target):
        return {}
    found = {}
    customers = frame.customers
    targets = frame.target.reshape(len(frame.target), -1)
    asked = ~np.isnan(targets)
    rates = np.nansum(targets, axis=0) / np.maximum(asked.sum(axis=0), 1)
    for name in frame.features:
        filled = frame.features[name].notna().to_numpy()
        if not filled.any() or filled.all():
            continue
        for at, rate in enumerate(rates):
            there = filled & asked[:, at]
            label = targets[there, at]
            if not (0 < rate < 1 and len(label) and label.min() == label.max()):
                continue
            number = len(np.unique(customers[there]))
            if (rate if label[0] else 1 - rate) ** number < probability:
                found[str(name)] = f"{name}, {number} customers, all {label[0]:.0f}"
    return found


# ── LK004, LK005, LK006 ──────────────────────────────────────────────────────────────────────────────────────────────


def _all_rows_once(frame: ExaminedFrame, _: LeakLimits) -> tuple[Outcome, str, Sequence[str]]:
    there = frame.rows.groupby(KEYS, dropna=False).size()
    twice = int((there - 1).sum())
    found = [f"{twice} customers stand twice at one cutoff"] if twice else []
    if frame.requested is not None:
        requested = _keys(frame.requested).groupby(KEYS, dropna=False).size()
        both = pd.concat([requested, there], axis="columns", keys=["requested", "there"]).fillna(0)
        lost = int((both["requested"] - both["there"]).clip(lower=0).sum())
        more = int((both["there"] - both["requested"]).clip(lower=0).sum())
        if lost or more:
            found.append(f"{len(frame.requested)} rows were requested, {lost} are missing and {more} were added")
    if found:
        return "failed", "; ".join(found), ()
    return "passed", f"{len(frame.rows)} rows" + ("" if frame.requested is None else " in, and as many out"), ()


def _apart(frame: ExaminedFrame, _: LeakLimits) -> tuple[Outcome, str, Sequence[str]]:
    if frame.splits is None:
        return "not_applicable", "rows are not split by customer", ()
    shared = [len(np.intersect1d(frame.customers[train], frame.customers[test])) for train, test in frame.splits]
    if any(shared):
        return (
            "failed",
            f"{sum(shared)} customers are in both the training and the test rows, over {len(shared)} splits",
            (),
        )
    return "passed", f"{len(shared)} splits", ()


def _own_cutoff(frame: ExaminedFrame, _: LeakLimits) -> tuple[Outcome, str, Sequence[str]]:
    if frame.snapshots is None:
        return "not_applicable", "the features come from no snapshots, or rows have no cutoffs of their own", ()
    older = {str(view): int((_utc(frame, view) < frame.moments).sum()) for view in frame.snapshots}
    found = [f"{view} in {rows} rows" for view, rows in older.items() if rows]
    if found:
        return (
            "failed",
            f"features of an earlier cutoff: {_named(found)}",
            [view for view, rows in older.items() if rows],
        )
    return "passed", f"{len(older)} views", ()


def _utc(frame: ExaminedFrame, view: Any) -> pd.Series[pd.Timestamp]:
    times = pd.DataFrame() if frame.snapshots is None else frame.snapshots
    found: pd.Series[pd.Timestamp] = pd.to_datetime(times[view], utc=True).astype("datetime64[us, UTC]")
    return found.reset_index(drop=True)


RULES: tuple[LeakCheck, ...] = (
    LeakCheck("LK001", "features do not change when later data are removed", _unmoved),
    LeakCheck("LK002", "no single feature predicts the target", _no_giveaway),
    LeakCheck("LK003", "every column was known by the cutoff", _known_by_then),
    LeakCheck("LK004", "every requested row is present, once", _all_rows_once),
    LeakCheck("LK005", "no customer is on both sides of a split by customer", _apart),
    LeakCheck("LK006", "features come from the row's own cutoff", _own_cutoff),
)
