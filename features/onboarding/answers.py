"""Columns that hold a recorded outcome to predict, and columns that only a later moment can know."""

from __future__ import annotations

import re
from collections.abc import Iterator

from features.config.canonical import attribute_name, snake_case
from features.onboarding.column_profile import ColumnProfile
from features.onboarding.proposal import Proposal
from features.onboarding.words import word_set

_YES = ("1", "yes", "true", "y", "t", "churned", "exited")
_ANSWERS = word_set(
    """
    churn churned churn_value churn_label churn_flag exited attrition left cancelled target label y conversion
    converted response responded caravan
    """
)
_TELLS = re.compile(
    r"churn|attrition|cancel|exited|score|propensity|prediction|predicted|probability|cltv|clv|lifetime|satisfaction"
    r"|(^|_)(status|reason|duration|outcome|visit|conversion|spend|spent|stage|tier|lifecycle|rating|balance|points)($|_)|(^|_)ltv"
)
_RUNNING = re.compile(
    r"(^|_)(total|sum|lifetime|gesamt|umsatz|revenue|number_of|num|count|anzahl|nombre)_?(of_)?(spent|spend|orders?|purchases?|amount|umsatz|revenue|visits?|bestellungen|vorjahr|commandes|pedidos|tickets?)"
)


def find_answer(proposal: Proposal) -> tuple[str, str] | None:
    """Return the first column of customers that looks like a recorded outcome, and its value for yes."""
    for feed in proposal.of_kind("customers"):
        if feed.drop:
            continue
        for column in feed.given.table.columns.values():
            yes = next((value for value in column.few if value.lower() in _YES), None)
            if snake_case(column.name) in _ANSWERS and column.distinct == 2 and yes is not None:
                return attribute_name(feed.name, column.name), yes
    return None


def suspected_leaks(proposal: Proposal) -> list[str]:
    """Return the attributes of customers that may hold today's outcome, which a model should predict."""
    return list(_leaks(proposal))


def may_leak(column: ColumnProfile) -> bool:
    """Return whether a column holds what only today knows: an outcome, a stage, a running total."""
    name = snake_case(column.name)
    if set(column.words) & {"marital", "civil"} or "id" in column.meaning or column.is_unique:
        return False
    return name in _ANSWERS or bool(_TELLS.search(name)) or bool(_RUNNING.search(name))


def _leaks(proposal: Proposal) -> Iterator[str]:
    for feed in proposal.of_kind("customers"):
        for name, column in feed.given.table.columns.items():
            if may_leak(column) and name not in feed.drop:
                yield attribute_name(feed.name, name)
