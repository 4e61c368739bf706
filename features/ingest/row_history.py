"""When each row of a load was first known, and what a record of customers, or of what they hold, held before.

A row without a ``known_at`` of its own is known from the first load that holds it; what was there at the first load is
taken to have been known when it happened. A load's moment is the newest one that any row says it was known at: the
time stamp of a file is no time of the data. A source of customers or holdings that overwrites its records keeps no
history, so that what a record held is kept from load to load, when it changes and, of customers, when it is gone. That
a holding has ended is no change: it counts from the end itself, in every version.

Records are compared by what they hold in columns that both loads made alike, whatever else the declaration says. A
column that the source adds was empty before. Rows without a key are found again by what they hold; customers without a
key also by their contact points and names, so that a row more at the top of a file moves nobody's id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from features.base.clock import iso
from features.base.database_engine import EngineResources, literal, one_row, open_engine, quoted
from features.base.parquet import stream_parquet
from features.base.storage import digest_of, read_json, write_json
from features.config.canonical import Kind, attribute_name
from features.config.feed import Feed
from features.ingest.column_digests import digest_of_column, digest_of_times
from features.ingest.schema_drift import FILE as COLUMNS

ROWS = "rows.parquet"
#: What records held before, beside the rows: the same columns, and `UNTIL`.
VERSIONS = "versions.parquet"
#: The moment from which on a record is known to hold something else.
UNTIL = "known_until"
#: The tables that hold what records held before, too.
HAVE_VERSIONS: tuple[Kind, ...] = ("customers", "holdings")
HISTORY = "history.json"
_REPAIRS = "repairs.parquet"
#: SQL of whether a row of consents without a time says something that the load before did not.
_NEW_STATEMENT = "(b.__id IS NULL OR (a.purpose, a.status, a.basis) IS DISTINCT FROM (b.purpose, b.status, b.basis))"
#: Fields by which a customer without a key is found again when the others change; one of `_CONTACTS` is filled.
_WHO = ("email", "phone", "national_id", "first_name", "last_name", "full_name", "birth_date", "company_name")
_CONTACTS = _WHO[:3]


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
    delivered: datetime,
    before: Path | None = None,
    streamed: pa.Table | None = None,
    resources: EngineResources | None = None,
) -> None:
    """Write into a load's rows when each was first known, and what records of customers held before.

    A customer's record that is gone holds nothing from this load on; one that comes back holds its values from then on.
    Doing it again with the same moment changes nothing.

    Parameters
    ----------
    feed : its declaration
    folder : of the load, named as its feed; its rows have no ``known_at`` where they say none, or one after the
        delivery
    moment : of the load
    delivered : when the load came. What it changes is known after the last load where no row of any feed has a newer
        time; the next moment dates it by the delivery
    before : folder of the last accepted load, if there is one
    streamed : ``record_id`` and ``known_at`` of events of this feed that were streamed
    resources : of the engine
    """
    last = read_json(before / HISTORY) if before is not None and (before / HISTORY).is_file() else {}
    if last.get("identity") != _identity(feed) or feed.has_versions:  # a source with a history of its own dates it
        last, before = {}, None
    waiting: dict[str, str] = last.get("waiting", {})
    earlier = datetime.fromisoformat(last["moment"]) if before is not None else None
    anew = _dated_by_delivery(waiting, moment) if earlier is not None and moment > earlier else {}
    waiting = {} if anew else waiting
    with open_engine(folders=[folder, *([before] if before else [])], resources=resources) as engine:
        dating = _Dating(engine, feed, folder, before, last, anew)
        if earlier is not None and moment <= earlier and dating.has_news():
            moment = earlier + timedelta(microseconds=1)  # known after the last load, however old its newest row is
            if feed.kind in HAVE_VERSIONS:
                waiting = waiting | {iso(moment): iso(delivered)}
        dating.write(moment, streamed)
        numbered = dating.highest_number()
    document = {
        "identity": _identity(feed),
        "times": digest_of_times(feed),
        "columns": {column: digest_of_column(feed, column) for column in dating.columns},
        "moment": iso(moment),
        "waiting": waiting,
        "numbered": numbered,
    }
    write_json(folder / HISTORY, document)


def waits_for(folder: Path, moment: datetime) -> bool:
    """Return whether an accepted load holds rows that this moment dates."""
    last = read_json(folder / HISTORY) if (folder / HISTORY).is_file() else {}
    return bool(last.get("waiting")) and moment > datetime.fromisoformat(last["moment"])


def _dated_by_delivery(waiting: dict[str, str], moment: datetime) -> dict[str, str]:
    """Return moments at which rows waited for a newer one, and the moments that take their place."""
    latest = moment - timedelta(microseconds=1)
    return {
        held: max(held, iso(min(datetime.fromisoformat(delivered), latest)), key=datetime.fromisoformat)
        for held, delivered in waiting.items()
    }


def _identity(feed: Feed) -> str:
    """Return a digest of what identifies a feed's records."""
    return digest_of([feed.kind, feed.keys])


