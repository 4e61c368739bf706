"""What is proposed for one source, and why: every line of a feed with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from features.base.errors import BadConfiguration
from features.base.expressions.expression import parse
from features.config.canonical import Kind
from features.onboarding.column_profile import TableProfile


@dataclass(frozen=True)
class Given:
    """One source as it was given and read.

    Parameters
    ----------
    name : the feed's name
    source : as the workspace will name it
    table : its profile
    settings : how it had to be read, such as ``encoding``, each with its reason
    """

    name: str
    source: str
    table: TableProfile
    settings: Mapping[str, Said] = field(default_factory=dict)


@dataclass(frozen=True)
class Said:
    """A value and the reason for it; the reason never holds a value of the data."""

    value: str
    reason: str = ""


@dataclass(frozen=True)
class Link:
    """Whose record a row is about: ``feed.column = thisfeed.own``."""

    feed: str
    column: str
    own: str
    reason: str


@dataclass(frozen=True)
class Proposed:
    """One feed as it is proposed.

    Parameters
    ----------
    name, given : the feed, and the source that it reads
    kind : the canonical table
    why : the reason for the kind
    key : columns; ``row`` for a row's ordinal; empty for none
    link : whose record a row is about
    settings : further lines of the declaration, in order, with their reasons
    fields : canonical fields, with their reasons
    pii, drop : columns
    hints : what a person should know, one sentence each
    """

    name: str
    given: Given
    kind: Kind
    why: str
    key: tuple[str, ...] = ()
    key_why: str = ""
    link: Link | None = None
    settings: Mapping[str, Said] = field(default_factory=dict)
    fields: Mapping[str, Said] = field(default_factory=dict)
    pii: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """A source of which no feed is made, and why; where one line is missing, the feed that would be."""

    name: str
    source: str
    why: str
    nearly: Proposed | None = None


@dataclass(frozen=True)
class Proposal:
    """A workspace's feeds as they are proposed."""

    feeds: tuple[Proposed, ...]
    left_out: tuple[LeftOut, ...] = ()

    def of_kind(self, kind: Kind) -> tuple[Proposed, ...]:
        """The feeds of one kind."""
        return tuple(feed for feed in self.feeds if feed.kind == kind)


def columns_read(value: str, table: TableProfile) -> frozenset[str]:
    """Return the columns that a column's name or an expression reads."""
    return frozenset((value,)) if value in table.columns else parse(value).columns


def reference(column: str) -> str:
    """Return a column as an expression writes it: plain where that is a column, quoted where it is not."""
    try:
        if column.isidentifier() and parse(column).columns == {column}:
            return column
    except BadConfiguration:
        pass
    return '"' + column.replace('"', '""') + '"'
