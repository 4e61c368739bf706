"""Support tickets: their categories and texts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.simulate.arrays import Flags, Floats, Ints, Table, Text, instants, joined, padded, text, word
from features.simulate.calendar import DAY
from features.simulate.history import Tickets

CATEGORIES = ("fault", "billing", "complaint", "how-to", "moving home", "cancellation")
_OPENERS = ("Hello, ", "Hi, ", "Good morning. ", "", "Customer says: ", "Third time I write: ", "Please help, ")
_CLOSERS = (
    "",
    " Thanks.",
    " Please call me back.",
    " I have been waiting for days.",
    " Nobody answers the phone.",
    " Ta",
)
_BODIES = (
    ("the broadband drops every evening.", "no signal in the house since yesterday.", "the router blinks red.",
     "the TV box freezes during films.", "speed is far below what I pay for."),
    ("my bill went up and nobody told me.", "I was charged twice this month.", "the direct debit failed.",
     "why is there a fee on the last bill?", "the discount I was promised is missing."),
    ("the engineer did not turn up.", "I was kept on hold for an hour.", "the advice I got was wrong.",
     "I am unhappy with how this was handled.", "still not solved, I want a manager."),
    ("how do I change the Wi-Fi password?", "can I use my SIM abroad?", "how do I set up the doorbell?",
     "where do I find my contract?", "which plan would suit us?"),
    ("we are moving next month, can we keep the number?", "please move the service to our new address.",
     "new house, new broadband needed.", "moving in with my partner, two contracts now.", "when can you connect us?"),
    ("I want to cancel.", "please close the account at the end of the month.", "I found a better deal elsewhere.",
     "what does it cost to leave early?", "not renewing, please confirm."),
)  # fmt: skip


def category_of(*, outage: Flags, late: Flags, holder: Flags, uniform: Floats) -> Ints:
    """Return what each ticket is about: mostly faults after an outage, bills when one is late."""
    plain = np.searchsorted((0.34, 0.58, 0.74, 0.94, 0.985), uniform)
    failed = np.searchsorted((0.85, 0.88, 1.0), uniform)
    unpaid = np.searchsorted((0.15, 0.80, 0.92), uniform)
    pick = np.where(outage, failed, np.where(late, unpaid, plain))
    return np.where(holder, pick, CATEGORIES.index("how-to")).astype(np.int64)


def ticket_feed(tickets: Tickets, *, contact: Text, late_share: float, end: int, rng: np.random.Generator) -> Table:
    """Return the tickets as the service desk's system exports them; what is not loaded by the end is not there yet.

    Parameters
    ----------
    tickets : in order of time
    contact : the contact that each belongs to
    late_share : share of the rows that reach the warehouse days after they were opened
    end : the first second after the simulation
    rng : random generator
    """
    count = len(tickets.at)
    body = [sentence for bodies in _BODIES for sentence in bodies]
    said = tickets.category * len(_BODIES[0]) + rng.integers(0, len(_BODIES[0]), count)
    night = tickets.at // DAY * DAY + DAY + 2 * 3_600  # the nightly load
    loaded = night + np.where(rng.random(count) < late_share, rng.integers(2, 13, count), 0) * DAY
    table = pa.table(
        {
            "ticket_ref": joined("T", padded(np.arange(1, count + 1), width=8)),
            "contact_id": contact,
            "opened_at": instants(tickets.at),
            "solved_at": instants(tickets.solved_at, missing=tickets.solved_at >= end),
            "category": word(CATEGORIES, tickets.category),
            "severity": text(rng.choice(np.array([1, 2, 3]), count, p=(0.15, 0.5, 0.35))).cast(pa.int64()),
            "body": joined(
                word(_OPENERS, rng.integers(0, len(_OPENERS), count)),
                word(body, said),
                word(_CLOSERS, rng.integers(0, len(_CLOSERS), count)),
            ),
            "loaded_at": instants(loaded),
        }
    )
    return table.filter(pa.array(loaded < end))
