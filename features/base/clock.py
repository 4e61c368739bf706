"""Time is an argument; this is where the real one comes from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


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
