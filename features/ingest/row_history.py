"""When each row of a load was first known, and what a record of customers held before.

A row without a ``known_at`` of its own is known from the first load that holds it; what was there at the first load is
taken to have been known when it happened. A load's moment is the newest one that any row says it was known at: the
time stamp of a file is no time of the data. A source of customers that overwrites its records keeps no history, so
that what a record held is kept from load to load, when it changes and when it is gone.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from features.base.clock import iso
from features.base.database_engine import EngineResources, literal, one_row, open_engine, quoted
from features.base.parquet import read_parquet, stream_parquet, write_parquet
from features.base.storage import digest_of, read_json, write_json
from features.config.canonical import CANONICAL
from features.config.feed import Feed

ROWS = "rows.parquet"
#: What records held before, beside the rows: the same columns, and `UNTIL`.
VERSIONS = "versions.parquet"
#: The moment from which on a record is known to hold something else.
UNTIL = "known_until"
_HISTORY = "history.json"
#: SQL of whether a row of consents without a time says something that the load before did not.
_NEW_STATEMENT = "(b.__id IS NULL OR (a.purpose, a.status, a.basis) IS DISTINCT FROM (b.purpose, b.status, b.basis))"


class LoadTimes(Protocol):
    """The newest moment at which a row of a load was known (empty where no row has one), and its delivery; ISO 8601."""

    @property
    def newest(self) -> str: ...
    @property
    def delivered(self) -> str: ...


def moment_of_loads(loads: Collection[LoadTimes]) -> datetime:
    """Return the moment of a run's loads: the newest at which a row was known; where no row says, of the delivery."""
    newest = max(load.newest for load in loads)
    return datetime.fromisoformat(newest or max(load.delivered for load in loads))


def date_rows(
    feed: Feed,
    folder: Path,
    *,
    moment: datetime,
    before: Path | None = None,
    streamed: pa.Table | None = None,
    resources: EngineResources | None = None,
) -> None:
    """Write into a load's rows when each was first known, and what records of customers held before.

    A record that is gone holds nothing from this load on; one that comes back holds its values from then on.
    Doing it again with the same moment changes nothing.

    Parameters
    ----------
    feed : its declaration
    folder : of the load; its rows have no ``known_at`` where they say none, or one after the delivery
    moment : of the load
    before : folder of the last accepted load, if there is one
    streamed : ``record_id`` and ``known_at`` of events of this feed that were streamed
    resources : of the engine
    """
    identity, declared = _digests(feed)
    last = read_json(before / _HISTORY) if before is not None and (before / _HISTORY).is_file() else {}
    if last.get("identity") != identity or feed.has_versions:  # a source with a history of its own dates its versions
        before = None
    earlier = datetime.fromisoformat(last["moment"]) if before is not None else None
    with open_engine(folders=[folder, *([before] if before else [])], resources=resources) as engine:
        dating = _Dating(engine, feed, folder, before, same=last.get("declared") == declared, moment=moment)
        if earlier is not None and moment <= earlier and dating.has_changes():
            moment = earlier + timedelta(microseconds=1)  # known after the last load, however old its newest row is
            dating = _Dating(engine, feed, folder, before, same=dating.same, moment=moment)
        dating.write(streamed)
    write_json(folder / _HISTORY, {"identity": identity, "declared": declared, "moment": iso(moment)})


def remove_versions(folder: Path, records: Collection[str]) -> int:
    """Remove from a load what these records held before, for good; return how many versions there were.

    `count_removals` changes, so that the next run makes the tables anew.
    """
    path = folder / VERSIONS
    if not path.is_file():
        return 0
    rows = read_parquet(path)
    left = rows.filter(pc.invert(pc.is_in(rows["record_id"], value_set=pa.array(sorted(records), pa.string()))))
    if left.num_rows < rows.num_rows:
        history = read_json(folder / _HISTORY)
        write_json(folder / _HISTORY, {**history, "removals": count_removals(folder) + 1})
        write_parquet(left, path)
    return int(rows.num_rows - left.num_rows)


def count_removals(folder: Path) -> int:
    """Return how often versions were removed from a load."""
    path = folder / _HISTORY
    return int(read_json(path).get("removals", 0)) if path.is_file() else 0


def _digests(feed: Feed) -> tuple[str, str]:
    """Return digests of what identifies and dates a feed's rows, and of all that makes them."""
    times = [feed.event_time, feed.updated_at, feed.known_at, feed.fields.get("held_from"), feed.timezone]
    identity = digest_of([feed.kind, feed.keys, *times, [] if feed.keys else sorted(feed.fields.items())])
    return identity, digest_of(feed.model_dump(mode="json", exclude={"source", "reject_above", "timeout", "future"}))


