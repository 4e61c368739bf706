"""Consents to marketing and profiling, each from when until when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.simulate.arrays import NEVER, Flags, Floats, Ints, Table, text, wall_clock, word
from features.simulate.calendar import DAY

PURPOSES = ("marketing", "profiling")
GRANTED_AT_ONCE = (0.68, 0.84)
GRANTED_LATER = (0.12, 0.04)
WITHDRAWN_YEARLY = (0.09, 0.03)
NEW_NOTICE = int(np.datetime64("2025-03-01", "s").astype(np.int64))


@dataclass(frozen=True)
class Consents:
    """When each person's consent begins and ends; people by purposes, ``NEVER`` where it does not."""

    granted: Ints
    withdrawn: Ints

    def allows(self, purpose: str, *, at: Ints) -> Flags:
        """Return who allows the purpose at their moment."""
        column = PURPOSES.index(purpose)
        return (self.granted[:, column] <= at) & (at < self.withdrawn[:, column])


def consents(joined_at: Ints, *, holder: Flags, rng: np.random.Generator) -> Consents:
    """Return the consents of people who joined at the given times; only account holders are asked."""
    shape = (len(joined_at), len(PURPOSES))
    luck = rng.random(shape)
    later = rng.exponential(300, shape) * DAY
    first = np.array(GRANTED_AT_ONCE)
    delay = np.where(luck < first, rng.integers(0, 3_600, shape), later)
    asked = holder[:, None] & (luck < first + np.array(GRANTED_LATER))
    granted = np.where(asked, joined_at[:, None] + delay.astype(np.int64), NEVER)
    lasts: Floats = rng.exponential(1.0, shape) / np.array(WITHDRAWN_YEARLY) * 365 * DAY
    withdrawn = np.where(asked & (lasts < 40 * 365 * DAY), granted + lasts.astype(np.int64), NEVER)
    return Consents(granted=granted, withdrawn=np.where(asked, withdrawn, NEVER))


def consent_feed(consents: Consents, *, account: Ints, end: int) -> Table:
    """Return the consent log, one row per grant or withdrawal, in the order in which they were written."""
    given, taken = np.nonzero(consents.granted < end), np.nonzero(consents.withdrawn < end)
    who, purpose = (np.concatenate(pair) for pair in zip(given, taken, strict=True))
    at = np.concatenate([consents.granted[given], consents.withdrawn[taken]])
    status = np.repeat(np.arange(2), [len(given[0]), len(taken[0])])
    order = np.lexsort((status, purpose, who, at))
    at, who, purpose, status = at[order], who[order], purpose[order], status[order]
    return pa.table(
        {
            "account_no": text(account[who]),
            "purpose": word(PURPOSES, purpose),
            "status": word(("granted", "withdrawn"), status),
            "at": wall_clock(at),
            "notice_version": word(("1.2", "2.0"), (at >= NEW_NOTICE).astype(np.int64)),
        }
    )
