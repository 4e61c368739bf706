"""Which convention the times of a feed follow: declared, or decided over all rows and over the feed's other times."""

from __future__ import annotations

import duckdb

from features.base.database_engine import one_row
from features.base.errors import BadData
from features.config.feed import TimeConvention
from features.ingest.mapping import TYPED, FeedMapping
from features.ingest.time_text import decide_convention, has_other_times

_TYPED = ("TIMESTAMP", "DATE", "TIME")


def decide_conventions(
    engine: duckdb.DuckDBPyConnection, mapping: FeedMapping
) -> dict[str, tuple[TimeConvention, ...]]:
    """Return the convention of each text or number that gives times otherwise than in ISO 8601, and others as likely.

    Parameters
    ----------
    engine : holds the feed's typed rows
    mapping : the feed, with the type of each declared expression

    Raises
    ------
    BadData : code ``feed.times``: too many rows can be read under two conventions
    """
    found: dict[str, tuple[TimeConvention, ...]] = {}
    doubts: dict[str, int] = {}
    for text in mapping.times():
        if mapping.given[text].startswith(_TYPED):
            continue
        declared = mapping.declared_convention(text)
        if declared is not None:
            found[text] = (declared,)
            continue
        written = mapping.text_of(text)
        if not has_other_times(engine, TYPED, written):
            continue
        convention, doubts[text], others = decide_convention(engine, TYPED, written, delivered=mapping.loaded_at)
        found[text] = (convention, *others)
    settled = {ways[0] for ways in found.values() if len(ways) == 1 and ways[0] in ("day_first", "month_first")}
    for text, ways in found.items():
        shared = settled & set(ways)
        if len(ways) > 1 and len(shared) == 1:  # the same system has written both
            found[text] = (shared.pop(),)
        elif len(ways) > 1:
            _refuse_undecided(engine, mapping, text, ways, doubts[text])
    return found


def _refuse_undecided(
    engine: duckdb.DuckDBPyConnection,
    mapping: FeedMapping,
    text: str,
    ways: tuple[TimeConvention, ...],
    undecided: int,
) -> None:
    (rows,) = one_row(engine, f"SELECT count(*) FROM {TYPED}")
    if undecided <= mapping.feed.reject_above * rows:
        return
    columns = sorted(mapping.source_columns(text))
    readings = " and as ".join(f"`{way}`" for way in ways)
    raise BadData(
        "feed.times",
        f"{undecided} of {rows} times of {', '.join(repr(column) for column in columns)} can be read as {readings}: "
        "no row decides which is meant",
        where=f"feed {mapping.name}",
        hint=f"add `times: {{{columns[0]}: {ways[0]}}}` (or {ways[1]}) to feeds.{mapping.name}",
    )
