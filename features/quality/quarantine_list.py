"""Quarantined rows by feed and reason: where they are and, on request, what they contain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow.parquet as pq

from features.base.database_engine import literal, open_engine
from features.base.workspace import Workspace
from features.config.engine_settings import engine_resources
from features.identity.customer_tables import AMBIGUOUS, UNKNOWN
from features.ingest.quarantined_rows import REJECTED

#: Places that are listed of one group.
PLACES = 10
#: Why a row is quarantined, by the folder in which it lies.
REASONS = {
    UNKNOWN: "the customer that it refers to is unknown",
    AMBIGUOUS: "what it refers to stands on several customers",
}


@dataclass(frozen=True)
class QuarantinedGroup:
    """Rows of one feed that are quarantined for one reason.

    Parameters
    ----------
    feed, reason, rows : the feed, the reason, the number of rows
    places : the first of them: ``row 3`` of what was read, ``line 4`` of the file, or ``record 17``
    earlier : how many came with loads before the present one
    contents : of the first of them; empty unless requested, since they may be personal
    """

    feed: str
    reason: str
    rows: int
    places: tuple[str, ...]
    earlier: int = 0
    contents: tuple[str, ...] = field(default=(), repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return the group as JSON holds it, without contents unless they were requested."""
        document = asdict(self)
        if not self.contents:
            del document["contents"]
        return document


def quarantined_groups(
    workspace: Workspace, feeds: Iterable[str], *, show_rows: bool = False
) -> list[QuarantinedGroup]:
    """Return the quarantined rows, feed by feed, the most frequent reason first.

    Parameters
    ----------
    workspace : the workspace
    feeds : names of the feeds
    show_rows : whether to return the contents of rows
    """
    found: list[QuarantinedGroup] = []
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
                    QuarantinedGroup(feed, reason, count, tuple(places), earlier, tuple(contents) if show_rows else ())
                    for reason, count, earlier, places, contents in rows
                ]
            for folder, reason in REASONS.items():
                path = workspace.personal / folder / f"{feed}.parquet"
                if not path.is_file():
                    continue
                count, places, contents = engine.execute(
                    f"""
                    SELECT count(*), list('record ' || record_id ORDER BY record_id)[:{PLACES:d}],
                           list(CAST(to_json(u) AS VARCHAR) ORDER BY record_id)[:{PLACES:d}]
                    FROM read_parquet({literal(str(path))}) u
                    """
                ).fetchall()[0]
                if count:
                    found.append(
                        QuarantinedGroup(feed, reason, count, tuple(places), 0, tuple(contents) if show_rows else ())
                    )
    return found
