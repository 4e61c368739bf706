"""Values that identify a person, shown so that they do not."""

from __future__ import annotations


def masked(text: str) -> str:
    """Return what may be shown of a personal value: its first letter, and whether it is an address.

    >>> masked("ann.smith@example.com"), masked("Ann"), masked("")
    ('a***@…', 'A***', '')
    """
    if not text:
        return ""
    return f"{text[0]}***@…" if "@" in text[1:] else f"{text[0]}***"
