"""Rows kept aside, by feed and reason: where they stand, and, for whoever asks, what they said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow.parquet as pq

from features.base.engine import literal, open_engine
from features.base.workspace import Workspace
from features.config.engine_settings import engine_resources
from features.ingest.quarantined_rows import REJECTED

#: Places that are named of one group; its count says how many there are.
PLACES = 10
UNKNOWN = "the customer that it names is unknown"


@dataclass(frozen=True)
class KeptAside:
    """Rows of one feed that are kept aside for one reason.

    Parameters
    ----------
    feed, reason, rows : which, why, how many
    places : the first of them: ``row 3`` of what was read, ``line 4`` of the file, or ``record 17``
    earlier : how many came with loads before the present one
    said : what the first of them say; empty unless asked for, since it may be personal
    """

    feed: str
    reason: str
    rows: int
    places: tuple[str, ...]
    earlier: int = 0
    said: tuple[str, ...] = field(default=(), repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs; without what the rows say, unless that was asked for."""
        document = asdict(self)
        if not self.said:
            del document["said"]
        return document


def kept_aside(workspace: Workspace, feeds: Iterable[str], *, show_rows: bool = False) -> list[KeptAside]:
    """Return what is kept aside, feed by feed, the commonest reason first.

    Parameters
    ----------
    workspace : the workspace; a feed that was never read has nothing
    feeds : the feeds to look at
    show_rows : whether to tell what the rows say
    """
    found: list[KeptAside] = []
    with open_engine(folders=[workspace.state], resources=engine_resources(workspace)) as engine:
        for feed in feeds:
            held = workspace.staged / feed / REJECTED
            if held.is_file() and "earlier" in pq.read_schema(held).names:
                rows = engine.execute(
                    f"""
                    SELECT reason, count(*), count(*) FILTER (earlier),
                           list(CASE WHEN line IS NOT NULL THEN 'line ' || line ELSE 'row ' || "row" END
                                ORDER BY earlier, line, "row")[:{PLACES:d}],
                           list(as_read ORDER BY earlier, line, "row")[:{PLACES:d}]
                    FROM read_parquet({literal(str(held))})
                    GROUP BY reason ORDER BY 2 DESC, 1
                    """
                ).fetchall()
                found += [
                    KeptAside(feed, reason, count, tuple(places), earlier, tuple(said) if show_rows else ())
                    for reason, count, earlier, places, said in rows
                ]
            unknown = workspace.personal / "unknown" / f"{feed}.parquet"
            if unknown.is_file():
                count, places, said = engine.execute(
                    f"""
                    SELECT count(*), list('record ' || record_id ORDER BY record_id)[:{PLACES:d}],
                           list(CAST(to_json(u) AS VARCHAR) ORDER BY record_id)[:{PLACES:d}]
                    FROM read_parquet({literal(str(unknown))}) u
                    """
                ).fetchall()[0]
                if count:
                    found.append(KeptAside(feed, UNKNOWN, count, tuple(places), 0, tuple(said) if show_rows else ()))
    return found
