"""``nextbest tables``: what the canonical tables hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from features.config.workspace_files import load_feeds
from features.consent.table_counts import count_tables
from serving.cli.options import AsJson, Folder, workspace_of
from serving.cli.terminal import Terminal


def tables(workspace: Folder = Path(), as_json: AsJson = False) -> None:
    """Count what the canonical tables hold: rows, customers, amounts, times, by event, status and feed."""
    terminal = Terminal(as_json=as_json)
    place = workspace_of(workspace)
    file, _ = load_feeds(place)
    found = count_tables(place, file.purposes)
    terminal.answer({"tables": found})
    for name, counts in found.items():
        for line in _lines(name, counts):
            terminal.say(line)
    terminal.next_step("nextbest features")


def _lines(name: str, counts: dict[str, Any]) -> list[str]:
    parts = [f"{counts['rows']} rows"]
    if "customers" in counts:
        parts.append(f"{counts['customers']} customers")
    if counts.get("amount") is not None:
        parts.append(f"amount {counts['amount']:.2f}")
    if counts.get("first") is not None:
        parts.append(f"{counts['first']} to {counts['last']}")
    lines = [f"{name}: {', '.join(parts)}"]
    for key in ("by_event", "by_status", "by_feed"):
        if counts.get(key):
            listed = ", ".join(f"{value} {count}" for value, count in counts[key].items())
            lines.append(f"  {key.replace('_', ' ')}: {listed}")
    return lines
