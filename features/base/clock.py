"""The system clock, which functions receive as an argument, and conversions of moments."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_US = 86_400_000_000
"""Microseconds of a day."""


def system_clock() -> datetime:
    """Return the present moment, in UTC.

    Examples
    --------
    >>> system_clock().tzname()
    'UTC'
    """
    return datetime.now(UTC)


def as_utc(moment: datetime) -> datetime:
    """Return `moment` in UTC; one without a zone is taken to be in UTC already.

    Examples
    --------
    >>> as_utc(datetime(2026, 1, 31)).isoformat()
    '2026-01-31T00:00:00+00:00'
    """
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def iso(moment: datetime) -> str:
    """Return `moment` as ISO 8601 in UTC, with a final Z.

    Examples
    --------
    >>> iso(datetime(2026, 1, 31, 9, 30))
    '2026-01-31T09:30:00Z'
    """
    return as_utc(moment).isoformat().replace("+00:00", "Z")


def to_microseconds(moment: datetime) -> int:
    """Return microseconds since 1970; a time without a zone is taken to be in UTC.

    Examples
    --------
    >>> to_microseconds(datetime(1970, 1, 1, 0, 0, 2))
    2000000
    """
    return (as_utc(moment) - EPOCH) // timedelta(microseconds=1)


def from_microseconds(moment: int) -> datetime:
    """Return the moment so many microseconds after 1970, in UTC.

    Examples
    --------
    >>> from_microseconds(2_000_000).isoformat()
    '1970-01-01T00:00:02+00:00'
    """
    return EPOCH + timedelta(microseconds=moment)
