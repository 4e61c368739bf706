"""``nextbest``: the roof. It sees everything and decides nothing.

Every command imports what it needs when it runs, so that ``nextbest --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from features.base.clock import system_clock
from features.base.errors import BadConfiguration, Problem, UsageError
from serving.cli import (
    config_command,
    consent_commands,
    event_commands,
    feature_catalogue,
    feature_commands,
    identity_commands,
    quarantine_commands,
    reconcile_commands,
)
from serving.cli.forget_command import forget
from serving.cli.init_command import init
from serving.cli.options import AsJson, AsOf, Folder, moment_of, workspace_of
from serving.cli.report_command import report
from serving.cli.terminal import Terminal, exit_code
from serving.cli.why_command import owners, why

INTERRUPTED = 130  # as shells say it: 128 and the number of SIGINT

app = typer.Typer(
    name="nextbest",
    help="From scattered feeds to one customer, features, models, and the next best offer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(init)
feature_commands.app.command("list")(feature_catalogue.list_features)
feature_commands.app.command()(feature_catalogue.describe)
feature_commands.app.command()(feature_catalogue.profile)
feature_commands.app.command()(forget)
feature_commands.app.command()(reconcile_commands.reconcile)
feature_commands.app.command()(reconcile_commands.consistency)
app.add_typer(feature_commands.app)
app.add_typer(event_commands.app)
app.add_typer(identity_commands.app)
app.add_typer(consent_commands.app)
app.add_typer(quarantine_commands.app)
app.add_typer(config_command.app)
app.command()(why)
app.command()(owners)
app.command()(report)


@app.command()
def demo(
    workspace: Folder = Path(),
    customers: Annotated[int, typer.Option(help="People in the simulated company.")] = 4000,
    seed: Annotated[int, typer.Option(help="Another seed, another company.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Simulate the demo company, run everything, and show one customer's decision with its reasons."""
    from serving.demo import run_demo, show

    terminal = Terminal(as_json=as_json)
    workspace.mkdir(parents=True, exist_ok=True)
    with terminal.progress() as progress:
        told = run_demo(workspace_of(workspace), progress, customers=customers, seed=seed, clock=system_clock)
    show(told, terminal, workspace)


@app.command()
def check(workspace: Folder = Path(), as_json: AsJson = False) -> None:
    """Validate the workspace and its feeds; change nothing."""

    from serving.cli.workspace_check import check_workspace

    terminal = Terminal(as_json=as_json)
    problems = check_workspace(workspace_of(workspace))
    if problems:
        raise BadConfiguration.of(problems)
    terminal.say("everything fits together")
    terminal.answer({"problems": []})
    terminal.next_step("nextbest run")


@app.command()
def unify(
    workspace: Folder = Path(),
    accept: Annotated[list[str] | None, typer.Option(help="A feed whose refused load is meant; may repeat.")] = None,
    refit: Annotated[bool, typer.Option("--refit", help="Learn the weights of identity anew.")] = False,
    as_json: AsJson = False,
) -> None:
    """Feeds → one customer; identity, quality and consent report."""
    from serving.cli.steps import unify_step

    terminal = Terminal(as_json=as_json)
    with terminal.progress() as progress:
        done = unify_step(workspace_of(workspace), progress, accept=accept or [], refit=refit)
    terminal.answer(done.document)
    terminal.say(done.text)
    terminal.next_step("nextbest features")


@app.command()
def train(
    models: Annotated[list[str] | None, typer.Argument(help="Models to train; all when none is named.")] = None,
    workspace: Folder = Path(),
    as_json: AsJson = False,
) -> None:
    """Labels → frame → fit → evaluate → gate → register; metrics and verdicts."""
    from serving.cli.steps import train_step

    terminal = Terminal(as_json=as_json)
    with terminal.progress() as progress:
        done = train_step(workspace_of(workspace), models or [], progress, clock=system_clock)
    terminal.answer(done.document)
    terminal.say(done.text)
    terminal.next_step("nextbest decide")


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="The model.")],
    version: Annotated[int | None, typer.Option(help="The version; the latest if left out.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger.")] = "promoted by hand",
    workspace: Folder = Path(),
    as_json: AsJson = False,
) -> None:
    """Make a version the champion, with a ledger entry."""
    from serving.cli.steps import promote_step

    terminal = Terminal(as_json=as_json)
    done = promote_step(workspace_of(workspace), model, version=version, reason=reason, at=system_clock())
    terminal.answer(done.document)
    terminal.say(done.text)
    terminal.next_step("nextbest decide")


@app.command()
def rollback(
    model: Annotated[str, typer.Argument(help="The model.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the ledger.")] = "rolled back by hand",
    workspace: Folder = Path(),
    as_json: AsJson = False,
) -> None:
    """Make the version before the present one the champion again, with a ledger entry."""
    from serving.cli.steps import rollback_step

    terminal = Terminal(as_json=as_json)
    done = rollback_step(workspace_of(workspace), model, reason=reason, at=system_clock())
    terminal.answer(done.document)
    terminal.say(done.text)
    terminal.next_step("nextbest decide")


@app.command()
def decide(
    workspace: Folder = Path(),
    customers: Annotated[Path | None, typer.Option(help="File with one customer_id a line; all if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Decide for every customer, log it, and publish the list atomically."""
    from serving.cli.steps import decide_step

    terminal = Terminal(as_json=as_json)
    with terminal.progress() as progress:
        done = decide_step(workspace_of(workspace), progress, customers=customers)
    terminal.answer(done.document)
    terminal.say(done.text)
    terminal.next_step("nextbest serve")


@app.command()
def serve(
    workspace: Folder = Path(),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 3000,
) -> None:
    """Serve decisions online."""
    from serving.online.serve import serve as start

    start(workspace_of(workspace), host=host, port=port)


@app.command()
def run(workspace: Folder = Path(), as_of: AsOf = None, as_json: AsJson = False) -> None:
    """All steps from feeds to decisions; what is done already is not done again."""
    from serving.cli.steps import run_all

    terminal = Terminal(as_json=as_json)
    with terminal.progress() as progress:
        done = run_all(workspace_of(workspace), progress, as_of=moment_of(as_of), clock=system_clock)
    terminal.answer(done.document)
    terminal.say(done.text)
    terminal.next_step("nextbest serve")


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
    known = commands()
    return next((words for words in (arguments[:2], arguments[:1]) if " ".join(words) in known), [])


def commands() -> list[str]:
    """Return the names of all commands, those of groups with the name of their group before them."""
    alone = [command.callback.__name__ for command in app.registered_commands if command.callback]
    groups = [group.typer_instance for group in app.registered_groups if group.typer_instance is not None]
    # a group that does something by itself, such as `features`, is a command, too
    themselves = [str(group.info.name) for group in groups if group.info.invoke_without_command is True]
    grouped = [
        f"{group.info.name} {command.name or command.callback.__name__}"
        for group in groups
        for command in group.registered_commands
        if command.callback
    ]
    return sorted([*alone, *themselves, *grouped])
