"""``nextbest features``: build features as of every cutoff; what else there is to ask of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serving.cli.options import AsJson, AsOf, Folder, moment_of, workspace_of
from serving.cli.terminal import Terminal

app = typer.Typer(
    name="features",
    help="Build the features as of every cutoff, register them with Feast, fill the online store.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.callback()
def build(
    context: typer.Context,
    workspace: Folder = Path(),
    as_of: AsOf = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Choose the categories, words and topics of views anew, and keep those.")
    ] = False,
    allow_type_change: Annotated[
        bool, typer.Option("--allow-type-change", help="Let features have another type than in the last build.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build the features as of every cutoff, register them with Feast, fill the online store."""
    if context.invoked_subcommand is not None:
        return
    from serving.cli.steps import features_step

    terminal = Terminal(as_json=as_json)
    with terminal.progress() as progress:
        done = features_step(
            workspace_of(workspace),
            progress,
            as_of=moment_of(as_of),
            refit=refit,
            allow_type_change=allow_type_change,
        )
    terminal.answer(done.document)
    terminal.say(done.text)
    terminal.next_step("nextbest train")
