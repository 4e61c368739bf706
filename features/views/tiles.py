"""Rows in tiles: what no window of any cutoff tells apart is aggregated once, and every window is made of tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis

from features.views.measures import Measure, tiled

_DAY = 86_400_000_000  # microseconds
_LONG_AGO = -(1 << 62)


def segments(cutoffs: Any, *, spans: Sequence[int], all_history: bool) -> Any:
    """Return the segments of time between the edges of all windows, a row for each day that a segment touches.

    Parameters
    ----------
    cutoffs : table of ``as_of``
    spans : how long the windows are, in microseconds
    all_history : whether what lies before the first edge is a segment too

    Returns
    -------
    ibis Table of ``day`` (days since 1970), the segment ``(after, edge]``, and ``shown``: the first cutoff after it
    """
    moments = [cutoffs.select(edge=cutoffs.as_of), *(cutoffs.select(edge=cutoffs.as_of - span) for span in spans)]
    edges = ibis.union(*moments, distinct=True) if spans else moments[0].distinct()
    joined = edges.left_join(cutoffs, edges.edge == cutoffs.as_of)
    before = ibis.window(order_by=[joined.edge], preceding=(None, 1))
    from_then = ibis.window(order_by=[ibis.desc(joined.edge)], preceding=(None, 0))
    found = joined.select("edge", after=joined.edge.max().over(before), shown=joined.as_of.min().over(from_then))
    if all_history:
        first = ibis.ifelse(found.after.isnull(), found.edge // _DAY, found.after // _DAY)
        found = found.select("edge", "shown", after=found.after.fill_null(_LONG_AGO), first=first)
    else:
        found = found.filter(found.after.notnull())
        found = found.select("edge", "shown", "after", first=found.after // _DAY)
    return found.select("edge", "shown", "after", day=ibis.range(found.first, found.edge // _DAY + 1).unnest())


def placed(source: Any, cutoffs: Any, *, spans: Sequence[int], all_history: bool) -> Any:
    """Return the rows of the source that some window shows, each with its segment.

    ``late`` is when a row became known, if that is after the first cutoff that would show it otherwise.
    """
    there = segments(cutoffs, spans=spans, all_history=all_history)
    day = source.event_time // _DAY
    if all_history:
        origin = there.aggregate(origin=there.day.min())
        # An outer join stays where it is; an inner one is joined last, when a row has met all days of its segment.
        source = source.left_join(origin, ibis.literal(True))
        day = ibis.greatest(source.event_time // _DAY, source.origin)
    within = [day == there.day, source.event_time > there.after, source.event_time <= there.edge]
    rows = source.join(there, within).drop("after", "day")
    return rows.mutate(late=ibis.ifelse(rows.known_at > rows.shown, rows.known_at, ibis.null("int64")))


def tiles_of(rows: Any, measures: Sequence[Measure], *, by: Sequence[str]) -> Any:
    """Return the measures of the rows of each tile: of one customer, one segment, and one moment of becoming known.

    Parameters
    ----------
    rows : as `placed` returns them
    measures : what is asked for; of which window does not matter here
    by : further columns that tell tiles apart
    """
    found = {measure.whole.name: tiled(rows, measure.whole) for measure in measures}
    return rows.group_by(["customer_id", "edge", "late", *by]).aggregate(**found)


def newest_of(rows: Any, column: str, *, by: Sequence[str]) -> Any:
    """Return how many rows of each tile hold the newest of their equal values, and until when.

    As of a cutoff, one row of each value is the newest that is known, and a window that holds the value holds that row.
    A row is the newest from when it is known until a later one of the same value is: so distinct values are counted by
    adding.

    Parameters
    ----------
    rows : as `placed` returns them
    column : whose values are counted
    by : further columns that tell tiles apart
    """
    rows = rows.filter(rows[column].notnull())
    rows = rows.mutate(visible=ibis.greatest(rows.event_time, rows.known_at))
    later = ibis.window(
        group_by=["customer_id", *by, column], order_by=[ibis.desc(rows.event_time)], preceding=(None, 1)
    )
    rows = rows.select("customer_id", "edge", "late", "shown", *by, until=rows.visible.min().over(later))
    rows = rows.filter(rows.until.isnull() | (rows.until > rows.shown) | rows.late.notnull())
    return rows.group_by(["customer_id", "edge", "late", "until", *by]).aggregate(newest=rows.count().cast("float64"))


def seen_at(tiles: Any, cutoffs: Any, *, reach: int | None) -> Any:
    """Return the tiles that each cutoff shows, as far back as `reach` (microseconds; None for all history)."""
    within = [tiles.edge <= cutoffs.as_of, tiles.late.isnull() | (tiles.late <= cutoffs.as_of)]
    if reach is not None:
        within.append(tiles.edge > cutoffs.as_of - reach)
    if "until" in tiles.columns:
        within.append(tiles.until.isnull() | (tiles.until > cutoffs.as_of))
    return tiles.join(cutoffs, within)
