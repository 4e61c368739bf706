"""What each customer buys next, for people who bring a table of baskets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from features.base.errors import BadData
from training.baselines.tifu_knn import TifuKnn
from training.estimators.basket_features import FEATURES, Histories, ItemRates, candidates, pair_features, read_baskets
from training.evaluate.pair_ranking import rank_pairs
from training.models import basket_model

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

MIN_CUSTOMERS = 50
FOLDS = 3


class NextBasketRanker(BaseEstimator):
    """Rank items by the probability that they are in a customer's next basket.

    LightGBM over pairs of customer and item, learnt from the last basket of each customer: how often and how lately the
    customer bought the item, days since then over the customer's own median gap, what similar customers buy (TIFU-kNN),
    and how often other customers take the item again or for the first time. Rates of items come from the customers of
    other parts than the one they describe.

    Parameters
    ----------
    k : number of items that are recommended, and judged
    popular : number of popular items that every customer is offered beside the own ones
    n_jobs : threads of LightGBM
    random_state : seed of everything that is drawn

    Attributes
    ----------
    report_ : DataFrame by (items, model): hit, recall and NDCG at ``k`` on the last baskets, by models that did not
        see the customer; all items, repeats (bought before) and new ones apart; beside popularity, the customer's own
        most frequent items, and TIFU-kNN
    items_ : the items that are known

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> habit = rng.integers(20, size=(80, 3))
    >>> rows = [(c, t, [int(i) for i in rng.choice(habit[c], 2)]) for c in range(80) for t in range(6)]
    >>> baskets = pd.DataFrame(rows, columns=["customer", "order", "items"])
    >>> model = NextBasketRanker(k=3).fit(baskets)
    >>> found = model.recommend([0], k=2)
    >>> bool(set(found["item"]) <= set(habit[0].tolist())), found["rank"].tolist()
    (True, [1, 2])

    References
    ----------
    Hu, He, Gao and Zhang (2020), TIFU-kNN; Li, Jullien, Ariannezhad and de Rijke (2023), "A next basket recommendation
    reality check", on repeats and new items.
    """

    def __init__(self, k: int = 10, *, popular: int = 100, n_jobs: int = 1, random_state: int = 0) -> None:
        self.k = k
        self.popular = popular
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, baskets: pd.DataFrame) -> Self:
        """Learn from each customer's last basket and those before it.

        Parameters
        ----------
        baskets : columns ``customer``, ``time`` or ``order``, ``items`` (a list)

        Raises
        ------
        BadData : ``baskets.*``, ``baskets.few`` if fewer than 50 customers have two baskets
        """
        rows = read_baskets(baskets)
        last = rows.groupby("customer")["basket"].transform("max")
        target = rows[(rows["basket"] == last) & (last > 0)]
        customers = target["customer"].unique().tolist()
        if len(customers) < MIN_CUSTOMERS:
            raise BadData(
                "baskets.few",
                f"{len(customers)} customers have two baskets or more: {MIN_CUSTOMERS} are needed",
                hint="give a longer period, or more customers",
            )
        self.items_ = pd.Index(sorted(rows["item"].unique(), key=str))
        before = rows[rows["customer"].isin(customers) & (rows["basket"] < last)]
        known = Histories.of(before, self.items_, customers)
        truth = Histories.of(target, self.items_, customers)
        had, took = known.matrix().sign(), truth.matrix().sign()
        part = np.random.default_rng(self.random_state).permutation(len(customers)) % FOLDS
        rates = [ItemRates.of(had[part != held], took[part != held]) for held in range(FOLDS)]
        self.rates_ = ItemRates.of(had, took)
        self.popular_ = np.sort(np.argsort(-self.rates_.popularity, kind="stable")[: max(self.popular, self.k)])
        customer, item = candidates(known, self.popular_)
        features = pair_features(
            known, customer, item, rates=rates, part=part, tifu=TifuKnn(known.vectors()), known=True
        )
        taken = np.asarray(took[customer, item], dtype=np.float64).ravel()
        repeat = features[:, -1] > 0
        self.model_, held_out = basket_model.fit(
            features, taken, repeat, fold=part[customer], threads=self.n_jobs, seed=self.random_state
        )
        self.known_ = Histories.of(rows, self.items_)
        self.part_ = pd.Series(part, index=pd.Index(customers)).reindex(list(self.known_.customers), fill_value=-1)
        names = ("own_count", "tifu", "popularity")
        at = {name: features[:, FEATURES.index(name)] for name in names}
        scores = {
            "nextbest": held_out,
            "own_most_frequent": at["own_count"] + at["popularity"],
            "tifu_knn": at["tifu"],
            "popularity": at["popularity"],
        }
        self.report_ = _report(scores, customer, item, repeat, took=took.tocsr(), had=had.tocsr(), k=self.k)
        return self

    def recommend(self, customers: Sequence[Any] | pd.DataFrame | None = None, k: int | None = None) -> pd.DataFrame:
        """Return the best items of each customer for the basket after the last one known.

        Parameters
        ----------
        customers : customers of the fit; or their baskets as a DataFrame, which count instead of those of the fit;
            None: all customers of the fit
        k : number of items; None: the ranker's own

        Returns
        -------
        DataFrame of ``customer``, ``rank``, ``item``, ``propensity`` (of the next basket holding it), ``repeat``

        Raises
        ------
        BadData : ``baskets.customer`` if a customer was not in the fit, ``baskets.k``, ``baskets.*``
        """
        check_is_fitted(self)
        wanted = self.k if k is None else k
        if wanted < 1:
            raise BadData("baskets.k", f"k is {wanted}: 1 at least")
        if isinstance(customers, pd.DataFrame):
            rows = read_baskets(customers)
            histories, known = Histories.of(rows, self.items_), False
            part = np.full(len(histories.customers), -1)
        else:
            histories, known = self._chosen(customers), True
            part = self.part_.reindex(list(histories.customers)).to_numpy(dtype=np.int64)
        customer, item = candidates(histories, self.popular_)
        features = pair_features(
            histories,
            customer,
            item,
            rates=[self.rates_],
            part=np.zeros(len(histories.customers), dtype=np.int64),
            tifu=TifuKnn(self.known_.vectors()),
            known=known,
        )
        repeat = features[:, -1] > 0
        found = pd.DataFrame(
            {
                "customer": np.array(histories.customers, dtype=object)[customer],
                "item": self.items_.to_numpy()[item],
                "propensity": self.model_.score(features, repeat, part=part[customer]),
                "repeat": repeat,
                "number": customer,
            }
        ).sort_values(["number", "propensity"], ascending=[True, False], kind="stable")
        found["rank"] = found.groupby("number").cumcount() + 1
        top = found[found["rank"] <= wanted]
        return top[["customer", "rank", "item", "propensity", "repeat"]].reset_index(drop=True)

    def _chosen(self, customers: Sequence[Any] | None) -> Histories:
        """Return the baskets of some customers of the fit."""
        if customers is None:
            return self.known_
        names = pd.Index(self.known_.customers)
        at = names.get_indexer(pd.Index(list(customers)))
        if (at < 0).any():
            raise BadData(
                "baskets.customer",
                f"{int((at < 0).sum())} of {len(at)} customers were not in the fit",
                hint="give their baskets as a DataFrame instead",
            )
        kept = np.isin(self.known_.customer, at)
        number = np.full(len(names), -1)
        number[at] = np.arange(len(at))
        return Histories(
            tuple(names[at]),
            number[self.known_.customer[kept]],
            self.known_.basket[kept],
            self.known_.item[kept],
            self.known_.day[kept],
            self.known_.items,
        )


def _report(
    scores: dict[str, Array], customer: Rows, item: Rows, repeat: NDArray[np.bool_], *, had: Any, took: Any, k: int
) -> pd.DataFrame:
    """Return hit, recall and NDCG of every model, for all items, repeats and new ones."""
    relevant = np.asarray(took[customer, item]).ravel() > 0
    again = np.asarray(took.multiply(had).sum(axis=1)).ravel().astype(np.int64)
    every = np.asarray(took.sum(axis=1)).ravel().astype(np.int64)
    rows = {}
    for items, pairs, total in (
        ("all", np.ones(len(repeat), dtype=bool), every),
        ("repeat", repeat, again),
        ("new", ~repeat, every - again),
    ):
        if not total.any():
            continue
        for name, score in scores.items():
            found = rank_pairs(customer[pairs], score[pairs], relevant[pairs], total=total, k=k)
            rows[(items, name)] = (found.hit, found.recall, found.ndcg, found.customers)
    columns = [f"hit_{k}", f"recall_{k}", f"ndcg_{k}", "customers"]
    report = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    report.index = pd.MultiIndex.from_tuples(list(rows), names=["items", "model"])
    return report
