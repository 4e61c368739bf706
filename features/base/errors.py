"""Errors with what is wrong, where, and what to do next; each kind has its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar, Self


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: a stable code, what, where, and what to do next.

    Raw values that may be personal never stand in a problem: name the row and the column.
    """

    code: str
    message: str
    where: str = ""
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        hint = f"\n  → {self.hint}" if self.hint else ""
        return f"{place}{self.message} [{self.code}]{hint}"


class NextbestError(Exception):
    """Base of all expected failures; ``exit_code`` is what the command line returns."""

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str, *, where: str = "", hint: str = "") -> None:
        self.problems: tuple[Problem, ...] = (Problem(code, message, where, hint),)
        super().__init__(str(self.problems[0]))

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> Self:
        """Return one error with several problems, so that all can be corrected at once.

        Examples
        --------
        >>> NextbestError.of([Problem("feed.empty", "no rows"), Problem("feed.header", "no name")]).problems[1].code
        'feed.header'
        """
        first = problems[0]
        error = cls(first.code, first.message, where=first.where, hint=first.hint)
        error.problems = tuple(problems)
        error.args = ("\n".join(str(problem) for problem in problems),)
        return error

    @property
    def first(self) -> Problem:
        return self.problems[0]


class UsageError(NextbestError):
    """The command was called wrongly (64)."""

    exit_code = 64


class BadData(NextbestError):
    """A feed or a file holds what cannot be used (65)."""

    exit_code = 65


class Unreachable(NextbestError):
    """A server does not answer (69)."""

    exit_code = 69


class StorageFailure(NextbestError):
    """Reading or writing failed: disk full, no permission, damaged file (74)."""

    exit_code = 74


class BadConfiguration(NextbestError):
    """A workspace file is invalid (78)."""

    exit_code = 78
