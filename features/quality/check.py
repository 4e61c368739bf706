"""Outcome of one check on one feed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["passed", "failed", "repaired", "not_applicable"]


@dataclass(frozen=True)
class Check:
    """Outcome of one check on one feed, or on all feeds together when `feed` is empty.

    Parameters
    ----------
    code, feed : of the check, such as ``FQ001``; the feed's name
    outcome, detail : outcome and its numbers; never a value that may be personal
    refuses : whether the failure may refuse the load, where the check's severity is ``refuse``
    """

    code: str
    feed: str
    outcome: Outcome
    detail: str
    refuses: bool = True

    def as_dict(self) -> dict[str, str]:
        """Return the fields that the command line and the report show.

        Examples
        --------
        >>> Check("FQ001", "till", "passed", "10 rows").as_dict()
        {'code': 'FQ001', 'feed': 'till', 'outcome': 'passed', 'detail': '10 rows'}
        """
        return {"code": self.code, "feed": self.feed, "outcome": self.outcome, "detail": self.detail}
