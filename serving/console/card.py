"""The decision card: one customer's story, drawn for a terminal (and, from there, as a picture)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from features.base.clock import iso
from serving.console.customer_story import Story
from serving.decisioning.reason_codes import REGISTRY
from serving.decisioning.sentences import explain_reason

_GREEN = "green4"


def card(story: Story) -> RenderableType:
    """Return the whole card."""
    return Group(
        Panel(_records(story), title="many records, one customer", title_align="left", border_style="dim"),
        Panel(_risk(story), title="how likely", title_align="left", border_style="dim"),
        Panel(_offers(story), title="next best offer", title_align="left", border_style=_GREEN),
        Panel(_held_back(story), title="held back, and why", title_align="left", border_style="dim"),
    )


def _records(story: Story) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("feed", "key", "name", "e-mail", "telephone", "born", "postcode"):
        table.add_column(name, overflow="fold", no_wrap=name in ("key", "born"))
    for record in story.records:
        table.add_row(*map(Text, [record["feed"], record["record_id"], *_person(record)]))
    table.add_section()
    golden = [Text(value, style=f"bold {_GREEN}") for value in _person(story.golden)]
    table.add_row(Text("one customer", style=f"bold {_GREEN}"), Text("", style=_GREEN), *golden)
    return table


def _person(record: Mapping[str, Any]) -> list[str]:
    parts = [record.get("first_name"), record.get("last_name")]
    name = " ".join(str(part) for part in parts if part) or record.get("full_name")
    values = [name, *(record.get(field) for field in ("email", "phone", "birth_date", "postcode"))]
    return ["" if value is None else str(value) for value in values]


def _risk(story: Story) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column()
    for risk in story.risks:
        table.add_row(Text(f"{risk.model} {risk.score:.1%}", style="bold"), "")
        for reason in risk.reasons:
            table.add_row("", Text(explain_reason(reason)))
    return table


def _offers(story: Story) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for name in ("", "offer", "through", "likelihood", "worth", "expected", "why"):
        table.add_column(name, overflow="fold")
    for item in story.decision.items:
        why = "\n".join(explain_reason(reason) for reason in item.reasons)
        style = f"bold {_GREEN}" if item.rank == 1 else ""
        table.add_row(
            str(item.rank),
            Text(story.titles.get(item.offer, item.offer), style=style),
            Text(item.channel),
            "" if item.propensity is None else f"{item.propensity:.1%}",
            "" if item.value is None else f"{item.value:.2f}",
            f"{item.priority:.2f}",
            Text(why),
        )
    if story.decision.is_no_action:
        reason = story.decision.no_action_reason or "no_offers"
        table.add_row("", "none", "", "", "", "", REGISTRY[reason])
    return table


def _held_back(story: Story) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for blocked in story.decision.blocked:
        title = story.titles.get(blocked.offer, blocked.offer)
        table.add_row(
            Text(title), Text(str(blocked.stage), style="dim"), REGISTRY[blocked.stage], Text(blocked.rule, style="dim")
        )
    if not story.decision.blocked:
        table.add_row("nothing")
    return table


def footer(story: Story) -> str:
    """Return one line with the versions and times behind the card."""
    models = ", ".join(f"{model} {version}" for model, version in sorted(story.decision.model_versions.items()))
    return f"as of {iso(story.as_of)} · policy {story.decision.policy_version} · models {models}"
