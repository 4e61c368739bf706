"""``nextbest check``: validate the workspace and its feeds."""

from __future__ import annotations

from pathlib import Path

from features.base.errors import BadConfiguration
from serving.cli.options import AsJson, Folder, workspace_of
from serving.cli.terminal import Terminal
from serving.cli.workspace_check import check_workspace


def check(workspace: Folder = Path(), as_json: AsJson = False) -> None:
    """Validate the workspace and its feeds; change nothing."""
    terminal = Terminal(as_json=as_json)
    problems = check_workspace(workspace_of(workspace))
    if problems:
        raise BadConfiguration.of(problems)
    terminal.say("everything fits together")
    terminal.answer({"problems": []})
    terminal.next_step("nextbest run")
