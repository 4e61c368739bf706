"""The command line's entry point: the table of commands, and a documented exit code for every outcome."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from features.base.errors import Problem, UsageError
from serving.cli.lazy_commands import LazyCommand, LazyGroup
from serving.cli.terminal import Terminal, exit_code

INTERRUPTED = 130  # as shells have it: 128 and the number of SIGINT
COMMANDS = {
    "init": LazyCommand(
        "init_command:init",
        "Write a workspace; with --from, look at what the files hold, propose the mapping and try it, with reasons.",
    ),
    "why": LazyCommand(
        "why_command:why",
        "Say which record gave a customer's value, by which rule, and why the other records' values lost.",
    ),
    "owners": LazyCommand(
        "why_command:owners",
        "Show how many customers each owner counts, against how many they are.",
    ),
    "report": LazyCommand(
        "report_command:report",
        "Write the quality report of the last `unify` anew, as a page and as JSON.",
    ),
    "tables": LazyCommand(
        "tables_command:tables",
        "Count what the canonical tables hold: rows, customers, amounts, times, by event, status and feed.",
    ),
    "demo": LazyCommand(
        "demo_command:demo",
        "Simulate the demo company, run everything, and show one customer's decision with its reasons.",
    ),
    "check": LazyCommand(
        "check_command:check",
        "Validate the workspace and try its feeds on their rows (of large files the first); change nothing.",
    ),
    "unify": LazyCommand(
        "unify_command:unify",
        "Feeds → one customer; identity, quality and consent report.",
    ),
    "train": LazyCommand(
        "train_command:train",
        "Labels → frame → fit → evaluate → gate → register; metrics and verdicts.",
    ),
    "promote": LazyCommand(
        "deployment_commands:promote",
        "Make a version the champion, with a ledger entry.",
    ),
    "rollback": LazyCommand(
        "deployment_commands:rollback",
        "Make the version before the present one the champion again, with a ledger entry.",
    ),
    "decide": LazyCommand(
        "decide_command:decide",
        "Decide for every customer, log it, and publish the list atomically.",
    ),
    "serve": LazyCommand(
        "serve_command:serve",
        "Serve decisions online.",
    ),
    "run": LazyCommand(
        "run_command:run",
        "All steps from feeds to decisions; what is done already is not done again.",
    ),
    "features": LazyCommand(
        "feature_commands:app",
        "Build the features as of every cutoff, register them with Feast, fill the online store.",
    ),
    "events": LazyCommand(
        "event_commands:app",
        "Streamed events: take them in, have them online a moment later, list dead letters, prune the log.",
    ),
    "identity": LazyCommand(
        "identity_commands:app",
        "Where past ids of customers lead, what became of them, and what people say about them.",
    ),
    "consent": LazyCommand(
        "consent_commands:app",
        "What a customer allowed, and who is withheld from what.",
    ),
    "quarantine": LazyCommand(
        "quarantine_commands:app",
        "Rows that could not be used: where they are and why, and reading them again.",
    ),
    "config": LazyCommand(
        "config_command:app",
        "What may be written into a workspace's files.",
    ),
}


class NextbestGroup(LazyGroup):
    """All commands of `nextbest`."""

    lazy = COMMANDS


app = typer.Typer(
    name="nextbest",
    cls=NextbestGroup,
    help="From scattered feeds to one customer, features, models, and the next best offer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def nextbest() -> None:
    """From scattered feeds to one customer, features, models, and the next best offer."""


def main() -> None:
    """Run the command line; return documented exit codes whatever happens."""
    # Read by OpenMP when LightGBM is loaded: threads that wait sleep. Spinning, they cost six times the CPU (59 s
    # instead of 9 s on the README's shop) as soon as another process wants a core, and change no result.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    terminal = Terminal(as_json="--json" in arguments)
    try:
        code: Any = app(arguments, standalone_mode=False, prog_name="nextbest")
    except typer.TyperException as error:
        # Typer carries its own copy of click, so click's classes would not catch this.
        hint = " ".join(["nextbest", *_command(arguments), "--help"])
        if not arguments:
            terminal.err.print(error.format_message(), markup=False)
        else:
            terminal.fail([Problem("usage", error.format_message(), hint=f"see `{hint}`")])
        return UsageError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the rim: everything becomes a documented exit code
        return exit_code(error, terminal)
    return code if isinstance(code, int) else 0


def _command(arguments: list[str]) -> list[str]:
    """Return the words that name a command, of those that were given."""
    named = [] if not arguments or arguments[0] not in COMMANDS else _names(arguments[0])
    return next((words for words in (arguments[:2], arguments[:1]) if " ".join(words) in named), [])


def commands() -> list[str]:
    """Return the names of all commands, those of groups with the name of their group before them.

    Examples
    --------
    >>> [name for name in commands() if name.startswith("consent")]
    ['consent show', 'consent withheld']
    """
    return sorted(name for first in COMMANDS for name in _names(first))


def _names(first: str) -> list[str]:
    """Return the commands that begin with a word: itself, or those of its group."""
    command = COMMANDS[first].build(first)
    if not isinstance(command, TyperGroup):
        return [first]
    # a group that does something by itself, such as `features`, is a command, too
    return [*([first] if command.invoke_without_command else []), *(f"{first} {name}" for name in command.commands)]
