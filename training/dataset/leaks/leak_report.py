"""Named checks on a training frame: what would make a model look better than it can be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.base.errors import BadData
from training.dataset.leaks.single_column import alone, is_binary

Outcome = Literal["passed", "failed", "not_applicable"]
Array = NDArray[np.float64]
#: Makes the features of some rows (``customer_id``, ``as_of``) anew, in their order, from what was known by each
#: row's moment and nothing else.
Remake = Callable[[pd.DataFrame], pd.DataFrame]
KEYS = ["customer_id", "as_of"]
#: Rows that are made anew: of so many cutoffs, so many of each.
CUTOFFS, ROWS = 3, 100
#: Sums may differ by the order in which they were added, and by nothing else.
TOLERANCE = 1e-9
_SHOWN = 5


@dataclass(frozen=True)
class Limits:
    """Where the checks draw their lines.

    Parameters
    ----------
    max_alone : AUC (or R² of an amount) that one column alone may reach on customers held out
    chance : how improbable it must be that a column is filled for rows of one label only
    off : codes of checks that are not asked
    """

    max_alone: float = 0.98
    chance: float = 1e-9
    off: Collection[str] = ()


@dataclass(frozen=True)
class Examined:
    """A frame, and what is known of how it was made; what is None was not looked at.

    Parameters
    ----------
    rows : ``customer_id`` and ``as_of``, one each
    features : the same rows, a column each
    target : shape (rows,) or (rows, candidates)
    asked : the rows that the frame should hold
    remake : makes features anew from tables that end at each row's moment; columns it does not know it leaves out
    born : by column, the moment from which on its source has ever held anything
    snapshots : the same rows; for each view the moment of the snapshot that the features were taken from
    sides : the rows that each split learns from and is judged by, where it keeps customers apart
    """

    rows: pd.DataFrame
    features: pd.DataFrame
    target: Array | None = None
    asked: pd.DataFrame | None = None
    remake: Remake | None = None
    born: Mapping[str, datetime] | None = None
    snapshots: pd.DataFrame | None = None
    sides: Sequence[tuple[NDArray[np.bool_], NDArray[np.bool_]]] | None = None

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
class Answer:
    """What one check says, why, and of which columns."""

    code: str
    title: str
    outcome: Outcome
    detail: str
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A check; ``apply`` gives an outcome, its detail, and the columns that it is about."""

    code: str
    title: str
    apply: Callable[[Examined, Limits], tuple[Outcome, str, Sequence[str]]]


@dataclass(frozen=True)
class LeakReport:
    """Every check's answer; `found` tells those that failed."""

    answers: tuple[Answer, ...] = field(default=())

    @property
    def found(self) -> tuple[str, ...]:
        """What was found; nothing if the frame is clean."""
        return tuple(f"{a.code} {a.title}: {a.detail}" for a in self.answers if a.outcome == "failed")

    def answered(self, answer: Answer) -> LeakReport:
        """Return the report with one answer in the place of the one before."""
        return replace(self, answers=tuple(answer if a.code == answer.code else a for a in self.answers))

    def as_dicts(self) -> list[dict[str, Any]]:
        return [asdict(answer) | {"features": list(answer.features)} for answer in self.answers]

    def table(self) -> pd.DataFrame:
        """Return the answers as a table, by code."""
        rows = [(a.code, a.title, a.outcome, a.detail) for a in self.answers]
        return pd.DataFrame(rows, columns=["code", "title", "outcome", "detail"]).set_index("code")


def examine(frame: Examined, limits: Limits | None = None) -> LeakReport:
    """Ask every check of a frame, whoever made it."""
    drawn = limits or Limits()
    return LeakReport(tuple(_asked(rule, frame, drawn) for rule in RULES))


def examine_sides(frame: Examined, limits: Limits | None = None) -> Answer:
    """Ask of a frame that was split only whether a customer stands on both sides."""
    return _asked(next(rule for rule in RULES if rule.code == "LK005"), frame, limits or Limits())


def _asked(rule: Rule, frame: Examined, limits: Limits) -> Answer:
    if rule.code in limits.off:
        return Answer(rule.code, rule.title, "not_applicable", "switched off")
    outcome, detail, features = rule.apply(frame, limits)
    return Answer(rule.code, rule.title, outcome, detail, tuple(features))


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


