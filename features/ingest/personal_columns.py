"""Which columns identify a person: declared, mapped to a personal field, or found by what they hold."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import duckdb

from features.base.database_engine import literal, one_row, quoted
from features.base.errors import BadConfiguration
from features.base.expressions.expression import parse
from features.base.telephone import without_extension_sql
from features.config.canonical import PERSONAL_FIELDS, attribute_name
from features.config.feeds_file import FeedsFile

#: Rows of each own column that are looked at: `ROWS`, a table of ``attribute, feed, customer_id, value``.
ROWS = "looked_at"
#: How many filled rows these are, at most; which ones depends on their keys, not on their order.
_LOOKED_AT = 2_000
#: How many hashes there are.
_HASHES = 2**64
#: A column counts as personal when at least this share of the values that are looked at have the form of one.
_SHARE = 0.8
_EMAIL = r"^[^@\s]+@[^@\s]+[.][A-Za-z]{2,}$"
_PHONE = r"^[+(0][0-9 ()/-]{8,}[0-9]$"
_NATIONAL = r"^[0-9]{3}-[0-9]{2}-[0-9]{4}$|^[A-Z]{2}[0-9]{6}[A-D]$|^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$"
#: Own columns of customers that name a person whatever they hold; the form of a name cannot be recognised.
_NAMED = (
    r"(?:(f|l|fore|sur|(first|last|full|given|middle|family)_?)?name|surname|e?_?mail(_?addr(ess)?)?"
    r"|(tele|cell_?|mobile_?)?phone(_?(no|number))?|tel|mobile|dob|date_of_birth|birth_?(date|day)|born"
    r"|name_(first|last|full|given|middle|family)|vorname|nachname|telefon|handy|geburtsdatum|strasse"
    r"|(address_)?post(al)?_?code|postleitzahl|plz"  # a zip code may be that of a whole town: it is declared or mapped
    r"|(address_)?street(_?address)?|address(_?(line_?)?[0-9])?|ssn|soc_sec_id|national_id|passport(_?(no|number))?"
    r"|iban|credit_?card)"
)
#: In rows about something else, such as an order, a name counts when it says whose it is, or is a person's alone.
_WHOSE = (
    r"(customer|client|buyer|purchaser|recipient|receiver|sender|payer|payee|(card|account)_?holder|contact|user|guest"
    r"|patient|passenger|subscriber|insured|beneficiary|addressee|attendee|shipping|ship_?to|billing|bill_?to"
    r"|delivery|deliver_?to|invoice|kunden?|empfaenger|besteller|liefer|rechnungs?)_?"
)
_PERSONS_ALONE = (
    r"(first|last|middle|given|family|fore|sur)_?name|name_(first|last|given|middle|family)|vorname|nachname|dob"
    r"|date_of_birth|birth_?(date|day)|geburtsdatum|ssn|soc_sec_id|national_id|passport_?(no|number)|iban"
)
_OF_CUSTOMERS = re.compile(f"({_WHOSE})?{_NAMED}")
_OF_OTHERS = re.compile(f"{_WHOSE}{_NAMED}|{_PERSONS_ALONE}")
#: A column of so few values, in more rows than that, is a category and not taken for its name.
_CATEGORIES, _CATEGORY_ROWS = 5, 50


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


def look_at(engine: duckdb.DuckDBPyConnection, relation: str, attributes: Mapping[str, str], customer: str) -> None:
    """Create the table `ROWS` of the rows of each column that are looked at.

    Parameters
    ----------
    engine : has `relation`
    relation : a table of one kind's rows
    attributes : its columns of the form ``feed.column``, with their types
    customer : SQL of whom a row is about
    """
    counts = one_row(engine, f"SELECT {', '.join(f'count({quoted(name)})' for name in attributes)} FROM {relation}")
    parts = []
    for (name, kind), filled in zip(attributes.items(), counts, strict=True):
        lowest = _HASHES * 2 * _LOOKED_AT // max(filled, 2 * _LOOKED_AT)  # about twice as many rows as are kept
        parts.append(
            f"(SELECT {literal(name)} AS attribute, feed, {customer} AS customer_id, record_id,\n"
            f" {_as_text(name, kind)} AS value FROM {relation}\n"
            f" WHERE {quoted(name)} IS NOT NULL AND hash(record_id) <= {lowest - 1:d}\n"
            f" ORDER BY hash(record_id), record_id, {quoted(name)} LIMIT {_LOOKED_AT:d})"
        )
    looked_at = f"SELECT * FROM ({' UNION ALL '.join(parts)}) WHERE value IS NOT NULL"
    engine.execute(f"CREATE OR REPLACE TEMP TABLE {ROWS} AS {looked_at}")


def _as_text(name: str, kind: str) -> str:
    column = quoted(name)
    if kind in ("DOUBLE", "FLOAT"):  # a number that is no amount, such as 2125550123, is read as one, too
        whole = f"{column} = trunc({column}) AND abs({column}) < 1e15"
        return f"CASE WHEN {whole} THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) END"
    return f"nullif(trim(CAST({column} AS VARCHAR)), '')"


def found_personal(engine: duckdb.DuckDBPyConnection, texts: Collection[str], *, of_customers: bool) -> frozenset[str]:
    """Return the attributes that look personal though nobody declared them, by their names and by how values look.

    Parameters
    ----------
    engine : has `ROWS`, see `look_at`
    texts : columns of the form ``feed.column`` that hold no numbers; only their names count
    of_customers : whether the rows are about customers themselves, so that a column's bare name counts, too
    """
    pattern = _OF_CUSTOMERS if of_customers else _OF_OTHERS
    named = {name for name in texts if pattern.fullmatch(name.partition(".")[2])}
    forms = (("value", _EMAIL), (without_extension_sql("value"), _PHONE), ("value", _NATIONAL))
    shares = ", ".join(f"avg(regexp_matches({text}, {literal(form)})::INT)" for text, form in forms)
    category = f"count(DISTINCT value) <= {_CATEGORIES} AND count(*) > {_CATEGORY_ROWS}"
    rows = engine.execute(
        f"SELECT attribute, greatest({shares}) >= {_SHARE}, {category} FROM {ROWS} GROUP BY attribute"
    ).fetchall()
    formed = {name for name, personal, _ in rows if personal}
    categories = set() if of_customers else {name for name, _, few in rows if few}
    return frozenset(formed | (named - categories))


def personal_columns(columns: Collection[str], attributes: Collection[str]) -> list[str]:
    """Return the columns of a table that stay out of what is pseudonymous: personal fields and attributes, in order.

    Examples
    --------
    >>> personal_columns(["city", "email", "crm.note"], ["crm.note"])
    ['email', 'crm.note']
    """
    return [column for column in columns if column in PERSONAL_FIELDS or column in attributes]
