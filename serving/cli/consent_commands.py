"""``nextbest consent``: what a customer allowed, and who is withheld from what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from features.base.clock import iso
from features.config.workspace_files import load_feeds
from features.consent.customer_consents import consent_status_of
from features.pipeline.unify_report import last_report
from serving.cli.options import AsJson, AsOf, Folder, moment_of, workspace_of
from serving.cli.step_report import withheld_lines
from serving.cli.terminal import Terminal

app = typer.Typer(
    name="consent",
    help="What a customer allowed, and who is withheld from what.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


KnownAt = Annotated[str | None, typer.Option("--known-at", help="Words that came to light later do not count.")]


@app.command()
def show(
    customer: Annotated[str, typer.Argument(help="The customer's id.")],
    workspace: Folder = Path(),
    as_of: AsOf = None,
    known_at: Annotated[
        str | None, typer.Option("--known-at", help="Words that came to light later are unknown.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show every word of a customer, and what may be done with their data for each purpose."""
    place = workspace_of(workspace)
    feeds, _ = load_feeds(place)
    known = moment_of(known_at, option="--known-at")
    found = consent_status_of(place, feeds.purposes, customer, as_of=moment_of(as_of), known_at=known)
    terminal = Terminal(as_json=as_json)
    terminal.answer(
        {
            "customer_id": customer,
            "as_of": iso(found.as_of),
            "known_at": iso(found.known_at),
            "purposes": {
                purpose: {"basis": feeds.purposes[purpose].basis, "allowed": reason is None, "reason": reason}
                for purpose, reason in found.reasons.items()
            },
            "words": [
                {
                    "entry": word.entry,
                    "purpose": word.purpose,
                    "status": word.status,
                    "basis": word.basis,
                    "notice": word.notice,
                    "event_time": iso(word.event_time),
                    "known_at": iso(word.known_at),
                    "feed": word.feed,
                }
                for word in found.statements
            ],
        }
    )
    for purpose, reason in found.reasons.items():
        terminal.say(f"{purpose} ({feeds.purposes[purpose].basis}): {'allowed' if reason is None else f'no, {reason}'}")
    for word in found.statements:
        notice = f", notice {word.notice}" if word.notice else ""
        line = f"  {iso(word.event_time)}  {word.purpose}: {word.status} ({word.feed}{notice})"
        terminal.say(line)
    terminal.next_step("nextbest consent withheld")


@app.command()
def withheld(workspace: Folder = Path(), as_json: AsJson = False) -> None:
    """Count the customers who are withheld from each purpose, by reason."""
    report = last_report(workspace_of(workspace))
    terminal = Terminal(as_json=as_json)
    terminal.answer({"customers": report.customers, "withheld_by": report.withheld_by})
    for line in withheld_lines(report.withheld_by) or ["no customer is withheld"]:
        terminal.say(line.strip())
    terminal.next_step("nextbest consent show CUSTOMER")
