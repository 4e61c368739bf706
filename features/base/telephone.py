"""Telephone numbers read in one way everywhere: as E.164, and as SQL of the digits that are compared.

An extension (``01632 960961 ext. 5``) is no part of the number in any of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

import phonenumbers

from features.base.database_engine import literal

#: Digits that are compared: all that the national and the international spelling of a number share.
COMPARED_DIGITS = 9
#: An extension and what follows it, after a digit or a bracket; for Python and for DuckDB, in lower case.
_EXTENSION = r"([0-9)])[ ,;.(\[-]*(?:;ext|ext|extn|extension|x|#|~|int|poste|durchwahl|dw|anexo|доб)[ .:=]*[0-9].*$"
_EXTENSIONS = re.compile(_EXTENSION, re.IGNORECASE | re.DOTALL)
_PLAIN_NUMBER = re.compile(r"[0-9(][0-9 ().-]*")
_MARKS = str.maketrans("", "", " ().-")


def without_extension(text: str) -> str:
    """Return a telephone number as it is written, without its extension.

    Examples
    --------
    >>> without_extension("01632 960961 ext. 5"), without_extension("(01632) 960961#12")
    ('01632 960961', '(01632) 960961')
    """
    return _EXTENSIONS.sub(r"\1", text)


def e164(text: str, region: str | None) -> str | None:
    """Return a telephone number as E.164 without its extension; None when the text is no number.

    Parameters
    ----------
    text : as it is written
    region : country of national numbers (ISO 3166); None reads only numbers that begin with ``+``

    Examples
    --------
    >>> e164("01632 960961 x5", "GB"), e164("+44 (0)1632 960961", None), e164("01632 960961", None)
    ('+441632960961', '+441632960961', None)
    """
    number = without_extension(text)
    plan = _national_plan(region)
    return (plan.read(number) if plan is not None else None) or e164_by_library(number, region)


def e164_by_library(number: str, region: str | None) -> str | None:
    """Return a number without extension as E.164, by the library alone (about 25 µs a number).

    Examples
    --------
    >>> e164_by_library("020 7946 0018", "GB")
    '+442079460018'
    """
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None
    # whether a range is in use changes by the month, and numbers kept for examples never are: the length has to fit
    if phonenumbers.is_possible_number_with_reason(parsed) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def without_extension_sql(text: str) -> str:
    """Return SQL of a telephone number without its extension, as `without_extension` does it.

    Examples
    --------
    >>> import duckdb
    >>> sql = without_extension_sql("'020 7946 0018 ext. 12'")
    >>> duckdb.sql(f"SELECT {sql}").fetchall()
    [('020 7946 0018',)]
    """
    return f"regexp_replace({text}, {literal(_EXTENSION)}, '\\1', 'is')"


def digits_sql(text: str) -> str:
    """Return SQL of all digits of a telephone number without its extension; empty where it has none.

    Examples
    --------
    >>> import duckdb
    >>> sql = digits_sql("'(020) 7946-0018'")
    >>> duckdb.sql(f"SELECT {sql}").fetchall()
    [('02079460018',)]
    """
    return f"regexp_replace({without_extension_sql(text)}, '[^0-9]', '', 'g')"


def compared_sql(text: str) -> str:
    """Return SQL of the digits by which a telephone number is compared; NULL where there are too few.

    Examples
    --------
    >>> import duckdb
    >>> sql = compared_sql("'+44 20 7946 0018'")
    >>> duckdb.sql(f"SELECT {sql}").fetchall()
    [('079460018',)]
    """
    digits = digits_sql(text)
    return f"CASE WHEN length({digits}) >= {COMPARED_DIGITS:d} THEN right({digits}, {COMPARED_DIGITS:d}) END"


def dialled_sql(text: str) -> str:
    """Return SQL of a number as it is dialled: ``+`` and digits where it is written so, else its digits.

    Examples
    --------
    >>> import duckdb
    >>> sql = dialled_sql("'+44 20 7946 0018'")
    >>> duckdb.sql(f"SELECT {sql}").fetchall()
    [('+442079460018',)]
    """
    abroad = digits_sql(f"replace({text}, '(0)', '')")  # the national prefix, as in +44 (0)1632
    return (
        f"CASE WHEN regexp_matches({text}, '^ *([+]|00)') THEN '+' || ltrim({abroad}, '0') ELSE {digits_sql(text)} END"
    )


@dataclass(frozen=True)
class _NationalPlan:
    """How plain national numbers of one country are read without the library.

    A number that could be read in another way, such as one that begins as calls abroad do, is left to the library.
    """

    code: str
    prefix: str
    number: re.Pattern[str]
    abroad: re.Pattern[str]
    lengths: frozenset[int]

    def read(self, text: str) -> str | None:
        if _PLAIN_NUMBER.fullmatch(text) is None:
            return None
        digits = text.translate(_MARKS)
        if digits.startswith(self.code) or self.abroad.match(digits):
            return None
        national = digits.removeprefix(self.prefix)
        fits = len(national) in self.lengths and self.number.fullmatch(national) is not None
        return f"+{self.code}{national}" if fits else None


@cache
def _national_plan(region: str | None) -> _NationalPlan | None:
    """Return a country's plan; None where its national numbers have more than a fixed prefix."""
    plan = phonenumbers.PhoneMetadata.metadata_for_region(region) if region is not None else None
    if plan is None or plan.national_prefix_transform_rule or not plan.national_prefix:
        return None
    allowed, abroad, parsing = plan.general_desc, plan.international_prefix, plan.national_prefix_for_parsing or ""
    if allowed is None or allowed.national_number_pattern is None or abroad is None or plan.country_code is None:
        return None
    if phonenumbers.region_code_for_country_code(plan.country_code) != region:  # countries that share a code
        return None
    others = [prefix for prefix in parsing.split("|") if prefix != plan.national_prefix]
    if not all(prefix.isdigit() for prefix in others):
        return None
    return _NationalPlan(
        code=str(plan.country_code),
        prefix=plan.national_prefix,
        number=re.compile(allowed.national_number_pattern),
        abroad=re.compile("|".join([f"(?:{abroad})", *others])),
        lengths=frozenset(allowed.possible_length),
    )
