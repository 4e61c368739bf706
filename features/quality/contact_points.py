"""Whether e-mail addresses and telephone numbers are written as such; nobody is asked over the network."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import phonenumbers
from email_validator import EmailNotValidError, validate_email

#: An address that surely is one, so that only the others are judged one by one (a strict part of what is valid).
PLAIN_EMAIL = (
    r"[A-Za-z0-9_%+-]{1,60}([.][A-Za-z0-9_%+-]{1,60})?@"
    r"([A-Za-z0-9]{1,30}([-][A-Za-z0-9]{1,30})?[.]){1,3}(com|net|org|info|biz|edu|gov|co|io|eu|uk|de|fr|nl|ie|es|it|us)"
)
#: Longest local part of an address.
LOCAL_PART = 64


def is_email(text: str) -> bool:
    """Return whether `text` is written as an e-mail address (syntax only)."""
    try:
        validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        return False
    return True


def is_phone(text: str, region: str | None) -> bool:
    """Return whether `text` can be a telephone number of `region`, or of the country that its ``+`` names."""
    return e164(text, region) is not None


def e164(text: str, region: str | None) -> str | None:
    """Return a telephone number as E.164 (``+441632960961``); None when it is none. An extension falls away."""
    plain = _plain(region)
    return (plain.read(text) if plain is not None else None) or parsed(text, region)


def parsed(text: str, region: str | None) -> str | None:
    """Return what `e164` does, by the library alone (about 25 µs a number)."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    # whether a range is in use changes by the month, and numbers kept for examples never are: the length has to fit
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@dataclass(frozen=True)
class _Plain:
    """National numbers of one country that need no library: its prefix, then what its number plan allows.

    Whatever could be read in another way, such as a number that begins as calls abroad do, is left to the library.
    """

    code: str
    prefix: str
    number: re.Pattern[str]
    abroad: re.Pattern[str]
    lengths: frozenset[int]

    def read(self, text: str) -> str | None:
        if _DIGITS.fullmatch(text) is None:
            return None
        digits = text.translate(_MARKS)
        if digits.startswith(self.code) or self.abroad.match(digits):
            return None
        national = digits.removeprefix(self.prefix)
        fits = len(national) in self.lengths and self.number.fullmatch(national) is not None
        return f"+{self.code}{national}" if fits else None


_DIGITS = re.compile(r"[0-9(][0-9 ().-]*")
_MARKS = str.maketrans("", "", " ().-")


@cache
def _plain(region: str | None) -> _Plain | None:
    """Return how a country's plain numbers are read; None where that is less plain than a fixed prefix."""
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
    return _Plain(
        code=str(plan.country_code),
        prefix=plan.national_prefix,
        number=re.compile(allowed.national_number_pattern),
        abroad=re.compile("|".join([f"(?:{abroad})", *others])),
        lengths=frozenset(allowed.possible_length),
    )


def count_not_emails(values: Iterable[tuple[str, int]]) -> int:
    """Return how many rows hold no address, given distinct values and their rows."""
    return sum(rows for text, rows in values if not is_email(text))


def count_not_phones(values: Iterable[tuple[str, int]], region: str | None) -> int:
    """Return how many rows hold no telephone number, given distinct values and their rows."""
    return sum(rows for text, rows in values if not is_phone(text, region))
