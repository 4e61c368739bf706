"""What one check found in one feed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["passed", "failed", "repaired", "not_applicable"]


@dataclass(frozen=True)
class Check:
    """What one check found in one feed (or in all of them, when `feed` is empty).

    Parameters
    ----------
    code, feed : which check, of which feed
    outcome, detail : the answer, and its numbers; never a value that may be personal
    refuses : whether the failure is grave enough to refuse the load, where the check refuses loads
    """

    code: str
    feed: str
    outcome: Outcome
    detail: str
    refuses: bool = True

    def as_dict(self) -> dict[str, str]:
        """Return what the command line and the report tell of it."""
        return {"code": self.code, "feed": self.feed, "outcome": self.outcome, "detail": self.detail}
