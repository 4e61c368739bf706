"""``nextbest check``: validate the workspace and its feeds, and try them on their rows."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from features.base.errors import BadConfiguration
from features.base.progress import Silent
from features.config.engine_settings import FEEDS
from features.pipeline.trial_run import try_feeds
from serving.cli.init_command import say_trial
from serving.cli.options import AsJson, Folder, workspace_of
from serving.cli.terminal import Terminal
from serving.cli.workspace_check import check_workspace


def check(
    whole: Annotated[bool, typer.Option("--all", help="Try all rows, also of large files.")] = False,
    workspace: Folder = Path(),
    as_json: AsJson = False,
) -> None:
    """Validate the workspace and try its feeds on their rows (of large files the first); change nothing."""
    terminal = Terminal(as_json=as_json)
    place = workspace_of(workspace)
    problems = check_workspace(place)
    if problems:
        raise BadConfiguration.of(problems)
    with terminal.progress() as progress:
        progress.step("trying the feeds on their rows")
        trials = try_feeds(place.root, place.file(FEEDS).read_text(encoding="utf-8"), Silent(), whole=whole)
    say_trial(terminal, trials)
    terminal.say("everything fits together")
    terminal.answer({"problems": [], "trial": [asdict(trial) for trial in trials]})
    terminal.next_step("nextbest run")
