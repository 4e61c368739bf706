"""A customer's record in the online store, and what every backend has to do; no Feast."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

WAIT_S = 10.0
"""The longest wait where no deadline is given: for another writer, or for a server."""

Plain = int | float | str | bool | None
"""A stored value; times are whole seconds since 1970, as in Feast."""

Layout = tuple[tuple[str, str], ...]
"""The features of a view in order, each with its type (`features.store.definitions.ColumnType`)."""


@dataclass(frozen=True)
class Block:
    """One view's part of a customer's record.

    Parameters
    ----------
    event_us : as of when the values hold, microseconds since 1970
    created_us : since when they could be known; decides between blocks of one event time
    layout : identity of the layout: which feature stands at each place
    values : in the layout's order
    """

    event_us: int
    created_us: int
    layout: str
    values: tuple[Plain, ...]


Record = Mapping[str, Block]
"""A customer's whole record: a block by view. An unknown customer has an empty one."""


class OnlineRecords(Protocol):
    """One record a customer, on SQLite or on Redis; safe in threads, and after a fork.

    Every wait ends. A store that cannot be used is a `StorageFailure`, a server out of reach `Unreachable`.

    A write never replaces a block by an older one: of two, the one with the greater ``(event_us, created_us)`` stays,
    and an equal one replaces (so that doing a write again changes nothing).
    """

    def store_id(self) -> Hashable:
        """Return what distinguishes this store from another one that takes its place; cheap, called at every read."""

    def read(self, customers: Sequence[str], *, deadline_s: float) -> list[Record]:
        """Return each customer's record, in order, in one round trip.

        Raises
        ------
        TimeoutError : the store did not answer within the deadline
        """

    def write(self, records: Iterable[tuple[str, Record]]) -> int:
        """Merge blocks into customers' records, each customer's in one step; return how many blocks were taken."""

    def discard(self, view: str, customers: Iterable[str], *, not_after_us: int) -> int:
        """Remove a view's block of these customers where it is not newer than that; return how many were removed."""

    def delete(self, customer: str) -> bool:
        """Remove exactly this customer; return whether there was a record."""

    def scan(self) -> Iterator[tuple[str, Record]]:
        """Yield every customer with their record, ordered by customer; a write may come between any two."""

    def drop(self, views: Sequence[str]) -> None:
        """Remove these views of every customer, and the facts whose names begin with ``VIEW:``."""

    def put_layout(self, layout: Layout) -> str:
        """Store a layout and return its identity, the digest of its text."""

    def layout(self, identity: str, *, deadline_s: float | None = None) -> Layout:
        """Return a stored layout; with a deadline, a `TimeoutError` as with `read`."""

    def put_fact(self, name: str, value: str) -> None:
        """Store a named text about the store itself, such as a watermark or the feature services."""

    def fact(self, name: str, *, deadline_s: float | None = None) -> str | None:
        """Return the text of that name, or None; with a deadline, a `TimeoutError` as with `read`."""

    def close(self) -> None:
        """Close this thread's connection; the next call opens another."""
