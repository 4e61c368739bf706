"""The few questions that the data cannot answer, each with the evidence for its answers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from features.onboarding.column_roles import Roles, TimeColumn

_CODE = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True)
class Question:
    """One question.

    Parameters
    ----------
    name : under which its answer is given: ``currency``, ``timezone``, ``FEED.times.COLUMN``
    text : the question
    evidence : what the data say about it
    answers : possible answers, the likeliest first; any where there is only one
    """

    name: str
    text: str
    evidence: str
    answers: tuple[str, ...]


def find_questions(found: Sequence[Roles]) -> list[Question]:
    """Return the questions that the sources leave open."""
    questions = []
    company = company_settings(found)
    if "currency" not in company:
        evidence = "no column of the files holds one currency"
        questions.append(Question("currency", "In which currency are the amounts (ISO code)?", evidence, ("EUR",)))
    naive = [time.name for roles in found for time in roles.times if not time.zoned]
    if naive:
        evidence = f"{', '.join(dict.fromkeys(naive))} carry no zone"
        questions.append(Question("timezone", "In which time zone are times without a zone?", evidence, ("UTC",)))
    for roles in found:
        for time in (*roles.times, *roles.births):
            if time.reading is not None and time.reading.otherwise:
                questions.append(_of_time(roles, time))
    return questions


def company_settings(found: Sequence[Roles]) -> dict[str, str]:
    """Return the company's currency, where columns of currencies name one most often."""
    codes: Counter[str] = Counter()
    for roles in found:
        for column in roles.given.table.columns.values():
            values = [value.upper() for value in column.few]
            if "currency" in column.meaning and values and all(_CODE.fullmatch(value) for value in values):
                codes[values[0]] += column.filled
    return {"currency": codes.most_common(1)[0][0]} if codes else {}


def _of_time(roles: Roles, time: TimeColumn) -> Question:
    reading = time.reading
    readings = (reading.convention, *reading.otherwise) if reading else ()
    evidence = (
        f"{reading.undecided:,} of its {reading.values:,} values can be read either way, and none in one way only; "
        f"read {reading.convention.replace('_', ' ')} they lie between {time.first[:10]} and {time.last[:10]}"
        if reading
        else ""
    )
    name = f"{roles.given.name}.times.{time.name}"
    return Question(name, f"How is {time.name!r} of {roles.given.source} written?", evidence, tuple(readings))
