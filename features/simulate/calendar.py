"""Billing periods: each customer's month begins on a billing day of their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from features.simulate.arrays import Floats, Ints

DAY = 86_400
BILL_RUN = 3 * 3_600  # bills go out at night, long before anybody shops


@dataclass(frozen=True)
class Calendar:
    """The simulated months; times are whole seconds since 1970, UTC."""

    month_starts: Ints
    """One start more than there are months."""
    end: int
    """The first second after the last day."""

    @property
    def months(self) -> int:
        return len(self.month_starts) - 2

    @property
    def start(self) -> int:
        return int(self.month_starts[0])

    def billed_at(self, period: int, billing_day: Ints) -> Ints:
        """Return when the bill that opens a period is issued, per customer."""
        result: Ints = self.month_starts[period] + (billing_day - 1) * DAY + BILL_RUN
        return result

    def month_of_year(self, period: int) -> int:
        """Return 1 to 12."""
        return int(self.month_starts[period].astype("datetime64[s]").astype("datetime64[M]").astype(int) % 12) + 1


def calendar(*, end: date, months: int) -> Calendar:
    """Return the calendar of ``months`` months whose last one holds ``end``."""
    last = np.datetime64(end, "M")
    starts = np.arange(last - np.timedelta64(months - 1, "M"), last + np.timedelta64(3, "M"))
    stop = np.datetime64(end + timedelta(days=1), "s")
    return Calendar(month_starts=starts.astype("datetime64[s]").astype(np.int64), end=int(stop.astype(np.int64)))


def by_day(times: Ints, *, uniform: Floats) -> Ints:
    """Return the same days, at an hour when people are awake (08:00 to 22:00)."""
    return times // DAY * DAY + 8 * 3_600 + (uniform * 14 * 3_600).astype(np.int64)
