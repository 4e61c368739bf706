"""``nextbest features``: build features as of every cutoff; what else there is to ask of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serving.cli.lazy_commands import LazyCommand, LazyGroup
from serving.cli.options import AsJson, AsOf, Folder, moment_of, workspace_of
from serving.cli.terminal import Terminal

BUILD = LazyCommand("features_step:features_step", "")  # imports Feast, which takes seconds
FEATURES = {
    "list": LazyCommand(
        "feature_catalogue:list_features",
        "List the features that were built: type, unit, meaning, owner, purpose, and where each comes from.",
    ),
    "describe": LazyCommand(
        "feature_catalogue:describe",
        "Tell all of one feature: its rule, the feeds' columns behind it, freshness, values today and drift.",
    ),
    "profile": LazyCommand(
        "feature_catalogue:profile",
        "Write one page of what every feature holds: its values, what is missing, its drift; and the same as JSON.",
    ),
    "forget": LazyCommand(
        "forget_command:forget",
        "Forget one customer's history, streamed events and features; a build brings back what the feeds still hold.",
    ),
    "reconcile": LazyCommand(
        "reconcile_commands:reconcile",
        "Hold the whole online store against the last build's snapshots, and mend what differs.",
    ),
    "consistency": LazyCommand(
        "reconcile_commands:consistency",
        "Compute logged served features again offline, and tell per feature what was wrong, missing or stale.",
    ),
}


class FeaturesGroup(LazyGroup):
    """What can be done with features besides building them."""

    lazy = FEATURES


app = typer.Typer(
    name="features",
    cls=FeaturesGroup,
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
    terminal = Terminal(as_json=as_json)
    with terminal.progress() as progress:
        done = BUILD.load()(
            workspace_of(workspace),
            progress,
            as_of=moment_of(as_of),
            refit=refit,
            allow_type_change=allow_type_change,
        )
    done.print(terminal, next_step="nextbest train")
