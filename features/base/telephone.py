"""Telephone numbers, read in one way everywhere: by the country of the record, of the feed or of the company.

An extension (``01632 960961 ext. 5``) is no part of a number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache

import duckdb
import phonenumbers

from features.base.countries import country_code

#: Fewer digits are not compared.
LEAST_DIGITS = 7
#: An extension and what follows it, after a digit or a bracket; for Python and for DuckDB, in lower case.
_EXTENSION = r"([0-9)])[ ,;.(\[-]*(?:;ext|ext|extn|extension|x|#|~|int|poste|durchwahl|dw|anexo|доб)[ .:=]*[0-9].*$"
_EXTENSIONS = re.compile(_EXTENSION, re.IGNORECASE | re.DOTALL)
#: What was dialled before the ten digits of a Mexican number until 2019, and is no part of it.
_MEXICO_ABROAD = re.compile(r"^((?:\+|00) *52)[ -]*1(?=(?:[ ().-]*[0-9]){10}$)")
_MEXICO_AT_HOME = re.compile(r"^(?:01|044|045|1)(?=(?:[ ().-]*[0-9]){10}$)")
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
    number = without_extension(text).strip()
    number = _MEXICO_ABROAD.sub(r"\1", number)
    if region == "MX":
        number = _MEXICO_AT_HOME.sub("", number)
    if region is None and number.startswith("00"):
        number = f"+{number[2:]}"
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
    return f"regexp_replace({text}, '{_EXTENSION}', '\\1', 'is')"


def telephone_number(text: str, country: str | None, region: str | None) -> str | None:
    """Return a telephone number as E.164: by the country of its record or else `region`; None where neither reads it.

    Parameters
    ----------
    text : as it is written
    country : of the record that holds it, as it is written there
    region : ISO 3166 code of the feed's or the company's country

    Examples
    --------
    >>> telephone_number("22 33 44 55", None, "NO"), telephone_number("030 123456", "Germany", "NO")
    ('+4722334455', '+4930123456')
    """
    own = country_code(country)
    return (_e164(text, own) if own is not None else None) or _e164(text, region)


def national_number(text: str, country: str | None, region: str | None) -> str | None:
    """Return a telephone number without its country and leading zeros, the same however it is written.

    A number that cannot be read is its digits; None where these are fewer than `LEAST_DIGITS`.

    Examples
    --------
    >>> national_number("+44 20 7946 0018", None, None), national_number("020 7946 0018", None, None)
    ('2079460018', '2079460018')
    """
    found = telephone_number(text, country, region)
    if found is not None:
        code = phonenumbers.parse(found).country_code
        return found.removeprefix(f"+{code}").lstrip("0")
    return digits(text)


def digits(text: str) -> str | None:
    """Return the digits of a number that cannot be read, without leading zeros; None where they are too few.

    Examples
    --------
    >>> digits("020 7946 0018 ext. 12"), digits("555")
    ('2079460018', None)
    """
    found = "".join(re.findall("[0-9]", without_extension(text))).lstrip("0")
    return found if len(found) >= LEAST_DIGITS else None


@dataclass(frozen=True)
class PhoneCountries:
    """By which country national telephone numbers are read.

    Parameters
    ----------
    company : ISO 3166 code of the company's country
    feeds : feed: country of all its numbers; in other feeds a record's own country comes before the company's

    Examples
    --------
    >>> engine = duckdb.connect()
    >>> register_telephones(engine)
    >>> number = PhoneCountries("NO").compared_sql("'22 33 44 55'", feed="'crm'", country="NULL")
    >>> engine.sql(f"SELECT {number}").fetchall()
    [('+4722334455',)]
    """

    company: str | None = None
    feeds: Mapping[str, str] = field(default_factory=dict)

    def region(self, feed: str) -> str | None:
        """Return the country of a feed's national numbers."""
        return self.feeds.get(feed, self.company)

    def e164_sql(self, text: str, *, feed: str = "feed", country: str = "country") -> str:
        """Return SQL of a number as E.164; NULL where it cannot be read.

        Parameters
        ----------
        text, feed, country : SQL of the number, of its feed's name, and of the country of its record
        """
        return f"telephone_number({text}, {self._countries_sql(feed, country)})"

    def national_sql(self, text: str, *, feed: str = "feed", country: str = "country") -> str:
        """Return SQL of a number without its country; see `national_number`."""
        return f"national_number({text}, {self._countries_sql(feed, country)})"

    def number_sql(self, text: str, *, feed: str = "feed", country: str = "country") -> str:
        """Return SQL of a number as E.164, or as its digits where its country is not known; NULL where that is nothing.

        Two numbers that both have their country are compared with it.
        """
        return f"coalesce({self.e164_sql(text, feed=feed, country=country)}, telephone_digits({text}))"

    def compared_sql(self, text: str, *, feed: str = "feed", country: str = "country") -> str:
        """Return SQL of what two numbers are compared by, NULL where that is nothing.

        It is the E.164 form where the company's country is declared. Where it is not, a national number may be of any
        country, and numbers are compared without their country.
        """
        if self.company is None:
            return self.national_sql(text, feed=feed, country=country)
        return self.number_sql(text, feed=feed, country=country)

    def _countries_sql(self, feed: str, country: str) -> str:
        company = f"'{self.company}'" if self.company is not None else "CAST(NULL AS VARCHAR)"
        if not self.feeds:
            return f"{country}, {company}"
        cases = " ".join(f"WHEN '{name}' THEN '{code}'" for name, code in sorted(self.feeds.items()))
        declared = f"CASE {feed} {cases} END"
        return f"CASE WHEN {declared} IS NULL THEN {country} END, coalesce({declared}, {company})"


#: No country is declared.
NO_COUNTRY = PhoneCountries()


def register_telephones(engine: duckdb.DuckDBPyConnection) -> None:
    """Register the functions that the SQL of `PhoneCountries` calls."""
    three = ["VARCHAR", "VARCHAR", "VARCHAR"]
    for function in (telephone_number, national_number):
        engine.create_function(function.__name__, _of_text(function), three, "VARCHAR", null_handling="special")
    engine.create_function(
        "telephone_digits",
        lambda text: None if text is None else digits(text),
        ["VARCHAR"],
        "VARCHAR",
        null_handling="special",
    )


def _of_text(function: Callable[[str, str | None, str | None], str | None]) -> Callable[..., str | None]:
    def read(text: str | None, country: str | None, region: str | None) -> str | None:
        return None if text is None else function(text, country, region)

    return read


@lru_cache(maxsize=1 << 17)
def _e164(text: str, region: str | None) -> str | None:
    return e164(text, region)


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
