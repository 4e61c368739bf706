"""Digests of what the columns of a feed's rows are made of, whatever else its declaration holds."""

from __future__ import annotations

from features.base.storage import digest_of
from features.config.canonical import CANONICAL
from features.config.feed import Feed


def digest_of_times(feed: Feed) -> str:
    """Return a digest of what dates a feed's rows."""
    times = [feed.event_time, feed.updated_at, feed.known_at, feed.fields.get("held_from"), feed.timezone]
    return digest_of([*times, *_reading(feed, " ".join(text for text in times if text))])


def digest_of_column(feed: Feed, column: str) -> str:
    """Return a digest of what a column of the rows is made of; with another one, other values are no change."""
    if column == "event_time":
        return digest_of_times(feed)
    if column == "customer_ref":
        return digest_of(feed.customer)
    text = feed.fields.get(column)
    if text is None:
        return digest_of([feed.decimal, feed.event if column == "event" else None])
    made: list[object] = [text, *_reading(feed, text)]
    match CANONICAL[feed.kind].fields[column]:
        case "number":
            made += [feed.decimal, feed.currency, [name for name in feed.minor_units if name in text]]
        case "time":
            made += [feed.timezone]
    return digest_of(made)


def _reading(feed: Feed, text: str) -> list[dict[str, str]]:
    """Return how the columns that a text names are made, and how their times are read."""
    return [{name: how for name, how in given.items() if name in text} for given in (feed.columns, feed.times)]