def _unmoved(frame: Examined, _: Limits) -> tuple[Outcome, str, Sequence[str]]:
    if frame.remake is None:
        return (
            "not_applicable",
            "the features cannot be made anew (or the customers were unified since)",
            (),
        )
    chosen = _sample(frame.moments)
    if not len(chosen):
        return "not_applicable", "there are no rows", ()
    remade = frame.remake(frame.rows.iloc[chosen].reset_index(drop=True)).reset_index(drop=True)
    if len(remade) != len(chosen):
        return "failed", f"{len(chosen)} rows were to be made anew, and {len(remade)} came back", ()
    shared = [name for name in frame.features if name in remade]
    if not shared:
        return "not_applicable", "no column could be made anew", ()
    given = frame.features.iloc[chosen].reset_index(drop=True)
    moved = {str(name): n for name in shared if (n := int(_differ(given[name], remade[name]).sum()))}
    looked = f"{len(chosen)} rows at {frame.moments.iloc[chosen].nunique()} cutoffs"
    unknown = frame.features.shape[1] - len(shared)
    rest = f"; {unknown} columns could not be made anew" if unknown else ""
    if not moved:
        return "passed", f"{len(shared)} columns are the same without what came later, in {looked}{rest}", ()
    worst = sorted(moved, key=lambda name: (-moved[name], name))
    told = _named([f"{name} ({moved[name]})" for name in worst])
    return "failed", f"{len(moved)} of {len(shared)} columns knew what came later, of {looked}: {told}", worst


def _sample(moments: pd.Series[pd.Timestamp]) -> NDArray[np.int64]:
    """Return places of rows, spread evenly over the rows of cutoffs that are spread evenly over all."""
    there = np.unique(moments.to_numpy())
    cutoffs = there[np.unique(np.linspace(0, len(there) - 1, CUTOFFS).round().astype(int))] if len(there) else there
    parts = [np.flatnonzero((moments == cutoff).to_numpy()) for cutoff in pd.DatetimeIndex(cutoffs, tz="UTC")]
    even = [part[np.unique(np.linspace(0, len(part) - 1, ROWS).round().astype(int))] for part in parts]
    return np.concatenate([*even, np.empty(0, dtype=np.int64)]).astype(np.int64)


def _differ(given: pd.Series, remade: pd.Series) -> NDArray[np.bool_]:
    numbers = [pd.to_numeric(column, errors="coerce") for column in (given, remade)]
    if all((number.isna() == column.isna()).all() for number, column in zip(numbers, (given, remade), strict=True)):
        a, b = (number.to_numpy(dtype=np.float64, na_value=np.nan) for number in numbers)
        return np.asarray(~np.isclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True), dtype=np.bool_)
    words = [column.astype("string").fillna("").to_numpy(dtype=object) for column in (given, remade)]
    return np.asarray((words[0] != words[1]) | (given.isna() != remade.isna()).to_numpy(), dtype=np.bool_)


# ── LK002, LK003 ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _no_giveaway(frame: Examined, limits: Limits) -> tuple[Outcome, str, Sequence[str]]:
    if frame.target is None or not len(frame.target) or frame.features.empty:
        return "not_applicable", "there is no target", ()
    reached = alone(frame.features, frame.target, frame.customers)
    measure = "AUC" if is_binary(frame.target) else "R²"
    high = reached[reached > limits.max_alone].sort_values(ascending=False)
    if high.empty:
        best = f"{reached.idxmax()} reaches {measure} {reached.max():.3f} alone, {limits.max_alone} at most"
        return "passed", best, ()
    told = _named([f"{name} ({measure} {value:.3f})" for name, value in high.items()])
    return "failed", f"foretells alone, on customers held out: {told}", [str(name) for name in high.index]


def _known_by_then(frame: Examined, limits: Limits) -> tuple[Outcome, str, Sequence[str]]:
    early = _before_birth(frame)
    later = _later_snapshots(frame)
    one_sided = _one_sided(frame, limits.chance)
    told = [
        *([f"filled before its source held anything: {_named(list(early.values()))}"] if early else []),
        *([f"taken from snapshots later than the cutoff: {_named(list(later.values()))}"] if later else []),
        *([f"filled only where the outcome is the same: {_named(list(one_sided.values()))}"] if one_sided else []),
    ]
    if told:
        return "failed", "; ".join(told), list(dict.fromkeys([*early, *later, *one_sided]))
    looked = "" if frame.born is None else f", and {len(frame.born)} against the first row of their sources"
    begin = _late_beginners(frame)
    note = f"; missing for everybody at the first cutoffs: {_named(begin)}" if begin else ""
    return "passed", f"{frame.features.shape[1]} columns were looked at{looked}{note}", begin


def _filled(column: pd.Series) -> NDArray[np.bool_]:
    """Say where a column says anything: a count or a sum of nothing is 0."""
    there = column.notna()
    if pd.api.types.is_numeric_dtype(column):
        there &= column.fillna(0) != 0
    return there.to_numpy(dtype=np.bool_)


def _late_beginners(frame: Examined) -> list[str]:
    """Return columns that are missing for everybody at the first cutoff only: they tell old rows from new."""
    if frame.moments.nunique() < 2:
        return []
    there = frame.features.notna().groupby(frame.moments.to_numpy()).any()
    return [str(name) for name in there if not there[name].iloc[0] and there[name].any()]


