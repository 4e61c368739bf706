"""Tiles: rows that every window of every cutoff has or lacks together are aggregated once; windows add up tiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis

from features.base.clock import DAY_US
from features.views.measures import Measure, of_rows

_LONG_AGO = -(1 << 62)


def segments(cutoffs: Any, *, spans: Sequence[int], all_history: bool) -> Any:
    """Return the segments of time between the edges of all windows, one row for each day of a segment.

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
        first = ibis.ifelse(found.after.isnull(), found.edge // DAY_US, found.after // DAY_US)
        found = found.select("edge", "shown", after=found.after.fill_null(_LONG_AGO), first=first)
    else:
        found = found.filter(found.after.notnull())
        found = found.select("edge", "shown", "after", first=found.after // DAY_US)
    return found.select("edge", "shown", "after", day=ibis.range(found.first, found.edge // DAY_US + 1).unnest())


def rows_by_segment(source: Any, cutoffs: Any, *, spans: Sequence[int], all_history: bool) -> Any:
    """Return the rows of the source that lie in some window, each with its segment.

    ``late`` is when a row became known, if that is after the first cutoff whose windows contain it.
    """
    there = segments(cutoffs, spans=spans, all_history=all_history)
    day = source.event_time // DAY_US
    if all_history:
        origin = there.aggregate(origin=there.day.min())
        # DuckDB keeps the place of an outer join; an inner one would come last, after rows were joined with all days.
        source = source.left_join(origin, ibis.literal(True))
        day = ibis.greatest(source.event_time // DAY_US, source.origin)
    within = [day == there.day, source.event_time > there.after, source.event_time <= there.edge]
    rows = source.join(there, within).drop("after", "day")
    return rows.mutate(late=ibis.ifelse(rows.known_at > rows.shown, rows.known_at, ibis.null("int64")))


def tiles_of(rows: Any, measures: Sequence[Measure], *, by: Sequence[str]) -> Any:
    """Return the measures of each tile: the rows of one customer and segment that became known at one moment.

    Parameters
    ----------
    rows : as `rows_by_segment` returns them
    measures : to compute, whatever their windows
    by : further columns that distinguish tiles
    """
    found = {measure.of_tile.name: of_rows(rows, measure.of_tile) for measure in measures}
    return rows.group_by(["customer_id", "edge", "late", *by]).aggregate(**found)


def distinct_tiles(rows: Any, column: str, *, by: Sequence[str]) -> Any:
    """Return how many rows of each tile are the newest of their value, and until when, to count distinct values.

    As of a cutoff, one known row of each value is the newest, and every window that contains the value contains that
    row. A row is the newest from when it is known until a later row of the same value is. So distinct values of a
    window are the sum of the newest rows of its tiles.

    Parameters
    ----------
    rows : as `rows_by_segment` returns them
    column : whose values are counted
    by : further columns that distinguish tiles
    """
    rows = rows.filter(rows[column].notnull())
    rows = rows.mutate(visible=ibis.greatest(rows.event_time, rows.known_at))
    later = ibis.window(
        group_by=["customer_id", *by, column], order_by=[ibis.desc(rows.event_time)], preceding=(None, 1)
    )
    rows = rows.select("customer_id", "edge", "late", "shown", *by, until=rows.visible.min().over(later))
    rows = rows.filter(rows.until.isnull() | (rows.until > rows.shown) | rows.late.notnull())
    return rows.group_by(["customer_id", "edge", "late", "until", *by]).aggregate(newest=rows.count().cast("float64"))


def visible_tiles(tiles: Any, cutoffs: Any, *, reach: int | None) -> Any:
    """Return the tiles that are known at each cutoff, as far back as `reach` (microseconds; None for all history)."""
    within = [tiles.edge <= cutoffs.as_of, tiles.late.isnull() | (tiles.late <= cutoffs.as_of)]
    if reach is not None:
        within.append(tiles.edge > cutoffs.as_of - reach)
    if "until" in tiles.columns:
        within.append(tiles.until.isnull() | (tiles.until > cutoffs.as_of))
    return tiles.join(cutoffs, within)
