"""One customer's story: the records that became one, the risk of leaving, the decision and the offers not made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isnan
from typing import Any, Literal

import pandas as pd
import pyarrow.compute as pc

from features.base.errors import BadData
from features.base.parquet import read_parquet
from features.base.workspace import Workspace
from features.config.canonical import CANONICAL
from features.config.purposes import Purpose
from features.config.workspace_files import load_feeds
from features.consent.customer_data import rows_of
from serving.batch.published_list import PARQUET
from serving.decisioning.decision import Decision
from serving.decisioning.reason_codes import Reason
from serving.engine import Decider

Row = dict[str, Any]


@dataclass(frozen=True)
class Risk:
    """A model's score for the customer, and what moved it."""

    model: str
    score: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Story:
    """All that there is to tell of one customer.

    Parameters
    ----------
    customer_id : pseudonymous
    as_of : the moment of the features and of the decision
    records : the source records, each with its feed, key and mapped fields
    golden : the surviving values
    risks : binary models' scores with their reasons
    decision : the decision, refusals included
    titles : offer → its title in the catalogue
    """

    customer_id: str
    as_of: datetime
    records: tuple[Mapping[str, Any], ...]
    golden: Mapping[str, Any]
    risks: tuple[Risk, ...]
    decision: Decision
    titles: Mapping[str, str]


def tell(
    workspace: Workspace, decider: Decider, columns: Mapping[str, Sequence[Any]] | pd.DataFrame, customer_id: str
) -> Story:
    """Return the story of one customer who has been decided for.

    Parameters
    ----------
    workspace : after ``nextbest decide``
    decider : of the workspace
    columns : the customer's features, one value each, as `Store.latest` gives them
    customer_id : who

    Raises
    ------
    BadData : no decision was made for this customer
    """
    decided = read_parquet(workspace.published / "decisions" / PARQUET, columns=["customer_id", "decision_id"])
    found = decided.filter(pc.equal(decided["customer_id"], customer_id))
    if not found.num_rows:
        raise BadData(
            "story.unknown_customer", "no decision was made for this customer", hint="run `nextbest decide` first"
        )
    purposes, as_of = load_feeds(workspace)[0].purposes, decider.catalogue.as_of
    arrays = decider.columns(columns)
    risks = []
    for model, scores in decider.scorer.score(arrays).items():
        if scores.candidates or isnan(float(scores.values[0])):  # outside the model's population
            continue
        (reasons,) = decider.scorer.reasons(model, arrays, rows=[0])
        risks.append(Risk(model, float(scores.values[0]), reasons))
    return Story(
        customer_id=customer_id,
        as_of=as_of,
        records=tuple(_rows(workspace, purposes, "customers", customer_id, as_of=as_of, personal=True)),
        golden=_golden(workspace, purposes, customer_id, as_of=as_of),
        risks=tuple(risks),
        decision=decider.ledger.get(found["decision_id"][0].as_py()),
        titles={offer.id: offer.settings.title or offer.id for offer in decider.policy.offers},
    )


def _golden(workspace: Workspace, purposes: Mapping[str, Purpose], customer_id: str, *, as_of: datetime) -> Row:
    """Return the golden record with what identifies the person, which is stored separately."""
    (known,) = _rows(workspace, purposes, "golden", customer_id, as_of=as_of, personal=False)
    (personal,) = _rows(workspace, purposes, "golden", customer_id, as_of=as_of, personal=True)
    return {**known, **personal}


def _rows(
    workspace: Workspace,
    purposes: Mapping[str, Purpose],
    table: Literal["golden", "customers"],
    customer_id: str,
    *,
    as_of: datetime,
    personal: bool,
) -> list[Row]:
    rows = rows_of(workspace, purposes, table, customer_id, purpose=None, as_of=as_of, personal=personal)
    fields = ["feed", "record_id", "event_time", *CANONICAL["customers"].fields]
    chosen: list[Row] = rows.select([name for name in fields if name in rows.column_names]).to_pylist()
    return chosen