def _before_birth(frame: Examined) -> dict[str, str]:
    found = {}
    for name, moment in (frame.born or {}).items():
        if name in frame.features:
            early = (frame.moments < pd.Timestamp(moment)).to_numpy()
            rows = int((early & _filled(frame.features[name])).sum())
            if rows:
                found[name] = f"{name} in {rows} rows before {moment:%Y-%m-%d}"
    return found


def _later_snapshots(frame: Examined) -> dict[str, str]:
    found = {}
    for view in frame.snapshots if frame.snapshots is not None else ():
        rows = int((_utc(frame, view) > frame.moments).sum())
        if rows:
            found[str(view)] = f"{view} in {rows} rows"
    return found


def _one_sided(frame: Examined, chance: float) -> dict[str, str]:
    """Return columns that are filled for rows of one label only, where chance would not do that.

    What is written down because of the outcome (a reason for leaving, the day an account was closed) is filled for some
    of those who left and for nobody else: too few for a high AUC, and a leak all the same. Customers are counted, since
    rows of one of them are alike.
    """
    if frame.target is None or not is_binary(frame.target):
        return {}
    found = {}
    customers = frame.customers
    targets = frame.target.reshape(len(frame.target), -1)
    rates = targets.mean(axis=0)
    for name in frame.features:
        filled = frame.features[name].notna().to_numpy()
        if not filled.any() or filled.all():
            continue
        number = len(np.unique(customers[filled]))
        for at, rate in enumerate(rates):
            label = targets[filled, at]
            if 0 < rate < 1 and label.min() == label.max() and (rate if label[0] else 1 - rate) ** number < chance:
                found[str(name)] = f"{name}, {number} customers, all {label[0]:.0f}"
    return found


# ── LK004, LK005, LK006 ──────────────────────────────────────────────────────────────────────────────────────────────


def _all_rows_once(frame: Examined, _: Limits) -> tuple[Outcome, str, Sequence[str]]:
    there = frame.rows.groupby(KEYS, dropna=False).size()
    twice = int((there - 1).sum())
    told = [f"{twice} customers stand twice at one cutoff"] if twice else []
    if frame.asked is not None:
        asked = _keys(frame.asked).groupby(KEYS, dropna=False).size()
        both = pd.concat([asked, there], axis="columns", keys=["asked", "there"]).fillna(0)
        lost = int((both["asked"] - both["there"]).clip(lower=0).sum())
        more = int((both["there"] - both["asked"]).clip(lower=0).sum())
        if lost or more:
            told.append(f"{len(frame.asked)} rows were asked for, {lost} of them are lost and {more} came on top")
    if told:
        return "failed", "; ".join(told), ()
    return "passed", f"{len(frame.rows)} rows" + ("" if frame.asked is None else " in, and as many out"), ()


def _apart(frame: Examined, _: Limits) -> tuple[Outcome, str, Sequence[str]]:
    if frame.sides is None:
        return "not_applicable", "rows are not split by customer", ()
    shared = [len(np.intersect1d(frame.customers[train], frame.customers[test])) for train, test in frame.sides]
    if any(shared):
        return "failed", f"{sum(shared)} customers are learnt from and judged by, over {len(shared)} splits", ()
    return "passed", f"{len(shared)} splits", ()


def _own_cutoff(frame: Examined, _: Limits) -> tuple[Outcome, str, Sequence[str]]:
    if frame.snapshots is None:
        return "not_applicable", "the features come from no snapshots, or rows have no cutoffs of their own", ()
    older = {str(view): int((_utc(frame, view) < frame.moments).sum()) for view in frame.snapshots}
    told = [f"{view} in {rows} rows" for view, rows in older.items() if rows]
    if told:
        return (
            "failed",
            f"features of an earlier cutoff: {_named(told)}",
            [view for view, rows in older.items() if rows],
        )
    return "passed", f"{len(older)} views", ()


def _utc(frame: Examined, view: Any) -> pd.Series[pd.Timestamp]:
    times = pd.DataFrame() if frame.snapshots is None else frame.snapshots
    return pd.Series(pd.to_datetime(times[view].to_numpy(), utc=True)).astype("datetime64[us, UTC]")


RULES: tuple[Rule, ...] = (
    Rule("LK001", "features stay the same when the future is taken away", _unmoved),
    Rule("LK002", "no feature foretells the target alone", _no_giveaway),
    Rule("LK003", "every column was there by the cutoff", _known_by_then),
    Rule("LK004", "every row that was asked for is there, once", _all_rows_once),
    Rule("LK005", "no customer stands on both sides of a split by customer", _apart),
    Rule("LK006", "features are those of the row's own cutoff", _own_cutoff),
)
