"""Progress of long work; the command line decides how it is shown."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives which step begins and how far it is."""

    def step(self, title: str, *, total: int | None = None) -> None:
        """Begin a step of `total` parts (unknown when None)."""

    def advance(self, parts: int = 1) -> None:
        """Count so many parts of the step as done."""


class Silent:
    """Progress that is not shown."""

    def step(self, title: str, *, total: int | None = None) -> None:
        del title, total

    def advance(self, parts: int = 1) -> None:
        del parts
