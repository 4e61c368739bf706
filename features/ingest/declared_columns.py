"""The columns that a feed's declaration names, before its files are read."""

from __future__ import annotations

from features.base.errors import BadConfiguration
from features.base.expressions.expression import parse
from features.config.feed import Feed


def declared_columns(feed: Feed, name: str) -> frozenset[str]:
    """Return the columns of a feed's files that give its key, customer, times and fields.

    Examples
    --------
    >>> feed = Feed(source="crm.csv", kind="customers", key="id", fields={"email": "lower(Mail)"})
    >>> sorted(declared_columns(feed, "crm"))
    ['Mail', 'id']
    """
    link = feed.link(name)
    columns = {*feed.keys, *([] if link is None else [link[2]])}
    times = [text for text in (feed.event_time, feed.updated_at, feed.known_at) if text is not None]
    for text in [*feed.fields.values(), *times, *feed.columns.values()]:
        try:
            columns |= parse(text).columns
        except BadConfiguration:  # a name such as Order Date
            columns.add(text)
    return frozenset(columns - feed.columns.keys())
