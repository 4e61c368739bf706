"""``nextbest why`` and ``owners``: what a value of the golden record rests on, and how each owner counts customers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pyarrow.parquet as pq
import typer

from features.base.clock import iso
from features.base.masking import masked
from features.config.engine_settings import engine_resources
from features.config.workspace_files import load_feeds
from features.identity.owner_views import FOLDER
from features.identity.owner_views import owners as counted
from features.identity.value_history import Candidate, Why
from features.identity.value_history import why as value_history
from serving.cli.options import AsJson, AsOf, Folder, moment_of, workspace_of
from serving.cli.terminal import Terminal

Show = Callable[[str | None], str | None]


def why(
    customer: Annotated[str, typer.Argument(help="Any id that a customer ever had.")],
    field: Annotated[str, typer.Argument(help="A field of the golden record, such as city or crm.segment.")],
    workspace: Folder = Path(),
    as_of: AsOf = None,
    show_personal: Annotated[bool, typer.Option("--show-personal", help="Do not mask what identifies people.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say which record gave a customer's value, by which rule, and why the other records' values lost."""
    place = workspace_of(workspace)
    feeds, _ = load_feeds(place)
    found = value_history(place, feeds, customer, field, as_of=moment_of(as_of))
    document = _document(found, shown=show_personal)
    terminal = Terminal(as_json=as_json)
    terminal.answer(document)
    for line in _lines(document):
        terminal.say(line)
    terminal.next_step(f"nextbest identity history {found.customer_id}")


def owners(workspace: Folder = Path(), as_json: AsJson = False) -> None:
    """Show how many customers each owner counts, against how many they are."""
    place = workspace_of(workspace)
    feeds, _ = load_feeds(place)
    found = counted(place.unified, feeds, resources=engine_resources(place))
    customers = pq.read_metadata(place.unified / "golden.parquet").num_rows
    terminal = Terminal(as_json=as_json)
    terminal.answer(
        {
            "customers": customers,
            "owners": {
                owner.name: {
                    "feeds": list(owner.feeds),
                    "counted": owner.counted,
                    "customers": owner.customers,
                    "only_here": owner.only_here,
                    "view": str(place.unified / FOLDER / f"{owner.name}.parquet"),
                }
                for owner in found
            },
        }
    )
    terminal.say(f"{customers} customers in all")
    for owner in found:
        terminal.say(
            f"{owner.name} counts {owner.counted} customers, who are {owner.customers}; "
            f"{owner.only_here} of them only here ({', '.join(owner.feeds)})"
        )
    terminal.next_step("nextbest why CUSTOMER FIELD")


def _document(found: Why, *, shown: bool) -> dict[str, Any]:
    def value(text: str | None) -> str | None:
        return text if shown or text is None or not found.personal else masked(text)

    def record(candidate: Candidate) -> str:
        hidden = candidate.feed in found.personal_keys and not shown
        return f"{candidate.feed}:{masked(candidate.record_id) if hidden else candidate.record_id}"

    candidates = [
        {
            "record": record(candidate),
            "value": value(candidate.value),
            "changed_at": iso(candidate.changed_at) if candidate.changed_at else None,
            "known_at": iso(candidate.known_at),
            "verdict": candidate.verdict,
            "reason": candidate.reason,
            "repairs": [{"rule": repair.rule, "before": value(repair.before)} for repair in candidate.repairs],
        }
        for candidate in found.candidates
    ]
    winner = found.winner
    return {
        "customer_id": found.customer_id,
        "leads_to": list(found.leads_to),
        "field": found.field,
        "value": value(winner.value) if winner else None,
        "record": record(winner) if winner else None,
        "rule": found.rule,
        "changed_at": iso(winner.changed_at) if winner and winner.changed_at else None,
        "masked": found.personal and not shown,
        "candidates": candidates,
    }


def _lines(document: dict[str, Any]) -> list[str]:
    value = "empty" if document["value"] is None else document["value"]
    lines = [f"{document['customer_id']} {document['field']}: {value}  (rule {document['rule']})"]
    if len(document["leads_to"]) > 1:
        lines.append(f"  the id also leads to {', '.join(document['leads_to'][1:])}")
    for candidate in document["candidates"]:
        said = "–" if candidate["value"] is None else candidate["value"]
        when = candidate["changed_at"] or "no time"
        lines.append(f"  {candidate['verdict']}: {candidate['record']} {said}, {when}: {candidate['reason']}")
        lines += [
            f"    repaired by {repair['rule']}, before: {'–' if repair['before'] is None else repair['before']}"
            for repair in candidate["repairs"]
        ]
    if document["masked"]:
        lines.append("  values are masked; --show-personal shows them")
    return lines
