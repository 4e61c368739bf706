"""Exports of the billing system: invoices and subscriptions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.simulate.arrays import NEVER, Ints, Table, days, joined, padded, text, word
from features.simulate.calendar import DAY
from features.simulate.dirt import Dirt, put
from features.simulate.history import Bills, Holdings
from features.simulate.products import GROUP_NAMES, GROUP_OF, SKUS

DUE_DAYS = 14


def bill_feed(bills: Bills, *, account: Ints, end: int, dirt: Dirt, rng: np.random.Generator) -> Table:
    """Return the invoices in the order in which they were issued.

    Parameters
    ----------
    bills : in order of time
    account : the account number of each
    end : the first second after the simulation: what is paid later is not paid yet
    dirt : how often rows are repeated, or hold what cannot be read
    rng : random generator
    """
    count = len(bills.at)
    due = bills.at // DAY * DAY + DUE_DAYS * DAY
    paid = due + bills.late_days * DAY
    issued = put(pc.cast(days(bills.at), pa.string()), where=rng.random(count) < dirt.bad_date, other="31/02/2026")
    amount = put(text(bills.amount), where=rng.random(count) < dirt.bad_amount, other="n/a")
    table = pa.table(
        {
            "invoice_no": joined("L", padded(np.arange(1, count + 1), width=9)),
            "account": text(account),
            "issued": issued,
            "amount": amount,
            "due": days(due),
            "paid_at": days(paid, missing=paid >= end),
            "usage_gb": bills.usage,
            "contract_months_left": bills.contract_left,
        }
    )
    twice = np.flatnonzero(rng.random(count) < dirt.repeated_bill)
    return table.take(pa.array(np.sort(np.concatenate([np.arange(count), twice]))))


def subscription_feed(
    holdings: Holdings, *, first_account: Ints, second_account: Ints, moved_at: Ints, end: int
) -> Table:
    """Return the subscriptions: what moves house ends on the old account and begins on the new one.

    Parameters
    ----------
    holdings : who held what
    first_account, second_account, moved_at : per person
    end : the first second after the simulation: what ends later is still active
    """
    who = holdings.person
    moved = moved_at[who]
    parts = []
    for account, started, ended in (
        (first_account, holdings.started, np.minimum(holdings.ended, moved)),
        (second_account, np.maximum(holdings.started, moved), holdings.ended),
    ):
        keep = (started < ended) & (started < end)
        parts.append((account[who][keep], holdings.product[keep], started[keep], ended[keep], holdings.price[keep]))
    number, product, started, ended, price = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((product, number, started))
    ended = np.where(ended >= end, NEVER, ended)[order]
    return pa.table(
        {
            "subscription_id": joined("S", padded(np.arange(1, len(order) + 1), width=8)),
            "account_no": text(number[order]),
            "service": word(GROUP_NAMES, GROUP_OF[product[order]]),
            "product": word(SKUS, product[order]),
            "started": days(started[order]),
            "ended": days(ended),
            "monthly_price": price[order],
        }
    )
