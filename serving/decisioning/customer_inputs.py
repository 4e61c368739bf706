"""The inputs of a decision: features, scores, earlier contacts and score drivers of a batch of customers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadData
from serving.decisioning.contact_history import ContactHistory
from serving.decisioning.reason_codes import Reason, Stage


@dataclass(frozen=True)
class Scores:
    """One model's scores of a batch.

    Attributes
    ----------
    values : shape (n_customers,), or (n_customers, n_candidates) of a ranking model; missing is NaN
    candidates : names of the second axis
    """

    values: NDArray[np.float64]
    candidates: tuple[str, ...] = ()

    def of(self, names: Sequence[str | None]) -> NDArray[np.float64] | None:
        """Return the scores of the first of `names` that is a candidate; of a single-score model, its scores.

        Examples
        --------
        >>> scores = Scores(np.array([[0.1, 0.7], [0.4, 0.2]]), ("tea", "cake"))
        >>> scores.of(["coffee", "cake"]).tolist()
        [0.7, 0.2]
        >>> scores.of(["coffee"]) is None
        True
        """
        if self.values.ndim == 1:
            return self.values
        for name in names:
            if name is not None and name in self.candidates:
                return self.values[:, self.candidates.index(name)]
        return None


@dataclass(frozen=True)
class CustomerBatch:
    """The customers to decide for; every array has one entry per customer, in the order of `customer_ids`.

    Attributes
    ----------
    features : columns by name; ``consent__<purpose>`` is 1 granted, 0 withdrawn or objected, null no record
    unread : features whose value could not be read, by name: for which customers; elsewhere a null is known to be one
    absent : for each customer why nothing is known at all, so that nothing is offered; none where something is
    scores : by model
    drivers : what moved each score, by model (or ``model:candidate``), one sequence of reasons per customer
    contacts : earlier contacts; only those before the moment of decision are read
    context_weights : weight of an offer in this context, by offer, for all customers or for each; default 1
    """

    customer_ids: Sequence[str]
    features: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    unread: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    absent: Sequence[Stage | None] | None = None
    scores: Mapping[str, Scores] = field(default_factory=dict)
    drivers: Mapping[str, Sequence[Sequence[Reason]]] = field(default_factory=dict)
    contacts: ContactHistory = field(default_factory=ContactHistory.none)
    context_weights: Mapping[str, float | NDArray[np.float64]] = field(default_factory=dict)
    feature_time: datetime | None = None
    consent_records: Sequence[str | None] | None = None
    identity_version: str | None = None

    def __post_init__(self) -> None:
        rows = len(self.customer_ids)
        lengths = {f"feature {name!r}": len(column) for name, column in self.features.items()}
        lengths |= {f"unread feature {name!r}": len(where) for name, where in self.unread.items()}
        lengths |= {f"score {name!r}": len(scores.values) for name, scores in self.scores.items()}
        lengths |= {f"drivers {name!r}": len(drivers) for name, drivers in self.drivers.items()}
        if self.absent is not None:
            lengths["absent customers"] = len(self.absent)
        if self.consent_records is not None:
            lengths["consent records"] = len(self.consent_records)
        for name, length in lengths.items():
            if length != rows:
                raise BadData(
                    "decide.length",
                    f"{name} has {length} entries for {rows} customers",
                    where="customer batch",
                    hint="give one entry per customer, in the order of the customer ids",
                )
        if len(set(self.customer_ids)) != rows:
            raise BadData(
                "decide.duplicate_customer",
                "a customer is listed twice in the batch",
                where="customer batch",
                hint="give each customer once",
            )

    def __len__(self) -> int:
        return len(self.customer_ids)
