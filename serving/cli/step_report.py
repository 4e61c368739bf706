"""What a command reports when it is done: as JSON for programs, as text for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.cli.terminal import Terminal


@dataclass(frozen=True)
class StepReport:
    """The result of a step.

    Attributes
    ----------
    document : for ``--json``
    text : for people
    """

    document: dict[str, Any]
    text: str

    def print(self, terminal: Terminal, *, next_step: str) -> None:
        """Print the report, and the command that comes next."""
        terminal.answer(self.document)
        terminal.say(self.text)
        terminal.next_step(next_step)


def withheld_lines(withheld_by: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a line for each purpose for which customers are withheld.

    Examples
    --------
    >>> withheld_lines({"marketing": {"no consent": 12, "objection": 3}, "service": {}})
    ['  withheld from marketing: 12 no consent, 3 objection']
    """
    return [
        f"  withheld from {purpose}: {', '.join(f'{count} {reason}' for reason, count in sorted(reasons.items()))}"
        for purpose, reasons in sorted(withheld_by.items())
        if reasons
    ]
