"""Columns that hold a recorded outcome to predict, and columns that may leak it."""

from __future__ import annotations

from collections.abc import Iterator

from features.config.canonical import attribute_name
from features.onboarding.column_names import may_leak, names_answer
from features.onboarding.proposal import Proposal

_YES = ("1", "yes", "true", "y", "t", "churned", "exited")


def find_answer(proposal: Proposal) -> tuple[str, str] | None:
    """Return the first column of customers that looks like a recorded outcome, and its value for yes."""
    for feed in proposal.of_kind("customers"):
        if feed.drop:
            continue
        for column in feed.given.table.columns.values():
            yes = next((value for value in column.few if value.lower() in _YES), None)
            if names_answer(column.name) and column.distinct == 2 and yes is not None:
                return attribute_name(feed.name, column.name), yes
    return None


def suspected_leaks(proposal: Proposal) -> list[str]:
    """Return the attributes of customers that may hold today's outcome, which a model should predict."""
    return list(_leaks(proposal))


def _leaks(proposal: Proposal) -> Iterator[str]:
    for feed in proposal.of_kind("customers"):
        for name in feed.given.table.columns:
            if may_leak(name) and name not in feed.drop:
                yield attribute_name(feed.name, name)
