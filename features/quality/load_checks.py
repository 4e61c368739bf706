"""Checks of a load against the last accepted one: freshness, volume, columns, distributions (FQ016 to FQ019)."""

from __future__ import annotations

import math
from datetime import datetime

from features.base.duration import format_duration
from features.config.quality_settings import Quality
from features.quality.check import Check
from features.quality.load_profile import LoadProfile, shift

#: A column that became constant or empty fails when chance would do that less often than this.
_CHANCE = 1e-6


def check_freshness(name: str, now: LoadProfile, quality: Quality, *, newest_of_all: str) -> Check:
    """Return whether a feed's newest row is fresh enough (FQ016), measured from the newest moment of any feed."""
    limit = quality.freshness.get(name)
    if limit is None:
        return Check("FQ016", name, "not_applicable", "no freshness is declared")
    if not now.newest:
        return Check("FQ016", name, "not_applicable", "no row of the feed carries a time")
    behind = datetime.fromisoformat(newest_of_all) - datetime.fromisoformat(now.newest)
    text = f"the newest row lies {behind.days} days behind the newest of all feeds"
    if behind > limit:
        return Check("FQ016", name, "failed", f"{text}, more than {format_duration(limit)}")
    return Check("FQ016", name, "passed", text)


def compare_loads(name: str, now: LoadProfile, last: LoadProfile | None, quality: Quality) -> list[Check]:
    """Return the comparison of a load with the last accepted one (FQ017 to FQ019)."""
    return [_volume(name, now, last, quality), _became_constant(name, now, last), _shifted(name, now, last, quality)]


def _volume(name: str, now: LoadProfile, last: LoadProfile | None, quality: Quality) -> Check:
    if last is None:
        return Check("FQ017", name, "not_applicable", "the first load of this feed")
    same = last.declared == now.declared
    before, after = (last.rows, now.rows) if same else (last.rows_read, now.rows_read)
    what = "rows" if same else "rows in the files"
    text = f"{after} {what}, {before} in the last accepted load"
    if before and 1 - after / before > quality.volume.drop_above:
        return Check("FQ017", name, "failed", f"{text}: {after / before - 1:+.0%}")
    if before and quality.volume.growth_above is not None and after / before > quality.volume.growth_above:
        return Check("FQ017", name, "failed", f"{text}: {after / before:.1f} times as many")
    return Check("FQ017", name, "passed", text)


def _comparable(now: LoadProfile, last: LoadProfile | None) -> str:
    """Return why two loads cannot be compared column by column; empty when they can."""
    if last is None:
        return "the first load of this feed"
    return "" if last.declared == now.declared else "the feed's declaration has changed since the last accepted load"


def _became_constant(name: str, now: LoadProfile, last: LoadProfile | None) -> Check:
    reason = _comparable(now, last)
    if reason or last is None:
        return Check("FQ018", name, "not_applicable", reason)
    found = []
    for column, present in now.columns.items():
        then = last.columns.get(column)
        if then is None or not then.filled:
            continue
        empty = present.filled == 0
        constant = present.constant and not then.constant and present.filled == now.rows
        likely = now.rows * math.log(min(max(then.commonest, 1e-9), 1))
        if (empty or constant) and likely < math.log(_CHANCE):
            found.append(f"{column} is {'empty' if empty else 'the same on every row'}")
    found += [f"{column} is missing" for column in sorted(set(last.columns) - set(now.columns))]
    if found:
        return Check("FQ018", name, "failed", "; ".join(found))
    return Check("FQ018", name, "passed", f"{len(now.columns)} columns")


def _shifted(name: str, now: LoadProfile, last: LoadProfile | None, quality: Quality) -> Check:
    reason = _comparable(now, last)
    if reason or last is None:
        return Check("FQ019", name, "not_applicable", reason)
    if min(now.rows, last.rows) < quality.volume.min_rows:
        return Check("FQ019", name, "not_applicable", f"fewer than {quality.volume.min_rows} rows")
    shifts = {
        column: index
        for column, present in now.columns.items()
        if column in last.columns and (index := shift(last.columns[column], present)) is not None
    }
    if not shifts:
        return Check("FQ019", name, "not_applicable", "no column is compared by value")
    worst = max(shifts, key=lambda column: shifts[column])
    text = f"largest shift (PSI) {shifts[worst]:.2f}, of {worst}"
    if shifts[worst] > quality.volume.shift_warns_above:
        return Check("FQ019", name, "failed", text, refuses=shifts[worst] > quality.volume.shift_above)
    return Check("FQ019", name, "passed", text)
