"""What a customer's past baskets and those of others show of an item in the next one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from features.base.errors import BadData
from training.baselines import tifu_knn
from training.baselines.tifu_knn import TifuKnn

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
LATELY = 3  # baskets
FEATURES = (
    "own_count",
    "own_share",
    "own_lately",
    "baskets_since",
    "days_over_gap",
    "in_last",
    "tifu",
    "popularity",
    "repeat_rate",
    "new_rate",
    "baskets",
    "basket_size",
    "explores",
    "repeat",
)


def read_baskets(baskets: pd.DataFrame) -> pd.DataFrame:
    """Return one row per item of a basket: customer, number of the basket (from 0), its day, item.

    Parameters
    ----------
    baskets : columns ``customer``, ``time`` or ``order`` (a number that rises), ``items`` (a list); baskets of one
        customer at the same moment are one

    Raises
    ------
    BadData : ``baskets.columns``, ``baskets.values``, ``baskets.empty``

    Examples
    --------
    >>> log = pd.DataFrame({"customer": [1, 1], "order": [2, 1], "items": [["tea", "tea"], ["jam"]]})
    >>> read_baskets(log)[["basket", "item"]].to_numpy().tolist()
    [[0, 'jam'], [1, 'tea']]
    """
    by = next((name for name in ("time", "order") if name in baskets), None)
    absent = [name for name in ("customer", "items") if name not in baskets] + ([] if by else ["time or order"])
    if by is None or absent:
        raise BadData("baskets.columns", f"the baskets lack {', '.join(absent)}", where=absent[0])
    if baskets["customer"].isna().any():
        raise BadData("baskets.values", "a basket has no customer", where="customer")
    wrong = sum(not isinstance(items, list | tuple | set | np.ndarray) for items in baskets["items"])
    if wrong:
        raise BadData(
            "baskets.values",
            f"{wrong} baskets hold no list of items",
            where="items",
            hint='gather the items of a basket: log.groupby(["customer", "time"])["item"].agg(list)',
        )
    if by == "time":
        at = pd.to_datetime(baskets["time"], errors="coerce", utc=True)
        day = (at - pd.Timestamp(0, tz="UTC")).dt.total_seconds() / 86_400
    else:
        day = pd.to_numeric(baskets["order"], errors="coerce").astype(np.float64)
    if not np.isfinite(day.to_numpy(dtype=np.float64)).all():
        raise BadData("baskets.values", f"{int(day.isna().sum())} baskets have no {by}", where=by)
    rows = pd.DataFrame(
        {"customer": baskets["customer"].to_numpy(), "day": day.to_numpy(), "item": list(baskets["items"])}
    )
    rows = rows.explode("item").dropna(subset=["item"]).drop_duplicates()
    if rows.empty:
        raise BadData("baskets.empty", "no basket holds an item")
    rows = rows.sort_values(["customer", "day"], kind="stable").reset_index(drop=True)
    rows["basket"] = rows.groupby("customer")["day"].rank(method="dense").astype(np.int64) - 1
    return rows[["customer", "basket", "day", "item"]]


@dataclass(frozen=True)
class ItemRates:
    """How often an item is in the next basket: of everybody, of those who had it before, of those who had not.

    All of shape (items,), drawn towards the mean of all items by ten customers.
    """

    popularity: Array
    repeat: Array
    new: Array

    @classmethod
    def of(cls, had: sparse.csr_matrix, took: sparse.csr_matrix) -> ItemRates:
        """Return the rates of customers by what they had bought before and what they took next, both 0 and 1."""
        customers = had.shape[0]
        before, both = _sum(had), _sum(had.multiply(took))
        taken = _sum(took)
        return cls(
            taken / max(customers, 1),
            _drawn(both, before),
            _drawn(taken - both, customers - before),
        )


def _sum(matrix: sparse.csr_matrix) -> Array:
    return np.asarray(matrix.sum(axis=0), dtype=np.float64).ravel()


def _drawn(hits: Array, rows: Array) -> Array:
    mean = hits.sum() / max(rows.sum(), 1.0)
    return np.asarray((hits + 10 * mean) / (rows + 10), dtype=np.float64)


@dataclass(frozen=True)
class Histories:
    """Customers' baskets as numbers.

    Parameters
    ----------
    customers : in the order of their numbers
    customer, basket, item : one entry per item of a basket
    day : array, of each entry's basket
    items : number of items that are known
    """

    customers: tuple[Any, ...]
    customer: Rows
    basket: Rows
    item: Rows
    day: Array
    items: int

    @classmethod
    def of(cls, rows: pd.DataFrame, items: pd.Index, customers: Sequence[Any] | None = None) -> Histories:
        """Return the rows of `read_baskets` as numbers; items that are not known are left out."""
        names = pd.Index(rows["customer"].unique() if customers is None else customers)
        item = items.get_indexer(pd.Index(rows["item"]))
        known = item >= 0
        return cls(
            tuple(names),
            names.get_indexer(pd.Index(rows["customer"]))[known].astype(np.int64),
            rows["basket"].to_numpy()[known].astype(np.int64),
            item[known].astype(np.int64),
            rows["day"].to_numpy(dtype=np.float64)[known],
            len(items),
        )

    def matrix(self, weight: Array | None = None) -> sparse.csr_matrix:
        """Return the sum of the weights (number of baskets) of each item, shape (customers, items)."""
        values = np.ones(len(self.item)) if weight is None else weight
        return sparse.csr_matrix((values, (self.customer, self.item)), shape=(len(self.customers), self.items))

    def vectors(self) -> sparse.csr_matrix:
        """Return the vectors of TIFU-kNN."""
        return tifu_knn.vectors(self.customer, self.basket, self.item, customers=len(self.customers), items=self.items)


def candidates(histories: Histories, popular: Rows) -> tuple[Rows, Rows]:
    """Return pairs of customers and items: what they bought before, and what is popular."""
    customers = len(histories.customers)
    own = histories.customer * histories.items + histories.item
    others = np.repeat(np.arange(customers), len(popular)) * histories.items + np.tile(popular, customers)
    pairs = np.unique(np.concatenate([own, others]))
    return pairs // histories.items, pairs % histories.items


def pair_features(
    histories: Histories,
    customer: Rows,
    item: Rows,
    *,
    rates: Sequence[ItemRates],
    part: Rows,
    tifu: TifuKnn,
    known: bool,
) -> Array:
    """Return the features of pairs, shape (pairs, features), in the order of ``FEATURES``.

    Parameters
    ----------
    rates : of the items, one for each part of the customers, from the customers of the other parts
    part : which of them each customer's pairs are described with
    tifu : with the vectors of the customers who are looked through for neighbours
    known : whether these are the same customers as ``histories``, each of which is no neighbour of itself
    """
    count = len(histories.customers)
    baskets = np.zeros(count, dtype=np.int64)
    np.maximum.at(baskets, histories.customer, histories.basket + 1)
    last_day = np.full(count, -np.inf)
    np.maximum.at(last_day, histories.customer, histories.day)
    own = histories.matrix()
    back = baskets[histories.customer] - 1 - histories.basket
    lately = histories.matrix((back < LATELY).astype(np.float64))
    key = histories.customer * histories.items + histories.item
    latest = (
        pd.DataFrame({"key": key, "back": back, "day": histories.day}).groupby("key").agg({"back": "min", "day": "max"})
    )
    at = latest.index.get_indexer(pd.Index(customer * histories.items + item))
    there = at >= 0
    since = np.where(there, latest["back"].to_numpy()[at], np.nan)
    days = np.where(there, last_day[customer] - latest["day"].to_numpy()[at], np.nan)
    frame = pd.DataFrame({"customer": histories.customer, "basket": histories.basket, "day": histories.day})
    one = frame.drop_duplicates(["customer", "basket"])
    gap = (
        one.groupby("customer")["day"]
        .diff()
        .groupby(one["customer"])
        .median()
        .reindex(range(count))
        .to_numpy(dtype=np.float64)
    )
    size = np.bincount(histories.customer, minlength=count) / np.maximum(baskets, 1)
    distinct = np.bincount(latest.index.to_numpy() // histories.items, minlength=count)
    own_count = _entries(own, customer, item)
    chosen = [
        np.stack(kind)[part[customer], item]
        for kind in zip(*((r.popularity, r.repeat, r.new) for r in rates), strict=True)
    ]
    return np.column_stack(
        [
            own_count,
            own_count / np.maximum(baskets[customer], 1),
            _entries(lately, customer, item) / np.minimum(np.maximum(baskets[customer], 1), LATELY),
            since,
            days / np.maximum(gap[customer], 1e-9),
            since == 0,
            _tifu_entries(histories, customer, item, tifu, known=known),
            *chosen,
            baskets[customer],
            size[customer],
            distinct[customer] / np.maximum(size[customer] * baskets[customer], 1e-9),
            there,
        ]
    ).astype(np.float64)


def _entries(matrix: sparse.csr_matrix, row: Rows, column: Rows) -> Array:
    return np.asarray(matrix[row, column], dtype=np.float64).ravel()


def _tifu_entries(histories: Histories, customer: Rows, item: Rows, tifu: TifuKnn, *, known: bool) -> Array:
    scores = tifu.scores(histories.vectors(), skip_self=known)
    return _entries(scores, customer, item)
