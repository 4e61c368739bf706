"""``nextbest init``: write a workspace; with files, look at what they hold and propose the mapping."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.prompt import Prompt
from rich.text import Text

from features.base.database_engine import EngineResources, open_engine
from features.base.errors import BadData, UsageError
from features.base.progress import Progress, Silent
from features.base.storage import atomic_file
from features.base.workspace import CONFIGURATION
from features.config.engine_settings import FEEDS
from features.onboarding.answers import find_answer, suspected_leaks
from features.onboarding.column_roles import find_roles
from features.onboarding.proposal import Proposal
from features.onboarding.questions import Question, find_questions, refuse_wrong, with_decimal
from features.onboarding.render import feeds_yaml, purposes_of, scalar, views_yaml
from features.onboarding.sampling import name_sources, read_sources, settings_of
from features.onboarding.summary import propose
from features.pipeline.trial_run import FeedTrial, trial_table, try_feeds
from serving.cli.options import AsJson, Folder
from serving.cli.starter_files import (
    CUSTOMERS,
    FEATURE_STORE,
    IGNORED,
    MLFLOW,
    PURCHASES,
    labels_yaml,
    offers_yaml,
    roles_yaml,
)
from serving.cli.terminal import Terminal

#: Days of history before a cutoff and of outcome after it, and people of whom both classes are large enough.
_HISTORY = 180
_PEOPLE = 100


def init(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The new workspace; made where it is not there.")],
    more: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="Further files after --from.")] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option("--from", help="Files, folders, patterns or addresses whose mapping is proposed."),
    ] = None,
    interactive: Annotated[
        bool,
        typer.Option("--interactive", help="Ask what the data cannot answer: currency, zone, how dates are written."),
    ] = False,
    answered: Annotated[
        list[str] | None, typer.Option("--answer", help="NAME=ANSWER to such a question, as an error names it.")
    ] = None,
    workspace: Folder = Path(),
    as_json: AsJson = False,
) -> None:
    """Write a workspace; with --from, look at what the files hold, propose the mapping and try it, with reasons.

    DIR and files start from --workspace. Nothing is overwritten. The proposal is run on the rows (on the first ones of
    large files) before it is written, and a table shows what is kept of each feed. Exit codes: 0 written, 64 a file
    that is not there or a workspace that is, 65 a file that cannot be read or decided or no customer in any, 74 the
    folder cannot be written.
    """
    if more and not sources:
        raise UsageError("init.from", "files are named after --from", hint="nextbest init DIR --from FILE FILE …")
    terminal = Terminal(as_json=as_json)
    root = workspace / folder
    answers = dict(_answer(text) for text in answered or [])
    requested = [*(sources or []), *(more or [])]
    trials: list[FeedTrial] = []
    if requested:
        _refuse_existing(root)
        with nullcontext(Silent()) if interactive else terminal.progress() as progress:
            proposal = _propose(root, requested, progress, here=workspace, answers=answers, interactive=interactive)
            files = _files(proposal)
            progress.step("trying the proposal on the rows")
            trials = _try(root, files[FEEDS])
        _write(root, files)
        written = list(files)
    else:
        with terminal.progress() as progress:
            proposal, written = new_workspace(root, requested, progress, here=workspace)
    missing = missing_for_decisions(proposal, trials) if trials else []
    terminal.answer(
        {
            "workspace": str(root),
            "files": written,
            "feeds": {
                feed.name: {
                    "kind": feed.kind,
                    "source": feed.given.source,
                    "key": list(feed.key),
                    "fields": {field: mapped.value for field, mapped in feed.fields.items()},
                    "why": feed.why,
                }
                for feed in proposal.feeds
            },
            "left_out": {left.name: left.why for left in proposal.left_out},
            "not_understood": list(proposal.unread),
            "warnings": list(proposal.warnings),
            "trial": [asdict(trial) for trial in trials],
            "missing": missing,
        }
    )
    for feed in proposal.feeds:
        terminal.say(f"{feed.name}: {feed.kind}; {feed.why}")
    for left in proposal.left_out:
        terminal.say(f"{left.name}: left out; {left.why}")
    for note in proposal.notes:
        terminal.say(note)
    for name in proposal.unread:
        terminal.say(f"{name}: about consent, and not understood; marketing rests on consent until you map it")
    say_trial(terminal, trials)
    for warning in proposal.warnings:
        terminal.say(f" {warning}", label="WARNING:")
    for need in missing:
        terminal.say(f"missing for decisions: {need}")
    terminal.say(f"{len(written)} files written; features/feeds.yaml gives the reason for every line")
    terminal.next_step(f"nextbest check --workspace {root}")


def new_workspace(root: Path, requested: list[str], progress: Progress, *, here: Path) -> tuple[Proposal, list[str]]:
    """Write a workspace's files and return what was proposed, and the files' names.

    Parameters
    ----------
    root : the workspace's folder
    requested : sources; none for the small invented company
    progress : shows each source
    here : the folder that relative paths start from

    Raises
    ------
    UsageError : one of the files is there already, or a source is not
    BadData : a source cannot be read, or none tells of customers
    """
    _refuse_existing(root)
    own: dict[str, str] = {}
    if not requested:
        own = {"data/customers.csv": CUSTOMERS, "data/purchases.csv": PURCHASES}
        taken = [name for name in own if (root / name).exists()]
        if taken:
            raise UsageError("init.exists", f"{root} already holds {taken[0]}", hint=f"name it: --from {taken[0]}")
    if own:
        _write(root, own)
        requested, here = list(own), root
    proposal = _propose(root, requested, progress, here=here)
    files = _files(proposal)
    _write(root, files)
    return proposal, [*own, *files]


def say_trial(terminal: Terminal, trials: Sequence[FeedTrial]) -> None:
    """Show what a trial run kept of each feed, and what it lost."""
    if not trials:
        return
    table = trial_table(trials)
    widths = [max(len(line[place]) for line in table) for place in range(len(table[0]))]
    for line in table:
        terminal.say("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
    for trial in trials:
        for problem in trial.problems:
            terminal.say(problem)


def missing_for_decisions(proposal: Proposal, trials: Sequence[FeedTrial]) -> list[str]:
    """Return what the files lack for models and offers, one sentence each.

    Parameters
    ----------
    proposal : what was proposed
    trials : what a trial run kept of each feed
    """
    found = []
    events = max((t for t in trials if t.kind == "events"), key=lambda t: t.people, default=None)
    if find_answer(proposal) is None and events is None:
        found.append("no feed has events and no column records an outcome, so no model can be trained")
    elif find_answer(proposal) is None and events is not None and not events.sampled:
        days = (datetime.fromisoformat(events.last) - datetime.fromisoformat(events.first)).days if events.first else 0
        if days < _HISTORY:
            found.append(
                f"{events.feed} spans {days} days; a model of who leaves needs {_HISTORY}: history and outcome"
            )
        if events.people < _PEOPLE:
            found.append(
                f"{events.people} customers do something in {events.feed}; a model is judged on at least 50 who leave "
                "and 50 who stay (`min_positives` in training/labels.yaml)"
            )
    purposes = purposes_of(proposal)
    if purposes["marketing"] == "consent" and not proposal.of_kind("consents"):
        found.append("marketing rests on consent, and no feed of consents is read: it reaches nobody")
    fields = {field for feed in proposal.of_kind("customers") for field in feed.fields}
    if not fields & {"email", "phone"}:
        found.append("no column holds an e-mail or a telephone: offers need another channel")
    return found


def _refuse_existing(root: Path) -> None:
    there = [name for name in CONFIGURATION if (root / name).exists()]
    if there or (root.exists() and not root.is_dir()):
        raise UsageError(
            "init.exists",
            f"{root} already holds {there[0]}" if there else f"{root} is a file",
            hint="name a new folder, or remove the files; what a workspace has learnt lies in its state/",
        )


def _propose(
    root: Path,
    requested: list[str],
    progress: Progress,
    *,
    here: Path,
    answers: Mapping[str, str] | None = None,
    interactive: bool = False,
) -> Proposal:
    sources = name_sources(requested, here=here.resolve(), root=root.resolve())
    found = {name: settings_of(name, source, root=root.resolve()) for name, source in sources.items()}
    settings = {name: mapped for name, (mapped, _) in found.items()}
    with open_engine(
        folders=[file for _, files in found.values() for file in files], resources=EngineResources()
    ) as engine:
        given = read_sources(engine, sources, settings, progress, root=root.resolve())
        known = dict(answers or {})
        if known or interactive:
            questions = find_questions(engine, [find_roles(engine, one) for one in given])
            refuse_wrong(known, questions)
            if interactive:
                known = _ask(questions, known)
                refuse_wrong(known, questions)
            given = [with_decimal(one, known) for one in given]
        progress.step("finding out what they mean")
        return propose(engine, given, known)


def _try(root: Path, feeds_yaml: str) -> list[FeedTrial]:
    """Try the proposed feeds; where the data decide no decimal mark, say how to answer it."""
    try:
        return try_feeds(root, feeds_yaml, Silent())
    except BadData as error:
        problem = error.problems[0]
        if problem.code != "feed.decimal":
            raise
        name = problem.where.removeprefix("feed ")
        hint = f"answer it: --interactive, or --answer {name}.decimal=, (or --answer {name}.decimal=.)"
        raise BadData(problem.code, problem.message, where=problem.where, hint=hint) from None


def _ask(questions: Sequence[Question], known: Mapping[str, str]) -> dict[str, str]:
    """Return the answers of the person at the terminal, beside those that are known."""
    console, answers = Terminal(as_json=False).err, dict(known)
    for question in questions:
        if question.name in answers:
            continue
        console.print(f"{question.text}  ({question.evidence})", markup=False)
        choices = list(question.answers) if len(question.answers) > 1 else None
        answers[question.name] = Prompt.ask(
            Text(question.name), console=console, choices=choices, default=question.answers[0]
        )
    return answers


def _answer(text: str) -> tuple[str, str]:
    name, equals, answer = text.partition("=")
    if not equals or not answer:
        raise UsageError("init.answer", f"{text!r} is no answer", hint="write --answer NAME=ANSWER")
    return name, answer


def _files(proposal: Proposal) -> dict[str, str]:
    answer = find_answer(proposal)
    events = [feed.settings["event"].value for feed in proposal.of_kind("events") if "event" in feed.settings]
    mixed = any("'purchase'" in mapped.value for feed in proposal.of_kind("events") for mapped in feed.fields.values())
    event = "purchase" if mixed or "purchase" in events else next(iter(events), "")
    field, positive = answer or ("", "")
    purposes = purposes_of(proposal)
    offers = offers_yaml(purposes, {field for feed in proposal.of_kind("customers") for field in feed.fields})
    texts = (feeds_yaml(proposal), views_yaml(proposal), FEATURE_STORE)
    number = re.fullmatch(r"-?[0-9]+([.][0-9]+)?", positive)
    labels = labels_yaml(
        field=field,
        positive=positive if number else scalar(positive),
        event=event,
        excluded=[column for column in suspected_leaks(proposal) if column != field],
    )
    return dict(zip(CONFIGURATION, (*texts, labels, offers, roles_yaml(purposes), MLFLOW), strict=True)) | {
        ".gitignore": IGNORED
    }


def _write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        if name == ".gitignore" and (root / name).exists():
            continue
        with atomic_file(root / name) as part:
            part.write_text(text, encoding="utf-8")
