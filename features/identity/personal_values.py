"""Undeclared columns that hold the values of customers' personal fields, compared as identity compares these.

A column is judged by the rows of it that are looked at. It is personal when enough of them hold what identifies their
own customer, and at least twice as many as would hold what identifies somebody else: a shop that has the name of many
people's street meets both alike. It is also personal when almost all of them hold what identifies any customer alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from features.base.database_engine import literal
from features.base.telephone import PhoneCountries, without_extension_sql
from features.identity.normalisation import date_digits, email, normalised, outer_names
from features.ingest.personal_columns import ROWS

#: Share of rows that hold a value which few people share: a whole name, an address, a number, a birth date.
_OWN = 0.2
#: Share of rows that hold any value of their customer, also one that many share, such as a given name or a postcode.
_OWN_SHARED = 0.5
#: Share of rows that hold a value of any customer which few people share, and how many of these differ.
_ANYBODY = 0.8
_LEAST_DIFFERENT, _LEAST_SHARE_DIFFERENT = 10, 0.1
#: Longer texts are not searched for names and streets: they are messages.
_LONGEST_ADDRESS = 100
_PERSONAL = "personal_forms"
_NUMBERED_STREET = "CASE WHEN regexp_matches(street, '[0-9]') AND regexp_matches(street, '[a-z]') THEN street END"


def columns_of_people(
    engine: duckdb.DuckDBPyConnection, customers: str, phones: PhoneCountries, *, about_customer: bool
) -> frozenset[str]:
    """Return the attributes among `ROWS` that hold values of customers' personal fields.

    Parameters
    ----------
    engine : has `ROWS`, with their customers, and `customers`
    customers : relation of all records of customers with their personal fields
    phones : by which country telephone numbers are read
    about_customer : whether the rows are about customers; in others, such as items, a person's name may be an author's
    """
    columns = {name for name, *_ in engine.execute(f"DESCRIBE {customers}").fetchall()}
    engine.execute(f"CREATE OR REPLACE TEMP TABLE {_PERSONAL} AS SELECT *, {_forms('value', phones)} FROM {ROWS}")
    found = _of_their_own_customer(engine, customers, columns, phones)
    return found | _of_anybody(engine, customers, columns, phones, about_customer=about_customer)


def _forms(value: str, phones: PhoneCountries) -> str:
    """Return SQL of a text in every form in which it is compared; a form is NULL where the text cannot have it."""
    digits = f"length(regexp_replace({value}, '[^0-9]', '', 'g'))"
    forms = {
        "whole_name": outer_names(value),
        "name": normalised(value, "name"),
        "email": email(value),
        "phone": f"CASE WHEN {digits} BETWEEN 7 AND 20 THEN {phones.compared_sql(value, country='NULL')} END",
        "birth_date": f"CASE WHEN {digits} BETWEEN 8 AND 14 THEN {date_digits(value)} END",
        "street": normalised(value, "street"),
        "code": normalised(value, "postcode"),
    }
    return ", ".join(f"{sql} AS {name}" for name, sql in forms.items())


def _people(customers: str, columns: set[str], phones: PhoneCountries, where: str) -> str:
    """Return a SELECT of what identifies each customer, one row a record."""

    def field(name: str) -> str:
        return name if name in columns else "CAST(NULL AS VARCHAR)"

    names = f"concat_ws(' ', {field('first_name')}, {field('last_name')})"
    full = f"coalesce(nullif(trim({field('full_name')}), ''), {names})"
    born = f"TRY_CAST({field('birth_date')} AS DATE)"
    dates = ", ".join(f"strftime({born}, '{form}')" for form in ("%Y%m%d", "%d%m%Y", "%m%d%Y"))
    phone = phones.compared_sql(field("phone"), country=field("country")) if "phone" in columns else "NULL"
    single = ", ".join(normalised(field(name), "name") for name in ("first_name", "last_name", "full_name"))
    return f"""
        SELECT customer_id, {outer_names(full)} AS whole_name, {normalised(full, "street")} AS written_name,
            [{single}] AS names, {email(f"CAST({field('email')} AS VARCHAR)")} AS email, {phone} AS phone,
            [{dates}] AS birth_dates,
            {normalised(field("street"), "street")} AS street, {normalised(field("postcode"), "postcode")} AS postcode,
            {normalised(field("national_id"), "identifier")} AS national_id
        FROM {customers} WHERE {where}
    """


def _of_their_own_customer(
    engine: duckdb.DuckDBPyConnection, customers: str, columns: set[str], phones: PhoneCountries
) -> frozenset[str]:
    people = _people(customers, columns, phones, f"customer_id IN (SELECT customer_id FROM {_PERSONAL})")
    alone = (
        "r.whole_name = p.whole_name", "r.email = p.email", "r.phone = p.phone", "r.code = p.national_id",
        "list_contains(p.birth_dates, r.birth_date)", "r.street = p.street AND regexp_matches(r.street, '[0-9]')",
    )  # fmt: skip
    within = " OR ".join(
        f"contains(concat(' ', r.street, ' '), concat(' ', {part}, ' ')) AND {certain}"
        for part, certain in (
            ("p.street", "regexp_matches(p.street, '[0-9]')"),
            ("p.written_name", "p.whole_name IS NOT NULL"),
        )
    )
    shared = (
        "list_contains(p.names, r.name)", "r.street = p.street", "r.code = p.postcode",
        f"length(r.value) <= {_LONGEST_ADDRESS} AND ({within})",
    )  # fmt: skip
    rows = engine.execute(f"""
        WITH people AS ({people}),
        numbered AS (
            SELECT *, row_number() OVER (PARTITION BY attribute ORDER BY hash(record_id), record_id, value) AS row
            FROM {_PERSONAL}
        ),
        others AS (SELECT *, lead(customer_id) OVER (PARTITION BY attribute ORDER BY row) AS other FROM numbered),
        pairs AS (
            SELECT *, customer_id AS whose, true AS own FROM others WHERE customer_id IS NOT NULL
            UNION ALL SELECT *, other, false FROM others WHERE other <> customer_id
        ),
        compared AS (
            SELECT attribute, own, row, coalesce(bool_or(coalesce({_any(alone)}, false)), false) AS alone,
                coalesce(bool_or(coalesce({_any((*alone, *shared))}, false)), false) AS shared
            FROM pairs r LEFT JOIN people p ON p.customer_id = r.whose
            GROUP BY ALL
        ),
        shares AS (
            SELECT attribute, avg(alone::INT) FILTER (own) AS alone, avg(shared::INT) FILTER (own) AS shared,
                coalesce(avg(alone::INT) FILTER (NOT own), 0) AS alone_chance,
                coalesce(avg(shared::INT) FILTER (NOT own), 0) AS shared_chance
            FROM compared GROUP BY attribute
        )
        SELECT attribute FROM shares
        WHERE (alone >= {_OWN} AND alone >= 2 * alone_chance)
           OR (shared >= {_OWN_SHARED} AND shared >= 2 * shared_chance)
    """).fetchall()
    return frozenset(name for (name,) in rows)


def _of_anybody(
    engine: duckdb.DuckDBPyConnection,
    customers: str,
    columns: set[str],
    phones: PhoneCountries,
    *,
    about_customer: bool,
) -> frozenset[str]:
    wanted = {
        "whole_name": about_customer and bool(columns & {"full_name", "last_name"}),
        "phone": "phone" in columns,
        "street": "street" in columns,
        "national_id": "national_id" in columns,
    }
    forms = {"national_id": "CASE WHEN length(code) >= 6 THEN code END", "street": _NUMBERED_STREET}
    parts = [
        f"SELECT attribute, record_id, value, {literal(field)} AS field, {forms.get(field, field)} AS form "
        f"FROM {_PERSONAL}"
        for field, has in wanted.items()
        if has
    ]
    if not parts:
        return frozenset()
    # most columns of codes and categories end here, before any customer is read
    engine.execute(f"""
        CREATE OR REPLACE TEMP TABLE candidates AS
        SELECT * FROM ({" UNION ALL ".join(parts)}) WHERE form IS NOT NULL AND attribute IN (
            SELECT attribute FROM {_PERSONAL} GROUP BY attribute
            HAVING count(DISTINCT value) >= greatest({_LEAST_DIFFERENT}, {_LEAST_SHARE_DIFFERENT} * count(*))
        )
    """)
    fields = [field for (field,) in engine.execute("SELECT DISTINCT field FROM candidates ORDER BY 1").fetchall()]
    if not fields:
        return frozenset()
    known = " UNION ALL ".join(
        f"SELECT {literal(field)} AS field, {field} AS form "
        f"FROM ({_people(customers, columns, phones, _likely(field, columns))})"
        for field in fields
    )
    rows = engine.execute(f"""
        WITH met AS (
            SELECT DISTINCT attribute, record_id, value FROM candidates SEMI JOIN ({known}) USING (field, form)
        )
        SELECT attribute FROM (SELECT attribute, count(*) AS rows FROM met GROUP BY 1)
        JOIN (SELECT attribute, count(*) AS looked_at FROM {_PERSONAL} GROUP BY 1) USING (attribute)
        WHERE rows >= {_ANYBODY} * looked_at
    """).fetchall()
    return frozenset(name for (name,) in rows)


def _likely(field: str, columns: set[str]) -> str:
    """Return SQL of which records are worth comparing: to bring all of them into the form would take minutes."""

    def among(key: str, of: str = "form") -> str:
        return f"IN (SELECT {key.format(of)} FROM candidates WHERE field = {literal(field)})"

    match field:
        case "whole_name":
            last = "list_extract(string_split(trim(lower(strip_accents({}))), ' '), -1)"
            words = among("unnest(string_split({}, ' '))")
            names = [last.format(name) for name in ("last_name", "full_name") if name in columns]
            return " OR ".join(f"{name} {words}" for name in names)
        case "phone":
            last = "right(regexp_replace({}, '[^0-9]', '', 'g'), 7)"
            return f"{last.format(without_extension_sql('phone'))} {among(last)}"
        case "street":
            number = "regexp_replace({}, '[^0-9]', '', 'g')"
            begins = "left(regexp_replace(lower(strip_accents({})), '[^a-z]', '', 'g'), 2)"
            return f"{number.format('street')} {among(number)} AND {begins.format('street')} {among(begins)}"
        case _:
            return "true"


def _any(conditions: Sequence[str]) -> str:
    return " OR ".join(f"coalesce({condition}, false)" for condition in conditions)
