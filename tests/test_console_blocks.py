"""The mechanism that runs the README: it must notice every kind of lie."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.console_blocks import PageError, Ran, Step, files_of, matches, run_steps, steps_of


def page(*lines: str, mark: str = "<!-- run -->") -> str:
    return "\n".join(["# Title", "", mark, "```console", *lines, "```", ""])


def run(text: str, folder: Path, *, seconds: float = 120) -> list[Ran]:
    return run_steps(steps_of(text), folder=folder, log=folder / "log", environment=os.environ, seconds=seconds)


def test_commands_are_read_with_their_output_and_line() -> None:
    text = page("$ echo a", "a", "$ echo b \\", ">   c", "b c")
    assert steps_of(text) == [Step(5, "echo a", ("a",)), Step(7, "echo b \\\n  c", ("b c",))]


def test_a_block_that_is_only_shown_needs_a_reason() -> None:
    both = page("$ sleep 9999", mark="<!-- not run: it never ends -->") + page("$ true")
    assert [step.command for step in steps_of(both)] == ["true"]


def test_a_block_with_a_file_name_is_saved_as_it_stands_before_the_next_command(tmp_path: Path) -> None:
    text = "<!-- file: shop/a.yaml -->\n```yaml\nprice: '$5'  # `x` \\\n\nend: 1\n```\n" + page("$ cat shop/a.yaml")
    saved = "price: '$5'  # `x` \\\n\nend: 1\n"
    assert files_of(text) == {"shop/a.yaml": saved}
    assert [step.output for step in run(text, tmp_path)] == ["", saved]


@pytest.mark.parametrize("mark", ["", "plain words", "<!-- not run -->", "<!-- not run: -->"])
def test_a_console_block_without_a_mark_is_refused(mark: str) -> None:
    with pytest.raises(PageError, match="line 4: write <!-- run -->"):
        steps_of(page("$ true", mark=mark))


def test_a_mark_holds_for_one_block_only() -> None:
    with pytest.raises(PageError, match="line 7"):
        steps_of(page("$ true") + "```console\n$ false\n```\n")


@pytest.mark.parametrize(
    "text",
    ["# Title\n", page("$ true", mark="<!-- not run: never -->"), "<!-- run -->\n```python\nx = 1\n```\n"],
)
def test_a_page_on_which_nothing_runs_is_refused(text: str) -> None:
    with pytest.raises(PageError, match="nothing on this page is tested"):
        steps_of(text)


@pytest.mark.parametrize("lines", [(), ("output without a command",)])
def test_a_block_without_a_command_is_refused(lines: tuple[str, ...]) -> None:
    with pytest.raises(PageError, match="console block"):
        steps_of(page(*lines))


def test_an_open_fence_is_refused() -> None:
    with pytest.raises(PageError, match="line 2: the block that starts here is not closed"):
        steps_of("<!-- run -->\n```console\n$ true\n")


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("done", "done\n"),
        ("took ... s", "took 3.2 s"),
        ("first\n...\nlast", "first\n1\n2\nlast"),
        ("first\n...\nlast", "first\nlast"),
        ("...\nlast", "1\n2\nlast\n\n"),
        ("a+b (c)", "\x1b[1ma+b (c)\x1b[0m  "),
    ],
)
def test_output_as_shown_is_accepted(shown: str, printed: str) -> None:
    assert matches(shown.split("\n"), printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("done", "done\nand more"),
        ("took ... s", "took 3.2 m"),
        ("took ... s", "took 3\nor 4 s"),
        ("first\n...\nlast", "last"),
        ("axb", "a.b"),
        ("done", ""),
    ],
)
def test_output_other_than_shown_is_refused(shown: str, printed: str) -> None:
    assert not matches(shown.split("\n"), printed)


def test_the_page_runs_in_one_shell(tmp_path: Path) -> None:
    ran = run(
        page("$ mkdir inner && cd inner", "$ export WORD=kept", "$ echo $WORD in ${PWD##*/}", "kept in inner"), tmp_path
    )
    assert [fault for step in ran for fault in step.faults] == []
    assert len(ran) == 3


def test_other_output_than_shown_is_a_fault(tmp_path: Path) -> None:
    (ran,) = run(page("$ echo 2", "1"), tmp_path)
    assert ran.faults == ["line 5: `echo 2` shows\n1\nbut printed\n2\n"]


def test_a_failing_command_is_a_fault_and_the_last_step(tmp_path: Path) -> None:
    (ran,) = run(page("$ (echo why >&2; exit 65)", "$ echo never"), tmp_path)
    assert ran.faults == ["line 5: `(echo why >&2; exit 65)` ended with 65:\nwhy\n"]


def test_a_command_that_does_not_end_is_a_fault(tmp_path: Path) -> None:
    started = time.monotonic()
    (ran,) = run(page("$ sleep 600"), tmp_path, seconds=0.5)
    assert ran.faults == ["line 5: `sleep 600` did not end in time"]
    assert time.monotonic() - started < 300


def test_what_was_left_running_is_ended_with_the_page(tmp_path: Path) -> None:
    ran = run(page("$ sleep 600 & echo $!"), tmp_path)
    process = int(ran[0].output)
    until = time.monotonic() + 30
    while _alive(process):
        assert time.monotonic() < until
        time.sleep(0.05)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")  # a zombie waits for a parent that may never ask: it runs no more
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")
