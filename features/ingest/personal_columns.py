"""Which columns identify a person: declared, mapped to a personal field, or found by what they hold."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import duckdb

from features.base.database_engine import literal, one_row, quoted
from features.base.errors import BadConfiguration
from features.base.expressions.expression import parse
from features.base.telephone import without_extension_sql
from features.config.canonical import PERSONAL_FIELDS, attribute_name
from features.config.feeds_file import FeedsFile

#: A column counts as personal when at least this share of the values that are looked at have the form of one.
_SHARE = 0.8
_LOOKED_AT = 2_000
_EMAIL = r"^[^@\s]+@[^@\s]+[.][A-Za-z]{2,}$"
_PHONE = r"^[+(0][0-9 ()/-]{8,}[0-9]$"
_NATIONAL = r"^[0-9]{3}-[0-9]{2}-[0-9]{4}$|^[A-Z]{2}[0-9]{6}[A-D]$|^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$"
#: Own columns of customers that name a person whatever they hold; the form of a name cannot be recognised.
_NAMED = re.compile(
    r"(f|l|fore|sur|(first|last|full|given|middle|family)_?)?name|surname|e?_?mail(_?addr(ess)?)?"
    r"|(tele|cell_?|mobile_?)?phone(_?(no|number))?|tel|mobile|dob|date_of_birth|birth_?(date|day)|born"
    r"|name_(first|last|full|given|middle|family)|vorname|nachname|telefon|handy|geburtsdatum|strasse"
    r"|(address_)?post(al)?_?code|postleitzahl|plz"  # a zip code may be that of a whole town: it is declared or mapped
    r"|(address_)?street(_?address)?|address(_?[0-9])?|ssn|soc_sec_id|national_id|passport(_?(no|number))?|iban|credit_?card"
)


def personal_attributes(file: FeedsFile) -> frozenset[str]:
    """Return the attributes that are declared personal, or that a personal field is taken from."""
    found: set[str] = set()
    for name, feed in file.feeds.items():
        columns = set(feed.pii)
        if feed.kind == "customers":
            texts = [feed.fields[field] for field in PERSONAL_FIELDS if field in feed.fields]
            columns |= {column for text in texts for column in (text, *_columns(text))}
        found |= {attribute_name(name, column) for column in columns}
    return frozenset(found)


def apart_attributes(file: FeedsFile) -> frozenset[str]:
    """Return the attributes that stay apart: those that are personal, and the keys of customers' records.

    The key of a record about a customer (an account number, say) identifies somebody to whoever has the source.
    """
    keys = {
        attribute_name(name, column)
        for name, feed in file.feeds.items()
        if feed.kind == "customers"
        for column in (*feed.keys, *file.named_by_others(name))
    }
    return personal_attributes(file) | keys


def _columns(text: str) -> frozenset[str]:
    try:
        return parse(text).columns
    except BadConfiguration:  # a column whose name is no expression, such as `Last Name`
        return frozenset()


def found_personal(
    engine: duckdb.DuckDBPyConnection, relation: str, attributes: Sequence[str], *, of_customers: bool
) -> list[str]:
    """Return the attributes that look personal though nobody declared them.

    Parameters
    ----------
    engine : has `relation`
    relation : a table of one kind's rows
    attributes : its text columns of the form ``feed.column``
    of_customers : whether the rows are about customers themselves, so that a column's name counts, too
    """
    named = {name for name in attributes if of_customers and _NAMED.fullmatch(name.partition(".")[2])}
    asked = [name for name in attributes if name not in named]
    if not asked:
        return sorted(named)
    tests = ", ".join(_looks_personal(relation, name) for name in asked)
    answers = one_row(engine, f"SELECT {tests}")
    return sorted(named | {name for name, personal in zip(asked, answers, strict=True) if personal})


def _looks_personal(relation: str, name: str) -> str:
    column = quoted(name)
    forms = (("v", _EMAIL), (without_extension_sql("v"), _PHONE), ("v", _NATIONAL))
    shares = ", ".join(f"avg(regexp_matches({value}, {literal(form)})::INT)" for value, form in forms)
    return (
        f"(SELECT coalesce(greatest({shares}) >= {_SHARE}, false)\n"
        f" FROM (SELECT trim(CAST({column} AS VARCHAR)) AS v FROM {relation} WHERE {column} IS NOT NULL "
        f"LIMIT {_LOOKED_AT:d}) s)"
    )


def personal_columns(columns: Collection[str], attributes: Collection[str]) -> list[str]:
    """Return the columns of a table that stay out of what is pseudonymous: personal fields and attributes, in order.

    Examples
    --------
    >>> personal_columns(["city", "email", "crm.note"], ["crm.note"])
    ['email', 'crm.note']
    """
    return [column for column in columns if column in PERSONAL_FIELDS or column in attributes]
