"""The words by which people allow or refuse the use of their data: one list for `init` and the ledger."""

from __future__ import annotations

import re
import unicodedata

_DECOMPOSED = [(chr(code), unicodedata.normalize("NFKD", chr(code))) for code in range(0xE0, 0x180)]
_LETTERS = [
    (letter, parts[0])
    for letter, parts in _DECOMPOSED
    if letter == letter.lower() and [bool(unicodedata.combining(part)) for part in parts] == [False, True]
]
#: Lower-case letters with accents, and each without.
ACCENTED, PLAIN = ("".join(letters) for letters in zip(*_LETTERS, strict=True))
#: What stands between the words of a status.
BREAKS = " \t\r\n\u00a0-"


def consent_word(text: str) -> str:
    """Return a status as it is compared: without letter case, accents, and the marks between its words.

    Examples
    --------
    >>> consent_word(" Opted out "), consent_word("do-not-contact"), consent_word("Bestätigt")
    ('opted_out', 'do_not_contact', 'bestatigt')
    """
    plain = unicodedata.normalize("NFKD", text.lower())
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.sub(r"[\s_-]+", "_", letters).strip("_")


def _words(text: str) -> frozenset[str]:
    return frozenset(map(consent_word, text.split()))


GRANTED = _words(
    """
    granted given opt_in optin opted_in confirmed subscribed active_subscriber single_opt_in
    double_opt_in consented accepted approved allow allowed agreed explicit consent zugestimmt erteilt bestätigt
    abonniert angemeldet accepté consenti inscrit abonné aceptado suscrito toegestaan geaccepteerd ingeschreven
    akkoord
    """
)
#: The words of `WITHDRAWN` by which somebody objects.
OBJECTED = _words("objected objection object")
WITHDRAWN = OBJECTED | _words(
    """
    withdrawn withdraw denied refused opt_out optout opted_out unsubscribed unsubscribe
    revoked do_not_allow not_allowed disallow rejected declined suppressed cleaned complained
    cancelled_consent abgemeldet widerrufen abgelehnt refusé désinscrit désabonné retiré rechazado revocado
    baja retirado afgemeld geweigerd ingetrokken do_not_contact global_unsubscribe spam_complaint complaint
    """
)
#: Neither a grant nor a withdrawal: nobody has decided yet, or a grant has ended by itself.
UNDECIDED = _words(
    """
    pending notgiven not_given never_subscribed no_choice not_opted_in notoptedin expired requested
    not_subscribed non_subscribed unconfirmed transactional implicit ausstehend
    """
)
#: What a flag holds; as a status, a yes is a grant and a no is none.
YES = _words("true yes y 1 t on ja oui si wahr vrai verdadero waar")
NO = _words("false no n 0 f off nein non nee falsch faux falso onwaar")
