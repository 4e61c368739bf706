"""Consents, opt-outs and suppressions, wherever they stand: a file of their own, or columns beside other things."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from features.base.database_engine import literal
from features.config.canonical import snake_case
from features.config.consent_words import GRANTED, NO, UNDECIDED, WITHDRAWN, YES, consent_word
from features.onboarding.column_profile import ColumnProfile
from features.onboarding.column_roles import Roles
from features.onboarding.proposal import Reasoned, reference
from features.onboarding.words import concepts, word_set

#: Words of a status by which `speaks` takes a column for one of consents, `unknown` among them.
_STATUSES = GRANTED | WITHDRAWN | UNDECIDED | {"unknown"}
#: A cross in a flag is a yes; as a status it may be either.
_YES = YES | {"x"}
#: What the words of a flag mean that is about consent, and words that may stand beside them.
_CONSENT_CONCEPTS = word_set(
    """
    consent marketing newsletter subscribed subscriber opt in status purpose email phone fax contact customer user
    member person
    """
)
_CONSENT_WORDS = word_set(
    """
    is has have had can may wants want receive receives send call calls anruf anrufe of for to from by the all any
    global bulk mass e do ok yes flag given granted gdpr dsgvo rgpd avg double single confirmed active enabled sms push
    whatsapp enviar envoyer verzenden senden zusenden recibir recevoir ontvangen erhalten
    post direct zugestimmt erteilt angemeldet
    """
)
_CHANNELS = ("email", "sms", "phone", "push", "whatsapp", "post", "fax", "mail")


@dataclass(frozen=True)
class ConsentColumn:
    """A column that says who allowed or refused what.

    Parameters
    ----------
    column : its profile
    purpose : what for
    text : an expression of the value as its words are compared, for a column `said`
    status : an expression of the status, over `said`
    where : an expression of the rows that say something, over `said`
    grants : whether some value is a grant
    reason : in words
    """

    column: ColumnProfile
    purpose: str
    text: str
    status: str
    where: str
    grants: bool
    reason: str


def speaks(column: ColumnProfile, *, wholly: bool = False) -> bool:
    """Return whether the values are words by which people allow or refuse, at least one of them a sure one.

    Parameters
    ----------
    wholly : whether all of them have to be, where the name says nothing about consent
    """
    values = {consent_word(value) for value in column.few}
    sure = values & (GRANTED | WITHDRAWN) - {
        "active",
        "confirmed",
        "accepted",
        "rejected",
        "approved",
        "declined",
        "cleaned",
        "given",
    }
    known = values & _STATUSES
    return bool(sure) and len(known) >= (1 if wholly else 0.5) * len(values)


def names_consent(column: ColumnProfile) -> bool:
    """Return whether the name is about allowing or refusing contact."""
    meaning, words = column.meaning, set(column.words)
    if meaning & {"optout", "consent"}:
        return True
    if "marketing" in meaning and meaning & {"subscribed", "email", "phone", "opt", "status", "sms"} | words & {
        "sms",
        "contact",
    }:
        return True
    if "marketing" in meaning and column.is_boolean and (_refuses(column) or _refusals(column)):
        return True
    return {"opt", "in"} <= meaning or bool(words & {"gdpr", "dsgvo", "rgpd", "avg"}) or "newsletter" in meaning


def is_consent_file(roles: Roles) -> bool:
    """Return whether each row of a source is a word about consent, and not a person or a dealing with one beside it."""
    if not roles.persons or roles.when() is None:
        return False
    table, columns = roles.given.table, roles.given.table.columns.values()
    purposes = [c for c in columns if "purpose" in c.meaning and c.distinct <= 50 and "id" not in c.meaning]
    status = _status(roles)
    if status is None:
        return False
    if purposes:
        return True
    return bool(roles.file_meaning & {"consent", "optout"}) and len(table.columns) <= 12


def consent_file_fields(
    roles: Roles,
) -> tuple[dict[str, Reasoned], dict[str, Reasoned], tuple[str, ...], Reasoned | None]:
    """Return the fields of a file of consents, the columns they are made of, its purposes, and which rows count."""
    columns = list(roles.given.table.columns.values())
    status = _status(roles) or columns[0]
    purpose = next((c for c in columns if "purpose" in c.meaning and c.distinct <= 50 and "id" not in c.meaning), None)
    purpose = purpose or next(
        (c for c in columns if c.meaning & {"channel", "campaign"} and 1 <= c.distinct <= 20), None
    )
    made = {"said": Reasoned(said(status), "the word as it is compared")}
    fields = {"purpose": Reasoned("'marketing'", "the file names no purpose")}
    names: tuple[str, ...] = ("marketing",)
    if purpose is not None:
        groups: dict[str, list[str]] = {}
        for value in purpose.values:
            groups.setdefault(_purpose_name(value), []).append(value.strip().lower())
        names = tuple(groups)
        made["aim"] = Reasoned(said(purpose), "the purpose as it is compared")
        cases = _cases("aim", [(name, tuple(values)) for name, values in groups.items()])
        fields["purpose"] = Reasoned(cases, "each value is a purpose below")
    fields["status"] = Reasoned(status_expression(status), "its words are granted, withdrawn, or nothing yet")
    where = None
    if status.is_boolean and _refuses(status):
        fields["status"] = Reasoned("'withdrawn'", "a yes in it is an opt-out")
        where = Reasoned(_opted_out(status), "whoever has not opted out has not opted in either")
    notice = next((c for c in columns if set(c.words) & {"notice", "version"}), None)
    if notice is not None:
        fields["notice"] = Reasoned(notice.name, "by its name")
    return fields, made, names, where


def consent_columns(roles: Roles) -> Iterator[ConsentColumn]:
    """Yield the columns of a source, of people or of dealings, that say who allowed or refused contact."""
    times = {name for time in roles.times for name in time.columns}
    partly = [time for time in roles.times if "optout" in time.meaning and 0 < time.share < 0.95]
    for time in partly:
        column = roles.given.table.columns[time.name]
        reason = "whoever has a time in it opted out then"
        yield ConsentColumn(column, purpose_of(column), said(column), "'withdrawn'", "said <> ''", False, reason)
    for column in roles.given.table.columns.values():
        if column.name in times or not column.filled or column.share("email") > 0.5:
            continue
        if partly and "optout" in column.meaning and round(partly[0].share, 3) == round(_share_said(column), 3):
            continue  # the same opt-outs, which have a time
        named = names_consent(column) or bool(column.meaning & {"marketing", "subscribed"})
        if speaks(column, wholly=not named):
            grants = bool({consent_word(v) for v in column.few} & GRANTED)
            reason = "its words allow or refuse"
            yield ConsentColumn(
                column, purpose_of(column), said(column), status_expression(column), "said <> ''", grants, reason
            )
        elif names_consent(column) and column.is_boolean and (flag := _flag(column)) is not None:
            yield flag


def suppression_time(roles: Roles) -> str | None:
    """Return the name of the time at which each person of a source opted out; None where the rows are no opt-outs.

    A file in whose every row such a time stands, or that is called so, is a list of people who opted out.
    """
    for time in roles.times:
        if "optout" in time.meaning and time.share >= 0.95:
            return time.name
    named = roles.file_meaning & {"optout", "bounce"}
    when = roles.when()
    return when.name if named and when is not None else None


def not_understood(roles: Roles) -> list[str]:
    """Return the columns that are about consent by name and whose values cannot be read."""
    understood = {found.column.name for found in consent_columns(roles)}
    flags = [c for c in roles.given.table.columns.values() if c.is_boolean and names_consent(c)]
    understood |= {flag.name for flag in flags if _refuses(flag) is not None}
    times = {name for time in roles.times for name in time.columns}
    partly = any("optout" in time.meaning for time in roles.times)
    return [
        column.name
        for column in roles.given.table.columns.values()
        if column.filled
        and column.name not in understood | times
        and names_consent(column)
        and column.distinct <= 60
        and not (partly and "optout" in column.meaning)  # the reason or the way of an opt-out that has a time
        and (column in flags or not column.meaning & {"id", "text", "ip", "time", "date", "campaign"})
    ]


def status_expression(column: ColumnProfile) -> str:
    """Return an expression of a status: granted, withdrawn, not given, unknown where a yes may be a no, or the word."""
    refuses = _refuses(column)
    groups: dict[str, list[str]] = {"granted": [], "withdrawn": [], "unknown": [], "not_given": []}
    yes, no = "granted", "withdrawn"
    if refuses is not False:  # a yes may be an opt-out, also one that only a later load holds
        yes, no = ("withdrawn", "not_given") if refuses else ("unknown", "withdrawn")
    for value in column.few or column.values[:60]:
        said = consent_word(value)
        if said in GRANTED:  # "allow" under "do not allow" refuses nothing, and grants nothing either
            groups["not_given" if refuses else "granted"].append(value.lower())
        elif said in WITHDRAWN:
            groups["withdrawn"].append(value.lower())
        elif said in _YES or said in NO:
            groups[yes if said in _YES else no].append(value.lower())
        elif said in UNDECIDED and refuses is not False:
            groups["not_given"].append(value.lower())
    otherwise = "said" if refuses is False else "'unknown'"
    return _cases("said", [(status, tuple(values)) for status, values in groups.items()], otherwise)


def purpose_of(column: ColumnProfile) -> str:
    """Return the purpose that a column is about: marketing, or marketing on one channel."""
    words = set(column.words)
    if words & {"all", "global", "any"} or "email" in column.meaning:
        return "marketing"
    channel = next((c for c in _CHANNELS if c in words or c in column.meaning), None)
    return (
        f"{'phone' if channel is None and 'usage' in column.meaning else channel}_marketing"
        if channel or "usage" in column.meaning
        else "marketing"
    )


def _status(roles: Roles) -> ColumnProfile | None:
    speaking = [c for c in roles.given.table.columns.values() if 0 < c.distinct <= 20 and speaks(c)]
    if speaking:
        return min(speaking, key=lambda c: not c.meaning & {"status", "consent", "type"})
    flags = [
        c
        for c in roles.given.table.columns.values()
        if c.is_boolean
        and (names_consent(c) or c.meaning & {"status"} or "granted" in c.words)
        and _refuses(c) is not None
    ]
    return flags[0] if flags else None


def _refuses(column: ColumnProfile) -> bool | None:
    """Return whether a yes is an opt-out by the words of the name; None where they do not decide it.

    A word that is not known, or a refusal of a refusal, leaves it open.
    """
    refusals = _refusals(column)
    others = [w for w in column.words if w not in refusals]
    if len(refusals) > 1 or not all(w in _CONSENT_WORDS or concepts(w) & _CONSENT_CONCEPTS for w in others):
        return None
    return bool(refusals)


def _refusals(column: ColumnProfile) -> list[str]:
    return [w for w in column.words if w in ("no", "out") or concepts(w) & {"not", "optout"}]


def _opted_out(column: ColumnProfile) -> str:
    """Return an expression of the rows with a yes, over `said`: all that hold no no, as a later load may write it."""
    no = [value.lower() for value in column.few if consent_word(value) in NO]
    return f"said NOT IN ({', '.join(map(literal, ['', *no]))})"


def _flag(column: ColumnProfile) -> ConsentColumn | None:
    yes = tuple(value.lower() for value in column.few if consent_word(value) in _YES)
    no = tuple(value.lower() for value in column.few if consent_word(value) in NO)
    refuses = _refuses(column)
    if refuses is None or (refuses and not yes):
        return None  # not understood, or nobody opted out
    if refuses:  # whoever has not opted out has not opted in either
        where, reason = _opted_out(column), "a yes in it is an opt-out"
        return ConsentColumn(column, purpose_of(column), said(column), "'withdrawn'", where, False, reason)
    status = _cases("said", [("granted", yes), ("withdrawn", no)])
    reason = "a yes in it is a consent, a no is none"
    return ConsentColumn(column, purpose_of(column), said(column), status, "said <> ''", bool(yes), reason)


def _share_said(column: ColumnProfile) -> float:
    """Return the share of the rows that hold a word other than no."""
    no = sum(column.most for value in column.values[:1] if consent_word(value) in NO) if column.is_boolean else 0.0
    return column.share_filled * (1 - no)


def said(column: ColumnProfile) -> str:
    """Return an expression of a column's words as they are compared."""
    name = reference(column.name)
    return f"lower(trim({name if column.sql_type == 'VARCHAR' else f'cast({name} as varchar)'}))"


def _cases(text: str, groups: list[tuple[str, tuple[str, ...]]], otherwise: str | None = None) -> str:
    whens = " ".join(
        f"WHEN {text} IN ({', '.join(map(literal, values))}) THEN {literal(name)}" for name, values in groups if values
    )
    return f"CASE {whens} ELSE {otherwise or text} END" if whens else text


def _purpose_name(value: str) -> str:
    name = re.sub(r"_+", "_", snake_case(value)).strip("_")
    return name if name[:1].isalpha() and name.isascii() else f"purpose_{name}"
