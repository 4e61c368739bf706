"""Whether e-mail addresses and telephone numbers are written as such; nobody is asked over the network."""

from __future__ import annotations

from collections.abc import Iterable

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
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    # whether a range is in use changes by the month, and numbers kept for examples never are: the length has to fit
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def count_not_emails(values: Iterable[tuple[str, int]]) -> int:
    """Return how many rows hold no address, given distinct values and their rows."""
    return sum(rows for text, rows in values if not is_email(text))


def count_not_phones(values: Iterable[tuple[str, int]], region: str | None) -> int:
    """Return how many rows hold no telephone number, given distinct values and their rows."""
    return sum(rows for text, rows in values if not is_phone(text, region))
