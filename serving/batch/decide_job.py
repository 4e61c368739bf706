"""The batch job: decide for every customer, log it, publish the list. A repeated run gives the same bytes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from features.base.errors import BadData
from features.base.progress import Progress
from features.base.workspace import Workspace
from features.base.workspace_lock import locked
from features.store.repository import open_store
from serving.batch.published_list import publish, table_of
from serving.engine import Decider

ROLE = "batch"
#: Only the first offer of a list gets the drivers of its score: contributions cost a hundred times a score.
EXPLAINED_RANKS = 1


@dataclass(frozen=True)
class BatchResult:
    """What the batch job did.

    Parameters
    ----------
    decided : customers
    by_offer : how often each offer is ranked first
    no_action : customers without an offer, by reason
    degraded : inputs that were missing for all decisions
    folder : the published list
    """

    decided: int
    by_offer: dict[str, int]
    no_action: dict[str, int]
    degraded: tuple[str, ...]
    folder: Path


@locked("decide")
def decide_all(workspace: Workspace, progress: Progress, *, customers: Path | None = None) -> BatchResult:
    """Decide for every customer as of the last snapshot.

    Parameters
    ----------
    workspace : with features, and champions for the models that its offers name
    progress : receives the steps
    customers : a file with one customer_id a line; all customers if left out

    Raises
    ------
    BadData : no features yet, or a customer that is not known
    BadConfiguration : ``serving/offers.yaml`` does not fit the features
    """
    decider = Decider.open(workspace)
    as_of = decider.catalogue.as_of
    progress.step("reading features")
    store = open_store(workspace.root)
    try:
        # offers that read no feature are decided for the customers of any
        latest = store.latest(decider.features or decider.catalogue.features[:1], as_of=as_of)
    finally:
        store.close()
    if customers is not None:
        wanted = _listed(customers)
        unknown = len(wanted - set(latest["customer_id"]))
        if unknown:
            raise BadData(
                "decide.unknown_customer",
                f"{unknown} of {len(wanted)} customers are not known",
                where=customers.name,
                hint="take ids from golden.parquet in the published generation of state/unified",
            )
        latest = latest[latest["customer_id"].isin(wanted)].reset_index(drop=True)
    progress.step(f"deciding for {len(latest)} customers")
    with decider.ledger:
        decisions = decider.decide(
            latest["customer_id"].tolist(),
            latest,
            as_of=as_of,
            actor_role=ROLE,
            explain=EXPLAINED_RANKS,
            threads=2,
        )
    progress.step("publishing")
    folder = publish(table_of(decisions), workspace.published)
    first = Counter(decision.best.offer for decision in decisions if decision.best is not None)
    none = Counter(decision.no_action_reason or "" for decision in decisions if decision.is_no_action)
    return BatchResult(
        decided=len(decisions),
        by_offer=dict(sorted(first.items())),
        no_action=dict(sorted(none.items())),
        degraded=decider.degraded,
        folder=folder,
    )


def _listed(file: Path) -> set[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise BadData("decide.no_list", "the list cannot be read", where=file.name, hint="check --customers") from None
    return {line.strip() for line in lines if line.strip() and line.strip() != "customer_id"}