class _Dating:
    """The dating of one load; the engine may read its folder and the one of the load before."""

    def __init__(
        self,
        engine: duckdb.DuckDBPyConnection,
        feed: Feed,
        folder: Path,
        before: Path | None,
        last: dict[str, Any],
        anew: dict[str, str],
    ) -> None:
        self.engine, self.feed, self.folder, self.before, self.last, self.anew = (
            engine,
            feed,
            folder,
            before,
            last,
            anew,
        )
        # a statement about consent keeps its own time, or none
        self.dated = bool(feed.event_time or feed.updated_at or feed.known_at or feed.kind in ("holdings", "consents"))
        self.has_records = feed.kind in HAVE_VERSIONS and (feed.kind == "customers" or bool(feed.keys))
        self.columns = self._columns(folder)
        self.there = self._columns(before) if before is not None else {}
        self.read = self._read(folder)
        if before is not None:
            self._open_both(before)
        else:
            self._open("arrived", folder, "record_id")

    def has_news(self) -> bool:
        """Return whether there is anything that this load dates: a new, changed or gone record, an undated consent."""
        if self.feed.kind == "consents":
            news = f"a.__id IS NOT NULL AND a.event_time IS NULL AND {_NEW_STATEMENT}"
        elif self.has_records:
            news = self._changed()
            news += " OR a.__id IS NULL" if self.feed.kind == "customers" else ""
            news += " OR b.__id IS NULL" if self.feed.known_at is None else ""
        else:
            return False
        select = f"SELECT count(*) FROM accepted b FULL JOIN arrived a USING (__id) WHERE {news}"
        return bool(one_row(self.engine, select)[0])

    def write(self, at: datetime, streamed: pa.Table | None) -> None:
        moment = f"TIMESTAMPTZ {literal(iso(at))}"
        (undated,) = one_row(self.engine, "SELECT count(*) FILTER (known_at IS NULL) FROM arrived")
        if self.dated and not undated and streamed is None and self.before is None:
            return
        own = "a.known_at" if self.dated else "CAST(NULL AS TIMESTAMPTZ)"  # a run that was refused may have dated it
        known, joins = f"coalesce({own}, {moment})", ""
        if self.before is not None:
            joins = f"LEFT JOIN accepted b ON b.__id = a.__id {self._ended_before(self.before)}"
            new = known if self.feed.known_at is not None or self._is_backfill() else moment
            found = "b.known_at"
            if self.last.get("times") != digest_of_times(
                self.feed
            ):  # where other columns date the rows now, they are dated anew
                found = f"CASE WHEN e.record_id IS NOT NULL THEN b.known_at ELSE {known} END"
            changed = self._changed() if self.has_records else "false"
            known = f"""
                CASE WHEN {changed} THEN {moment} WHEN b.__id IS NOT NULL THEN {found}
                WHEN e.record_id IS NOT NULL THEN {moment} ELSE {new} END
                """
            if self.feed.known_at is not None and not self.has_records:
                known = f"coalesce(a.known_at, b.known_at, {moment})"
            # a withdrawal counts from the time that it carries: never later than it was given
            if self.feed.kind == "consents":
                known = f"coalesce(a.known_at, CASE WHEN NOT {_NEW_STATEMENT} THEN b.known_at END, {moment})"
            if self.has_records:
                self._write_versions(self.before, moment)
        if streamed is not None:
            self.engine.register("streamed", streamed)
            joins += " LEFT JOIN streamed s ON s.record_id = a.record_id"
            known = f"coalesce(s.known_at, {known})"
        happened = "a.event_time" if self.dated else f"({known})"
        names = ", ".join(f"a.{quoted(name)}" for name in self.columns if name not in ("event_time", "known_at"))
        dated = f"SELECT {names}, {happened} AS event_time, {known} AS known_at, a.__place FROM arrived a {joins}"
        listed = ", ".join(map(quoted, self.columns))
        rows = self.engine.sql(f"SELECT {listed} FROM ({dated}) ORDER BY __place").to_arrow_reader()
        stream_parquet(rows, self.folder / ROWS)

    def highest_number(self) -> int:
        """Return the highest number that a customer without a key ever had; 0 for all other feeds."""
        if self.feed.kind != "customers" or self.feed.keys:
            return 0
        (highest,) = one_row(self.engine, "SELECT max(CAST(record_id AS BIGINT)) FROM arrived")
        return max(int(highest or 0), int(self.last.get("numbered", 0)))

    def _columns(self, folder: Path, file: str = ROWS) -> dict[str, str]:
        """Return the columns of a load's rows and their types."""
        rows = f"read_parquet({literal(str(folder / file))})"
        return {name: kind for name, kind, *_ in self.engine.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()}

    @staticmethod
    def _read(folder: Path) -> frozenset[str]:
        """Return the columns of the source that a load read."""
        return frozenset(read_json(folder / COLUMNS)["types"])

    def _open(self, name: str, folder: Path, identity: str) -> None:
        """Create a view of a load's rows with what tells each from the others."""
        source = f"read_parquet({literal(str(folder / ROWS))}, file_row_number = true)"
        times = ["known_at"] if self.dated else ["known_at", "event_time"]
        replaced = ", ".join(f"{self._anew(time)} AS {time}" for time in times)
        self.engine.execute(
            f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * REPLACE ({replaced}) "
            f"RENAME (file_row_number AS __place), {identity} AS __id FROM {source}"
        )

    def _anew(self, time: str) -> str:
        """Return SQL of a time of the load before; one that waited for a newer moment is dated now."""
        cases = [
            f"WHEN {time} = TIMESTAMPTZ {literal(held)} THEN TIMESTAMPTZ {literal(moment)}"
            for held, moment in self.anew.items()
        ]
        return f"CASE {' '.join(cases)} ELSE {time} END" if cases else time

    def _open_both(self, before: Path) -> None:
        identity = "record_id"
        if not self.feed.keys:
            held = f"hash({', '.join(map(self._written, self._alike())) or '0'})"
            identity = f"concat_ws('/', {held}, row_number() OVER (PARTITION BY {held} ORDER BY file_row_number))"
        self._open("accepted", before, identity)
        self._open("arrived", self.folder, identity)
        if self.feed.kind == "customers" and not self.feed.keys:
            self._renumber()

    def _renumber(self) -> None:
        """Give customers without a key the numbers that they had in the load before, and new numbers to the others."""
        filled = [column for column in _WHO if column in self._alike()]
        contacts = [f"CAST({column} AS VARCHAR)" for column in _CONTACTS if column in filled]
        who = f"CASE WHEN coalesce({', '.join(contacts)}) IS NOT NULL THEN hash({', '.join(filled)}) END"
        once = f"SELECT __id, record_id, {who if contacts else 'NULL'} AS who FROM {{}} WHERE __id NOT IN (SELECT __id "
        once += "FROM {}) AND who IS NOT NULL QUALIFY count(*) OVER (PARTITION BY who) = 1"
        (numbered,) = one_row(self.engine, "SELECT max(CAST(record_id AS BIGINT)) FROM accepted")
        numbered = max(int(numbered), int(self.last.get("numbered", 0)))
        self.engine.execute(
            f"""
            CREATE TEMP TABLE numbers AS
            WITH found AS (
                SELECT a.__id, b.record_id FROM arrived a JOIN accepted b USING (__id)
                UNION ALL
                SELECT a.__id, b.record_id
                FROM ({once.format("arrived", "accepted")}) a JOIN ({once.format("accepted", "arrived")}) b USING (who)
            )
            SELECT a.__place, coalesce(found.record_id, CAST({numbered} + row_number() OVER (
                PARTITION BY found.record_id IS NULL ORDER BY a.__place) AS VARCHAR)) AS number
            FROM arrived a LEFT JOIN found USING (__id)
            """
        )
        self._open("accepted", self.before or self.folder, "record_id")
        self._open("unnumbered", self.folder, "record_id")
        self.engine.execute(
            """
            CREATE OR REPLACE TEMP VIEW arrived AS
            SELECT u.* REPLACE (n.number AS record_id, n.number AS __id)
            FROM unnumbered u JOIN numbers n USING (__place)
            """
        )
        repairs = self.folder / _REPAIRS
        if repairs.is_file():
            source = f"read_parquet({literal(str(repairs))})"
            renumbered = (
                f'SELECT r.* REPLACE (n.number AS record_id) FROM {source} r JOIN numbers n ON n.__place + 1 = r."row"'
            )
            stream_parquet(self.engine.sql(f'{renumbered} ORDER BY step, "row"').to_arrow_reader(), repairs)

    def _alike(self) -> list[str]:
        """Return the columns that both loads made alike and that hold what the source says of a record."""
        made = self.last.get("columns", {})
        return [
            column
            for column in self.columns
            if column in self.there
            and made.get(column) == digest_of_column(self.feed, column)
            and column not in ("record_id", "known_at", "held_to")
            and (self.dated or column != "event_time")
            and not column.startswith("__")
        ]

    def _written(self, column: str, table: str = "") -> str:
        """Return SQL of a value as text, which is the same where a column of numbers has become one of texts."""
        text = f"CAST({table}{quoted(column)} AS VARCHAR)"
        if self.columns[column] == self.there.get(column):
            return text
        return f"coalesce(CAST(TRY_CAST({text} AS DOUBLE) AS VARCHAR), {text})"

    def _added(self) -> list[str]:
        """Return attributes that the source has now and had not before, and fields taken from such a column."""
        if self.before is None:
            return []
        new = self.read - self._read(self.before)
        names = {attribute_name(self.folder.name, column) for column in new}
        names |= {field for field, text in self.feed.fields.items() if text in new}
        return [column for column in self.columns if column in names]

    def _lost(self, columns: Iterable[str]) -> list[str]:
        """Return which of these columns are attributes that the source has no more; one that is dropped is none."""
        held = {attribute_name(self.folder.name, column) for column in (*self.read, *self.feed.drop)}
        own = [column for column in columns if column.startswith(f"{self.folder.name}.")]
        return [column for column in own if column not in held and column not in self.columns]

    def _changed(self) -> str:
        """Return SQL of whether a record that was there holds something else than it did."""
        different = [
            f"{self._written(name, 'a.')} IS DISTINCT FROM {self._written(name, 'b.')}" for name in self._alike()
        ]
        different += [f"a.{quoted(name)} IS NOT NULL" for name in self._added()]
        different += [f"b.{quoted(name)} IS NOT NULL" for name in self._lost(self.there)]
        return f"(b.__id IS NOT NULL AND ({' OR '.join(different) or 'false'}))"

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
        ended = "SELECT record_id FROM arrived WHERE false"
        if (before / VERSIONS).is_file():
            ended = f"SELECT DISTINCT record_id FROM read_parquet({literal(str(before / VERSIONS))})"
        return f"LEFT JOIN ({ended}) e ON e.record_id = a.record_id"

    def _write_versions(self, before: Path, moment: str) -> None:
        """Write what the records of this and of earlier loads held before; of holdings only of those that are there."""
        join = "LEFT JOIN" if self.feed.kind == "customers" else "JOIN"
        selects = [
            f"SELECT {self._past('b', self.there)}, {moment} AS {UNTIL} FROM accepted b {join} arrived a USING (__id) "
            f"WHERE (a.__id IS NULL OR {self._changed()}) AND b.known_at < {moment}"
        ]
        if (before / VERSIONS).is_file():
            times = ["known_at", UNTIL] if self.dated else ["known_at", UNTIL, "event_time"]
            replaced = ", ".join(f"{self._anew(time)} AS {time}" for time in times)
            earlier = f"(SELECT * REPLACE ({replaced}) FROM read_parquet({literal(str(before / VERSIONS))}))"
            selects.append(
                f"SELECT {self._past('v', self._columns(before, VERSIONS))}, v.{UNTIL} "
                f"FROM {earlier} v {join} arrived a USING (record_id)"
            )
        versions = f"{' UNION ALL BY NAME '.join(selects)} ORDER BY record_id, {UNTIL}"
        (self.folder / VERSIONS).unlink(missing_ok=True)  # of a run that was refused
        if one_row(self.engine, f"SELECT count(*) FROM ({versions})")[0]:
            stream_parquet(self.engine.sql(versions).to_arrow_reader(), self.folder / VERSIONS)

    def _past(self, table: str, columns: Iterable[str]) -> str:
        """Return SQL of the columns of a table that stay in the past: those of today, and those the source lost."""
        stay = {*self.columns, *self._lost(columns)}
        names = {column: "a" if column == "held_to" else table for column in columns if column in stay}
        return ", ".join(f"{whose}.{quoted(column)}" for column, whose in names.items())
