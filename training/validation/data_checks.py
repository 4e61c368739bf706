"""Named checks of the data that a model learns from (DC001 and on), in words for people who know the business."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.dataset.frame import Frame
from training.dataset.splits import Fold
from training.labels.label_settings import ModelSettings, Validation
from training.labels.purchase_history import FeedTimes

Outcome = Literal["passed", "failed", "tip", "not_applicable"]
Found = tuple[Outcome, str]
_SHOWN = 5

FEW_CUSTOMERS, MANY_CUSTOMERS = 50, 1000
#: So many of the rarer outcome make metrics whose intervals are narrow enough to compare models.
MANY_POSITIVES = 300
#: Shares of customers with two events or more.
FEW_REPEATED, MANY_REPEATED = 0.1, 0.5
#: Shares of rows without a value.
MOSTLY_MISSING = 0.95
#: How far the rate of the outcome may move between cutoffs: as a ratio, beyond what chance gives.
DRIFT, DEVIATIONS = 1.5, 4.0
#: A text column with more different values per row than this names customers, not kinds of them.
NAMES = 0.5
ONE_DAY_SHARE = 0.99
LEFT_OUT = 0.9


@dataclass(frozen=True)
class CheckedData:
    """What is checked.

    Parameters
    ----------
    frame, folds : what is learnt from, and how it is judged
    settings, validation : as declared
    events_before : by row of the frame, how many events of the label's type lie before its cutoff; None without events
    times : by feed, when the events are that the label is read from
    """

    frame: Frame
    folds: Sequence[Fold]
    settings: ModelSettings
    validation: Validation
    events_before: NDArray[np.float64] | None = None
    times: Mapping[str, FeedTimes] = field(default_factory=dict)

    @property
    def rates(self) -> pd.DataFrame:
        """By cutoff: how often the outcome is positive among what is in question, and among how many."""
        target = self.frame.target.reshape(len(self.frame.rows), -1)
        asked = ~np.isnan(target)
        counted = pd.DataFrame({"hits": np.nansum(target, axis=1), "rows": asked.sum(axis=1)})
        summed = counted.groupby(self.frame.rows["as_of"].to_numpy()).sum()
        return summed.assign(rate=summed["hits"] / summed["rows"].clip(lower=1))


@dataclass(frozen=True)
class DataCheck:
    """A check; ``apply`` gives an outcome and its detail."""

    code: str
    title: str
    apply: Callable[[CheckedData], Found]


@dataclass(frozen=True)
class DataCheckResult:
    """The outcome of one check, and why."""

    code: str
    title: str
    outcome: Outcome
    detail: str

    def __str__(self) -> str:
        return f"{self.code} {self.title}: {self.detail}"


def check_data(data: CheckedData, *, off: Sequence[str] = ()) -> tuple[DataCheckResult, ...]:
    """Apply every check to the data of one model.

    A failed check holds the model (TG008); a tip is worth reading and holds nothing.

    Parameters
    ----------
    off : codes of checks that are not applied
    """
    return tuple(
        DataCheckResult(check.code, check.title, "not_applicable", "switched off")
        if check.code in off
        else DataCheckResult(check.code, check.title, *check.apply(data))
        for check in CHECKS
    )


def _enough_history(data: CheckedData) -> Found:
    if not data.settings.label.in_time:
        return "not_applicable", "the outcome is recorded once, and has no time"
    cutoffs = data.frame.rows["as_of"].nunique()
    horizon = data.settings.label.closes_after.days
    found = f"{cutoffs} cutoffs have an outcome of {horizon} days; {len(data.folds)} of them judge the model"
    if cutoffs < 2:
        return "failed", f"{found}: deliver a longer history, or shorten the horizon"
    if len(data.folds) < data.validation.folds:
        return "tip", f"{found}, {data.validation.folds} were declared: a longer history would make the judgement surer"
    return "passed", found


def _enough_customers(data: CheckedData) -> Found:
    customers = data.frame.rows["customer_id"].nunique()
    found = f"{customers} customers"
    if customers < FEW_CUSTOMERS:
        return "failed", f"{found}, {FEW_CUSTOMERS} are needed: widen the population"
    if customers < MANY_CUSTOMERS:
        return "tip", f"{found}: with {MANY_CUSTOMERS} the results would be surer"
    return "passed", found


def _enough_positives(data: CheckedData) -> Found:
    total = data.rates.sum()
    positives, rest = int(total["hits"]), int(total["rows"] - total["hits"])
    found = f"{positives} positive and {rest} negative outcomes"
    if min(positives, rest) < data.settings.min_positives:
        return "failed", f"{found}, {data.settings.min_positives} of each are needed: lengthen the horizon"
    if min(positives, rest) < MANY_POSITIVES:
        return "tip", f"{found}: with {MANY_POSITIVES} of each the results would be surer"
    return "passed", found


def _repeated_events(data: CheckedData) -> Found:
    if data.events_before is None:
        return "not_applicable", "the outcome is not read from events"
    several = pd.Series(data.events_before >= 2).groupby(data.frame.customers).any()
    share = float(several.mean())
    found = f"{share:.0%} of the customers have two events or more before a cutoff"
    if share < FEW_REPEATED:
        return "failed", f"{found}, {FEW_REPEATED:.0%} are needed: there is no habit to learn from"
    return ("passed" if share >= MANY_REPEATED else "tip"), found


def _times_of_events(data: CheckedData) -> Found:
    if not data.times:
        return "not_applicable", "the outcome is not read from events"
    single = sorted(feed for feed, times in data.times.items() if times.rows > 1 and times.days == 1)
    stacked = sorted(feed for feed, times in data.times.items() if times.days > 1 and times.busiest > ONE_DAY_SHARE)
    if timeless := [*single, *stacked]:
        outcome: Outcome = "failed" if len(timeless) == len(data.times) else "tip"
        return outcome, f"the events of feed {_named(timeless)} lie on one day: is that the time of an export?"
    dates = sorted(feed for feed, times in data.times.items() if times.without_hour == times.rows)
    note = f"; {_named(dates)} has dates without a time of day" if dates else ""
    return "passed", f"the events of {len(data.times)} feeds lie on different days{note}"


def _few_missing(data: CheckedData) -> Found:
    missing = data.frame.features.isna().mean()
    high = [str(name) for name in missing[missing > MOSTLY_MISSING].sort_values(ascending=False).index]
    if not high:
        return "passed", f"no column is missing in more than {MOSTLY_MISSING:.0%} of the rows"
    found = f"{len(high)} of {len(missing)} columns are missing in more than {MOSTLY_MISSING:.0%} of the rows"
    return ("failed" if len(high) == len(missing) else "tip"), f"{found}: {_named(high)}"


def _varying_columns(data: CheckedData) -> Found:
    constant = [str(name) for name, column in data.frame.features.items() if column.nunique(dropna=False) < 2]
    if not constant:
        return "passed", "every column varies"
    found = f"{len(constant)} of {data.frame.features.shape[1]} columns hold one value in all rows: {_named(constant)}"
    return ("failed" if len(constant) == data.frame.features.shape[1] else "tip"), found


def _kinds_not_names(data: CheckedData) -> Found:
    customers = data.frame.rows["customer_id"].nunique()
    text = data.frame.features.select_dtypes(exclude=["number", "bool"])
    many = [str(name) for name, column in text.items() if column.nunique() > NAMES * customers]
    if not len(text.columns):
        return "not_applicable", "there is no column of text"
    if many:
        return "tip", f"nearly every customer has a value of their own: {_named(many)}; exclude it, or group it"
    return "passed", f"{len(text.columns)} columns of text"


def _steady_rate(data: CheckedData) -> Found:
    rates = data.rates
    if len(rates) < 2:
        return "not_applicable", "there is one cutoff"
    rate, rows = rates["rate"].to_numpy(), rates["rows"].clip(lower=1).to_numpy()
    mean = float(np.average(rate, weights=rows))
    low, high = int(rate.argmin()), int(rate.argmax())
    found = f"{rate[low]:.1%} at {rates.index[low]:%Y-%m-%d}, {rate[high]:.1%} at {rates.index[high]:%Y-%m-%d}"
    beyond_chance = np.abs(rate - mean) > DEVIATIONS * np.sqrt(mean * (1 - mean) / rows)
    moved = rate[high] > DRIFT * rate[low] and bool(beyond_chance.any())
    if moved:
        return "tip", f"{found}: a season or a change in the business; probabilities may be off in the next one"
    return "passed", found


def _many_left_out(data: CheckedData) -> Found:
    excluded = {why: rows for why, rows in data.frame.excluded.items() if why != "not_mature"}
    out, rows = sum(excluded.values()), len(data.frame.rows)
    share = out / max(out + rows, 1)
    found = f"{rows} rows are learnt from, {out} are left out" + (
        f" ({', '.join(f'{why}: {count}' for why, count in excluded.items())})" if excluded else ""
    )
    return ("tip" if share > LEFT_OUT else "passed"), found


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


CHECKS: tuple[DataCheck, ...] = (
    DataCheck("DC001", "the history is long enough for the horizon", _enough_history),
    DataCheck("DC002", "there are enough customers", _enough_customers),
    DataCheck("DC003", "both outcomes are frequent enough", _enough_positives),
    DataCheck("DC004", "customers have two events or more", _repeated_events),
    DataCheck("DC005", "events have times of their own", _times_of_events),
    DataCheck("DC006", "few values are missing", _few_missing),
    DataCheck("DC007", "columns vary", _varying_columns),
    DataCheck("DC008", "text names kinds of customers, not customers", _kinds_not_names),
    DataCheck("DC009", "the outcome is about as frequent at every cutoff", _steady_rate),
    DataCheck("DC010", "the population is not a small remainder", _many_left_out),
)