class _Dating:
    """The dating of one load; the engine may read its folder and the one of the load before."""

    def __init__(
        self,
        engine: duckdb.DuckDBPyConnection,
        feed: Feed,
        folder: Path,
        before: Path | None,
        *,
        same: bool,
        moment: datetime,
    ) -> None:
        self.engine, self.feed, self.folder, self.before, self.same = engine, feed, folder, before, same
        self.moment = f"TIMESTAMPTZ {literal(iso(moment))}"
        # a statement about consent keeps its own time, or none
        self.dated = bool(feed.event_time or feed.updated_at or feed.known_at or feed.kind in ("holdings", "consents"))
        # a record without a key cannot be found again once it has changed
        self.versioned = before if feed.kind == "customers" and feed.keys and same else None

    def has_changes(self) -> bool:
        """Return whether a record of customers has changed since the load before or is gone, or a consent is new."""
        if self.before is None or (self.versioned is None and self.feed.kind != "consents"):
            return False
        there, columns = self._open("accepted", self.before), self._open("arrived", self.folder)
        ended = f"a.__id IS NULL OR {self._changed([name for name in columns if name in there])}"
        if self.feed.kind == "consents":
            ended = f"a.__id IS NOT NULL AND a.event_time IS NULL AND {_NEW_STATEMENT}"
        select = f"SELECT count(*) FROM accepted b FULL JOIN arrived a USING (__id) WHERE {ended}"
        return bool(one_row(self.engine, select)[0])

    def write(self, streamed: pa.Table | None) -> None:
        columns = self._open("arrived", self.folder)
        (undated,) = one_row(self.engine, "SELECT count(*) FILTER (known_at IS NULL) FROM arrived")
        if not undated and streamed is None and self.before is None:
            return
        known = f"coalesce(a.known_at, {self.moment})"
        joins, changed = "", "false"
        if self.before is not None:
            there = self._open("accepted", self.before)
            joins = "LEFT JOIN accepted b ON b.__id = a.__id"
            if self.versioned is not None:
                changed = self._changed([name for name in columns if name in there])
                joins += self._ended_before(self.versioned)
            new = known if self.feed.known_at is not None or self._is_backfill() else self.moment
            again = "e.record_id IS NOT NULL" if self.versioned is not None else "false"
            known = f"""
                CASE WHEN {changed} THEN {self.moment} WHEN b.__id IS NOT NULL THEN b.known_at
                WHEN {again} THEN {self.moment} ELSE {new} END
                """
            if self.feed.known_at is not None and self.feed.kind != "customers":
                known = f"coalesce(a.known_at, b.known_at, {self.moment})"
            # a withdrawal counts from the time that it carries: never later than it was given
            if self.feed.kind == "consents":
                known = f"coalesce(a.known_at, CASE WHEN NOT {_NEW_STATEMENT} THEN b.known_at END, {self.moment})"
        if streamed is not None:
            self.engine.register("streamed", streamed)
            joins += " LEFT JOIN streamed s ON s.record_id = a.record_id"
            known = f"coalesce(s.known_at, {known})"
        happened = "a.event_time" if self.dated else f"({known})"
        names = ", ".join(f"a.{quoted(name)}" for name in columns if name not in ("event_time", "known_at"))
        if self.versioned is not None:
            self._write_versions(self.versioned, changed)
        dated = f"SELECT {names}, {happened} AS event_time, {known} AS known_at, a.__place FROM arrived a {joins}"
        listed = ", ".join(map(quoted, columns))
        rows = self.engine.sql(f"SELECT {listed} FROM ({dated}) ORDER BY __place").to_arrow_reader()
        stream_parquet(rows, self.folder / ROWS)

    def _open(self, name: str, folder: Path) -> list[str]:
        """Create a view of a load's rows with what tells each from the others; return their own columns."""
        source = f"read_parquet({literal(str(folder / ROWS))}, file_row_number = true)"
        own = [row[0] for row in self.engine.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
        own.remove("file_row_number")
        identity = "record_id"
        if not self.feed.keys:
            fields = (*(["event_time"] if self.dated else []), "customer_ref", *CANONICAL[self.feed.kind].fields)
            held = f"hash({', '.join(quoted(column) for column in fields if column in own)})"
            nth = f"row_number() OVER (PARTITION BY {held} ORDER BY file_row_number)"
            identity = f"concat_ws('/', {held}, {nth})"
        self.engine.execute(
            f"CREATE OR REPLACE TEMP VIEW {name} AS "
            f"SELECT * RENAME (file_row_number AS __place), {identity} AS __id FROM {source}"
        )
        return own

    def _changed(self, shared: list[str]) -> str:
        """Return SQL of whether a record holds something else than it did."""
        compared = [name for name in shared if name != "known_at" and (self.dated or name != "event_time")]
        different = [
            f"CAST(a.{quoted(name)} AS VARCHAR) IS DISTINCT FROM CAST(b.{quoted(name)} AS VARCHAR)" for name in compared
        ]
        return f"(b.__id IS NOT NULL AND ({' OR '.join(different)}))"

    def _is_backfill(self) -> bool:
        """Return whether more rows of the past came than were there: such a load begins the history anew."""
        late, there = one_row(
            self.engine,
            """
            SELECT count(*) FILTER (known_at < (SELECT max(known_at) FROM accepted)), (SELECT count(*) FROM accepted)
            FROM arrived WHERE __id NOT IN (SELECT __id FROM accepted)
            """,
        )
        return int(late) > int(there)

    def _ended_before(self, before: Path) -> str:
        """Return SQL that joins the records ``e`` of which an earlier load was without, or held something else."""
        versions = before / VERSIONS
        if versions.is_file():
            ended = f"SELECT DISTINCT record_id FROM read_parquet({literal(str(versions))})"
        else:
            ended = "SELECT record_id FROM accepted WHERE false"
        return f" LEFT JOIN ({ended}) e ON e.record_id = a.record_id"

    def _write_versions(self, before: Path, changed: str) -> None:
        """Write what the records of this and of earlier loads held before."""
        selects = [
            f"SELECT b.* EXCLUDE (__id, __place), {self.moment} AS {UNTIL} "
            f"FROM accepted b LEFT JOIN arrived a USING (__id) "
            f"WHERE (a.__id IS NULL OR {changed}) AND b.known_at < {self.moment}"
        ]
        if (before / VERSIONS).is_file():
            selects.append(f"SELECT * FROM read_parquet({literal(str(before / VERSIONS))})")
        versions = f"{' UNION ALL BY NAME '.join(selects)} ORDER BY record_id, {UNTIL}"
        if one_row(self.engine, f"SELECT count(*) FROM ({versions})")[0]:
            stream_parquet(self.engine.sql(versions).to_arrow_reader(), self.folder / VERSIONS)
