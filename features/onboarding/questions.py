"""The few questions that the data cannot answer, each with the evidence for its answers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from zoneinfo import available_timezones

import duckdb

from features.base.database_engine import one_row, quoted
from features.base.errors import UsageError
from features.config.loading import did_you_mean
from features.ingest.money import ISO_CODES, SYMBOLS, codes_of
from features.ingest.number_text import detect_numbers, number_sql
from features.onboarding.amounts import is_money
from features.onboarding.column_roles import Roles, TimeColumn
from features.onboarding.proposal import ProfiledSource, Reasoned

_CODE = re.compile(r"[A-Z]{3}")
_MARK = re.compile(r"[0-9][.,][0-9]")
#: The share of a column's values that are numbers, from which on it is asked how they are written.
_MOSTLY = 0.9
_SIGN = re.compile(SYMBOLS)


@dataclass(frozen=True)
class Question:
    """One question.

    Parameters
    ----------
    name : under which its answer is given: ``currency``, ``timezone``, ``FEED.decimal``, ``FEED.times.COLUMN``
    text : the question
    evidence : what the data say about it
    answers : possible answers, the likeliest first; any where there is only one
    """

    name: str
    text: str
    evidence: str
    answers: tuple[str, ...]


def find_questions(engine: duckdb.DuckDBPyConnection, found: Sequence[Roles]) -> list[Question]:
    """Return the questions that the sources leave open.

    Parameters
    ----------
    engine : holds the rows
    found : what the columns of each source are for
    """
    questions = [question for roles in found for question in _of_numbers(engine, roles.given)]
    company = company_settings(found)
    signs = currency_signs(found)
    if signs or "currency" not in company:
        evidence = "the amounts carry a symbol that several currencies have" if signs else ""
        evidence = evidence or "no column of the files holds one currency"
        text = "In which currency are the amounts (ISO code)?"
        questions.append(Question("currency", text, evidence, signs or ("EUR",)))
    naive = [time.name for roles in found for time in roles.times if not time.zoned]
    if naive:
        evidence = f"{', '.join(dict.fromkeys(naive))} carry no zone"
        questions.append(Question("timezone", "In which time zone are times without a zone?", evidence, ("UTC",)))
    for roles in found:
        for time in (*roles.times, *roles.births):
            if time.reading is not None and time.reading.otherwise:
                questions.append(_of_time(roles, time))
    return questions


def refuse_wrong(answers: Mapping[str, str], questions: Sequence[Question]) -> None:
    """Refuse answers to what is no question, and answers that are none.

    Raises
    ------
    UsageError : with the questions and the answers that there are
    """
    choices: dict[str, Sequence[str]] = {question.name: question.answers for question in questions}
    choices |= {"currency": sorted(ISO_CODES), "timezone": sorted(available_timezones())}
    for name, answer in answers.items():
        if name not in choices:
            near = did_you_mean(name, sorted(choices))
            raise UsageError("init.answer", f"nothing asks for {name!r}", where="--answer", hint=near)
        if answer not in choices[name] and len(choices[name]) > 1:
            near = did_you_mean(answer, choices[name])
            raise UsageError("init.answer", f"{answer!r} is no answer to {name}", where="--answer", hint=near)


def with_decimal(given: ProfiledSource, answers: Mapping[str, str]) -> ProfiledSource:
    """Return a source with the decimal mark that a person answered, if they did."""
    mark = answers.get(f"{given.name}.decimal")
    answered = {} if mark is None else {"decimal": Reasoned(f"'{mark}'", "as you answered")}
    return replace(given, settings={**given.settings, **answered})


def company_settings(found: Sequence[Roles]) -> dict[str, str]:
    """Return the company's currency, which columns of currencies name most often, else the symbols of amounts."""
    signs = [*_codes(found), *_signs(found)]
    return {"currency": codes_of(signs[0])[0]} if signs else {}


def currency_signs(found: Sequence[Roles]) -> tuple[str, ...]:
    """Return the currencies that the symbol of most amounts may mean, where it is several and no column has codes."""
    signs = [] if _codes(found) else _signs(found)
    meant = codes_of(signs[0]) if signs else ()
    return meant if len(meant) > 1 else ()


def _codes(found: Sequence[Roles]) -> list[str]:
    """Return the codes in columns of currencies, the most frequent first."""
    codes: Counter[str] = Counter()
    for roles in found:
        for column in roles.given.table.columns.values():
            values = [value.upper() for value in column.few]
            if "currency" in column.meaning and values and all(_CODE.fullmatch(value) for value in values):
                codes[values[0]] += column.filled
    return [code for code, _ in codes.most_common()]


def _signs(found: Sequence[Roles]) -> list[str]:
    """Return the symbols that stand beside amounts, the most frequent first."""
    signs: Counter[str] = Counter()
    for roles in found:
        for column in roles.given.table.columns.values():
            if is_money(column) and column.sql_type == "VARCHAR":
                signs.update(match[0] for value in column.values if (match := _SIGN.search(value)))
    return [sign for sign, _ in signs.most_common()]


def _of_numbers(engine: duckdb.DuckDBPyConnection, given: ProfiledSource) -> list[Question]:
    """Return the question which decimal mark a source has, where a column's numbers can be read in two ways."""
    columns = [column for column in given.table.columns.values() if column.sql_type == "VARCHAR"]
    if "decimal" in given.settings or not any(_MARK.search(value) for column in columns for value in column.values):
        return []
    readings = detect_numbers(engine, quoted(given.table.table), [column.name for column in columns])
    for name, reading in readings.items():
        if reading.undecided and reading.numbers + reading.undecided >= _MOSTLY * reading.values:
            text = f"trim({quoted(name)})"
            sums = ", ".join(f"sum({number_sql(text, mark)})" for mark in (",", "."))
            comma, point = one_row(engine, f"SELECT {sums} FROM {quoted(given.table.table)}")
            evidence = (
                f"{reading.undecided:,} of {reading.values:,} values of {name!r} read either way, such as 1.234; "
                f"they add up to {comma or 0:,.2f} with a decimal comma and to {point or 0:,.2f} with a decimal point"
            )
            asked = f"Which decimal mark do the numbers of {given.source} have?"
            return [Question(f"{given.name}.decimal", asked, evidence, (",", "."))]
    return []


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
