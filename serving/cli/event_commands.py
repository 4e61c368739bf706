"""``nextbest events``: take events in, have them online a moment later, list dead letters, prune the log."""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from features.base.clock import system_clock
from features.base.duration import parse_duration
from features.base.errors import UsageError
from features.store.online_backend import open_records
from features.streaming.intake import PART, REASONS, Receipt, open_intake
from features.streaming.open_event_log import has_log, open_log
from features.streaming.removal import Pruned
from features.streaming.removal import prune as take_out
from features.streaming.worker import Followed
from features.streaming.worker import follow as work
from serving.cli.options import AsJson, Folder, workspace_of
from serving.cli.terminal import Terminal

app = typer.Typer(
    name="events",
    help="Streamed events: take them in, have them online a moment later, list dead letters, prune the log.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class What(StrEnum):
    """What to do with the dead letters."""

    list = "list"
    replay = "replay"


@app.command()
def append(
    workspace: Folder = Path(),
    source: Annotated[
        Path | None, typer.Option("--from", help="File with one JSON object a line; standard input if left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put events into the log, each once; those that cannot be used become dead letters with their reason."""
    terminal = Terminal(as_json=as_json)
    intake = open_intake(workspace_of(workspace))
    done, part = Receipt(), []
    try:
        for line in _lines(source):
            part.append(line)
            if len(part) == PART:
                done, part = done + intake.accept(part, at=system_clock()), []
        done += intake.accept(part, at=system_clock())
    finally:
        intake.log.close()
    _report(terminal, done)
    terminal.next_step("nextbest events dead-letters list" if done.dead_letters else "nextbest events follow")


@app.command()
def follow(
    workspace: Folder = Path(),
    until_empty: Annotated[bool, typer.Option("--until-empty", help="End when all events are taken.")] = False,
    as_json: AsJson = False,
) -> None:
    """Keep the online features up with the log until Ctrl-C; one worker works, further ones wait to take over."""
    terminal = Terminal(as_json=as_json)
    place = workspace_of(workspace)
    log, records, done = open_log(place), open_records(place.root), Followed()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both end the work in good order
    with terminal.progress() as progress:
        progress.step("following the events")
        try:
            work(
                place,
                log,
                records,
                clock=system_clock,
                pause=time.sleep,
                until_empty=until_empty,
                waiting=lambda: progress.step("another worker is at work; waiting to take over"),
                done=done,
            )
        except KeyboardInterrupt:
            pass
        finally:
            log.close()
            records.close()
    terminal.answer(asdict(done))
    terminal.say(f"{done.events} events in {done.batches} batches; {done.blocks} views of customers written online")
    terminal.next_step("nextbest events dead-letters list")


@app.command()
def dead_letters(
    what: Annotated[What, typer.Argument(help="`list`, or `replay`: take in what can be used by now.")] = What.list,
    workspace: Folder = Path(),
    as_json: AsJson = False,
) -> None:
    """Count the dead letters (events that could not be used) by reason; or take in what can be used by now."""
    terminal = Terminal(as_json=as_json)
    intake = open_intake(workspace_of(workspace))
    try:
        if what is What.replay:
            done = intake.replay(at=system_clock())
            _report(terminal, done)
            terminal.next_step("nextbest events follow")
            return
        counted = Counter((one.reason, one.detail) for one in intake.log.dead_letters())
    finally:
        intake.log.close()
    groups: list[dict[str, Any]] = [
        {"reason": reason, "detail": detail, "events": events} for (reason, detail), events in sorted(counted.items())
    ]
    terminal.answer({"events": sum(counted.values()), "groups": groups})
    for group in groups:
        detail = f" ({group['detail']})" if group["detail"] else ""
        terminal.say(f"{group['events']}: {group['reason']}{detail}: {REASONS[group['reason']]}")
    if not groups:
        terminal.say("there are no dead letters")
    terminal.next_step("nextbest events dead-letters replay" if groups else "nextbest events follow")


@app.command()
def prune(
    workspace: Folder = Path(),
    before: Annotated[
        str | None,
        typer.Option("--before", help="Also what was accepted longer ago, such as 730d; features see it no more."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take events out of the log that count no more, as a feed holds them; and, if asked for, old ones."""
    terminal = Terminal(as_json=as_json)
    place = workspace_of(workspace)
    moment = _ago(before, now=system_clock())
    done = Pruned(0, 0, 0)
    if has_log(place):
        log = open_log(place)
        try:
            with terminal.progress() as progress:
                progress.step("pruning the log")
                done = take_out(place, log, before=moment)
        finally:
            log.close()
    terminal.answer({"delivered": done.delivered, "old": done.old, "dead_letters": done.dead_letters})
    terminal.say(f"{done.delivered} events are gone that a feed holds; they counted no more")
    if before is not None:
        terminal.say(f"{done.old} are gone that were older, and {done.dead_letters} dead letters: they count no more")
    terminal.next_step("nextbest features" if done.old else "nextbest events follow")


def _ago(length: str | None, *, now: datetime) -> datetime | None:
    """Return the moment so long ago.

    Raises
    ------
    UsageError : it is no length of time
    """
    if length is None:
        return None
    try:
        return now - parse_duration(length)
    except (ValueError, OverflowError):
        raise UsageError("usage.before", "--before is not a length of time", hint="write 730d, 12w or 48h") from None


def _lines(source: Path | None) -> Iterator[bytes]:
    """Yield the lines that hold something.

    Raises
    ------
    UsageError : there is no such file
    """
    if source is None:
        yield from (line for line in map(bytes.strip, sys.stdin.buffer) if line)
        return
    if not source.is_file():
        raise UsageError("events.no_file", f"there is no file {source}", hint="name one with --from")
    with source.open("rb") as stream:
        yield from (line for line in map(bytes.strip, stream) if line)


def _report(terminal: Terminal, done: Receipt) -> None:
    terminal.answer({"accepted": done.accepted, "duplicates": done.duplicates, "dead_letters": dict(done.dead_letters)})
    terminal.say(
        f"{done.accepted} accepted, {done.duplicates} known already, {sum(done.dead_letters.values())} dead letters"
    )
    for reason, events in done.dead_letters.items():
        terminal.say(f"  {events}: {reason}")
