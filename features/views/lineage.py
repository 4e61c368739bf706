"""Where a feature comes from: the columns of canonical tables, the feeds' columns behind them, the personal ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from features.base.errors import BadConfiguration
from features.base.expressions.expression import parse
from features.config.canonical import CANONICAL, Kind, attribute_name
from features.config.feed import Feed
from features.config.feeds_file import FeedsFile
from features.ingest.personal_columns import personal_attributes
from features.views.catalogue import Feature


@dataclass(frozen=True)
class Lineage:
    """The feeds' columns behind those of the canonical tables.

    Parameters
    ----------
    feeds : the declared feeds
    personal : the feeds' columns that identify a person, as ``feed.column``
    """

    feeds: FeedsFile
    personal: Collection[str]

    @classmethod
    def of(cls, feeds: FeedsFile) -> Lineage:
        return cls(feeds, personal_attributes(feeds))

    def traced(
        self, features: Iterable[Feature], kind: Kind, *, read: Iterable[str] = (), owner: str = "", purpose: str = ""
    ) -> tuple[Feature, ...]:
        """Return the features of a view with where they come from, whose they are and what for.

        Parameters
        ----------
        features : with their own columns as ``sources``: of the view's table, of another one as ``table.column``
        kind : the view's table
        read : columns that every feature of the view reads, such as those of ``where`` and ``by``
        owner, purpose : of the view
        """
        shared = tuple(read)
        traced = []
        for feature in features:
            columns = sorted({self._placed(column, kind) for column in (*feature.sources, *shared)})
            origins = sorted({origin for column in columns for origin in self._origins(*column)})
            traced.append(
                replace(
                    feature,
                    sources=tuple(f"{table}.{column}" for table, column in columns),
                    origins=tuple(origins),
                    personal=tuple(origin for origin in origins if origin in self.personal),
                    owner=owner,
                    purpose=purpose,
                )
            )
        return tuple(traced)

    def _placed(self, column: str, kind: Kind) -> tuple[Kind, str]:
        """Return the table in which a column stands, and its name there; a feed's own name comes before a table's."""
        table, _, name = column.partition(".")
        if table in self.feeds.feeds and self.feeds.feeds[table].kind == kind:
            return kind, column
        return next(((other, name) for other in CANONICAL if other == table and name), (kind, column))

    def _origins(self, kind: Kind, column: str) -> list[str]:
        """Return the feeds' columns from which a column of a canonical table is made, as ``feed.column``."""
        members = {name: feed for name, feed in self.feeds.feeds.items() if feed.kind == kind}
        if column.partition(".")[0] in members:
            return [column]
        return [attribute_name(name, own) for name, feed in members.items() for own in sorted(_own(feed, column))]


def _own(feed: Feed, column: str) -> frozenset[str]:
    times = {"event_time": feed.event_time or feed.updated_at, "known_at": feed.known_at or feed.updated_at}
    text = feed.fields.get(column) or times.get(column)
    return frozenset() if text is None else _columns_of(text)


@lru_cache(maxsize=1024)  # hundreds of features rest on the same few expressions, some of them a page long
def _columns_of(text: str) -> frozenset[str]:
    try:
        return parse(text).columns
    except BadConfiguration:  # a column whose name is no expression, such as `Last Name`
        return frozenset((text,))
