"""A customer's record in the online store: what every backend keeps, and how it is guarded; no Feast."""

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
    layout : identity of the layout that says which feature stands at each place
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
        """Return what distinguishes this store from another one that takes its place; cheap, asked at every read."""

    def read(self, customers: Sequence[str], *, deadline_s: float) -> list[Record]:
        """Return each customer's record, in order, in one round trip.

        Raises
        ------
        TimeoutError : the store did not answer within the deadline
        """

    def write(self, records: Iterable[tuple[str, Record]]) -> int:
        """Merge blocks into customers' records, each customer's in one step; return how many blocks were taken."""

    def discard(self, view: str, customers: Iterable[str], *, not_after_us: int) -> int:
        """Take a view's block from these customers, where it is not newer than that; return how many lost theirs."""

    def delete(self, customer: str) -> bool:
        """Forget exactly this customer; say whether there was a record."""

    def scan(self) -> Iterator[tuple[str, Record]]:
        """Yield every customer with their record, ordered by customer; a write may come between any two."""

    def drop(self, views: Sequence[str]) -> None:
        """Forget these views, of every customer, and the facts whose names begin with ``VIEW:``."""

    def put_layout(self, layout: Layout) -> str:
        """Keep a layout and return its identity, the digest of what it says."""

    def layout(self, identity: str, *, deadline_s: float | None = None) -> Layout:
        """Return a layout that was kept; with a deadline, a `TimeoutError` as with `read`."""

    def put_fact(self, name: str, value: str) -> None:
        """Keep a small fact about the store itself, such as a watermark or what the feature services hold."""

    def fact(self, name: str, *, deadline_s: float | None = None) -> str | None:
        """Return a fact, or None; with a deadline, a `TimeoutError` as with `read`."""

    def close(self) -> None:
        """Close this thread's connection; the next call opens another."""
