"""The point-in-time join as one DuckDB statement: an ASOF join a view, with ttl and known time, rows kept in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from features.base.engine import literal, quoted

#: The table of asked rows; it has every asked column, ``MOMENT`` and ``ROW``.
ASKED = "asked_rows"
MOMENT = "__moment"
ROW = "__row"
_HAPPENED = "__happened"
_KNOWN = "__known"


@dataclass(frozen=True)
class JoinedView:
    """One view's part in a join.

    Parameters
    ----------
    relation : SQL that can stand after FROM, such as ``read_parquet([…])``
    keys : column of the asked rows → column of the relation, for each join key
    columns : column of the answer → column of the relation
    event_time : the relation's column of when a row holds
    created_time : the relation's column of when it could first be known; None where it has none
    ttl : how long a row holds; None without limit
    time_as : column of the answer that says which row was joined, by its event time; None for no such column
    plain : no row was known later than it holds, and none shares its key and event time with another
    """

    relation: str
    keys: Mapping[str, str]
    columns: Mapping[str, str]
    event_time: str
    created_time: str | None
    ttl: timedelta | None = None
    time_as: str | None = None
    plain: bool = False


def plain_select(view: JoinedView) -> str:
    """Return SQL that says whether a view is `plain`, which makes its join cheaper."""
    event = _time(view.event_time)
    late = f"coalesce(bool_or({_time(view.created_time)} > {event}), false)" if view.created_time else "false"
    unknown = f"count(*) > count({quoted(view.created_time)})" if view.created_time else "false"
    keys = ", ".join(quoted(column) for column in view.keys.values())
    single = f"count(*) = count(DISTINCT hash({keys}, {event}))"
    return f"SELECT NOT {late} AND NOT {unknown} AND {single}\nFROM {view.relation}"


def point_in_time_select(asked: Sequence[str], views: Sequence[JoinedView]) -> str:
    """Return SQL that joins each asked row with every view as it was known at the row's moment.

    A row of a view counts from when it held and was known. Of the rows that count, the one that holds since latest
    wins; among those of one time, the one that was created last. One that is older than the view's ttl gives nothing.

    Parameters
    ----------
    asked : columns of ``asked_rows`` that come first in the answer
    views : the views, in the order of their columns

    Returns
    -------
    SQL whose answer has one row for each asked row, in the order of ``ROW``
    """
    relations = ",\n".join(f"{_name(place)} AS (\n{_rows(view)}\n)" for place, view in enumerate(views))
    joins = "\n".join(_join(place, view) for place, view in enumerate(views))
    columns = [f"a.{quoted(column)}" for column in asked]
    for place, view in enumerate(views):
        columns += [f"{_held(place, column, view)} AS {quoted(column)}" for column in view.columns]
        if view.time_as is not None:
            columns.append(f"{_held(place, _HAPPENED, view)} AS {quoted(view.time_as)}")
    listed = ",\n  ".join(columns)
    head = f"WITH {relations}\n" if views else ""
    return f"{head}SELECT\n  {listed}\nFROM {ASKED} a\n{joins}\nORDER BY a.{ROW}"


def _rows(view: JoinedView) -> str:
    """Return SQL of a view's rows that are at some moment the best that is known of their key."""
    keys = [f"{quoted(source)} AS {quoted(f'key {asked}')}" for asked, source in view.keys.items()]
    values = [f"{quoted(source)} AS {quoted(answer)}" for answer, source in view.columns.items()]
    event, created = _time(view.event_time), _time(view.created_time or view.event_time)
    known = event if view.plain else f"greatest({event}, {created})"
    select = f"SELECT {', '.join([*keys, *values])}, {event} AS {_HAPPENED}, {known} AS {_KNOWN}\nFROM {view.relation}"
    if view.plain:
        return select
    parted = ", ".join(quoted(column) for column in view.keys.values())
    best = f"row({event}, {created})"
    # a row that comes to be known after one that holds since later is never the best; of the others the last known is
    return (
        f"{select}\nWHERE {created} IS NOT NULL\n"
        f"QUALIFY {best} >= max({best}) OVER (PARTITION BY {parted} ORDER BY {known}, {event}, {created} "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)\n"
        f"AND row_number() OVER (PARTITION BY {parted}, {known} ORDER BY {event} DESC, {created} DESC) = 1"
    )


def _join(place: int, view: JoinedView) -> str:
    same = [f"a.{quoted(asked)} = {_name(place)}.{quoted(f'key {asked}')}" for asked in view.keys]
    return f"ASOF LEFT JOIN {_name(place)} ON {' AND '.join(same)} AND a.{MOMENT} >= {_name(place)}.{_KNOWN}"


def _held(place: int, column: str, view: JoinedView) -> str:
    value = f"{_name(place)}.{quoted(column)}"
    if view.ttl is None:
        return value
    length = f"to_microseconds({view.ttl // timedelta(microseconds=1):d})"
    return f"CASE WHEN {_name(place)}.{_HAPPENED} >= a.{MOMENT} - {length} THEN {value} END"


def latest_select(
    relation: str, *, keys: Sequence[str], columns: Sequence[str], event_time: str, created_time: str | None
) -> str:
    """Return SQL of each key's newest row whose event time lies in ``[$start, $end]``."""
    order = ", ".join(f"{quoted(time)} DESC" for time in (event_time, created_time) if time)
    return (
        f"{between_select(relation, columns=columns, event_time=event_time)}\n"
        f"QUALIFY row_number() OVER (PARTITION BY {', '.join(map(quoted, keys))} ORDER BY {order}) = 1"
    )


def between_select(relation: str, *, columns: Sequence[str], event_time: str) -> str:
    """Return SQL of the rows whose event time lies in ``[$start, $end]``; a bound that is null does not hold."""
    time = _time(event_time)
    return (
        f"SELECT {', '.join(map(quoted, columns))}\nFROM {relation}\n"
        f"WHERE coalesce({time} >= CAST($start AS TIMESTAMPTZ), true) "
        f"AND coalesce({time} <= CAST($end AS TIMESTAMPTZ), true)"
    )


def keys_select(views: Sequence[JoinedView]) -> str:
    """Return SQL of every combination of keys with a row in ``[$start, $end]``, at the moment ``$end``."""
    names = list(dict.fromkeys(asked for view in views for asked in view.keys))
    parts = []
    for view in views:
        keys = ", ".join(
            f"{quoted(view.keys[name])} AS {quoted(name)}" if name in view.keys else f"NULL AS {quoted(name)}"
            for name in names
        )
        time = _time(view.event_time)
        parts.append(
            f"SELECT {keys} FROM {view.relation}\n"
            f"WHERE {time} <= CAST($end AS TIMESTAMPTZ) AND coalesce({time} >= CAST($start AS TIMESTAMPTZ), true)"
        )
    union = "\nUNION\n".join(parts)
    listed = ", ".join(map(quoted, names))
    return f"SELECT {listed}, CAST($end AS TIMESTAMPTZ) AS event_timestamp\nFROM ({union})\nORDER BY {listed}"


def parquet(files: Sequence[str]) -> str:
    """Return SQL of a relation over Parquet files, globs or folders' patterns."""
    return f"read_parquet([{', '.join(map(literal, files))}], union_by_name = true)"


def _time(column: str) -> str:
    """Return SQL of a time; one without a zone is UTC, as the session's zone is."""
    return f"CAST({quoted(column)} AS TIMESTAMPTZ)"


def _name(place: int) -> str:
    return f"view_{place}"
