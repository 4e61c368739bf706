"""What may be shown of values that identify a person, and of how few rows."""

from __future__ import annotations

#: Of fewer rows no distribution is shown: it would show single values.
MIN_ROWS_SHOWN = 50
#: Values that fewer rows share are counted together.
MIN_ROWS_PER_VALUE = 5


def masked(text: str) -> str:
    """Return what may be shown of a personal value: its first letter, and whether it is an address.

    >>> masked("ann.smith@example.com"), masked("Ann"), masked("")
    ('a***@…', 'A***', '')
    """
    if not text:
        return ""
    return f"{text[0]}***@…" if "@" in text[1:] else f"{text[0]}***"
