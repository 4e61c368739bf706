"""Money: the codes and symbols of currencies, columns that hold them, and amounts in the smallest unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from features.base.database_engine import literal, one_row, quoted
from features.config.canonical import snake_case

#: ISO 4217 codes in use.
_CODES = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD "
    "CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD "
    "GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT "
    "LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR "
    "NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP "
    "STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD "
    "XOF XPF YER ZAR ZMW "
)
ISO_CODES = frozenset(_CODES.split())
#: Symbols that stand beside a number, as a pattern.
SYMBOLS = "US[$]|R[$]|C[$]|A[$]|[$€£¥₹₽₺₩₪₫]|[Kk]r[.]?|[Zz]ł|Kč|Ft|Fr[.]?"
_KRONA, _FRANC = ("SEK", "NOK", "DKK", "ISK"), ("CHF",)
#: What each symbol may mean, in upper case.
_MEANINGS: dict[str, tuple[str, ...]] = {
    "$": ("USD", "AUD", "CAD", "NZD", "MXN", "HKD", "SGD", "ARS", "CLP", "COP", "TWD"),
    "¥": ("JPY", "CNY"),
    "KR": _KRONA,
    "KR.": _KRONA,
    "FR": _FRANC,
    "FR.": _FRANC,
    **{"€": ("EUR",), "£": ("GBP",), "₹": ("INR",), "₽": ("RUB",), "₺": ("TRY",), "₩": ("KRW",), "₪": ("ILS",)},
    **{"₫": ("VND",), "ZŁ": ("PLN",), "KČ": ("CZK",), "FT": ("HUF",)},
    **{"US$": ("USD",), "R$": ("BRL",), "C$": ("CAD",), "A$": ("AUD",)},
}
_WITHOUT_CENTS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THOUSANDTHS = "BHD IQD JOD KWD LYD OMR TND"
_MINOR_WORDS = frozenset(["cents", "cent", "pence", "minor", "ore", "centimes", "centavos", "rappen"])
_SEEN = 1_000
#: Share of a column's values that are codes where it is one of currencies; what is written for none does not count.
_MOSTLY = 0.9
_NO_CODES = ("N/A", "NA", "NONE", "NULL", "UNKNOWN", "PENDING", "TBD", "-", "?")


def minor_unit_digits(currency: str) -> int:
    """Return how many digits stand after the point of an amount in a currency.

    Examples
    --------
    >>> minor_unit_digits("EUR"), minor_unit_digits("JPY"), minor_unit_digits("KWD")
    (2, 0, 3)
    """
    return 0 if currency in _WITHOUT_CENTS else 3 if currency in _THOUSANDTHS else 2


def code_of(sign: str) -> str:
    """Return the ISO code that a symbol means; a symbol that several currencies share stays itself.

    Examples
    --------
    >>> code_of("€"), code_of("$"), code_of("EUR")
    ('EUR', '$', 'EUR')
    """
    codes = _MEANINGS.get(sign, ())
    return codes[0] if len(codes) == 1 else sign


def codes_of(sign: str) -> tuple[str, ...]:
    """Return the ISO codes that a symbol may mean, the likeliest first.

    Examples
    --------
    >>> codes_of("£"), codes_of("$")[:2]
    (('GBP',), ('USD', 'AUD'))
    """
    return _MEANINGS.get(sign.upper(), (sign,))


def currency_columns(
    engine: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Return the columns that hold ISO codes of currencies, with their values, the most frequent first.

    Nearly every value that is not a placeholder, such as N/A, is such a code; those that are none are returned too.

    Examples
    --------
    >>> from features.base.database_engine import open_engine
    >>> with open_engine(folders=[]) as engine:
    ...     _ = engine.execute("CREATE TABLE t AS FROM (VALUES ('eur', 'a'), ('USD', 'b'), ('EUR', 'c')) v(x, y)")
    ...     currency_columns(engine, "t", ["x", "y"])
    {'x': ('EUR', 'USD')}
    """
    known = ", ".join(literal(code) for code in sorted(ISO_CODES))
    placeholders = ", ".join(literal(text) for text in _NO_CODES)
    found = {}
    for column in columns:
        code = f"upper(nullif(trim(CAST({quoted(column)} AS VARCHAR)), ''))"
        for rows in (f"(SELECT * FROM {relation} LIMIT {_SEEN})", relation):  # most columns are ruled out at once
            counted = f"count(*) FILTER ({code} NOT IN ({placeholders})), count(*) FILTER ({code} IN ({known}))"
            values, codes = one_row(engine, f"SELECT {counted} FROM {rows}")
            if codes < _MOSTLY * values or (rows == relation and not codes):
                break
        else:
            counted = f"SELECT {code}, count(*) FROM {relation} WHERE {code} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
            found[column] = tuple(name for name, _ in engine.execute(counted).fetchall())
    return found


def minor_unit_columns(engine: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[str]) -> dict[str, str]:
    """Return the columns that hold amounts in a currency's smallest unit, with the evidence in words.

    Examples
    --------
    >>> from features.base.database_engine import open_engine
    >>> with open_engine(folders=[]) as engine:
    ...     _ = engine.execute("CREATE TABLE t AS FROM (VALUES ('2990', '29.90'), ('500', '5.00')) v(paid, shown)")
    ...     minor_unit_columns(engine, "t", ["paid", "shown"])
    {'paid': "it is 100 times the column 'shown'"}
    """
    found = {
        name: "its name means the smallest unit" for name in columns if _MINOR_WORDS & set(snake_case(name).split("_"))
    }
    numbers = {name: f"TRY_CAST({quoted(name)} AS DOUBLE)" for name in columns}
    whole = [name for name in columns if name not in found]
    pairs = [(small, large) for small in whole for large in whole if small != large]
    rows = f"(SELECT * FROM {relation} LIMIT {_SEEN})"
    tests = [
        f"count(*) FILTER ({b} <> trunc({b})) > 0 AND bool_and(abs({a} - 100 * {b}) < 0.001 AND {a} = trunc({a}))"
        for a, b in ((numbers[small], numbers[large]) for small, large in pairs)
    ]
    if tests:
        for (small, large), yes in zip(pairs, one_row(engine, f"SELECT {', '.join(tests)} FROM {rows}"), strict=True):
            if yes:
                found[small] = f"it is 100 times the column {large!r}"
    return found


def rate_sql(code: str, currency: str, rates: Mapping[str, float]) -> str:
    """Return SQL of what one unit of a currency is worth in the company's; null where no rate is declared.

    Parameters
    ----------
    code : SQL of the currency's code or symbol, upper case; the company's own where it is null
    currency : the company's currency
    rates : what one unit of each other currency is worth
    """
    signs: dict[str, set[str]] = {other: {other} for other in (currency, *rates)}
    for sign, codes in _MEANINGS.items():
        meant = [other for other in signs if other in codes]
        if meant and (meant[0] == currency or len(meant) == 1):  # $ is the company's own, or the only one with a rate
            signs[meant[0]].add(sign)
    listed = {other: ", ".join(literal(sign) for sign in sorted(found)) for other, found in signs.items()}
    known = [f"WHEN {code} IN ({listed[other]}) THEN {rate!r}" for other, rate in {**rates, currency: 1.0}.items()]
    return f"CASE WHEN {code} IS NULL THEN 1.0 {' '.join(known)} END"
