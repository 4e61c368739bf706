"""Where every id that was ever given leads: today's customers, or those of any moment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

#: The kinds of events after which a past id leads elsewhere, or to more than one customer.
LEADING = ("merged", "split", "moved", "undone")


class Change(NamedTuple):
    """One event that moved records from one id to another: from `customer_id` to `into`."""

    event: int
    at: datetime
    kind: str
    customer_id: str
    into: str


class _Way(NamedTuple):
    """How a past id came to where it stands: the ids it went through, and at which steps only a part went."""

    through: tuple[str, ...]
    part: tuple[bool, ...]

    def on(self, customer_id: str, *, part: bool) -> _Way:
        return _Way((*self.through, customer_id), (*self.part, part))

    def back_to(self, customer_id: str) -> _Way:
        length = self.through.index(customer_id)
        return _Way(self.through[: length + 1], self.part[:length])


def trace(changes: Iterable[Change], *, as_of: datetime | None = None) -> dict[str, tuple[str, ...]]:
    """Follow every id through the changes.

    A merged id leads to the id it was merged into. An id of which parts were split off, or moved to other customers,
    leads to itself and to those parts. A merge that was undone leads its lost id back to itself, and to nobody else;
    the id that had taken it in leads to both, since what was decided for it meanwhile was about both.

    Parameters
    ----------
    changes : in the order in which they happened; other kinds than `LEADING` are passed over
    as_of : later changes do not count; all do when left out

    Returns
    -------
    dict : for every id named in the changes the ids it leads to, the one that kept most of it first. An id that is
        not named leads to itself.

    Examples
    --------
    >>> trace([Change(1, datetime(2026, 1, 1), "merged", "c2", "c1")])
    {'c1': ('c1',), 'c2': ('c1',)}
    """
    standing: dict[str, dict[str, _Way]] = {}

    def at(customer_id: str) -> dict[str, _Way]:
        return standing.setdefault(customer_id, {customer_id: _Way((customer_id,), ())})

    for change in changes:
        if change.kind not in LEADING or (as_of is not None and change.at > as_of):
            continue
        here, there = at(change.customer_id), at(change.into)
        for root, way in list(here.items()):
            if change.kind == "undone" and change.into in way.through:
                there[root] = way.back_to(change.into)
                del here[root]
            else:
                there.setdefault(root, way.on(change.into, part=change.kind != "merged"))
        if change.kind == "merged":
            here.clear()
    found: dict[str, list[tuple[int, tuple[bool, ...], str]]] = {}
    for customer_id, ways in standing.items():
        for root, way in ways.items():
            found.setdefault(root, []).append((sum(way.part), way.part, customer_id))
    return {root: tuple(customer_id for *_, customer_id in sorted(ends)) for root, ends in found.items()}
