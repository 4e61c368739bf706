"""How well records were resolved, where the truth is known (it is for a simulated company)."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from features.base.parquet import read_parquet
from features.base.workspace import Workspace


@dataclass(frozen=True)
class PairScore:
    """Pairs of records: how many of those that were joined belong together, and how many that belong were joined.

    Parameters
    ----------
    precision, recall : shares of pairs, after transitive closure
    exact : customers that hold all the records of one person and no other, by id
    """

    precision: float
    recall: float
    exact: frozenset[str]


def resolved_records(workspace: Workspace) -> pd.DataFrame:
    """Return which customer every record is part of: ``feed``, ``record_id``, ``customer_id``."""
    records: pd.DataFrame = read_parquet(workspace.personal / "records.parquet").to_pandas()
    return records


def score_pairs(resolved: pd.DataFrame, truth: pd.DataFrame) -> PairScore:
    """Compare a resolution with the truth.

    Parameters
    ----------
    resolved : ``feed``, ``record_id``, ``customer_id``
    truth : ``feed``, ``record_id``, ``person_id``

    Examples
    --------
    >>> resolved = pd.DataFrame({"feed": "crm", "record_id": ["1", "2", "3"], "customer_id": ["a", "a", "a"]})
    >>> truth = pd.DataFrame({"feed": "crm", "record_id": ["1", "2", "3"], "person_id": ["p", "p", "q"]})
    >>> round(score_pairs(resolved, truth).precision, 2), score_pairs(resolved, truth).recall
    (0.33, 1.0)
    """
    both = resolved.merge(truth, on=["feed", "record_id"], validate="one_to_one")
    together = both.groupby(["customer_id", "person_id"]).size()
    customers, people = both.groupby("customer_id").size(), both.groupby("person_id").size()
    right, joined, belonging = (_pairs(sizes) for sizes in (together, customers, people))
    whole = together.reset_index(name="records")
    whole = whole[
        (whole["records"] == whole["customer_id"].map(customers)) & (whole["records"] == whole["person_id"].map(people))
    ]
    return PairScore(
        precision=right / joined if joined else 1.0,
        recall=right / belonging if belonging else 1.0,
        exact=frozenset(whole["customer_id"]),
    )


def _pairs(sizes: pd.Series[int]) -> int:
    return int((sizes * (sizes - 1) // 2).sum())
