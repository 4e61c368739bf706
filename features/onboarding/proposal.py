"""The proposed workspace: feeds, each setting with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from features.base.errors import BadConfiguration
from features.base.expressions.expression import parse
from features.config.canonical import Kind
from features.onboarding.column_profile import TableProfile


@dataclass(frozen=True)
class ProfiledSource:
    """One source as it was requested and profiled.

    Parameters
    ----------
    name : the feed's name
    source : path or address that the workspace will use
    table : its profile
    settings : needed to read it, such as ``encoding``, each with its reason
    notes : what was found about the shape of the file, one sentence each
    delivered : when the files were written, to the second
    """

    name: str
    source: str
    table: TableProfile
    settings: Mapping[str, Reasoned] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    delivered: str = ""

    @property
    def stem(self) -> str:
        """The file's own name, without folder and suffix."""
        return PurePath(self.source).stem if "://" not in self.source else self.name


@dataclass(frozen=True)
class Reasoned:
    """A value and the reason for it; the reason never holds a value of the data."""

    value: str
    reason: str = ""


@dataclass(frozen=True)
class CustomerLink:
    """How rows refer to customers: ``feed.column = thisfeed.own``."""

    feed: str
    column: str
    own: str
    reason: str


@dataclass(frozen=True)
class ProposedFeed:
    """One proposed feed.

    Parameters
    ----------
    name, given : the feed, and the source that it reads
    kind : the canonical table
    why : the reason for the kind
    key : columns; ``row`` for a row's ordinal; empty for none
    link : how rows refer to customers
    settings : further lines of the declaration, in order, with their reasons
    fields : canonical fields, with their reasons
    columns : columns made of the source's own, with their reasons
    times : how times are written, by column
    pii, drop : columns
    hints : for the user, one sentence each
    """

    name: str
    given: ProfiledSource
    kind: Kind
    why: str
    key: tuple[str, ...] = ()
    key_why: str = ""
    link: CustomerLink | None = None
    settings: Mapping[str, Reasoned] = field(default_factory=dict)
    fields: Mapping[str, Reasoned] = field(default_factory=dict)
    columns: Mapping[str, Reasoned] = field(default_factory=dict)
    times: Mapping[str, str] = field(default_factory=dict)
    pii: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


@dataclass(frozen=True)
class SkippedSource:
    """A source without a proposed feed, and the reason; `nearly` is the feed if one missing line were added."""

    name: str
    source: str
    why: str
    nearly: ProposedFeed | None = None


@dataclass(frozen=True)
class Proposal:
    """The proposed feeds of a workspace, and the sources without one.

    Parameters
    ----------
    feeds, left_out : the feeds, and the sources without one
    purposes : purposes of the consents that were found, with their bases
    unread : columns and sources that are about consent and are not understood
    notes : what a person should know, one sentence each
    warnings : what is probably not as a person wants it, one sentence each
    company : currency and time zone, as far as the data or a person say them
    """

    feeds: tuple[ProposedFeed, ...]
    left_out: tuple[SkippedSource, ...] = ()
    purposes: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    company: Mapping[str, str] = field(default_factory=dict)

    def of_kind(self, kind: Kind) -> tuple[ProposedFeed, ...]:
        """The feeds of one kind."""
        return tuple(feed for feed in self.feeds if feed.kind == kind)


def columns_read(value: str, table: TableProfile) -> frozenset[str]:
    """Return the columns that a column's name or an expression reads."""
    return frozenset((value,)) if value in table.columns else parse(value).columns


def reference(column: str) -> str:
    """Return a column's name as it is written in an expression: quoted where it needs to be.

    Examples
    --------
    >>> reference("amount"), reference("unit price")
    ('amount', '"unit price"')
    """
    try:
        if column.isidentifier() and parse(column).columns == {column}:
            return column
    except BadConfiguration:
        pass
    return '"' + column.replace('"', '""') + '"'
