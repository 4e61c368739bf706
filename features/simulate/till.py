"""Exports of the till: purchases in shops, on the web and by telephone, and returns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.simulate.arrays import Flags, Ints, Table, instants, joined, padded, word
from features.simulate.calendar import DAY
from features.simulate.dirt import Dirt
from features.simulate.history import Purchases
from features.simulate.products import HELD, PRICES, SKUS

CHANNELS = ("shop", "web", "phone")
UNKNOWN_ACCOUNTS = 90_000_000  # above every account number


def till_feed(purchases: Purchases, *, account: Ints, end: int, dirt: Dirt, rng: np.random.Generator) -> Table:
    """Return the sales lines in order of time, a return as a line with a negative quantity.

    Parameters
    ----------
    purchases : in order of time
    account : the account number of each
    end : the first second after the simulation
    dirt : how often goods come back, the card is not shown, or the number is nobody's
    rng : random generator
    """
    count = len(purchases.at)
    goods = purchases.group >= HELD
    channel = rng.choice(len(CHANNELS), count, p=(0.45, 0.40, 0.15))
    hidden: Flags = goods & (channel == 0) & (rng.random(count) < dirt.no_card)
    number = np.where(
        rng.random(count) < dirt.unknown_customer, UNKNOWN_ACCOUNTS + rng.integers(0, 999, count), account
    )
    quantity = np.where(goods & (PRICES[purchases.product] < 60), 1 + rng.poisson(0.25, count), 1)
    back_at = purchases.at + (rng.uniform(1, 21, count) * DAY).astype(np.int64)
    back = np.flatnonzero(goods & (rng.random(count) < dirt.returned) & (back_at < end))

    row = np.concatenate([np.arange(count), back])
    at = np.concatenate([purchases.at, back_at[back]])
    sign = np.concatenate([np.ones(count, np.int64), np.full(len(back), -1)])
    order = np.lexsort((row, at))
    row, at, sign = row[order], at[order], sign[order]
    return pa.table(
        {
            "receipt": joined("R", padded(np.arange(1, len(row) + 1), width=9)),
            "line": np.ones(len(row), np.int64),
            "customer_no": pa.array(number[row], mask=hidden[row]).cast(pa.string()),
            "sku": word(SKUS, purchases.product[row]),
            "qty": quantity[row] * sign,
            "unit_price": PRICES[purchases.product[row]],
            "sold_at": instants(at).cast(pa.timestamp("us", "UTC")),
            "channel": word(CHANNELS, channel[row]),
            "store": pa.array(channel[row] * 0 + row % 37 + 1, mask=channel[row] != 0),
        }
    )
