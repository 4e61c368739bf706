"""Which cutoffs can be learnt from: those that have a history, and an outcome that every feed has reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb

from features.base.database_engine import literal
from features.base.errors import BadData
from features.config.feeds_file import FeedsFile
from features.identity.data_time import next_midnight
from training.labels.label_settings import EndOfHolding, EventLabel, Label, ModelSettings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class LearntCutoffs:
    """The cutoffs of a label.

    Parameters
    ----------
    usable : those that are learnt from, oldest first
    waiting : those whose outcome is not complete yet
    waits : for which feed they wait; empty where they only wait for time to pass
    """

    usable: tuple[datetime, ...]
    waiting: tuple[datetime, ...] = ()
    waits: str = ""


def usable_cutoffs(cutoffs: Sequence[datetime], settings: ModelSettings, ends: Mapping[str, datetime]) -> LearntCutoffs:
    """Return the cutoffs that can be learnt from, and why later ones cannot where a feed lags behind the others.

    A cutoff needs history before it, and every feed that the outcome is read from has to reach past the end of its
    outcome window by `settings.settle`: where orders end, nobody has stopped ordering.

    Parameters
    ----------
    cutoffs : all snapshot cutoffs, oldest first; the last is now
    settings : the model's declaration
    ends : by feed, up to when its rows reach

    Raises
    ------
    BadData : no cutoff is left; the message names the feed that ends first

    Examples
    --------
    >>> from training.labels.label_settings import Inactivity, ModelSettings
    >>> label = Inactivity(kind="inactivity", event="purchase", horizon="30d")
    >>> settings = ModelSettings(label=label, cutoffs={"warm_up": "0d"})
    >>> months = [datetime(2026, month, 1, tzinfo=UTC) for month in (4, 5, 6, 7)]
    >>> found = usable_cutoffs(months, settings, {"till": datetime(2026, 6, 2, tzinfo=UTC)})
    >>> [f"{cutoff:%B}" for cutoff in found.usable], found.waits
    (['April', 'May'], 'the events of feed till end on 2026-06-02: the cutoff 2026-06-01 is not learnt from')
    """
    first, now = cutoffs[0], cutoffs[-1]
    if not settings.label.in_time:
        return LearntCutoffs((now,))
    wait = settings.label.closes_after + settings.settle
    feed = min(ends, key=lambda name: ends[name], default="")
    end = min(now, ends.get(feed, now))
    after_warm_up = [cutoff for cutoff in cutoffs if cutoff >= first + settings.cutoffs.warm_up]
    closed = [cutoff for cutoff in after_warm_up if cutoff + wait <= end]
    lost = [cutoff for cutoff in after_warm_up if end < cutoff + wait <= now]
    why = ""
    if lost:
        later = " and later ones are" if len(lost) > 1 else " is"
        rows = f"the {settings.label.read_from} of feed {feed} end on {end:%Y-%m-%d}"
        why = f"{rows}: the cutoff {lost[0]:%Y-%m-%d}{later} not learnt from"
    if not closed:
        hint = f", deliver {feed} again, or declare it `ended: true` in features/feeds.yaml" if lost else ""
        raise BadData(
            "label.no_cutoff",
            f"no cutoff between {first:%Y-%m-%d} and {now:%Y-%m-%d} has both its history and its outcome"
            + (f"; {why}" if why else ""),
            hint=f"shorten the horizon or cutoffs.warm_up, or deliver a longer history{hint}",
        )
    waiting = tuple(cutoff for cutoff in after_warm_up if cutoff + wait > end)
    return LearntCutoffs(tuple(closed[-settings.cutoffs.at_most :]), waiting, why)


def feed_ends(
    engine: duckdb.DuckDBPyConnection, label: Label, feeds: FeedsFile, *, now: datetime
) -> dict[str, datetime]:
    """Return up to when each feed reaches that an outcome is read from: the end of the day (UTC) of its last row.

    A row that lies ahead of when it was known, such as an order for next month, is not the end of anything. A feed that
    ended for good does not count.
    """
    at = f"make_timestamptz({micros(now - _EPOCH):d})"
    if isinstance(label, EventLabel):
        found = engine.execute(
            f"""
            SELECT feed, max(event_time) FROM events
            WHERE event = {literal(label.event)} AND event_time <= known_at AND known_at <= {at}
            GROUP BY feed
            """
        ).fetchall()
    elif isinstance(label, EndOfHolding):
        found = engine.execute(
            f"""
            SELECT feed, max(greatest(
                known_at,
                CASE WHEN held_from <= {at} THEN held_from END,
                CASE WHEN held_to <= {at} THEN held_to END
            ))
            FROM holdings WHERE known_at <= {at}
            GROUP BY feed
            """
        ).fetchall()
    else:
        found = []
    ended = {name for name, feed in feeds.feeds.items() if feed.ended}
    return {feed: min(now, next_midnight(last)) for feed, last in found if feed not in ended}


def moments(cutoffs: Sequence[datetime]) -> str:
    """Return the cutoffs as rows of a VALUES list, in microseconds since 1970.

    Examples
    --------
    >>> moments([datetime(1970, 1, 2, tzinfo=UTC)])
    '(86400000000)'
    """
    return ", ".join(f"({micros(cutoff - _EPOCH):d})" for cutoff in cutoffs)


def micros(span: timedelta) -> int:
    """Return a length of time in whole microseconds.

    Examples
    --------
    >>> micros(timedelta(seconds=1))
    1000000
    """
    return span // timedelta(microseconds=1)
