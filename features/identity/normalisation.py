"""Values as they are compared: names, contact points, dates and addresses without their spelling, as SQL."""

from __future__ import annotations

from collections.abc import Sequence

from features.base.database_engine import literal
from features.base.telephone import NO_COUNTRY, PhoneCountries
from features.config.identity_settings import Kind

_TITLES = r"\b(mr|mrs|ms|miss|dr|prof|sir|herr|frau|mme|mlle|jr|sr)\b"
_LEGAL = (
    r"\b(ltd|limited|plc|llp|llc|inc|incorporated|corp|corporation|company|co"
    r"|gmbh|ag|kg|sa|sarl|srl|spa|bv|nv|oy|ab|as)\b"
)
_STREETS = {
    "street": "st", "road": "rd", "avenue": "ave", "lane": "ln", "drive": "dr", "place": "pl", "crescent": "cres",
    "court": "ct", "circuit": "cct", "close": "cl", "square": "sq", "terrace": "tce", "boulevard": "blvd",
    "strasse": "str", "straße": "str",
}  # fmt: skip


def normalised(column: str, kind: Kind, phones: PhoneCountries = NO_COUNTRY) -> str:
    """Return SQL of one value as it is compared; NULL where nothing is left of it.

    Parameters
    ----------
    column : SQL of the value
    kind : what it is
    phones : by which country telephone numbers are read; they need the columns ``feed`` and ``country``

    Examples
    --------
    >>> import duckdb
    >>> duckdb.sql(f"SELECT {normalised(literal('Müller & Sons Ltd.'), 'company')}").fetchall()
    [('muller sons',)]
    """
    text = f"cast({column} AS VARCHAR)"
    match kind:
        case "person" | "name" | "place":
            sql = _words(text)
        case "company":
            sql = _without(_words(text, digits=True), _LEGAL)
        case "date":
            return date_digits(column)
        case "email":
            return email(text)
        case "phone":
            return phones.number_sql(text)
        case "street":
            sql = _street(text)
        case "postcode" | "identifier":
            sql = f"regexp_replace(upper({text}), '[^0-9A-Z]', '', 'g')"
        case _:
            sql = f"lower(trim({text}))"
    return f"nullif({sql}, '')"


def email(text: str) -> str:
    """Return SQL of an address in lower case; NULL where it is none.

    Examples
    --------
    >>> import duckdb
    >>> duckdb.sql(f"SELECT {email(literal(' Ann@Example.COM '))}, {email(literal('none'))}").fetchall()
    [('ann@example.com', None)]
    """
    clean = f"lower(trim({text}))"
    return f"CASE WHEN regexp_matches({clean}, '^[^@ ]+@[^@ ]+$') THEN {clean} END"


def date_digits(column: str) -> str:
    """Return SQL of a date as ``YYYYMMDD``; of a date that was written, its digits, which may name no day.

    Examples
    --------
    >>> import duckdb
    >>> duckdb.sql(f"SELECT {date_digits(literal('1980-05-17'))}").fetchall()
    [('19800517',)]
    """
    digits = f"regexp_replace(cast({column} AS VARCHAR), '[^0-9]', '', 'g')"
    return f"CASE WHEN length({digits}) BETWEEN 4 AND 14 THEN left({digits}, 8) END"


def given_name(first: str, last: str, full: str) -> str:
    """Return SQL of a given name: `first` or, where it and `last` are empty, how `full` begins.

    Examples
    --------
    >>> import duckdb
    >>> duckdb.sql(f"SELECT {given_name('NULL', 'NULL', literal('Lovelace, Dr. Ada'))}").fetchall()
    [('ada',)]
    """
    whole = _person(full)
    return (
        f"CASE WHEN {_person(first)} IS NOT NULL OR {_person(last)} IS NOT NULL THEN {_person(first)} "
        f"WHEN contains({whole}, ' ') THEN split_part({whole}, ' ', 1) END"
    )


