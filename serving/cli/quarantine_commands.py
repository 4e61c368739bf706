"""``nextbest quarantine``: rows that could not be used, and reading them again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from features.base.errors import UsageError
from features.base.workspace import Workspace
from features.config.loading import did_you_mean
from features.config.workspace_files import load_feeds
from features.pipeline.unify import unify
from features.quality.quarantine_list import QuarantinedGroup, quarantined_groups
from serving.cli.options import AsJson, Folder, workspace_of
from serving.cli.terminal import Terminal

app = typer.Typer(
    name="quarantine",
    help="Rows that could not be used: where they are and why, and reading them again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

OfFeed = Annotated[str | None, typer.Option("--feed", help="Of one feed; of all if left out.")]


@app.command("list")
def list_rows(
    workspace: Folder = Path(),
    feed: OfFeed = None,
    show_rows: Annotated[bool, typer.Option("--show-rows", help="Also their contents, which may be personal.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the quarantined rows, by feed and reason, with the their places."""
    terminal = Terminal(as_json=as_json)
    place = workspace_of(workspace)
    groups = quarantined_groups(place, _feeds(place, feed), show_rows=show_rows)
    terminal.answer({"rows": sum(group.rows for group in groups), "groups": [group.as_dict() for group in groups]})
    for line in _lines(groups):
        terminal.say(line)
    terminal.next_step("nextbest quarantine replay" if groups else "nextbest features")


@app.command()
def replay(workspace: Folder = Path(), feed: OfFeed = None, as_json: AsJson = False) -> None:
    """Read the rows again, through the mapping as it is now; those that still cannot be used stay."""
    terminal = Terminal(as_json=as_json)
    place = workspace_of(workspace)
    feeds = _feeds(place, feed)
    before = sum(group.rows for group in quarantined_groups(place, feeds))
    with terminal.progress() as progress:
        unify(place, progress, replay=feeds)
    groups = quarantined_groups(place, feeds)
    still = sum(group.rows for group in groups)
    terminal.answer({"before": before, "rows": still, "groups": [group.as_dict() for group in groups]})
    terminal.say(f"{before} rows were quarantined, {still} are")
    for line in _lines(groups):
        terminal.say(line)
    terminal.next_step("nextbest features")


def _feeds(workspace: Workspace, feed: str | None) -> list[str]:
    known = list(load_feeds(workspace)[0].feeds)
    if feed is not None and feed not in known:
        raise UsageError("quarantine.unknown_feed", f"there is no feed {feed!r}", hint=did_you_mean(feed, known))
    return [feed] if feed is not None else known


def _lines(groups: Sequence[QuarantinedGroup]) -> list[str]:
    lines = [] if groups else ["no row is quarantined"]
    for group in groups:
        more = ", …" if group.rows > len(group.places) else ""
        earlier = f", {group.earlier} of them of earlier loads" if group.earlier else ""
        lines.append(f"{group.feed}: {group.rows} because {group.reason}{earlier} ({', '.join(group.places)}{more})")
        lines += [f"  {line}" for line in group.contents]
    return lines
