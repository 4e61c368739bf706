"""The demo: a simulated company, everything run, and one customer's story."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from features import __file__ as features_file
from features.base.clock import Clock, iso
from features.base.errors import BadConfiguration, BadData
from features.base.progress import Progress
from features.base.storage import read_json, read_parquet, write_json
from features.base.workspace import CONFIGURATION, Workspace
from features.consent.customer_data import allowed_customers
from features.identity.id_key import keep_key
from features.identity.pair_metrics import PairScore, resolved_records, score_pairs
from features.store.repository import open_store
from features.views.declarations import load_feeds
from serving.batch.published_list import PARQUET
from serving.cli.steps import Done, run_all
from serving.cli.terminal import Terminal
from serving.console.card import card, footer
from serving.console.customer_story import Story, tell
from serving.decisioning.sentences import explain_reason
from serving.engine import Decider
from serving.online.api_keys import ensure_keys

#: Where the repository keeps the demo's configuration: beside the packages.
HOME = Path(features_file).resolve().parents[1]
RECORDS = 4  # of the customer that is shown


@dataclass(frozen=True)
class Told:
    """What the demo did, and the story of one customer."""

    run: Done
    story: Story
    identity: PairScore


def run_demo(workspace: Workspace, progress: Progress, *, customers: int, seed: int, clock: Clock) -> Told:
    """Simulate the company, run every step, and pick one customer to tell of.

    Parameters
    ----------
    workspace : an empty folder (the demo's configuration is written into it), or one that has its own
    progress : told what is being done
    customers, seed : of the simulated company; the same company is not simulated twice
    clock : for the ledger of deployments
    """
    _configure(workspace)
    _simulate(workspace, progress, customers=customers, seed=seed)
    keep_key(workspace.pseudonym_key, f"{seed:064d}")
    keep_key(workspace.identity_key, f"{seed:064d}")  # invented people need no secret: the same seed, the same ids
    ensure_keys(workspace)
    done = run_all(workspace, progress, as_of=None, clock=clock)
    progress.step("telling one customer's story")
    identity = _score_identity(workspace)
    decider = Decider.open(workspace)
    store = open_store(workspace.root)
    try:
        latest = store.latest(decider.features, as_of=decider.catalogue.as_of)
    finally:
        store.close()
    with decider.ledger:
        chosen = _choose(workspace, decider, latest, identity)
        return Told(done, tell(workspace, decider, latest[latest["customer_id"] == chosen], chosen), identity)


def _score_identity(workspace: Workspace) -> PairScore:
    """Compare who was found to be whom with what the simulator knows."""
    truth = read_parquet(workspace.state / "company" / "truth" / "records.parquet").to_pandas()
    return score_pairs(resolved_records(workspace), truth.rename(columns={"key": "record_id", "person": "person_id"}))


def _choose(workspace: Workspace, decider: Decider, latest: pd.DataFrame, identity: PairScore) -> str:
    """Return whom to tell of: the likeliest to leave among those of four records, rightly joined, with an offer."""
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
        source = HOME / name
        if not source.is_file():
            raise BadConfiguration(
                "demo.no_configuration",
                f"the demo's {name} is not beside the packages",
                hint="run the demo from a clone of the repository",
            )
        workspace.file(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, workspace.file(name))


def _simulate(workspace: Workspace, progress: Progress, *, customers: int, seed: int) -> None:
    from features.simulate import simulate, write

    folder = workspace.state / "company"
    asked = {"customers": customers, "seed": seed}
    done = folder / "simulated.json"
    if done.is_file() and read_json(done) == asked:
        return
    progress.step(f"simulating a company of {customers} people")
    shutil.rmtree(folder, ignore_errors=True)
    write(simulate(customers=customers, seed=seed), folder)
    write_json(done, asked)


def show(told: Told, terminal: Terminal, folder: Path) -> None:
    """Show the demo's end: what was done, the customer's card, how to serve it, how to use one's own files."""
    story = told.story
    terminal.answer({**told.run.document, "identity": _identity(told.identity), "customer": _document(story)})
    terminal.say(told.run.text)
    terminal.say()
    right = f"{told.identity.precision:.1%} of the joined pairs of records belong together"
    terminal.say(f"identity against the truth: {right}, {told.identity.recall:.1%} of those that belong were joined")
    terminal.say()
    terminal.show(card(story))
    terminal.say(f"[dim]{footer(story)}[/dim]")
    here = "" if folder == Path() else f" --workspace {folder}"
    key = folder / "state/keys/service_agent.key"
    terminal.say()
    terminal.say("[bold]serve it[/bold] (stop with Ctrl-C), and ask from another terminal:")
    terminal.say(f"  nextbest serve{here}")
    terminal.say(f'  curl -s localhost:3000/v1/decide -H "Authorization: Bearer $(cat {key})" \\')
    body = f'{{"customer_id": "{story.customer_id}", "channel": "agent", "purpose": "retention"}}'
    terminal.say(f"    -H 'Content-Type: application/json' -d '{body}'")
    terminal.say("[bold]your own files[/bold]:")
    terminal.say("  nextbest init DIR --from FILE FILE … && nextbest check -w DIR && nextbest run -w DIR")


def _identity(score: PairScore) -> Mapping[str, float]:
    return {"pair_precision": score.precision, "pair_recall": score.recall}


def _document(story: Story) -> Mapping[str, Any]:
    decision = story.decision
    return {
        "customer_id": story.customer_id,
        "as_of": iso(story.as_of),
        "records": [{"feed": record["feed"], "key": record["record_id"]} for record in story.records],
        "scores": {risk.model: risk.score for risk in story.risks},
        "reasons": {risk.model: [explain_reason(reason) for reason in risk.reasons] for risk in story.risks},
        "decision_id": decision.decision_id,
        "items": [{"offer": item.offer, "rank": item.rank, "priority": item.priority} for item in decision.items],
        "blocked": [{"offer": b.offer, "stage": str(b.stage), "rule": b.rule} for b in decision.blocked],
        "no_action_reason": decision.no_action_reason,
    }
