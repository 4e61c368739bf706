"""``nextbest report``: the quality report of the last `unify`, on one page."""

from __future__ import annotations

from pathlib import Path

from features.base.storage import read_json
from features.pipeline.unify_report import last_report, report_quality
from serving.cli.options import AsJson, Folder, workspace_of
from serving.cli.terminal import Terminal


def report(workspace: Folder = Path(), as_json: AsJson = False) -> None:
    """Write the quality report of the last `unify` anew, as a page and as JSON."""
    terminal = Terminal(as_json=as_json)
    place = workspace_of(workspace)
    page = report_quality(place, last_report(place))
    written = read_json(page.with_name("report.json"))
    terminal.answer({**written, "page": str(page)})
    outcomes = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in written["outcomes"].items())
    terminal.say(f"checks: {outcomes}")
    terminal.say(f"page: {page}")
    terminal.next_step("nextbest quarantine list" if written["quarantine"] else "nextbest features")
