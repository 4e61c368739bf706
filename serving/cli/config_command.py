"""``nextbest config``: what may be written into a workspace's files."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from serving.cli.config_reference import as_json as document
from serving.cli.config_reference import as_markdown
from serving.cli.options import AsJson, Folder
from serving.cli.terminal import Terminal

app = typer.Typer(
    name="config",
    help="What may be written into a workspace's files.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def config() -> None:
    """What may be written into a workspace's files."""


@app.command()
def reference(workspace: Folder = Path(), as_json: AsJson = False) -> None:
    """Print every key of every workspace file with its type, default and meaning, as Markdown."""
    del workspace  # every command takes it; the reference is the same for all
    if as_json:
        Terminal(as_json=True).answer(document())
    else:
        sys.stdout.write(as_markdown())
