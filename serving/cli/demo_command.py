"""``nextbest demo``: simulate a company, run everything, show one customer's decision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from features.base.clock import iso, system_clock
from features.identity.pair_metrics import PairScore
from serving.cli.options import AsJson, Folder, workspace_of
from serving.cli.run_command import run_all
from serving.cli.step_report import StepReport
from serving.cli.terminal import Terminal
from serving.console.card import card, footer
from serving.console.customer_story import Story
from serving.decisioning.sentences import explain_reason
from serving.demo import DemoStory, prepare_demo, tell_demo


def demo(
    workspace: Folder = Path(),
    customers: Annotated[int, typer.Option(help="People in the simulated company.")] = 4000,
    seed: Annotated[int, typer.Option(help="Another seed, another company.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Simulate the demo company, run everything, and show one customer's decision with its reasons."""
    terminal = Terminal(as_json=as_json)
    workspace.mkdir(parents=True, exist_ok=True)
    place = workspace_of(workspace)
    with terminal.progress() as progress:
        prepare_demo(place, progress, customers=customers, seed=seed)
        done = run_all(place, progress, as_of=None, clock=system_clock)
        shown = tell_demo(place, progress)
    _show(done, shown, terminal, workspace)


def _show(done: StepReport, shown: DemoStory, terminal: Terminal, folder: Path) -> None:
    """Show what was done, the customer's card, how to serve it, and how to use one's own files."""
    story = shown.story
    terminal.answer({**done.document, "identity": _identity(shown.identity), "customer": _document(story)})
    terminal.say(done.text)
    terminal.say()
    right = f"{shown.identity.precision:.1%} of the joined pairs of records belong together"
    terminal.say(f"identity against the truth: {right}, {shown.identity.recall:.1%} of those that belong were joined")
    terminal.say()
    terminal.show(card(story))
    terminal.show(Text(footer(story), style="dim"))
    here = "" if folder == Path() else f" --workspace {folder}"
    key = folder / "state/keys/service_agent.key"
    terminal.say()
    terminal.say(" (stop with Ctrl-C), and ask from another terminal:", label="serve it")
    terminal.say(f"  nextbest serve{here}")
    terminal.say(f'  curl -s localhost:3000/v1/decide -H "Authorization: Bearer $(cat {key})" \\')
    body = f'{{"customer_id": "{story.customer_id}", "channel": "agent", "purpose": "retention"}}'
    terminal.say(f"    -H 'Content-Type: application/json' -d '{body}'")
    terminal.say(":", label="your own files")
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
