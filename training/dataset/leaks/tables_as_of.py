"""Tables as they were known at a moment, for features that somebody makes by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import pandas as pd

from features.base.errors import BadData
from training.dataset.leaks.leak_report import Recompute

#: Makes features of rows (``customer_id``, ``as_of``) from tables by name: one line a row, in the rows' order.
Build = Callable[[Mapping[str, pd.DataFrame], pd.DataFrame], pd.DataFrame]
#: Columns that are filled later than their row: the column with the time, and those not known until then.
LATER_CELLS = {"outcome_time": ("outcome", "outcome_time")}


def as_known(tables: Mapping[str, pd.DataFrame], moment: datetime) -> dict[str, pd.DataFrame]:
    """Return tables without the rows that became known, or happened, after a moment.

    A table is cut by its ``known_at`` and, unless it is ``customers`` (where that is the last change), its
    ``event_time``; one that has neither is taken to have been known always. An outcome is blank until its time.

    Examples
    --------
    >>> events = pd.DataFrame({"known_at": pd.to_datetime(["2026-01-01", "2026-03-01"], utc=True), "amount": [5, 7]})
    >>> as_known({"events": events}, pd.Timestamp("2026-02-01", tz="UTC"))["events"]["amount"].tolist()
    [5]
    """
    return {name: _cut(name, table, pd.Timestamp(moment)) for name, table in tables.items()}


def _cut(name: str, table: pd.DataFrame, moment: pd.Timestamp) -> pd.DataFrame:
    times = [column for column in ("known_at", "event_time") if column in table and (name, column) != _CHANGED]
    for column in times:
        table = table[~(pd.to_datetime(table[column], utc=True) > moment)]
    for column, cells in LATER_CELLS.items():
        if column in table:
            later = pd.to_datetime(table[column], utc=True) > moment
            table = table.assign(**{cell: table[cell].mask(later) for cell in cells if cell in table})
    return table


_CHANGED = ("customers", "event_time")


def recomputed(build: Build, tables: Mapping[str, pd.DataFrame]) -> Recompute:
    """Return a function that recomputes features with `build` from tables that end at each row's moment.

    Raises
    ------
    BadData : when called, if `build` does not give one line for each row
    """

    def recompute(rows: pd.DataFrame) -> pd.DataFrame:
        parts = []
        for moment in rows["as_of"].drop_duplicates():
            requested = rows[rows["as_of"] == moment]
            made = build(as_known(tables, moment), requested.reset_index(drop=True))
            if len(made) != len(requested):
                raise BadData(
                    "leaks.build",
                    f"{len(requested)} rows were requested, {len(made)} were returned",
                    hint="one line for each",
                )
            parts.append(made.set_axis(requested.index, axis="index"))
        return pd.concat(parts).loc[rows.index] if parts else pd.DataFrame(index=rows.index)

    return recompute
