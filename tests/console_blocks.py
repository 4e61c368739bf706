"""Runs what a page of documentation shows, so that the page cannot lie.

Every fenced ``console`` block of the page carries one mark on the line before it::

    <!-- run -->                     its commands are run, its output is compared
    <!-- not run: it never ends -->  it is only shown, for the reason given

Any other fenced block may carry ``<!-- file: shop/data.py -->``: the reader saves it under that name, and so do we.

Inside a block a line that starts with ``$ `` is a command (a line ending in a backslash goes on), what follows is its
output. In the output ``...`` stands for anything: within a line, for any part of it; alone on a line, for any number of
lines. A command without output is only required to succeed. All blocks of a page run in one shell, one after the other,
so ``cd`` and ``export`` last; what a command left running with ``&`` is ended with the page.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)\s*$")
_FILE = re.compile(r"^<!-- file: ([\w./-]+) -->$")
_NOT_RUN = re.compile(r"^<!-- not run: \S.* -->$")
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class PageError(ValueError):
    """The page itself is written wrongly; says on which line."""


@dataclass(frozen=True)
class Step:
    """One command of the page, its line number, and the output shown below it."""

    line: int
    command: str
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ran:
    """What a step did; ``code`` is None when the page's time ended before it did."""

    step: Step
    code: int | None
    output: str

    @property
    def faults(self) -> list[str]:
        """Return what differs from the page, in words; empty if all is as shown."""
        if self.code is None:
            return [f"line {self.step.line}: `{self.step.command}` did not end in time"]
        if self.code != 0:
            return [f"line {self.step.line}: `{self.step.command}` ended with {self.code}:\n{self.output}"]
        if self.step.shown and not matches(self.step.shown, self.output):
            shown = "\n".join(self.step.shown)
            return [f"line {self.step.line}: `{self.step.command}` shows\n{shown}\nbut printed\n{self.output}"]
        return []


def steps_of(page: str) -> list[Step]:
    """Return the commands of all blocks marked ``run``, in order.

    Raises
    ------
    PageError : if a console block has no mark or no command, a fence stays open, or nothing at all is to be run
    """
    steps: list[Step] = []
    lines = page.splitlines()
    mark, at = "", 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is None:
            mark = lines[at].strip() or mark
            at += 1
            continue
        end = next((n for n in range(at + 1, len(lines)) if lines[n].rstrip() == "```"), None)
        if end is None:
            raise PageError(f"line {at + 1}: the block that starts here is not closed")
        if fence[1] == "console":
            found = _steps_of_block(lines[at + 1 : end], first=at + 2)
            if mark == "<!-- run -->":
                steps += found
            elif not _NOT_RUN.match(mark):
                raise PageError(f"line {at + 1}: write <!-- run --> or <!-- not run: why --> before this block")
        elif saved := _FILE.match(mark):
            steps.append(Step(at + 2, _saving(saved[1], lines[at + 1 : end])))
        mark, at = "", end + 1
    if not steps:
        raise PageError("no block is marked <!-- run -->: nothing on this page is tested")
    return steps


def files_of(page: str) -> dict[str, str]:
    """Return the files that the page tells its reader to save, by name."""
    lines = page.splitlines()
    files = {}
    for at, line in enumerate(lines[:-1]):
        if (saved := _FILE.match(line.strip())) and _FENCE.match(lines[at + 1]):
            end = lines.index("```", at + 2)
            files[saved[1]] = "\n".join(lines[at + 2 : end]) + "\n"
    return files


def _saving(name: str, lines: Sequence[str]) -> str:
    folder, text = shlex.quote(str(Path(name).parent)), "\n".join(lines)
    return f"mkdir -p {folder}; cat >{shlex.quote(name)} <<'END OF FILE'\n{text}\nEND OF FILE"


def _steps_of_block(lines: Sequence[str], *, first: int) -> list[Step]:
    steps: list[Step] = []
    goes_on = False
    for number, line in enumerate(lines, start=first):
        if goes_on:
            last = steps.pop()
            steps.append(Step(last.line, f"{last.command}\n{line.removeprefix('> ')}"))
            goes_on = line.endswith("\\")
        elif line.startswith("$ "):
            steps.append(Step(number, line[2:]))
            goes_on = line.endswith("\\")
        elif steps:
            steps[-1] = Step(steps[-1].line, steps[-1].command, (*steps[-1].shown, line))
        else:
            raise PageError(f"line {number}: a console block starts with a command, `$ ` and a word")
    if not steps:
        raise PageError(f"line {first}: an empty console block")
    return steps


def matches(shown: Sequence[str], printed: str) -> bool:
    """Say whether the output is as shown, reading ``...`` as anything."""
    pattern = ""
    for line in _trimmed(shown):
        if line.strip() == "...":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += r"[^\n]*".join(re.escape(part) for part in line.split("...")) + r"\n"
    text = "".join(f"{line}\n" for line in _trimmed(_COLOUR.sub("", printed).splitlines()))
    return re.fullmatch(pattern, text) is not None


def _trimmed(lines: Sequence[str]) -> list[str]:
    return "\n".join(line.rstrip() for line in lines).strip("\n").split("\n")


def run_steps(
    steps: Sequence[Step], *, folder: Path, log: Path, environment: Mapping[str, str], seconds: float
) -> list[Ran]:
    """Run the steps in one shell in ``folder``, up to the first that fails; outputs are kept in ``log``."""
    log.mkdir(parents=True)
    (log / "0.out").touch()  # a shell that did not come as far as the first step has not ended it, either
    script = []
    for number, step in enumerate(steps):
        output, code = shlex.quote(str(log / f"{number}.out")), shlex.quote(str(log / f"{number}.code"))
        script.append(
            f"{{ {step.command}\n}} >{output} 2>&1\nstatus=$?\necho $status >{code}\n[ $status = 0 ] || exit $status"
        )
    shell = subprocess.Popen(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        shell.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        pass  # the step that did not end has no code, and says so
    finally:
        _end_group(shell)
    return [_read(step, log, number) for number, step in enumerate(steps) if (log / f"{number}.out").exists()]


def _end_group(shell: subprocess.Popen[bytes]) -> None:
    """End the shell and all that it left running."""
    for kind, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(shell.pid, kind)
        except ProcessLookupError:
            break
        try:
            shell.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            continue
    shell.wait()


def _read(step: Step, log: Path, number: int) -> Ran:
    code = log / f"{number}.code"
    finished = int(code.read_text()) if code.exists() else None
    return Ran(step, finished, (log / f"{number}.out").read_text(errors="replace"))
