"""Countries: how they are written in feeds, and the pattern of their postcodes."""

from __future__ import annotations

from functools import cache

import phonenumbers

#: ISO 3166 code: (pattern of a postcode in upper case, other ways to write the country, in lower case).
COUNTRIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "AT": (r"[0-9]{4}", ("austria", "österreich", "aut")),
    "AU": (r"[0-9]{4}", ("australia", "aus")),
    "BE": (r"[0-9]{4}", ("belgium", "belgië", "belgique", "bel")),
    "BR": (r"[0-9]{5}-?[0-9]{3}", ("brazil", "brasil", "bra")),
    "CA": (r"[A-Z][0-9][A-Z] ?[0-9][A-Z][0-9]", ("canada", "can")),
    "CH": (r"[0-9]{4}", ("switzerland", "schweiz", "suisse", "che")),
    "CZ": (r"[0-9]{3} ?[0-9]{2}", ("czech republic", "czechia", "cze")),
    "DE": (r"[0-9]{5}", ("germany", "deutschland", "deu")),
    "DK": (r"[0-9]{4}", ("denmark", "danmark", "dnk")),
    "ES": (r"[0-9]{5}", ("spain", "españa", "esp")),
    "FI": (r"[0-9]{5}", ("finland", "suomi", "fin")),
    "FR": (r"[0-9]{5}", ("france", "fra")),
    "GB": (
        r"(GIR ?0AA|[A-Z]{1,2}[0-9][A-Z0-9]? ?[0-9][A-Z]{2})",
        ("united kingdom", "uk", "great britain", "england", "scotland", "wales", "northern ireland", "gbr"),
    ),
    "IE": (r"[A-Z][0-9]{2}W? ?[A-Z0-9]{4}|D6W ?[A-Z0-9]{4}", ("ireland", "eire", "irl")),
    "IN": (r"[0-9]{3} ?[0-9]{3}", ("india", "ind")),
    "IT": (r"[0-9]{5}", ("italy", "italia", "ita")),
    "JP": (r"[0-9]{3}-?[0-9]{4}", ("japan", "jpn")),
    "LU": (r"(L-?)?[0-9]{4}", ("luxembourg", "lux")),
    "MX": (r"[0-9]{5}", ("mexico", "méxico", "mex")),
    "NL": (r"[0-9]{4} ?[A-Z]{2}", ("netherlands", "the netherlands", "holland", "nld")),
    "NO": (r"[0-9]{4}", ("norway", "norge", "nor")),
    "NZ": (r"[0-9]{4}", ("new zealand", "nzl")),
    "PL": (r"[0-9]{2}-?[0-9]{3}", ("poland", "polska", "pol")),
    "PT": (r"[0-9]{4}(-?[0-9]{3})?", ("portugal", "prt")),
    "SE": (r"[0-9]{3} ?[0-9]{2}", ("sweden", "sverige", "swe")),
    "US": (r"[0-9]{5}(-?[0-9]{4})?", ("united states", "united states of america", "usa", "u.s.a.", "u.s.")),
}

_WRITTEN = {name: code for code, (_, names) in COUNTRIES.items() for name in names}


@cache
def country_code(text: str | None) -> str | None:
    """Return the ISO 3166 code of a country as it is written in a feed; None where it is not recognised.

    Examples
    --------
    >>> country_code("Norge"), country_code(" de "), country_code("Atlantis"), country_code(None)
    ('NO', 'DE', None, None)
    """
    name = (text or "").strip()
    code = name.upper()
    return code if code in phonenumbers.SUPPORTED_REGIONS else _WRITTEN.get(name.lower())
