"""Which column holds the time at which a row happened, a record changed, or the company could first know it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from features.config.canonical import snake_case
from features.onboarding.column_names import CHANGED, FIRST_KNOWN, HELD_FROM, HELD_TO, LATER, RECORDED, words
from features.onboarding.column_profile import TableProfile
from features.onboarding.fields import is_of_birth, moments_of
from features.onboarding.time_columns import TimeFormat

_ZONE_WHY = "the times carry no zone; UTC is a guess: write the zone of the system that they come from"
#: A time of which more rows are empty says nothing of when a row happened.
_FILLED = 0.95


@dataclass(frozen=True)
class TimeColumns:
    """The columns of times of a source, without birth dates.

    Parameters
    ----------
    columns : name and reading, in the source's order
    empty : those of them that too many rows leave empty
    """

    columns: tuple[tuple[str, TimeFormat], ...]
    empty: frozenset[str]

    @property
    def happened(self) -> tuple[str, TimeFormat] | None:
        """When a row happened: the earliest of its times, a time of day before a date."""
        full = [(name, reading) for name, reading in self.columns if name not in self.empty]
        ranked = sorted(
            full, key=lambda named: (_is_later(named[0]), _is_about_the_record(named[0]), not named[1].clock)
        )
        return ranked[0] if ranked else None

    def named(self, any_of: Collection[str], *, but: Collection[str] = ()) -> tuple[str, TimeFormat] | None:
        """The first column whose name has one of these words."""
        return next(
            ((name, reading) for name, reading in self.columns if words(name) & set(any_of) and name not in but), None
        )

    @property
    def changed(self) -> tuple[str, TimeFormat] | None:
        """When a record last changed."""
        return self.named(CHANGED)

    @property
    def known(self) -> tuple[str, TimeFormat] | None:
        """When a record was first known."""
        return self.named(FIRST_KNOWN)

    @property
    def recorded(self) -> tuple[str, TimeFormat] | None:
        """When an event was recorded."""
        return self.named(RECORDED)

    @property
    def held(self) -> tuple[tuple[str, TimeFormat], tuple[str, TimeFormat] | None] | None:
        """From when, and until when, something is held."""
        start = self.named(HELD_FROM)
        return None if start is None else (start, self.named(HELD_TO, but=(start[0],)))


def find_moments(table: TableProfile) -> TimeColumns:
    """Return the columns of a source that hold times."""
    found = tuple(_readings(table))
    empty = frozenset(name for name, _ in found if table.columns[name].filled < _FILLED * table.rows)
    return TimeColumns(found, empty)


def zone_reason(readings: Collection[TimeFormat]) -> str:
    """Return why a feed needs ``timezone``; empty where its times carry one."""
    return _ZONE_WHY if any(not reading.zoned for reading in readings) else ""


def _readings(table: TableProfile) -> Iterator[tuple[str, TimeFormat]]:
    for column in table.columns.values():
        if column.filled and not is_of_birth(column.name):
            reading = moments_of(column)
            if reading is not None:
                yield column.name, reading


def _is_later(name: str) -> bool:
    return bool(words(name) & set(LATER)) or "checkout" in snake_case(name).replace("_", "")


def _is_about_the_record(name: str) -> bool:
    return bool(words(name) & {*CHANGED, *RECORDED})
