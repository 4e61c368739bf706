"""The demo: a simulated company, and the story of one of its customers once all steps have run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from features import __file__ as features_file
from features.base.errors import BadConfiguration, BadData
from features.base.parquet import read_parquet
from features.base.progress import Progress
from features.base.storage import read_json, write_json
from features.base.workspace import CONFIGURATION, Workspace
from features.config.workspace_files import load_feeds
from features.consent.customer_data import allowed_customers
from features.identity.keyed_digest import store_key
from features.identity.pair_metrics import PairScore, resolved_records, score_pairs
from features.simulate import simulate, write
from features.store.repository import open_store
from serving.batch.published_list import PARQUET
from serving.console.customer_story import Story, tell
from serving.engine import Decider
from serving.online.api_keys import ensure_keys

REPOSITORY = Path(features_file).resolve().parents[1]
RECORDS = 4  # of the customer that is shown


@dataclass(frozen=True)
class DemoStory:
    """One customer's story, and how well identity resolution did against the simulator's truth."""

    story: Story
    identity: PairScore


def prepare_demo(workspace: Workspace, progress: Progress, *, customers: int, seed: int) -> None:
    """Simulate the company, and write what the steps need: configuration where there is none, data, keys.

    Parameters
    ----------
    workspace : an empty folder (the demo's configuration is written into it), or one that has its own
    customers, seed : of the simulated company; the same company is not simulated twice
    """
    _configure(workspace)
    _simulate(workspace, progress, customers=customers, seed=seed)
    store_key(workspace.pseudonym_key, f"{seed:064d}")
    store_key(workspace.identity_key, f"{seed:064d}")  # invented people need no secret: the same seed, the same ids
    ensure_keys(workspace)


def tell_demo(workspace: Workspace, progress: Progress) -> DemoStory:
    """Return the story of one customer, after all steps have run.

    Raises
    ------
    BadData : when no customer has an offer
    """
    progress.step("choosing one customer to show")
    identity = _score_identity(workspace)
    decider = Decider.open(workspace)
    store = open_store(workspace.root)
    try:
        latest = store.latest(decider.features, as_of=decider.catalogue.as_of)
    finally:
        store.close()
    with decider.ledger:
        chosen = _choose(workspace, decider, latest, identity)
        return DemoStory(tell(workspace, decider, latest[latest["customer_id"] == chosen], chosen), identity)


def _score_identity(workspace: Workspace) -> PairScore:
    """Compare the resolved customers with the simulator's truth."""
    truth = read_parquet(workspace.state / "company" / "truth" / "records.parquet").to_pandas()
    return score_pairs(resolved_records(workspace), truth.rename(columns={"key": "record_id", "person": "person_id"}))


def _choose(workspace: Workspace, decider: Decider, latest: pd.DataFrame, identity: PairScore) -> str:
    """Return the customer to show: with an offer, four records that are joined right, and the highest risk to leave."""
    decided = read_parquet(workspace.published / "decisions" / PARQUET, columns=["customer_id", "rank"]).to_pandas()
    offered = set(decided.loc[decided["rank"] == 1, "customer_id"])
    feeds, _ = load_feeds(workspace)
    sizes = allowed_customers(workspace, feeds.purposes, purpose=None, as_of=decider.catalogue.as_of)
    scores = decider.scorer.score(decider.columns(latest)).get("churn")
    risk = pd.Series(scores.values if scores else 0.0, index=latest["customer_id"])
    fit = [who for who in risk.index if who in offered and who in sizes]
    if not fit:
        raise BadData(
            "demo.no_offer", "no customer has an offer", hint="look at the reasons that `nextbest decide` counts"
        )
    return str(max(fit, key=lambda who: (who in identity.exact, -abs(sizes[who] - RECORDS), risk[who], who)))


def _configure(workspace: Workspace) -> None:
    if any(workspace.file(name).exists() for name in CONFIGURATION):
        return
    for name in CONFIGURATION:
        source = REPOSITORY / name
        if not source.is_file():
            raise BadConfiguration(
                "demo.no_configuration",
                f"the demo's {name} is not beside the packages",
                hint="run the demo from a clone of the repository",
            )
        workspace.file(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, workspace.file(name))


def _simulate(workspace: Workspace, progress: Progress, *, customers: int, seed: int) -> None:
    folder = workspace.state / "company"
    requested = {"customers": customers, "seed": seed}
    done = folder / "simulated.json"
    if done.is_file() and read_json(done) == requested:
        return
    progress.step(f"simulating a company of {customers} people")
    shutil.rmtree(folder, ignore_errors=True)
    write(simulate(customers=customers, seed=seed), folder)
    write_json(done, requested)
