"""Output of the command line: text for people, one JSON object for programs; errors and their exit codes."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from features.base.errors import NextbestError, Problem

DEFECT = 1


class Terminal:
    """Standard output carries the answer and nothing else; progress and errors go to standard error.

    Parameters
    ----------
    as_json : one JSON object instead of text
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.out = Console(highlight=False, soft_wrap=True)
        self.err = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, text: str = "", *, label: str = "") -> None:
        """Show a line of text as it is, with a bold label before it; nothing when the answer is JSON."""
        self.show(Text.assemble((label, "bold"), text))

    def show(self, renderable: Any) -> None:
        """Show a table or a panel; nothing when the answer is JSON."""
        if not self.as_json:
            self.out.print(renderable)

    def answer(self, document: Mapping[str, Any]) -> None:
        """Write the answer's JSON; nothing when the answer is text."""
        if self.as_json:
            sys.stdout.write(json.dumps(document, ensure_ascii=False, default=str) + "\n")

    def next_step(self, text: str) -> None:
        """End with what to do next."""
        self.say(f" {text}", label="next:")

    def fail(self, problems: Sequence[Problem]) -> None:
        """Show what is wrong, where, and what to do."""
        if self.as_json:
            first = problems[0].as_dict()
            more = [problem.as_dict() for problem in problems[1:]]
            self.answer({"error": {**first, **({"more": more} if more else {})}})
            return
        for problem in problems:
            place = [Text(problem.where, style="bold"), Text(": ")] if problem.where else []
            code = (f" ({problem.code})", "dim")
            self.err.print(Text.assemble(("✗ ", "red"), *place, problem.message, code))
            if problem.hint:
                self.err.print(f"  → {problem.hint}", markup=False)

    @contextmanager
    def progress(self) -> Iterator[ProgressBar]:
        """Yield progress that is drawn as a bar on a terminal, and as plain lines elsewhere."""
        if not self.err.is_terminal:
            yield ProgressBar(None, self.err)
            return
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.err, transient=False) as bars:
            bar = ProgressBar(bars, self.err)
            yield bar
            bar.close()


class ProgressBar:
    """`features.base.progress.Progress` on a terminal."""

    def __init__(self, bars: Progress | None, console: Console) -> None:
        self._bars = bars
        self._console = console
        self._task: TaskID | None = None
        self._total: int | None = None

    def step(self, title: str, *, total: int | None = None) -> None:
        self.close()
        if self._bars is None:
            self._console.print(f"· {title}", soft_wrap=True, markup=False)
            return
        self._total = total
        self._task = self._bars.add_task(title, total=total)

    def advance(self, parts: int = 1) -> None:
        if self._bars is not None and self._task is not None:
            self._bars.advance(self._task, parts)

    def close(self) -> None:
        """Mark the present step as done."""
        if self._bars is not None and self._task is not None:
            done = self._total or 1
            self._bars.update(self._task, total=done, completed=done)
            self._task = None


def exit_code(error: BaseException, terminal: Terminal) -> int:
    """Show an error and return its exit code.

    An unexpected error is a defect of nextbest: its type and place are shown, never its message, which may
    hold somebody's data; NEXTBEST_DEBUG=1 shows all of it.
    """
    if isinstance(error, NextbestError):
        terminal.fail(error.problems)
        return error.exit_code
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        terminal.fail([Problem("storage.failed", f"reading or writing failed: {reason}", hint="check disk and rights")])
        return 74
    if os.environ.get("NEXTBEST_DEBUG"):
        traceback.print_exception(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{last.filename.rsplit('/', 2)[-2]}/{last.filename.rsplit('/', 1)[-1]}:{last.lineno}"
    terminal.fail(
        [
            Problem(
                "defect",
                f"a defect of ours: {type(error).__name__}",
                where=place,
                hint="set NEXTBEST_DEBUG=1 for the whole traceback, and report it",
            )
        ]
    )
    return DEFECT
