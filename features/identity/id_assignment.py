"""Which group of records keeps which id: decided once, from how many records of each id each group holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Overlap(NamedTuple):
    """Records of one group that had one id before.

    Parameters
    ----------
    group : the group
    customer_id : the id that these records had
    live : how many of them had it until now
    returned : how many had it when they left, and are back
    born : the number of the event with which the id was born
    first : the group's place among all groups, by its record that was known first
    """

    group: int
    customer_id: str
    live: int
    returned: int
    born: int
    first: int


def keepers(overlaps: Sequence[Overlap]) -> dict[int, str]:
    """Return the groups that keep an id, and which.

    The largest overlap is served first; among equals the older id, then the group with the older record. So a group
    has the id that most of its records had, unless a group with more records of that id has it. No id is given to two
    groups, and none to a group that holds no record of it.

    Examples
    --------
    >>> most = Overlap(group=0, customer_id="c1", live=2, returned=0, born=1, first=0)
    >>> keepers([most, Overlap(group=1, customer_id="c1", live=1, returned=0, born=1, first=1)])
    {0: 'c1'}
    """
    kept: dict[int, str] = {}
    given: set[str] = set()
    order = sorted(overlaps, key=lambda o: (-o.live, -o.returned, o.born, o.first, o.customer_id))
    for overlap in order:
        if overlap.group not in kept and overlap.customer_id not in given:
            kept[overlap.group] = overlap.customer_id
            given.add(overlap.customer_id)
    return kept
