"""The campaign log: who was sent which offer, with which probability, and who responded."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.simulate.arrays import NEVER, Flags, Ints, Table, instants, joined, padded, word
from features.simulate.calendar import DAY
from features.simulate.campaigns import OFFERS
from features.simulate.dirt import without
from features.simulate.history import Contacts

WINDOW = 31 * DAY
"""A response is looked for until the next bill; a younger contact without one is still open."""


def contact_numbers(count: int) -> pa.Array:
    """Return the number of each contact, in order of time."""
    return joined("K", padded(np.arange(1, count + 1), width=8))


def contact_feed(contacts: Contacts, *, account: Ints, end: int) -> Table:
    """Return the contacts in order of time, those held back as a control among them.

    In the arm ``none`` nothing was sent; ``offer`` still says what would have been, and ``response`` whether the
    person did it unasked. ``selection_prob`` is the probability of this offer and this arm for somebody drawn.
    """
    code = contacts.offer
    responded: Flags = contacts.responded_at < end
    waiting = ~responded & (contacts.at + WINDOW >= end)
    arm = np.where(contacts.treated, code, len(OFFERS))
    return pa.table(
        {
            "contact_no": contact_numbers(len(code)),
            "account_no": pa.array(account).cast(pa.string()),
            "offer": word([offer.id for offer in OFFERS], code),
            "arm": word([*(offer.id for offer in OFFERS), "none"], arm),
            "channel": word([offer.channel for offer in OFFERS], code),
            "sent_at": instants(contacts.at),
            "selection_prob": contacts.selection_prob,
            "response": without(word(("no", "yes"), responded.astype(np.int64)), where=waiting),
            "responded_at": instants(np.where(responded, contacts.responded_at, NEVER)),
        }
    )
