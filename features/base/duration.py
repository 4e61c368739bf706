"""Lengths of time as they are written in a workspace: ``30d``, ``12h``, ``2w``; short waits: ``50ms``, ``2s``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SHORT_UNITS = {"ms": "milliseconds", "s": "seconds"}
_SHORT = re.compile(r"\s*([0-9]{1,6})\s*(ms|s)\s*")
_LONGEST = timedelta(days=36_525)
_PATTERN = re.compile(r"\s*([0-9]+)\s*([smhdw])\s*")


def parse_duration(value: object) -> timedelta:
    """Return the length of time that a text such as ``90d`` means.

    Raises
    ------
    ValueError : when the text is not a whole number followed by s, m, h, d or w, or means more than a hundred years

    Examples
    --------
    >>> parse_duration("2w").days
    14
    """
    if isinstance(value, timedelta):
        return value
    match = _PATTERN.fullmatch(str(value))
    if match is None:
        raise ValueError("write a length of time as a whole number and s, m, h, d or w, such as 30d")
    try:
        length = timedelta(**{_UNITS[match.group(2)]: int(match.group(1))})
    except OverflowError:
        length = timedelta.max
    if length > _LONGEST:
        raise ValueError("write a length of time of at most a hundred years, such as 30d")
    return length


def format_duration(value: timedelta) -> str:
    """Return the shortest text that means `value`: whole days as ``30d``, else hours, minutes or seconds.

    Examples
    --------
    >>> format_duration(timedelta(days=30)), format_duration(timedelta(minutes=90))
    ('30d', '90m')
    """
    seconds = int(value.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % size == 0 and seconds:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration)]


def _refuse_nothing(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("write a length of time that is more than nothing, such as 30d")
    return value


PositiveDuration = Annotated[Duration, AfterValidator(_refuse_nothing)]


def parse_wait(value: object) -> timedelta:
    """Return the short wait that a text such as ``50ms`` means.

    Raises
    ------
    ValueError : when the text is not a positive whole number followed by ms or s

    Examples
    --------
    >>> parse_wait("50ms").microseconds
    50000
    """
    if isinstance(value, timedelta):
        return value
    match = _SHORT.fullmatch(str(value))
    if match is None or int(match.group(1)) == 0:
        raise ValueError("write a wait as a positive whole number and ms or s, such as 50ms")
    return timedelta(**{_SHORT_UNITS[match.group(2)]: int(match.group(1))})


def format_wait(value: timedelta) -> str:
    """Return the text that means this wait.

    Examples
    --------
    >>> format_wait(timedelta(milliseconds=50))
    '50ms'
    """
    return f"{value // timedelta(milliseconds=1)}ms"


Wait = Annotated[timedelta, BeforeValidator(parse_wait), PlainSerializer(format_wait)]
