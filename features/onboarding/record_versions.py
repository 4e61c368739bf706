"""Sources that keep a history of their own: rows that are versions of one record, each from a time on."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from features.base.database_engine import one_row, quoted
from features.ingest.time_text import iso_text, moment_of
from features.onboarding.column_profile import ColumnProfile
from features.onboarding.column_roles import DEALINGS, Roles, TimeColumn

_ALL = 0.99
_MOSTLY = 0.5


@dataclass(frozen=True)
class RecordVersions:
    """Whose versions the rows of a source are, and since when each holds.

    Parameters
    ----------
    record : the column that names a record on each of its versions
    start : since when a version holds
    records : different records
    """

    record: ColumnProfile
    start: TimeColumn
    records: int


def find_versions(engine: duckdb.DuckDBPyConnection, roles: Roles) -> RecordVersions | None:
    """Return whose versions the rows are; None where they are none.

    No two versions of a record begin at one time, and most end where the next one begins, to the day; without ends the
    name of the start has to be that of a validity.

    Parameters
    ----------
    engine : holds the rows
    roles : the source
    """
    table = roles.given.table
    start = next((t for t in roles.times if "start" in t.meaning and t.share >= _ALL), None)
    if start is None or roles.about & DEALINGS:
        return None
    ends = [c for c in table.columns.values() if "end" in c.meaning and (c.is_time or c.share("dated") >= _ALL)]
    valid = any(word in start.name.lower() for word in ("valid", "gueltig", "gültig", "geldig", "effective"))
    if not ends and not valid:
        return None
    begins, stops = _moment(start, start.name), _moment(start, ends[0].name) if ends else "NULL"
    for record in table.columns.values():
        if not record.is_code or record.share_filled < 1 or not 1 < record.distinct < table.rows:
            continue
        if "id" not in record.meaning and record.distinct * 3 < table.rows:
            continue
        followed, twice, joined = one_row(
            engine,
            f"""
            SELECT count(following), count(*) FILTER (following = begins),
                count(*) FILTER (stops IS NULL OR following - stops BETWEEN INTERVAL 0 DAY AND INTERVAL 1 DAY)
            FROM (
                SELECT *, lead(begins) OVER (PARTITION BY record ORDER BY begins) AS following FROM (
                    SELECT {quoted(record.name)} AS record, {begins} AS begins, {stops} AS stops
                    FROM {quoted(table.table)}
                )
            ) WHERE following IS NOT NULL
            """,
        )
        if followed and not twice and (joined >= _MOSTLY * followed if ends else valid):
            return RecordVersions(record, start, record.distinct)
    return None


def _moment(start: TimeColumn, name: str) -> str:
    """Return SQL of a moment, written as the start of the versions is; null where it means an open end."""
    if start.reading is None:
        return f"CAST({quoted(name)} AS TIMESTAMP)"
    return moment_of(iso_text(f"trim(CAST({quoted(name)} AS VARCHAR))", start.reading.convention), "UTC")
