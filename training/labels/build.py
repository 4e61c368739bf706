"""Labels from the canonical tables: who was in the population at each cutoff, and what came after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.base.database_engine import literal, quoted
from features.base.errors import BadConfiguration, BadData
from features.config.canonical import category_name, equal_names
from features.config.feeds_file import FeedsFile
from features.identity.data_time import next_midnight
from features.identity.survivorship_rules import survivor
from training.labels.label_settings import FILE, Acquisition, Inactivity, ModelSettings, RecordedField

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Labels:
    """What is to be predicted.

    Parameters
    ----------
    rows : ``customer_id`` and ``as_of`` (UTC), ordered by moment, then customer
    target : shape (rows,) or, for an acquisition, (rows, candidates): 1 it happened, 0 it did not
    candidates : the categories of an acquisition, as they end column names; else empty
    description : the contract in words
    closes_after : how long after its cutoff an outcome is known
    waits : which cutoffs are not learnt from yet, and for which feed they wait; empty where none do
    """

    rows: pd.DataFrame
    target: NDArray[np.float64]
    candidates: tuple[str, ...]
    description: str
    closes_after: timedelta
    waits: str = ""


def usable_cutoffs(
    cutoffs: Sequence[datetime], settings: ModelSettings, ends: Mapping[str, datetime]
) -> tuple[list[datetime], str]:
    """Return the cutoffs that can be learnt from, and why later ones cannot where a feed lags behind the others.

    A cutoff needs history before it, and every feed that the outcome is read from has to reach past the end of its
    outcome window by `settings.settle`: where orders end, nobody has stopped ordering.

    Parameters
    ----------
    cutoffs : all snapshot cutoffs, oldest first; the last is now
    settings : the model's declaration
    ends : by feed, up to when its events reach

    Raises
    ------
    BadData : no cutoff is left; the message names the feed that ends first

    Examples
    --------
    >>> from training.labels.label_settings import Inactivity, ModelSettings
    >>> label = Inactivity(kind="inactivity", event="purchase", horizon="30d")
    >>> settings = ModelSettings(label=label, cutoffs={"warm_up": "0d"})
    >>> months = [datetime(2026, month, 1, tzinfo=UTC) for month in (4, 5, 6, 7)]
    >>> usable, why = usable_cutoffs(months, settings, {"till": datetime(2026, 6, 2, tzinfo=UTC)})
    >>> [f"{cutoff:%B}" for cutoff in usable], why
    (['April', 'May'], 'the events of feed till end on 2026-06-02: the cutoff 2026-06-01 is not learnt from')
    """
    first, now = cutoffs[0], cutoffs[-1]
    if not settings.label.in_time:
        return [now], ""
    wait = settings.label.closes_after + settings.settle
    feed = min(ends, key=lambda name: ends[name], default="")
    end = min(now, ends.get(feed, now))
    after_warm_up = [cutoff for cutoff in cutoffs if cutoff >= first + settings.cutoffs.warm_up]
    closed = [cutoff for cutoff in after_warm_up if cutoff + wait <= end]
    lost = [cutoff for cutoff in after_warm_up if end < cutoff + wait <= now]
    why = ""
    if lost:
        later = " and later ones are" if len(lost) > 1 else " is"
        why = f"the events of feed {feed} end on {end:%Y-%m-%d}: the cutoff {lost[0]:%Y-%m-%d}{later} not learnt from"
    if not closed:
        hint = f", deliver {feed} again, or declare it `ended: true` in features/feeds.yaml" if lost else ""
        raise BadData(
            "label.no_cutoff",
            f"no cutoff between {first:%Y-%m-%d} and {now:%Y-%m-%d} has both its history and its outcome"
            + (f"; {why}" if why else ""),
            hint=f"shorten the horizon or cutoffs.warm_up, or deliver a longer history{hint}",
        )
    return closed[-settings.cutoffs.at_most :], why


def _ends(engine: duckdb.DuckDBPyConnection, event: str, feeds: FeedsFile, *, now: datetime) -> dict[str, datetime]:
    """Return up to when the events of each feed reach: the end of the day (UTC) of its last one, at most `now`."""
    # an event that lies ahead of when it was known, such as an order for next month, is not the end of anything
    found = engine.execute(
        f"""
        SELECT feed, max(event_time) FROM events
        WHERE event = {literal(event)} AND event_time <= known_at AND epoch_us(known_at) <= {micros(now - _EPOCH)}
        GROUP BY feed
        """
    ).fetchall()
    ended = {name for name, feed in feeds.feeds.items() if feed.ended}
    return {feed: min(now, next_midnight(last)) for feed, last in found if feed not in ended}


def build(
    engine: duckdb.DuckDBPyConnection, settings: ModelSettings, cutoffs: Sequence[datetime], feeds: FeedsFile
) -> Labels:
    """Return the labels of every usable cutoff.

    Features lie at or before the cutoff; the outcome window is ``(cutoff + gap, cutoff + gap + horizon]``.

    Parameters
    ----------
    engine : with the canonical tables
    settings : the model's declaration
    cutoffs : all snapshot cutoffs, oldest first; the last is now
    feeds : whose rules choose the value of a recorded field

    Raises
    ------
    BadData : no cutoff can be used, or nobody is in the population
    BadConfiguration : the label names a field or a kind of event that is not there
    """
    label = settings.label
    ends = {} if isinstance(label, RecordedField) else _ends(engine, label.event, feeds, now=cutoffs[-1])
    usable, waits = usable_cutoffs(cutoffs, settings, ends)
    match label:
        case Inactivity():
            labels = _inactivity(engine, label, settings, usable)
        case Acquisition():
            labels = _acquisition(engine, label, settings, usable)
        case RecordedField():
            labels = _recorded(engine, label, usable[-1], feeds)
    if labels.rows.empty:
        raise BadData("label.empty", "nobody is in the population", hint="widen population.active_within")
    return replace(labels, waits=waits)


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


def _population(cutoffs: Sequence[datetime], event: str, active_within: timedelta | None) -> str:
    """Return SQL of who had the event before each cutoff, as far as it was known then."""
    since = f"AND epoch_us(e.event_time) > c.as_of - {micros(active_within)}" if active_within else ""
    return (
        "SELECT DISTINCT e.customer_id, c.as_of "
        f"FROM events e JOIN (VALUES {moments(cutoffs)}) c(as_of) "
        "ON epoch_us(e.event_time) <= c.as_of AND epoch_us(e.known_at) <= c.as_of "
        f"WHERE e.event = {literal(event)} {since}"
    )


def _need_event(engine: duckdb.DuckDBPyConnection, event: str) -> None:
    if not engine.execute("SELECT 1 FROM duckdb_views() WHERE view_name = 'events'").fetchall():
        raise BadConfiguration("label.no_events", "no feed is of events", hint="declare one in features/feeds.yaml")
    known = [row[0] for row in engine.execute("SELECT DISTINCT event FROM events ORDER BY event").fetchall()]
    if event not in known:
        raise BadConfiguration(
            "label.unknown_event", f"no event of type {event!r}", hint=f"the feeds have: {', '.join(map(str, known))}"
        )


def frame_of(engine: duckdb.DuckDBPyConnection, select: str) -> pd.DataFrame:
    """Return a result with its ``as_of`` as a moment."""
    found: pd.DataFrame = engine.sql(select).to_arrow_table().to_pandas()
    return found.assign(as_of=pd.to_datetime(found["as_of"], unit="us", utc=True))


def _inactivity(
    engine: duckdb.DuckDBPyConnection, label: Inactivity, settings: ModelSettings, cutoffs: Sequence[datetime]
) -> Labels:
    _need_event(engine, label.event)
    gap, horizon = micros(label.gap), micros(label.horizon)
    found = frame_of(
        engine,
        f"""
        WITH population AS ({_population(cutoffs, label.event, settings.population.active_within)})
        SELECT p.customer_id, p.as_of, CASE WHEN count(e.customer_id) = 0 THEN 1 ELSE 0 END AS target
        FROM population p
        LEFT JOIN (SELECT customer_id, epoch_us(event_time) AS at FROM events WHERE event = {literal(label.event)}) e
          ON e.customer_id = p.customer_id AND e.at > p.as_of + {gap} AND e.at <= p.as_of + {gap + horizon}
        GROUP BY p.customer_id, p.as_of
        ORDER BY p.as_of, p.customer_id
        """,
    )
    return Labels(
        rows=found[["customer_id", "as_of"]],
        target=found["target"].to_numpy(dtype=np.float64),
        candidates=(),
        description=f"no {label.event} in the {label.horizon.days} days after the cutoff",
        closes_after=label.closes_after,
    )


def category_sql(of: str) -> tuple[str, str]:
    """Return SQL of a relation of events with the column ``category``, and the name of what is taken.

    Examples
    --------
    >>> category_sql("item")
    ('(SELECT *, CAST("item" AS VARCHAR) AS category FROM events)', 'item')
    """
    if of.startswith("items."):
        field = quoted(of.removeprefix("items."))
        relation = (
            f"(SELECT e.*, i.category FROM events e JOIN (SELECT item, arg_max({field}, (feed, record_id)) AS category "
            "FROM items GROUP BY item) i USING (item))"
        )
        return relation, of
    return f"(SELECT *, CAST({quoted(of)} AS VARCHAR) AS category FROM events)", of


def _acquisition(
    engine: duckdb.DuckDBPyConnection, label: Acquisition, settings: ModelSettings, cutoffs: Sequence[datetime]
) -> Labels:
    _need_event(engine, label.event)
    gap, horizon = micros(label.gap), micros(label.horizon)
    relation, of = category_sql(label.of)
    found = frame_of(
        engine,
        f"""
        WITH population AS ({_population(cutoffs, label.event, settings.population.active_within)})
        SELECT p.customer_id, p.as_of, list_sort(list(DISTINCT e.category) FILTER (e.category IS NOT NULL)) AS taken
        FROM population p
        LEFT JOIN (
            SELECT customer_id, category, epoch_us(event_time) AS at
            FROM {relation} WHERE event = {literal(label.event)}
        ) e ON e.customer_id = p.customer_id AND e.at > p.as_of + {gap} AND e.at <= p.as_of + {gap + horizon}
        GROUP BY p.customer_id, p.as_of
        ORDER BY p.as_of, p.customer_id
        """,
    )
    names = [
        row[0]
        for row in engine.execute(
            f"SELECT DISTINCT category FROM {relation} WHERE event = {literal(label.event)} AND category IS NOT NULL "
            "ORDER BY category"
        ).fetchall()
    ]
    if alike := equal_names(names):
        which = "; ".join(f"{' and '.join(map(repr, same))} would both be {name}" for name, same in alike)
        raise BadConfiguration(
            "label.same_name",
            f"two categories of {label.of} share a name: {which}",
            where=FILE,
            hint="give them different names in features/feeds.yaml (one name, if they are the same)",
        )
    place = {name: at for at, name in enumerate(names)}
    target = np.zeros((len(found), len(names)))
    for row, taken in enumerate(found["taken"]):
        if taken is not None:
            target[row, [place[name] for name in taken]] = 1.0
    return Labels(
        rows=found[["customer_id", "as_of"]],
        target=target,
        candidates=tuple(category_name(name) for name in names),
        description=f"which {of} of a {label.event} in the {label.horizon.days} days after the cutoff",
        closes_after=label.closes_after,
    )


def _recorded(engine: duckdb.DuckDBPyConnection, label: RecordedField, as_of: datetime, feeds: FeedsFile) -> Labels:
    columns = [row[0] for row in engine.execute("DESCRIBE customers").fetchall()]
    if label.field not in columns:
        raise BadConfiguration(
            "label.unknown_field", f"customers has no column {label.field!r}", hint="write it as feed.column"
        )
    value = survivor(label.field, feeds)
    positive = str(label.positive).lower() if isinstance(label.positive, bool) else str(label.positive)
    found = (
        engine.sql(
            f"""
        SELECT customer_id, CAST(CAST(value AS VARCHAR) IN ({_spellings(positive)}) AS DOUBLE) AS target
        FROM (SELECT customer_id, {value} AS value FROM customers WHERE known_until IS NULL GROUP BY customer_id)
        WHERE value IS NOT NULL
        ORDER BY customer_id
        """
        )
        .to_arrow_table()
        .to_pandas()
    )
    return Labels(
        rows=pd.DataFrame({"customer_id": found["customer_id"], "as_of": pd.Timestamp(as_of)}),
        target=found["target"].to_numpy(dtype=np.float64),
        candidates=(),
        description=f"{label.field} is {label.positive}",
        closes_after=label.closes_after,
    )


def _spellings(positive: str) -> str:
    """Return the ways in which the engine may write the positive value: 1 is also 1.0."""
    words = {positive}
    if positive.lstrip("-").isdigit():
        words.add(f"{positive}.0")
    return ", ".join(literal(word) for word in sorted(words))
