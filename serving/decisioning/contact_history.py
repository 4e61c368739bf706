"""The earlier contacts of customers, as columns that contact caps and suppression rules read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.base.clock import as_utc

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = np.iinfo(np.int64).max


def micros(moment: datetime) -> int:
    """Return `moment` as whole microseconds since 1970 in UTC.

    Examples
    --------
    >>> micros(datetime(1970, 1, 2, tzinfo=UTC))
    86400000000
    """
    span = as_utc(moment) - EPOCH
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


class Contact(NamedTuple):
    """One offer that reached a customer, and the response to it, if any.

    Without a `time` it is a response only and counts towards no cap: a second response to the same contact, or an
    offer that the agent did not make.
    """

    offer: str
    group: str
    channel: str | None
    time: datetime | None
    outcome: str | None = None
    outcome_time: datetime | None = None


@dataclass(frozen=True)
class Coded:
    """A dictionary-encoded column of texts: ``names[codes[i]]`` is the text of row i.

    Examples
    --------
    >>> Coded.of(["email", "shop", "email"]).among(frozenset({"email"})).tolist()
    [True, False, True]
    """

    codes: NDArray[np.int32]
    names: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[str | None]) -> Coded:
        seen: dict[str, int] = {}
        codes = [seen.setdefault(text or "", len(seen)) for text in texts]
        return cls(np.array(codes, dtype=np.int32), tuple(seen))

    def among(self, wanted: frozenset[str]) -> NDArray[np.bool_]:
        """Return for each row whether its text is one of `wanted`."""
        hits = np.array([name in wanted for name in self.names] or [False], dtype=np.bool_)
        return hits[self.codes]


@dataclass(frozen=True)
class ContactHistory:
    """The contacts of a batch of customers, as columns of equal length.

    Attributes
    ----------
    customer : row of the customer in the batch
    offer, group, channel, outcome : texts; an empty outcome is none
    time, outcome_time : microseconds since 1970 in UTC; ``NEVER`` where there is none
    """

    customer: NDArray[np.int64]
    offer: Coded
    group: Coded
    channel: Coded
    outcome: Coded
    time: NDArray[np.int64]
    outcome_time: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.customer)

    @classmethod
    def none(cls) -> ContactHistory:
        """Return the history of customers who were never contacted."""
        return cls.of_rows(())

    @classmethod
    def of(cls, customer_ids: Sequence[str], contacts: Mapping[str, Sequence[Contact]]) -> ContactHistory:
        """Return the history of `customer_ids` from contacts by customer; others' contacts are left out."""
        return cls.of_rows(
            (row, contact) for row, customer in enumerate(customer_ids) for contact in contacts.get(customer, ())
        )

    @classmethod
    def of_rows(cls, rows: Iterable[tuple[int, Contact]]) -> ContactHistory:
        """Return the history from pairs of the customer's row in the batch and a contact."""
        pairs = list(rows)
        found = [contact for _, contact in pairs]
        return cls(
            customer=np.array([row for row, _ in pairs], dtype=np.int64),
            offer=Coded.of(contact.offer for contact in found),
            group=Coded.of(contact.group for contact in found),
            channel=Coded.of(contact.channel for contact in found),
            outcome=Coded.of(contact.outcome for contact in found),
            time=_times(contact.time for contact in found),
            outcome_time=_times(contact.outcome_time for contact in found),
        )


def _times(moments: Iterable[datetime | None]) -> NDArray[np.int64]:
    return np.array([NEVER if moment is None else micros(moment) for moment in moments], dtype=np.int64)
