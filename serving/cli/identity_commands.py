"""``nextbest identity``: where past ids lead, what became of them, and what people say about them."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from features.base.clock import iso, system_clock
from features.base.errors import UsageError
from features.base.workspace_lock import workspace_lock
from features.identity.id_judgements import judge as enter
from features.identity.id_judgements import undo as take_back
from features.identity.id_ledger import Event
from features.identity.ledger_files import read_ledger, write_ledger
from features.identity.review_pairs import read_review_pairs
from serving.cli.options import AsJson, AsOf, Folder, moment_of, workspace_of
from serving.cli.terminal import Terminal

app = typer.Typer(
    name="identity",
    help="Where past ids of customers lead, what became of them, and what people say about them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Customer = Annotated[str, typer.Argument(help="Any id that a customer ever had.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; recorded in the ledger.")]
By = Annotated[str | None, typer.Option("--by", help="Who judges; the system's user if left out.")]


class JudgementChoice(StrEnum):
    """How a person can judge two records."""

    ALWAYS = "always"
    NEVER = "never"


@app.command()
def resolve(customer: Customer, workspace: Folder = Path(), as_of: AsOf = None, as_json: AsJson = False) -> None:
    """Say which customers an id leads to: today's, or those of any moment."""
    ledger = read_ledger(workspace_of(workspace).identity).ledger
    moment = moment_of(as_of)
    ends = ledger.resolve(customer, as_of=moment)
    document = {"customer_id": customer, "as_of": iso(moment) if moment else None, "leads_to": list(ends)}
    live = {end: ledger.is_live(end) for end in ends}
    lines = [end if live[end] else f"{end} (no records at present)" for end in ends]
    _answer(document | {"live": [live[end] for end in ends]}, lines, as_json, f"nextbest identity history {customer}")


@app.command()
def history(customer: Customer, workspace: Folder = Path(), as_json: AsJson = False) -> None:
    """Show every entry of the ledger about an id."""
    ledger = read_ledger(workspace_of(workspace).identity).ledger
    ledger.resolve(customer)
    events = ledger.history(customer)
    merged = [event.event for event in events if event.kind == "merged" and not ledger.undone(event.event)]
    following = f"undo e{merged[-1]} --reason …" if merged else f"resolve {customer}"
    document = {"customer_id": customer, "events": [_document(event) for event in events]}
    _answer(document, [_line(event) for event in events], as_json, f"nextbest identity {following}")


@app.command()
def judge(
    verdict: Annotated[JudgementChoice, typer.Argument(help="always: they are one customer; never: they are not.")],
    one: Annotated[str, typer.Argument(help="A record, as FEED:KEY.")],
    other: Annotated[str, typer.Argument(help="Another record, as FEED:KEY.")],
    reason: Reason,
    by: By = None,
    workspace: Folder = Path(),
    as_json: AsJson = False,
) -> None:
    """Say that two records are always, or never, one customer; it counts from the next run on."""
    place = workspace_of(workspace)
    with workspace_lock(place, "identity judge"):
        kept = read_ledger(place.identity)
        ledger = enter(
            kept.ledger, verdict.value, _record(one), _record(other), by=_who(by), reason=reason, at=system_clock()
        )
        write_ledger(place.identity, ledger, kept)
    document = {"verdict": verdict.value, "records": [one, other], "event": f"e{ledger.events.num_rows}"}
    _answer(document, [f"entered as e{ledger.events.num_rows}"], as_json, "nextbest unify")


@app.command()
def undo(
    event: Annotated[str, typer.Argument(help="The merge, as `history` shows it: e12.")],
    reason: Reason,
    by: By = None,
    workspace: Folder = Path(),
    as_json: AsJson = False,
) -> None:
    """Undo a merge: give the lost id back to its records, and judge both sides never one customer."""
    place = workspace_of(workspace)
    with workspace_lock(place, "identity undo"):
        kept = read_ledger(place.identity)
        ledger = take_back(kept.ledger, _number(event), by=_who(by), reason=reason, at=system_clock())
        write_ledger(place.identity, ledger, kept)
    added = [ledger.event(number) for number in range(kept.ledger.events.num_rows + 1, ledger.events.num_rows + 1)]
    entries = [entry for entry in added if entry is not None]
    pairs = ledger.judgements.num_rows - kept.ledger.judgements.num_rows
    lines = [*map(_line, entries), f"{pairs} pairs of records are judged never one customer"]
    document = {"undone": event, "events": [_document(entry) for entry in entries], "judged": pairs}
    _answer(document, lines, as_json, "nextbest unify")


@app.command()
def review(workspace: Folder = Path(), as_json: AsJson = False) -> None:
    """List the pairs of records that a guard keeps apart although something ties them; they wait for a judgement."""
    rows = read_review_pairs(workspace_of(workspace).identity).to_pylist()
    pairs = [
        {
            "records": [f"{row['feed']}:{row['record_id']}", f"{row['other_feed']}:{row['other_record']}"],
            "reason": row["reason"],
            "cause": row["rule"],
            "weight": row["weight"],
        }
        for row in rows
    ]
    lines = [
        f"{' '.join(pair['records'])}  {pair['reason']}  ({pair['cause']}, {pair['weight']:.1f})" for pair in pairs
    ]
    lines = lines or ["no pair of records waits for review"]
    _answer({"pairs": pairs}, lines, as_json, "nextbest identity judge always|never FEED:KEY FEED:KEY --reason …")


def _answer(document: Mapping[str, Any], lines: list[str], as_json: bool, following: str) -> None:
    terminal = Terminal(as_json=as_json)
    terminal.answer(document)
    for line in lines:
        terminal.say(line)
    terminal.next_step(following)


def _document(event: Event) -> dict[str, Any]:
    return {
        "event": f"e{event.event}",
        "at": iso(event.at),
        "kind": event.kind,
        "customer_id": event.customer_id,
        "into": event.into,
        "cause": event.cause,
        "weight": event.weight,
    }


def _line(event: Event) -> str:
    into = f" → {event.into}" if event.into else ""
    weight = f", weight {event.weight:.1f}" if event.weight is not None else ""
    cause = f" ({event.cause}{weight})" if event.cause else ""
    return f"e{event.event}  {iso(event.at)}  {event.kind}  {event.customer_id}{into}{cause}"


def _record(text: str) -> tuple[str, str]:
    feed, colon, key = text.partition(":")
    if not (feed and colon and key):
        raise UsageError("identity.record", "a record is not written as FEED:KEY", hint="write for example crm:17")
    return feed, key


def _number(text: str) -> int:
    digits = text.removeprefix("e")
    if not (digits.isascii() and digits.isdigit()):
        raise UsageError(
            "identity.event", "an event is not written as e12", hint="`nextbest identity history CUSTOMER` shows them"
        )
    return int(digits)


def _who(by: str | None) -> str:
    if by is not None:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise UsageError("identity.by", "the system does not say who you are", hint="name yourself with --by") from None
