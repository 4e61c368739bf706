"""Dates and times as text: the formats, and the expression that reads each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from features.base.database_engine import literal

#: A column with fewer values of one of the shapes is no column of times.
MOST = 0.8


@dataclass(frozen=True)
class TextShape:
    """One format of a time as text.

    Parameters
    ----------
    name : of the shape
    format : as ``strptime`` writes it; empty for what is read as it is
    pattern : the whole text, with groups for what `order` names
    order : the groups that hold year, month and day
    clock : whether a time of day follows the date
    zoned : whether the zone is written
    """

    name: str
    format: str
    pattern: str
    order: tuple[int, int, int] = (1, 2, 3)
    clock: bool = False
    zoned: bool = False

    @property
    def test(self) -> str:
        """SQL of whether ``value`` has this format."""
        matches = f"regexp_full_match(value, {literal(self.pattern)})"
        if not self.format:
            return f"({matches} AND TRY_CAST(substr(value, 1, 10) AS DATE) IS NOT NULL)"
        text = "substr(value, 1, 15)" if self.format.endswith("T%H%M%S") else "value"
        return f"({matches} AND year(try_strptime({text}, {literal(self.format)})) BETWEEN 1850 AND 2199)"

    @property
    def before(self) -> str:
        """The pattern as expressions use it: from the beginning of the text."""
        return f"^{self.pattern}$"


_Y, _D = "([0-9]{4})", "([0-9]{1,2})"
_CLOCK = " ([0-9]{1,2}:[0-9]{2}(:[0-9]{2})?)"

SHAPES: tuple[TextShape, ...] = (
    TextShape("iso_date", "", "([0-9]{4})-([0-9]{2})-([0-9]{2})"),
    TextShape(
        "iso_time", "", "([0-9]{4})-([0-9]{2})-([0-9]{2})[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?", clock=True
    ),
    TextShape(
        "zoned_time",
        "",
        "([0-9]{4})-([0-9]{2})-([0-9]{2})[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?"
        " ?(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)",
        clock=True,
        zoned=True,
    ),
    TextShape("day_slash", "%d/%m/%Y", f"{_D}/{_D}/{_Y}", (3, 2, 1)),
    TextShape("month_slash", "%m/%d/%Y", f"{_D}/{_D}/{_Y}", (3, 1, 2)),
    TextShape("day_slash_minute", "%d/%m/%Y %H:%M", f"{_D}/{_D}/{_Y}{_CLOCK}", (3, 2, 1), clock=True),
    TextShape("month_slash_minute", "%m/%d/%Y %H:%M", f"{_D}/{_D}/{_Y}{_CLOCK}", (3, 1, 2), clock=True),
    TextShape("day_slash_second", "%d/%m/%Y %H:%M:%S", f"{_D}/{_D}/{_Y}{_CLOCK}", (3, 2, 1), clock=True),
    TextShape("month_slash_second", "%m/%d/%Y %H:%M:%S", f"{_D}/{_D}/{_Y}{_CLOCK}", (3, 1, 2), clock=True),
    TextShape("day_point", "%d.%m.%Y", f"{_D}[.]{_D}[.]{_Y}", (3, 2, 1)),
    TextShape("day_point_minute", "%d.%m.%Y %H:%M", f"{_D}[.]{_D}[.]{_Y}{_CLOCK}", (3, 2, 1), clock=True),
    TextShape("day_dash", "%d-%m-%Y", f"{_D}-{_D}-{_Y}", (3, 2, 1)),
    TextShape("month_dash", "%m-%d-%Y", f"{_D}-{_D}-{_Y}", (3, 1, 2)),
    TextShape("compact", "%Y%m%d", "([0-9]{4})([0-9]{2})([0-9]{2})"),
    TextShape("compact_time", "%Y%m%dT%H%M%S", "([0-9]{4})([0-9]{2})([0-9]{2})T[0-9]{6}.*", clock=True, zoned=False),
)


@dataclass(frozen=True)
class TimeFormat:
    """How a column of times is read.

    Parameters
    ----------
    expression : a column, or an expression of the dialect
    reason : why so, in words; no value stands in it
    clock : whether the time of day is known
    zoned : whether the values carry their zone
    readable : share of the different values that this reads
    """

    expression: str
    reason: str
    clock: bool
    zoned: bool
    readable: float


def read_moments(
    column: str, reference: str, sql_type: str, shares: Mapping[str, float], *, whole: bool, named: bool, as_date: bool
) -> TimeFormat | None:
    """Return how a column's times are read; None where it holds none.

    Parameters
    ----------
    column : its name
    reference : the column as an expression writes it
    sql_type : its type in the source
    shares : shape → share of its values
    whole : whether every value was looked at
    named : whether its name speaks of a time; eight digits are a date only then
    as_date : whether a date is wanted rather than a moment
    """
    if sql_type.startswith(("DATE", "TIMESTAMP")):
        zoned = "TIME ZONE" in sql_type
        return TimeFormat(
            column, f"holds {'moments with a zone' if zoned else 'moments'}", sql_type != "DATE", zoned, 1.0
        )
    usable = [shape for shape in SHAPES if shares.get(shape.name, 0) > 0 and (named or shape.name != "compact")]
    found: list[TextShape] = []
    for shape in sorted(usable, key=lambda shape: -shares[shape.name]):
        if all(other.pattern != shape.pattern for other in found):  # day first or month first: what reads more
            found.append(shape)
    total = sum(shares[shape.name] for shape in found)
    if not found or total < MOST:
        return None
    first = found[0]
    doubt = any(
        other is not first and other.pattern == first.pattern and shares[other.name] == shares[first.name]
        for other in usable
    )
    unsure = "; the day may as well come second: no value tells" if doubt else ""
    clock, zoned = any(shape.clock for shape in found), all(shape.zoned for shape in found)
    complete = whole and total >= 1 - 1e-9
    if complete and all(not shape.format for shape in found):
        return TimeFormat(column, "is written as ISO 8601", clock, zoned, 1.0)
    if complete and len(found) == 1:
        text = f"substr({reference}, 1, 15)" if first.name == "compact_time" else reference
        parsed = f"strptime({text}, {literal(first.format)})"
        return TimeFormat(
            f"cast({parsed} as date)" if as_date else parsed, f"is written {first.format}{unsure}", clock, zoned, 1.0
        )
    told = " or ".join(shape.format or "ISO 8601" for shape in found)
    bad = "" if total > 1 - 1e-9 else f"; {1 - total:.1%} of the values are no date and are left empty"
    expression = _tried(reference, found, as_date=as_date)
    return TimeFormat(expression, f"is written {told}{bad}{unsure}", clock, zoned, min(total, 1.0))


def _tried(reference: str, shapes: list[TextShape], *, as_date: bool) -> str:
    """Return an expression that gives NULL where a value has none of these formats."""
    readings = [(shape, _one(reference, shape, as_date=as_date)) for shape in shapes]
    if len(readings) == 1:
        return readings[0][1]
    cases = " ".join(
        f"WHEN regexp_matches({reference}, {literal(shape.before)}) THEN {text}" for shape, text in readings
    )
    return f"CASE {cases} END"


def _one(reference: str, shape: TextShape, *, as_date: bool) -> str:
    kind = "date" if as_date else "timestamp"
    if not shape.format:
        return f"try_cast({f'substr({reference}, 1, 10)' if as_date else reference} as {kind})"
    if shape.name in ("compact", "compact_time"):
        parts = [f"substr({reference}, {start}, {length})" for start, length in ((1, 4), (5, 2), (7, 2))]
        hours = [f"substr({reference}, {start}, 2)" for start in (10, 12, 14)]
        day = " || '-' || ".join(parts)
        clock = " || ' ' || " + " || ':' || ".join(hours)
    else:
        parts = [f"regexp_extract({reference}, {literal(shape.before)}, {group})" for group in shape.order]
        day = " || '-' || ".join(parts)
        clock = f" || ' ' || regexp_extract({reference}, {literal(shape.before)}, 4)"
    return f"try_cast({day}{clock if shape.clock and not as_date else ''} as {kind})"


def names_time(found: frozenset[str]) -> bool:
    """Return whether the words of a column's name mean a time.

    Examples
    --------
    >>> names_time(frozenset({"created", "at"})), names_time(frozenset({"city"}))
    (True, False)
    """
    return bool(
        found
        & frozenset(
            ["date", "time", "timestamp", "day", "dob", "birth", "born", "at", "on", "datetime", "datum", "birthday"]
        )
    )
