"""How long work tells how far it is; the rim decides what a person sees."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told what begins and how far it is."""

    def step(self, title: str, *, total: int | None = None) -> None:
        """Begin a piece of work of `total` parts (unknown when None)."""

    def advance(self, parts: int = 1) -> None:
        """Say that so many parts of the present piece are done."""


class Silent:
    """Progress that nobody watches."""

    def step(self, title: str, *, total: int | None = None) -> None:
        del title, total

    def advance(self, parts: int = 1) -> None:
        del parts
