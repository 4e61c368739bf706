"""``nextbest config``: what may be written into a workspace's files."""

from __future__ import annotations

import sys

import typer

from serving.cli.options import AsJson
from serving.cli.terminal import Terminal

app = typer.Typer(name="config", help="What may be written into a workspace's files.", no_args_is_help=True)


@app.callback()
def config() -> None:
    """What may be written into a workspace's files."""


@app.command()
def reference(as_json: AsJson = False) -> None:
    """Print every key of every workspace file with its type, default and meaning, as Markdown."""
    from serving.cli.config_reference import as_json as document
    from serving.cli.config_reference import as_markdown

    if as_json:
        Terminal(as_json=True).answer(document())
    else:
        sys.stdout.write(as_markdown())
