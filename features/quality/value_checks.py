"""Whether a load's values can be right: filled, valid, in range, in one unit, unique (FQ007-FQ014).

Counting is done by the engine; e-mail addresses and telephone numbers are judged one by one, each different one once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
from email_validator import EmailNotValidError, validate_email

from features.base.countries import COUNTRIES, country_code
from features.base.database_engine import literal, one_row, quoted
from features.base.errors import BadConfiguration
from features.base.telephone import e164
from features.config.feed import Feed
from features.config.feeds_file import FeedsFile
from features.config.loading import did_you_mean
from features.config.quality_settings import Range
from features.quality.check import Check

#: Different values that are judged one by one; of more, a sample gives the share well enough.
JUDGED = 10_000
OLDEST = 120  # years that nobody lives longer
#: An address that surely is one, so that only the others are judged one by one (a strict part of what is valid).
PLAIN_EMAIL = (
    r"[A-Za-z0-9_%+-]{1,60}([.][A-Za-z0-9_%+-]{1,60})?@"
    r"([A-Za-z0-9]{1,30}([-][A-Za-z0-9]{1,30})?[.]){1,3}(com|net|org|info|biz|edu|gov|co|io|eu|uk|de|fr|nl|ie|es|it|us)"
)
#: Longest local part of an address.
LOCAL_PART = 64
_PROBABILITY = Range(min=0, max=1)
_NOT_BELOW_ZERO = Range(min=0)


@dataclass(frozen=True)
class Load:
    """One load that is looked at.

    Parameters
    ----------
    name, feed : the feed
    rows : how many it has
    source : SQL relation of its rows
    columns : its columns
    repaired : values changed by repairs, by column
    newest_of_all : the newest moment of any feed, ISO 8601; empty where no row carries one
    """

    name: str
    feed: Feed
    rows: int
    source: str
    columns: Sequence[str]
    repaired: Mapping[str, int]
    newest_of_all: str

    def own(self, declared: Iterable[str], where: str) -> list[str]:
        """Return which of the declared ``feed.column`` are of this feed, by their names in the rows.

        Raises
        ------
        BadConfiguration : the feed has no such column
        """
        found = []
        for text in declared:
            feed, _, column = text.partition(".")
            if feed == self.name:
                found.append(self.column(column, f"features/feeds.yaml: {where}"))
        return found

    def column(self, name: str, where: str) -> str:
        """Return a column's name in the rows: a canonical field, or a column of the feed's own.

        Raises
        ------
        BadConfiguration : the feed has no such column
        """
        if name in self.feed.fields and name in self.columns:
            return name
        if f"{self.name}.{name}" in self.columns:
            return f"{self.name}.{name}"
        if name in self.columns:
            return name
        known = sorted(column.removeprefix(f"{self.name}.") for column in self.columns)
        raise BadConfiguration(
            "quality.column", f"feed {self.name} has no column {name!r}", where=where, hint=did_you_mean(name, known)
        )


Answer = Callable[[duckdb.DuckDBPyConnection, Load, FeedsFile], Check]


def check_values(engine: duckdb.DuckDBPyConnection, load: Load, file: FeedsFile) -> list[Check]:
    """Return the answers of FQ007 to FQ014 about one load; `engine` may read it.

    Raises
    ------
    BadConfiguration : a check is declared on a column that the feed has not
    """
    off = {code for code in _ANSWERS if file.quality.severity(code) == "off"}
    return [
        Check(code, load.name, "not_applicable", "turned off") if code in off else answer(engine, load, file)
        for code, answer in _ANSWERS.items()
    ]


def _judged(
    code: str, load: Load, file: FeedsFile, faults: Mapping[str, tuple[int, int]], what: str, *, none: str
) -> Check:
    """Return the answer from (rows at fault, rows with a value) by column; the worst column decides."""
    faults = {column: (odd, filled) for column, (odd, filled) in faults.items() if filled}
    if not faults:
        return Check(code, load.name, "not_applicable", none)
    worst = max(faults, key=lambda column: faults[column][0] / faults[column][1])
    odd, filled = faults[worst]
    limit = file.quality.tolerated(code)
    detail = f"{odd} of {filled} in {worst} {what} ({odd / filled:.1%})"
    if odd / filled > limit:
        return Check(code, load.name, "failed", f"{detail}, more than {limit:.0%}")
    mended = sum(load.repaired.get(column, 0) for column in faults)
    if mended:
        return Check(code, load.name, "repaired", f"{mended} values repaired; {detail}")
    return Check(code, load.name, "passed", detail)


def _complete(engine: duckdb.DuckDBPyConnection, load: Load, file: FeedsFile) -> Check:
    declared = {
        column: least
        for text, least in file.quality.complete.items()
        for column in load.own([text], "quality.complete")
    }
    fields = [field for field in load.feed.fields if field in load.columns]
    wanted = list(dict.fromkeys([*fields, *declared]))
    if not wanted:
        return Check("FQ007", load.name, "not_applicable", "no field is mapped")
    counts = one_row(engine, f"SELECT {', '.join(f'count({quoted(column)})' for column in wanted)} FROM {load.source}")
    share = {column: count / max(load.rows, 1) for column, count in zip(wanted, counts, strict=True)}
    wanting = [
        f"{column} {share[column]:.1%}" + (f" instead of {declared[column]:.0%}" if column in declared else "")
        for column in wanted
        if (share[column] < declared[column] if column in declared else share[column] == 0)
    ]
    if wanting:
        return Check("FQ007", load.name, "failed", f"filled: {', '.join(wanting)}")
    least = min(wanted, key=lambda column: share[column])
    return Check("FQ007", load.name, "passed", f"{len(wanted)} fields, the emptiest {least} with {share[least]:.1%}")


def is_email(text: str) -> bool:
    """Return whether a text is written as an e-mail address; the network is not used.

    Examples
    --------
    >>> is_email("ann@example.org"), is_email("ann@@example.org")
    (True, False)
    """
    try:
        validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        return False
    return True


def _emails(engine: duckdb.DuckDBPyConnection, load: Load, file: FeedsFile) -> Check:
    def judge(column: str) -> tuple[int, int]:
        return _one_by_one(engine, load, column, f"NOT ({plain_email(column)})", lambda text, _: is_email(text))

    faults = {"email": judge("email")} if _has(load, "email") else {}
    return _judged("FQ008", load, file, faults, "are no addresses", none="no e-mail address is mapped")


def plain_email(sql: str) -> str:
    """Return SQL of whether a text is an address beyond doubt, so that only the others are judged one by one."""
    return f"(regexp_full_match({sql}, {literal(PLAIN_EMAIL)}) AND strpos({sql}, '@') <= {LOCAL_PART})"


def _phones(engine: duckdb.DuckDBPyConnection, load: Load, file: FeedsFile) -> Check:
    region = file.phone_countries.region(load.name)
    # a record's own country comes before the company's, and what is declared for the feed before both
    own = _has(load, "country") and load.name not in file.quality.phone_regions
    # a national number of a country that nobody named cannot be judged
    judgeable = "true" if region else "starts_with(ltrim(phone), '+')"
    faults = {}
    if _has(load, "phone"):
        (filled,) = one_row(engine, f"SELECT count(*) FROM {load.source} WHERE phone IS NOT NULL AND {judgeable}")
        odd, _ = _one_by_one(
            engine,
            load,
            "phone",
            judgeable,
            lambda text, country: any(e164(text, code) for code in (region, country_code(country) or region)),
            beside="country" if own else "NULL",
        )
        faults = {"phone": (odd, int(filled))}
    none = "no telephone number is mapped, or no country is declared (company.country, quality.phone_regions)"
    return _judged("FQ009", load, file, faults, "are no telephone numbers", none=none)


def _one_by_one(
    engine: duckdb.DuckDBPyConnection,
    load: Load,
    column: str,
    doubtful: str,
    valid: Callable[[str, str | None], bool],
    *,
    beside: str = "NULL",
) -> tuple[int, int]:
    """Return (rows at fault, rows with a value); each different doubtful value is judged once, of many a sample.

    A value is judged together with the column `beside`.
    """
    (filled,) = one_row(engine, f"SELECT count({column}) FROM {load.source}")
    grouped = (
        f"SELECT {column} AS v, {beside} AS b, count(*) AS n FROM {load.source} "
        f"WHERE {column} IS NOT NULL AND ({doubtful}) GROUP BY 1, 2"
    )
    different, rows = one_row(engine, f"SELECT count(*), coalesce(sum(n), 0) FROM ({grouped})")
    values = engine.execute(f"{grouped} ORDER BY hash(v, b) LIMIT {JUDGED:d}").fetchall()
    odd = sum(rows for text, other, rows in values if not valid(text, other))
    if different > JUDGED:
        odd = round(odd / sum(n for *_, n in values) * int(rows))
    return odd, int(filled)


def _birth_dates(engine: duckdb.DuckDBPyConnection, load: Load, file: FeedsFile) -> Check:
    faults = {}
    if _has(load, "birth_date"):
        # where no row carries a time, nobody is born after the delivery
        latest = literal(load.newest_of_all) if load.newest_of_all else f"(SELECT max(known_at) FROM {load.source})"
        today = f"CAST(CAST({latest} AS TIMESTAMPTZ) AS DATE)"
        odd = f"birth_date > {today} OR birth_date < {today} - INTERVAL {OLDEST:d} YEAR"
        faults["birth_date"] = _counted(engine, load, "birth_date", odd)
    what = f"lie in the future, or over {OLDEST} years back"
    return _judged("FQ010", load, file, faults, what, none="no birth date is mapped")


def _postcodes(engine: duckdb.DuckDBPyConnection, load: Load, file: FeedsFile) -> Check:
    none = "no postcode is mapped, or its country is not known"
    if not _has(load, "postcode"):
        return Check("FQ011", load.name, "not_applicable", none)
    written = {alias: pattern for code, (pattern, names) in COUNTRIES.items() for alias in (code.lower(), *names)}
    engine.register("countries", pa.table({"alias": list(written), "pattern": list(written.values())}))
    home = COUNTRIES[file.company.country][0] if file.company.country in COUNTRIES else None
    country = "lower(trim(r.country))" if _has(load, "country") else "NULL"
    pattern = f"CASE WHEN {country} IS NULL THEN {literal(home) if home else 'NULL'} ELSE c.pattern END"
    odd, filled = one_row(
        engine,
        f"""
        SELECT coalesce(sum(n) FILTER (NOT regexp_full_match(upper(trim(postcode)), '(' || pattern || ')')), 0),
               coalesce(sum(n), 0)
        FROM (
            SELECT r.postcode, {pattern} AS pattern, count(*) AS n
            FROM {load.source} r LEFT JOIN countries c ON c.alias = {country}
            WHERE r.postcode IS NOT NULL
            GROUP BY ALL
        )
        WHERE pattern IS NOT NULL
        """,
    )
    engine.unregister("countries")
    return _judged("FQ011", load, file, {"postcode": (int(odd), int(filled))}, "have another pattern", none=none)


def _ranges(engine: duckdb.DuckDBPyConnection, load: Load, file: FeedsFile) -> Check:
    ranges: dict[str, Range] = {}
    if _has(load, "selection_prob"):
        ranges["selection_prob"] = _PROBABILITY
    if _has(load, "price"):
        ranges["price"] = _NOT_BELOW_ZERO
    for text, limits in file.quality.ranges.items():
        ranges |= dict.fromkeys(load.own([text], "quality.ranges"), limits)
    faults = {column: _counted(engine, load, column, _outside(column, limits)) for column, limits in ranges.items()}
    return _judged("FQ012", load, file, faults, "lie outside", none="no range is declared")


def _outside(column: str, limits: Range) -> str:
    number = f"TRY_CAST({quoted(column)} AS DOUBLE)"
    tests = [f"{number} IS NULL"]
    tests += [f"{number} < {limits.min!r}"] if limits.min is not None else []
    tests += [f"{number} > {limits.max!r}"] if limits.max is not None else []
    return " OR ".join(tests)


def _units(engine: duckdb.DuckDBPyConnection, load: Load, file: FeedsFile) -> Check:
    faults: dict[str, tuple[int, int]] = {}
    none = "no unit is declared"
    for text, unit in file.quality.units.items():
        for column in load.own([text], "quality.units"):
            others = _other_units(load, file, column, unit.unit)
            if others:
                detail = f"{column} is in {unit.unit} here and in {', '.join(others)} elsewhere"
                return Check("FQ013", load.name, "failed", detail)
            if unit.column is not None:
                unit_column = load.column(unit.column, "features/feeds.yaml: quality.units")
                odd = f"lower(trim(CAST({quoted(unit_column)} AS VARCHAR))) <> {literal(unit.unit.lower())}"
                faults[column] = _counted(engine, load, column, f"({odd}) IS NOT FALSE")
            else:
                (filled,) = one_row(engine, f"SELECT count({quoted(column)}) FROM {load.source}")
                faults[column] = (0, int(filled))
    return _judged("FQ013", load, file, faults, "are in another unit", none=none)


def _other_units(load: Load, file: FeedsFile, column: str, unit: str) -> list[str]:
    """Return in which other units feeds of the same kind declare the same canonical field."""
    if column not in load.feed.fields:
        return []
    named = {text: other.unit for text, other in file.quality.units.items() if text.partition(".")[2] == column}
    kinds = {text: file.feeds[text.partition(".")[0]].kind for text in named}
    return sorted({other for text, other in named.items() if other != unit and kinds[text] == load.feed.kind})


def _unique(engine: duckdb.DuckDBPyConnection, load: Load, file: FeedsFile) -> Check:
    faults = {}
    for column in load.own(file.quality.unique, "quality.unique"):
        filled, different = one_row(
            engine, f"SELECT count({quoted(column)}), count(DISTINCT {quoted(column)}) FROM {load.source}"
        )
        faults[column] = (int(filled) - int(different), int(filled))
    return _judged("FQ014", load, file, faults, "stand on another row too", none="no column is declared unique")


def _has(load: Load, field: str) -> bool:
    return field in load.feed.fields and field in load.columns


def _counted(engine: duckdb.DuckDBPyConnection, load: Load, column: str, odd: str) -> tuple[int, int]:
    """Return (rows at fault, rows with a value)."""
    name = quoted(column)
    faults, filled = one_row(
        engine,
        f"SELECT count(*) FILTER ({name} IS NOT NULL AND ({odd})), count({name}) FROM {load.source}",
    )
    return int(faults), int(filled)


_ANSWERS: dict[str, Answer] = {
    "FQ007": _complete,
    "FQ008": _emails,
    "FQ009": _phones,
    "FQ010": _birth_dates,
    "FQ011": _postcodes,
    "FQ012": _ranges,
    "FQ013": _units,
    "FQ014": _unique,
}
