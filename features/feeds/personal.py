"""Which columns identify a person, under whatever name they survive."""

from __future__ import annotations

from features.base.errors import BadConfiguration
from features.base.expression import parse
from features.declaration.canonical import PERSONAL_FIELDS, attribute_name
from features.declaration.file import FeedsFile


def personal_attributes(file: FeedsFile) -> frozenset[str]:
    """Return the attributes of customers that are declared personal, or that a personal field is taken from."""
    found: set[str] = set()
    for name, feed in file.feeds.items():
        columns = set(feed.pii)
        if feed.kind == "customers":
            texts = [feed.fields[field] for field in PERSONAL_FIELDS if field in feed.fields]
            columns |= {column for text in texts for column in (text, *_columns(text))}
        found |= {attribute_name(name, column) for column in columns}
    return frozenset(found)


def _columns(text: str) -> frozenset[str]:
    try:
        return parse(text).columns
    except BadConfiguration:  # a column whose name is no expression, such as `Last Name`
        return frozenset()
