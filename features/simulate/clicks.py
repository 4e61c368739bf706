"""Clicks on the website: the pages that people view before they buy, and before they leave."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.simulate.arrays import Flags, Floats, Ints, Table, Text, instants, word
from features.simulate.calendar import by_day
from features.simulate.history import Clicks
from features.simulate.products import GROUP_NAMES

PAGES = ("home", "account", "bill", "help", "deals", "cancel-help")
MIX = (0.20, 0.15, 0.12, 0.06, 0.07)  # the rest are product pages; cancel-help is drawn elsewhere
CANCEL_HELP = PAGES.index("cancel-help")
PRODUCT_PAGES = len(PAGES)
DEVICES = ("phone", "desktop", "tablet")


def browse(lively: Floats, *, wish: Floats, at: Ints, until: Ints, rng: np.random.Generator) -> Clicks:
    """Return a month's ordinary clicks.

    Parameters
    ----------
    lively : clicks to expect, per person
    wish : people by groups; product pages are looked at in proportion
    at, until : the month, per person
    rng : random generator
    """
    person = np.repeat(np.arange(len(lively)), rng.poisson(lively))
    count = len(person)
    when = by_day(at[person] + (rng.random(count) * (until - at)[person]).astype(np.int64), uniform=rng.random(count))
    page = np.searchsorted(np.cumsum(MIX), rng.random(count)).astype(np.int64)
    product = np.flatnonzero(page >= len(MIX))
    reach = (wish / wish.sum(axis=1, keepdims=True)).cumsum(axis=1)
    level = rng.random(len(product))
    pick = np.zeros(len(product), np.int64)
    for column in range(wish.shape[1] - 1):  # one pass per group keeps clicks-by-groups out of memory
        pick += level > reach[person[product], column]
    page[product] = PRODUCT_PAGES + pick
    return Clicks(person, when, page)


def click_feed(clicks: Clicks, *, login: Text, account_row: Ints, known: Flags, rng: np.random.Generator) -> Table:
    """Return the web log.

    Parameters
    ----------
    clicks : in order of time
    login : the login of every account
    account_row : which account each click belongs to
    known : whether the visitor was logged in
    rng : random generator
    """
    product = np.maximum(clicks.page - PRODUCT_PAGES, 0)
    return pa.table(
        {
            "clicked_at": instants(clicks.at).cast(pa.timestamp("us", "UTC")),
            "login": login.take(pa.array(account_row, mask=~known)),
            "page": word((*PAGES, "product"), np.minimum(clicks.page, PRODUCT_PAGES)),
            "product_group": pa.array(GROUP_NAMES).take(pa.array(product, mask=clicks.page < PRODUCT_PAGES)),
            "device": word(DEVICES, rng.choice(len(DEVICES), len(clicks.at), p=(0.62, 0.31, 0.07))),
        }
    )