def family_name(first: str, last: str, full: str) -> str:
    """Return SQL of a family name: `last` or, where it and `first` are empty, how `full` ends.

    Examples
    --------
    >>> import duckdb
    >>> duckdb.sql(f"SELECT {family_name('NULL', 'NULL', literal('Lovelace, Dr. Ada'))}").fetchall()
    [('lovelace',)]
    """
    whole = _person(full)
    return (
        f"CASE WHEN {_person(first)} IS NOT NULL OR {_person(last)} IS NOT NULL THEN {_person(last)} "
        f"ELSE regexp_extract({whole}, '([^ ]+)$', 1) END"
    )


def name_suffix(last: str, full: str) -> str:
    """Return SQL of what distinguishes namesakes of one family: ``jr``, ``sr``, ``ii``, ``iii`` or ``iv``.

    Examples
    --------
    >>> import duckdb
    >>> duckdb.sql(f"SELECT {name_suffix(literal('Smith, Jr.'), 'NULL')}").fetchall()
    [('jr',)]
    """
    text = f"lower(concat_ws(' ', {last}, {full}))"
    found = f"regexp_extract({text}, '[ ,](jr|sr|junior|senior|ii|iii|iv)([. ,]|$)', 1)"
    return f"nullif(replace(replace({found}, 'junior', 'jr'), 'senior', 'sr'), '')"


def outer_names(full: str) -> str:
    """Return SQL of a name's first and last word in alphabetical order; NULL where it has one word.

    Examples
    --------
    >>> import duckdb
    >>> duckdb.sql(f"SELECT {outer_names(literal('Dr. Ada B. Lovelace'))}, {outer_names(literal('Ada'))}").fetchall()
    [('ada lovelace', None)]
    """
    ends = "[split_part(whole, ' ', 1), regexp_extract(whole, '([^ ]+)$', 1)]"
    joined = f"CASE WHEN contains(whole, ' ') THEN array_to_string(list_sort({ends}), ' ') END"
    return f"list_transform([{_person(full)}], lambda whole: {joined})[1]"


def _person(column: str) -> str:
    """Return SQL of a name in plain letters, titles and suffixes left out; ``Last, First`` is put in its order."""
    suffix = "[ ,]+(jr|sr|junior|senior|ii|iii|iv)[.]?(?:$|(,| ))"
    plain = f"regexp_replace(cast({column} AS VARCHAR), '{suffix}', '\\2', 'i')"
    turned = f"regexp_replace({plain}, '^([^,]+),(.+)$', '\\2 \\1')"
    return f"nullif({_without(_words(turned), _TITLES)}, '')"


def _words(text: str, *, digits: bool = False) -> str:
    """Return SQL of plain lower-case words with single spaces; apostrophes close up, other marks part."""
    kept = "[^a-z0-9]+" if digits else "[^a-z]+"
    closed = f"regexp_replace(lower(strip_accents({text})), '[''’`.]', '', 'g')"
    plain = f"trim(regexp_replace({closed}, {literal(kept)}, ' ', 'g'))"
    foreign = f"trim(lower({text}))"  # letters of another script are kept as they are
    return f"CASE WHEN {plain} = '' THEN {foreign} ELSE {plain} END"


def _without(words: str, pattern: str) -> str:
    return f"trim(regexp_replace(regexp_replace({words}, {literal(pattern)}, '', 'g'), ' +', ' ', 'g'))"


def _street(text: str) -> str:
    words = _words(text, digits=True)
    for long, short in _STREETS.items():
        words = f"regexp_replace({words}, {literal(chr(92) + 'b' + long + chr(92) + 'b')}, {literal(short)}, 'g')"
    return words


def first_filled(columns: Sequence[str]) -> str:
    """Return SQL of the first of several columns that is filled.

    Examples
    --------
    >>> first_filled(["mobile", "home"])
    'coalesce(mobile, home)'
    """
    return columns[0] if len(columns) == 1 else f"coalesce({', '.join(columns)})"
