"""Times written as text or numbers: which convention they follow, decided over all rows, and how each is read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import duckdb

from features.base.clock import iso
from features.base.database_engine import literal, one_row
from features.config.feed import TimeConvention

#: Of moments that a row may carry.
FIRST_YEAR, LAST_YEAR = 1900, 2199
_DAY = "[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}"
_CLOCK = "[ T][0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?"
_ZONE = " ?(Z|UTC|GMT|[+-][0-9]{2}(:?[0-9]{2})?)"
_ISO = f"{_DAY}({_CLOCK}({_ZONE})?)?"

#: Months in English, German, French, Spanish and Dutch, without accents; the first letters suffice.
_MONTHS = (
    "january|januari|januar|janvier|janv|jan|enero|ene|janner",
    "february|februari|februar|fevrier|fevr|febrero|feb|fev",
    "march|marz|mars|marzo|maart|maerz|mrz|mar|mrt",
    "april|avril|abril|apr|avr|abr",
    "may|mai|mayo|mei",
    "june|juni|juin|junio|jun",
    "july|juli|juillet|juil|julio|jul",
    "august|augustus|aout|agosto|aug|ago",
    "september|septembre|septiembre|setiembre|sept|sep|set",
    "october|oktober|octobre|octubre|oct|okt",
    "november|novembre|noviembre|nov",
    "december|dezember|decembre|diciembre|dec|dez|dic",
)
_WEEKDAY = "^(?:[a-z]+[.,]* +)?"
_NUMBERS = "([0-9]{1,2})"
_YEAR = "([0-9]{4}|[0-9]{2})"
_OF = "[ /-]*(?:de +|del +|of +)?"
#: A clock after a date: the hour and minute (4), a or p of AM and PM (5), the zone (6).
_TAIL = (
    "(?:(?:,? +(?:at +|um +|a +|a las +)?|t)([0-9]{1,2}[:h][0-9]{2}(?::[0-9]{2}(?:[.][0-9]+)?)?)"
    "(?: ?([ap])[.]?m[.]?)?(?: uhr)?(?: ?(z|utc|gmt|[+-][0-9]{2}(?::?[0-9]{2})?))?)?$"
)
#: Patterns of what can be read in one way only, and the groups of year, month and day; a month's name is ~MM~ by then.
_CERTAIN = (
    (f"{_WEEKDAY}([0-9]{{4}})[-/.] ?{_NUMBERS}[-/.] ?{_NUMBERS}{_TAIL}", (1, 2, 3)),
    (f"{_WEEKDAY}{_NUMBERS}[.] ?{_NUMBERS}[.] ?{_YEAR}{_TAIL}", (3, 2, 1)),
    (f"{_WEEKDAY}{_NUMBERS}(?:st|nd|rd|th|er|[.])?{_OF}~([0-9]{{2}})~[.]?,?{_OF}'?{_YEAR}{_TAIL}", (3, 2, 1)),
    (f"{_WEEKDAY}~([0-9]{{2}})~[.]?[ -]*{_NUMBERS}(?:st|nd|rd|th)?,? +([0-9]{{4}}){_TAIL}", (3, 1, 2)),
    (f"{_WEEKDAY}([0-9]{{4}})[ -]*~([0-9]{{2}})~[.]?[ -]*{_NUMBERS}{_TAIL}", (1, 2, 3)),
    ("^([0-9]{4})([0-9]{2})([0-9]{2})$", (1, 2, 3)),
)
_BY_ORDER = f"{_WEEKDAY}{_NUMBERS}[/-] ?{_NUMBERS}[/-] ?{_YEAR}{_TAIL}"
_YEAR_FIRST = f"{_WEEKDAY}([0-9]{{2}})[/-]{_NUMBERS}[/-]{_NUMBERS}{_TAIL}"
_ORDERS: dict[TimeConvention, tuple[str, tuple[int, int, int]]] = {
    "day_first": (_BY_ORDER, (3, 2, 1)),
    "month_first": (_BY_ORDER, (3, 1, 2)),
    "year_first": (_YEAR_FIRST, (1, 2, 3)),
}
_COMPACT_CLOCK = "([0-9]{4})([0-9]{2})([0-9]{2})[t ]?([0-9]{2})([0-9]{2})([0-9]{2})(z?)"
#: Microseconds of one unit, and the digits by which the unit is recognised: those of the years 2001 to 2286.
_EPOCHS: dict[TimeConvention, tuple[str, str]] = {
    "epoch_s": ("1000000", "[0-9]{10}([.][0-9]+)?"),
    "epoch_ms": ("1000", "[0-9]{13}([.][0-9]+)?"),
    "epoch_us": ("1", "[0-9]{16}"),
    "epoch_ns": ("0.001", "[0-9]{19}"),
}
_SERIALS: dict[TimeConvention, str] = {"excel_1900": "1899-12-30", "excel_1904": "1904-01-01"}
_SERIAL = "[0-9]{5}([.,][0-9]+)?"
_NUMBER = "-?[0-9]+([.,][0-9]+)?"
_CANDIDATES: tuple[TimeConvention, ...] = ("iso", *_ORDERS, *_EPOCHS, *_SERIALS)
_LATEST = timedelta(days=366)
#: Of the values that only one convention reads, the share of those of another that makes both possible.
_STRAY = 0.01


@dataclass(frozen=True)
class TimeReading:
    """How a column of times is written.

    Parameters
    ----------
    convention : what the feed's key ``times`` takes; ``iso`` where each value can be read in one way only
    values : values that are not blank
    read : of them, those that are a moment under this convention
    undecided : of them, those that another convention reads as another moment
    otherwise : those other conventions; none where the convention is certain
    clock : whether some value has a time of day
    zoned : whether every value carries its zone
    earliest, latest : under this convention, UTC where no zone is written
    """

    convention: TimeConvention
    values: int
    read: int
    undecided: int = 0
    otherwise: tuple[TimeConvention, ...] = ()
    clock: bool = False
    zoned: bool = False
    earliest: datetime | None = None
    latest: datetime | None = None

    @property
    def share(self) -> float:
        """Share of the values that are read."""
        return self.read / self.values if self.values else 0.0

    @property
    def certain(self) -> bool:
        """Whether no other convention reads a value otherwise."""
        return not self.otherwise


def detect_times(
    engine: duckdb.DuckDBPyConnection, relation: str, text: str, *, delivered: datetime | None = None
) -> TimeReading | None:
    """Return how the times of a column are written, decided over all its rows; None where no value is a time.

    A convention that reads a value which no other one reads is certain. Where two read the same values as different
    moments, both are named.

    Parameters
    ----------
    engine : has `relation`
    relation : the rows
    text : SQL of the value as text
    delivered : when the rows were delivered; a moment more than a year later is none

    Examples
    --------
    >>> from features.base.database_engine import open_engine
    >>> with open_engine(folders=[]) as engine:
    ...     _ = engine.execute("CREATE TABLE t AS SELECT unnest(['03/04/2026', '25/04/2026 10:00']) AS day")
    ...     found = detect_times(engine, "t", "day")
    >>> found.convention, found.certain, found.clock, str(found.earliest)
    ('day_first', True, True, '2026-04-03 00:00:00+00:00')
    """
    values, latest = _values(relation, text), _latest(delivered)
    best, undecided, otherwise = decide_convention(engine, relation, text, delivered=delivered)
    text_of = iso_text("t", best)
    count, read, clock, zoned, first, last = one_row(
        engine,
        f"""
        SELECT count(t), count(moment),
            coalesce(bool_or(contains(text, ':')) FILTER (moment IS NOT NULL), false),
            coalesce(bool_and(regexp_matches(text, ':.*({_ZONE})$')) FILTER (moment IS NOT NULL), false),
            min(moment), max(moment)
        FROM (SELECT t, text, {_within(moment_of("text", "UTC"), latest)} AS moment
            FROM (SELECT t, {text_of} AS text FROM {values}))
        """,
    )
    if not read:
        return None
    moments = [moment.astimezone(UTC) for moment in (first, last)]
    return TimeReading(best, count, read, undecided, otherwise, clock, zoned, *moments)


def decide_convention(
    engine: duckdb.DuckDBPyConnection, relation: str, text: str, *, delivered: datetime | None = None
) -> tuple[TimeConvention, int, tuple[TimeConvention, ...]]:
    """Return the convention of a column's times, how many values others read otherwise, and those; see `detect_times`.

    A few values that only another convention reads do not unsettle a column: they are no times of it.
    """
    values = _values(relation, text)
    return _decide(engine, values, _latest(delivered)) if has_other_times(engine, relation, text) else ("iso", 0, ())


def has_other_times(engine: duckdb.DuckDBPyConnection, relation: str, text: str) -> bool:
    """Return whether some value does not begin with a year, a month and a day, or names half a day."""
    plain = "coalesce(bool_and(regexp_matches(t, '^[0-9]{4}[-/][0-9]{1,2}[-/][^mM]*$')), true)"
    return not one_row(engine, f"SELECT {plain} FROM {_values(relation, text)}")[0]


def _values(relation: str, text: str) -> str:
    return f"(SELECT nullif(trim({text}), '') AS t FROM {relation})"


def _latest(delivered: datetime | None) -> str:
    return f"TIMESTAMPTZ {literal(iso(delivered + _LATEST))}" if delivered else "TIMESTAMPTZ '2200-01-01'"


def _decide(
    engine: duckdb.DuckDBPyConnection, values: str, latest: str
) -> tuple[TimeConvention, int, tuple[TimeConvention, ...]]:
    shapes = {name: f"regexp_full_match(t, {literal(pattern)})" for name, (_, pattern) in _EPOCHS.items()}
    shapes |= dict.fromkeys(_SERIALS, f"regexp_full_match(t, '{_SERIAL}')")
    shapes |= {name: f"regexp_matches(lower(t), {literal(pattern)})" for name, (pattern, _) in _ORDERS.items()}
    seen = one_row(engine, f"SELECT {', '.join(f'bool_or({shape})' for shape in shapes.values())} FROM {values}")
    asked: list[TimeConvention] = ["iso", *(name for name, there in zip(shapes, seen, strict=True) if there)]
    moments = []
    for number, name in enumerate(asked):
        text = iso_text("t", name)
        if name in _EPOCHS or name in _SERIALS:  # read more widely only where the convention is declared
            text = f"CASE WHEN {shapes[name]} OR {_is_iso('t')} THEN {text} END"
        moments.append(f"{_within(moment_of(text, 'UTC'), latest)} AS m{number}")
    engine.execute(f"CREATE OR REPLACE TEMP TABLE moments_read AS SELECT {', '.join(moments)} FROM {values}")
    places = range(len(asked))
    counts = one_row(engine, f"SELECT {', '.join(f'count(m{n})' for n in places)} FROM moments_read")
    best = max(places, key=lambda n: (counts[n], -n))
    clashes = [f"count(*) FILTER (m{n} <> m{best})" for n in places]
    alone = [f"count(*) FILTER (m{best} IS NOT NULL AND m{n} IS NULL)" for n in places]
    behind = [f"count(*) FILTER (m{best} IS NULL AND m{n} IS NOT NULL)" for n in places]
    row = one_row(engine, f"SELECT {', '.join([*clashes, *alone, *behind])} FROM moments_read")
    engine.execute("DROP TABLE moments_read")
    number = len(asked)
    rivals = [n for n in places if row[n] and row[2 * number + n] >= _STRAY * row[number + n]]
    return asked[best], max((row[n] for n in rivals), default=0), tuple(asked[n] for n in rivals)


def iso_text(text: str, convention: TimeConvention = "iso") -> str:
    """Return SQL that writes a text of this convention as ISO 8601; null where it is no time.

    Every convention also reads what can be read in one way only: ISO 8601, dates with points, months by name.

    Examples
    --------
    >>> import duckdb
    >>> text = iso_text("t", "day_first")
    >>> duckdb.sql(f"SELECT {text} FROM (VALUES ('3/4/26 7:05 pm'), ('le 3 mai')) v(t)").fetchall()
    [('2026-4-3 19:05:00',), (None,)]
    """
    if convention in _EPOCHS:
        unit = _EPOCHS[convention][0]
        whole = f"TRY_CAST(replace({text}, ',', '.') AS DECIMAL(38, 9))"
        micros = f"TRY_CAST(round(CAST({whole} AS DOUBLE) * {unit}) AS BIGINT)"
        if convention in ("epoch_us", "epoch_ns"):  # beyond what a double holds exactly
            micros = f"TRY_CAST({text} AS BIGINT)" + (" // 1000" if convention == "epoch_ns" else "")
        span = f"{micros} BETWEEN -2208988800000000 AND 7258118399000000"
        moment = f"strftime(make_timestamp({micros}), '%Y-%m-%d %H:%M:%S.%f') || '+00'"
        other = f"CASE WHEN regexp_full_match({text}, '{_NUMBER}') AND {span} THEN {moment} END"
    elif convention in _SERIALS:
        days = f"TRY_CAST(replace({text}, ',', '.') AS DOUBLE)"
        moment = f"TIMESTAMP '{_SERIALS[convention]}' + to_milliseconds(CAST(round({days} * 86400000) AS BIGINT))"
        moment = f"strftime({moment}, '%Y-%m-%d %H:%M:%S.%g')"
        other = f"CASE WHEN regexp_full_match({text}, '{_NUMBER}') AND {days} BETWEEN 1 AND 110000 THEN {moment} END"
    else:
        other = _rewritten(text, convention)
    return f"CASE WHEN {_is_iso(text)} THEN {text} ELSE {other} END"


def stands_for_none(moment: str, zone: str | None) -> str:
    """Return SQL of whether a moment is a date that systems write for none: 0001-01-01, 1900-01-01, 1970-01-01.

    It counts in the feed's zone and in UTC, in which systems also write it.

    Examples
    --------
    >>> import duckdb
    >>> moment = moment_of("written", "UTC")
    >>> rows = "(VALUES ('1900-01-01'), ('1970-01-01 00:00'), ('2026-01-01')) t(written)"
    >>> [row[0] for row in duckdb.sql(f"SELECT {stands_for_none(moment, 'UTC')} FROM {rows}").fetchall()]
    [True, True, False]
    """
    none = ", ".join(f"TIMESTAMP '{day}'" for day in ("0001-01-01", "1900-01-01", "1970-01-01"))
    zones = dict.fromkeys((zone or "UTC", "UTC"))
    return "(" + " OR ".join(f"({moment} AT TIME ZONE {literal(name)}) IN ({none})" for name in zones) + ")"


def moment_of(written: str, zone: str | None) -> str:
    """Return SQL of the moment that a text in ISO 8601 means, null where it means none.

    The engine passes over what it does not know, such as the name of a zone: only whole texts are read.

    Parameters
    ----------
    written : SQL of the text
    zone : of times that carry none; they mean no moment where it is None

    Examples
    --------
    >>> import duckdb
    >>> moment = moment_of("written", "UTC")
    >>> duckdb.sql(f"SELECT epoch({moment}) FROM (VALUES ('1970-01-02'), ('soon')) t(written)").fetchall()
    [(86400.0,), (None,)]
    """
    aware = f"regexp_full_match({written}, '{_DAY}{_CLOCK}{_ZONE}')"
    placed = f"({naive_moment(written)} AT TIME ZONE {literal(zone)})" if zone else "NULL"
    return f"CASE WHEN {aware} THEN TRY_CAST({_zone_with_colon(written)} AS TIMESTAMPTZ) ELSE {placed} END"


def naive_moment(written: str) -> str:
    """Return SQL of the time that a text in ISO 8601 without a zone means, null where it means none or has a zone."""
    simple = f"regexp_full_match({written}, '{_DAY}({_CLOCK})?')"
    return f"CASE WHEN {simple} THEN TRY_CAST({written} AS TIMESTAMP) END"


def birth_date_text(text: str, iso_time: str, *, year: int) -> str:
    """Return SQL of a birth date in ISO 8601: a year of two digits is never later than `year`.

    Parameters
    ----------
    text : SQL of the text as it is written
    iso_time : SQL of the same in ISO 8601
    year : of the delivery
    """
    day = f"regexp_extract({iso_time}, '^{_DAY}')"
    short = f"NOT regexp_matches({text}, '[0-9]{{4}}') AND TRY_CAST(left({day}, 4) AS INTEGER) > {year:d}"
    return f"nullif(CASE WHEN {short} THEN '19' || substr({day}, 3) ELSE {day} END, '')"


def _is_iso(text: str) -> str:
    return f"regexp_full_match({text}, '{_ISO}')"


def _within(moment: str, latest: str) -> str:
    return f"CASE WHEN {moment} BETWEEN TIMESTAMPTZ '1900-01-01' AND {latest} THEN {moment} END"


def _zone_with_colon(text: str) -> str:
    """Return SQL that writes `` +0100`` as ``+01:00``: the engine reads no other."""
    joined = f"replace(replace({text}, ' +', '+'), ' -', '-')"
    return f"regexp_replace({joined}, ':(.*[+-][0-9]{{2}})([0-9]{{2}})$', ':\\1:\\2')"


def _rewritten(text: str, convention: TimeConvention) -> str:
    lower = f"strip_accents(lower({text}))"
    word = f"regexp_extract({lower}, '(?:^|[^a-z])({'|'.join(_MONTHS)})(?:[^a-z]|$)', 1)"
    numbers = " ".join(
        f"WHEN regexp_full_match({word}, '{names}') THEN replace({lower}, {word}, '~{month:02d}~')"
        for month, names in enumerate(_MONTHS, start=1)
    )
    named = f"CASE WHEN regexp_matches({lower}, '[a-z]{{3}}') THEN CASE {numbers} ELSE {lower} END ELSE {lower} END"
    patterns = [*_CERTAIN, *([_ORDERS[convention]] if convention in _ORDERS else [])]
    cases = [
        f"WHEN regexp_matches(n, {literal(pattern)}) THEN {_ordered(pattern, *order)}" for pattern, order in patterns
    ]
    compact = f"regexp_replace(n, '^{_COMPACT_CLOCK}$', '\\1-\\2-\\3 \\4:\\5:\\6\\7')"
    cases.append(f"WHEN regexp_full_match(n, '{_COMPACT_CLOCK}') THEN upper({compact})")
    # a list of one, so that the text is prepared once and not for each pattern
    return f"list_transform([{named}], lambda n: CASE {' '.join(cases)} END)[1]"


def _ordered(pattern: str, year: int, month: int, day: int) -> str:
    """Return SQL that writes what `pattern` matches as year, month, day, clock and zone."""
    if pattern.endswith("([0-9]{2})$"):
        return f"regexp_replace(n, {literal(pattern)}, '\\1-\\2-\\3')"
    dated = f"regexp_replace(n, {literal(pattern)}, '\\{year}-\\{month}-\\{day} \\4\\6')"
    half = f"regexp_extract(n, {literal(pattern)}, 5)"
    clock = f"regexp_replace(n, {literal(pattern)}, '2000-01-01 \\4 \\5m')"
    parsed = f"try_strptime({clock}, ['%Y-%m-%d %I:%M:%S %p', '%Y-%m-%d %I:%M %p', '%Y-%m-%d %I:%M:%S.%f %p'])"
    date = f"regexp_replace(n, {literal(pattern)}, '\\{year}-\\{month}-\\{day} ')"
    zone = f"regexp_extract(n, {literal(pattern)}, 6)"
    halved = f"{date} || strftime({parsed}, '%H:%M:%S') || {zone}"
    whole = f"trim(CASE WHEN {half} = '' THEN replace({dated}, 'h', ':') ELSE {halved} END)"
    recent = f"regexp_replace({whole}, '^([0-6][0-9])-', '20\\1-')"
    dated = f"regexp_replace({recent}, '^([7-9][0-9])-', '19\\1-')"
    return f"upper({dated})"
