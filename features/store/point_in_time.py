"""The point-in-time join, one DuckDB statement a view: which row of a view counts for which requested row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from features.base.database_engine import literal, quoted

#: The table of entity rows: their keys, ``MOMENT`` and ``ROW``, their number.
ENTITY_ROWS = "entity_rows"
MOMENT = "__moment"
ROW = "__row"
#: Of a matched row: the number of its file among the view's files, its number in the file, and since when it holds.
FILE = "__file"
PLACE = "__place"
HAPPENED = "__happened"
_KNOWN = "__known"


@dataclass(frozen=True)
class JoinedView:
    """One view's part in a join.

    Parameters
    ----------
    relation : SQL that can stand after FROM: `parquet` of the files
    files : the view's files
    keys : column of the requested rows → column of the relation, for each join key
    columns : column of the answer → column of the relation
    event_time : the relation's column of when a row holds
    created_time : the relation's column of when it could first be known; None where it has none
    ttl : how long a row holds; None without limit
    time_as : column of the answer for the event time of the joined row; None for no such column
    plain : no row was known later than it holds, and none shares its key and event time with another
    """

    relation: str
    files: tuple[Path, ...]
    keys: Mapping[str, str]
    columns: Mapping[str, str]
    event_time: str
    created_time: str | None
    ttl: timedelta | None = None
    time_as: str | None = None
    plain: bool = False


def plain_select(view: JoinedView) -> str:
    """Return SQL of whether a view is `plain`, which makes its join cheaper."""
    event = _time(view.event_time)
    late = f"coalesce(bool_or({_time(view.created_time)} > {event}), false)" if view.created_time else "false"
    unknown = f"count(*) > count({quoted(view.created_time)})" if view.created_time else "false"
    keys = ", ".join(quoted(column) for column in view.keys.values())
    single = f"count(*) = count(DISTINCT hash({keys}, {event}))"
    return f"SELECT NOT {late} AND NOT {unknown} AND {single}\nFROM {view.relation}"


def match_select(view: JoinedView) -> str:
    """Return SQL that finds for each requested row the view's row that counts at its moment.

    A row of a view counts from when it held and was known. Of the rows that count, the one that holds since latest
    wins; among those of one time, the one that was created last. One that is older than the view's ttl gives nothing.
    Only keys and times are joined: the values of the few rows that win are fetched by their place.

    Returns
    -------
    SQL of ``ROW``, ``FILE``, ``PLACE`` and ``HAPPENED``; requested rows for which no row counts are left out
    """
    same = [f"a.{quoted(requested)} = v.{quoted(f'key {requested}')}" for requested in view.keys]
    on = " AND ".join([*same, f"a.{MOMENT} >= v.{_KNOWN}"])
    holds = "true"
    if view.ttl is not None:
        holds = f"v.{HAPPENED} >= a.{MOMENT} - to_microseconds({view.ttl // timedelta(microseconds=1):d})"
    return (
        f"SELECT a.{ROW}, v.{FILE}, v.{PLACE}, v.{HAPPENED}\n"
        f"FROM {ENTITY_ROWS} a ASOF JOIN (\n{_rows(view)}\n) v ON {on}\nWHERE {holds}"
    )


def _rows(view: JoinedView) -> str:
    """Return SQL of a view's rows that are at some moment the best that is known of their key."""
    keys = [f"{quoted(source)} AS {quoted(f'key {requested}')}" for requested, source in view.keys.items()]
    event, created = _time(view.event_time), _time(view.created_time or view.event_time)
    known = event if view.plain else f"greatest({event}, {created})"
    listed = ", ".join(
        [
            *keys,
            f"file_index AS {FILE}",
            f"file_row_number AS {PLACE}",
            f"{event} AS {HAPPENED}",
            f"{known} AS {_KNOWN}",
        ]
    )
    select = f"SELECT {listed}\nFROM {view.relation}"
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
    """Return SQL of the rows whose event time lies in ``[$start, $end]``; a bound that is null is no bound."""
    time = _time(event_time)
    return (
        f"SELECT {', '.join(map(quoted, columns))}\nFROM {relation}\n"
        f"WHERE coalesce({time} >= CAST($start AS TIMESTAMPTZ), true) "
        f"AND coalesce({time} <= CAST($end AS TIMESTAMPTZ), true)"
    )


def keys_select(views: Sequence[JoinedView]) -> str:
    """Return SQL of every combination of keys with a row in ``[$start, $end]``, at the moment ``$end``."""
    names = list(dict.fromkeys(requested for view in views for requested in view.keys))
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


def parquet(files: Sequence[Path]) -> str:
    """Return SQL of a relation over Parquet files.

    Examples
    --------
    >>> parquet([Path("ages.parquet")])
    "read_parquet(['ages.parquet'], union_by_name = true)"
    """
    return f"read_parquet([{', '.join(literal(str(file)) for file in files)}], union_by_name = true)"


def _time(column: str) -> str:
    """Return SQL of a time; one without a zone is UTC, as the session's zone is."""
    return f"CAST({quoted(column)} AS TIMESTAMPTZ)"
