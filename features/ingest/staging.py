"""Read one feed in place, map it, quarantine unusable rows, and write its canonical table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from features.base.checksums import damaged_column
from features.base.clock import iso
from features.base.database_engine import EngineResources, one_row, open_engine
from features.base.errors import BadConfiguration, BadData, Problem
from features.base.parquet import stream_parquet
from features.base.storage import atomic_folder, digest_of, read_done, write_json
from features.base.workspace import Workspace
from features.config.canonical import Kind
from features.config.company import Company
from features.config.engine_settings import engine_resources
from features.config.feed import Feed
from features.ingest.kept_rows import map_rows
from features.ingest.mapped_select import AFTER_DELIVERY, OWN
from features.ingest.mapping import FeedMapping
from features.ingest.quarantined_rows import Quarantine, digest_of_returned, read_again
from features.ingest.quarantined_rows import write as write_quarantine
from features.ingest.raw_rows import broken_lines, content, currency_of, read_numbers, read_rows
from features.ingest.reader import RAW, FeedSource
from features.ingest.row_history import VERSIONS, date_rows, moment_of_loads
from features.ingest.schema_drift import Columns, refuse_renamed, refuse_retyped
from features.ingest.source import find

#: Raised when this module would write other bytes for the same feed, so that nothing stale is taken over.
VERSION = 8


@dataclass(frozen=True)
class StagedFeed:
    """A feed after mapping, and what was counted on the way.

    Parameters
    ----------
    feed, kind : which feed, and its canonical table
    rows_read : rows in the files
    rows : rows kept
    excluded : rows that the feed's ``where`` leaves out
    rejected : unusable rows, counted by reason
    duplicates : rows dropped because an equal key was kept
    versions : rows that tell what records held before
    ahead : rows whose time lies after the delivery
    open_times : rows with an end or a last change that is written as a date for none, such as 9999-12-31
    newest : the last moment, up to the delivery, at which a row itself was known, ISO 8601; empty where no row has one
    delivered : when the files were written, ISO 8601
    digest : of the files' bytes and the declaration; equal digests mean equal rows
    repeated : files whose bytes another file of the feed holds already; they were not read
    skipped : rows that hold no data, such as totals, counted by kind; they count nowhere else
    notes : what was found about the shape of the files, one sentence each
    already_applied : whether nothing had to be read, because an earlier run had read the same
    """

    feed: str
    kind: Kind
    rows_read: int
    rows: int
    excluded: int
    rejected: dict[str, int]
    duplicates: int
    versions: int
    ahead: int
    open_times: int
    newest: str
    delivered: str
    digest: str
    repeated: list[str] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    already_applied: bool = field(default=False, compare=False)

    @property
    def unusable(self) -> int:
        """Rows that are in quarantine."""
        return self.rows_read - self.rows - self.excluded - self.duplicates - self.versions


@dataclass(frozen=True)
class RowTransform:
    """What is done to a feed's rows before they take their place, such as repairs.

    Parameters
    ----------
    work : is given the folder with ``rows.parquet`` and may rewrite it
    digest : of the work; with another one the feed is read again
    """

    work: Callable[[Path], None]
    digest: str


def stage(
    name: str,
    feed: Feed,
    *,
    root: Path,
    folder: Path,
    named_by: Sequence[str] = (),
    arriving: Path | None = None,
    transform: RowTransform | None = None,
    replay: bool = False,
    accept: bool = False,
    company: Company | None = None,
) -> StagedFeed:
    """Stage one feed; nothing is read again when neither the files nor the declaration changed.

    Parameters
    ----------
    name, feed : the feed
    root : the workspace that relative paths start from
    folder : where ``NAME/rows.parquet``, ``NAME/rejected.parquet`` and ``NAME/staged.json`` lie
    named_by : columns by which other feeds name this feed's records
    arriving : where they are written when they have to be read, until the load is accepted; its rows are dated by
        `date_rows` once all feeds are read. Left out, `folder`, and the rows are dated as those of a first load
    transform : what is done to the rows before they take their place
    replay : read the feed again, with the rows that earlier loads quarantined
    accept : whether columns may have been renamed or retyped since the last load
    company : its currency, and the rates of others; the defaults if left out

    Returns
    -------
    StagedFeed

    Raises
    ------
    BadData : the files cannot be used, or more rows are unusable than ``reject_above``
    BadConfiguration : the declaration names columns that the files do not have
    """
    source = find(name, feed, root)
    try:
        resources = engine_resources(Workspace(root))
        staged = _Staging(
            source,
            feed,
            company or Company(),
            folder,
            arriving or folder,
            tuple(named_by),
            transform,
            accept,
            replay,
            resources,
        ).staged()
    finally:
        source.close()
    if arriving is None and not staged.already_applied:
        delivered = datetime.fromisoformat(staged.delivered)
        date_rows(feed, folder / name, moment=moment_of_loads([staged]), delivered=delivered, resources=resources)
    return staged


@dataclass(frozen=True)
class _Staging:
    """The staging of one feed: its source, the folder of its last load, and the folder of this one."""

    source: FeedSource
    feed: Feed
    company: Company
    accepted: Path
    arriving: Path
    named_by: tuple[str, ...]
    transform: RowTransform | None
    accept: bool
    replay: bool
    resources: EngineResources

    def staged(self) -> StagedFeed:
        source, fingerprint = self.source, self.source.fingerprint()
        if fingerprint is not None and (done := self._done(fingerprint)) is not None:
            return done
        name, target = source.feed, self.arriving / source.feed
        loaded_at, columns = source.loaded_at, source.columns
        last = None if self.accept else Columns.last(self.accepted / name, self._declared)
        refuse_renamed(name, self.feed, last, columns)
        mapping = FeedMapping(name, self.feed, dict.fromkeys(columns, "VARCHAR"), frozenset(), loaded_at, self.named_by)
        if problems := mapping.check():
            raise BadConfiguration.of(problems)
        quarantine = Quarantine(self.accepted / name, replay=self.replay)
        folders = [*source.files, self.accepted, self.arriving]
        with open_engine(folders=folders, resources=self.resources) as engine:
            found = read_rows(engine, source, self.feed, mapping.needed())
            types = found.types
            if fingerprint is None:
                fingerprint = content(engine, list(types))
                if (done := self._done(fingerprint)) is not None:
                    return done
            read = Columns(self._declared, types)
            mapping = replace(mapping, types=types)
            broken = broken_lines(engine, source)
            if source.is_text:
                numbers = read_numbers(engine, source, mapping)
                read = replace(read, numbers=numbers.shares)
                mapping = replace(mapping, numeric=numbers.columns, readings=numbers.readings)
            mapping = replace(mapping, currency=currency_of(engine, mapping))
            refuse_retyped(name, last, read)
            if quarantine.open(engine, RAW):
                read_again(engine, RAW, mapping.types)
            map_rows(engine, mapping, self.company)
            staged = _count(engine, mapping, broken)
            staged = replace(staged, repeated=list(source.repeated), skipped=found.skipped, notes=list(found.notes))
            _refuse(engine, source, self.feed, staged)
            with atomic_folder(target) as part:
                part.chmod(0o700)  # rows as they came: what identifies people is still among them
                _write(engine, _KEPT.format("kept"), part / "rows.parquet")
                if self.feed.has_versions:
                    _write(engine, _KEPT.format("versions"), part / VERSIONS)
                write_quarantine(engine, _REJECTED, part)
                read.write(part)
                if self.transform is not None:
                    self.transform.work(part)
                digest, dated = self._digests(fingerprint, digest_of_returned(part))
                # what lies ahead of this delivery may not lie ahead of the next, whose bytes are the same
                staged = replace(staged, digest=dated if staged.ahead else digest)
                write_json(part / "staged.json", asdict(staged))
        return staged

    @property
    def _declared(self) -> str:
        return digest_of([self.feed.model_dump(mode="json"), list(self.named_by)])

    def _digests(self, fingerprint: str, returned: Sequence[str]) -> tuple[str, str]:
        """Return the digests of a load whose rows carry the time at which they were known, and of one without."""
        extra = [*([self.transform.digest] if self.transform is not None else []), *returned]
        money = [self.company.currency, self.company.rates]
        declared = [self.feed.model_dump(mode="json"), list(self.named_by), money]
        digest = digest_of([VERSION, fingerprint, *declared, *extra])
        if not self.source.dated:
            return digest, digest
        return digest, digest_of([digest, self.source.loaded_at.isoformat()])

    def _done(self, fingerprint: str) -> StagedFeed | None:
        """Return what an earlier run made of the same rows, if its bytes still match their checksums."""
        if self.replay:
            return None
        digests = self._digests(fingerprint, Quarantine(self.accepted / self.source.feed).digest)
        for there in dict.fromkeys((self.accepted / self.source.feed, self.arriving / self.source.feed)):
            for wanted in dict.fromkeys(digests):
                done = read_done(there / "staged.json", wanted)
                rows = there / "rows.parquet"
                if done is not None and rows.is_file() and damaged_column(rows) is None:
                    return replace(StagedFeed(**done), already_applied=True)
        return None


def inspect(
    name: str, feed: Feed, source: FeedSource, *, named_by: Sequence[str] = ()
) -> tuple[list[Problem], list[str]]:
    """Return everything that is wrong with a feed's mapping to its files' columns, and the columns that survive it."""
    types = dict.fromkeys(source.columns, "VARCHAR")
    mapping = FeedMapping(name, feed, types, frozenset(), datetime.fromtimestamp(0, UTC), tuple(named_by))
    return mapping.check(), mapping.surviving()


_KEPT = f"SELECT * EXCLUDE ({', '.join(OWN)}) FROM {{}} ORDER BY __row"
_REJECTED = f"""
SELECT __row AS row, CAST(NULL AS BIGINT) AS line, __reason AS reason, CAST(to_json({RAW}) AS VARCHAR) AS as_read
FROM mapped JOIN {RAW} USING (__row)
WHERE __keep AND __reason IS NOT NULL
UNION ALL
SELECT NULL, line, reason, as_read FROM broken_lines
ORDER BY row NULLS LAST, line, as_read
"""


def _count(engine: duckdb.DuckDBPyConnection, mapping: FeedMapping, broken: dict[str, int]) -> StagedFeed:
    feed = mapping.feed
    read = _count_of(engine, f"SELECT count(*) FROM {RAW}")
    reasons = engine.execute(
        """
        SELECT reason, count(*)
        FROM (SELECT unnest(string_split(__reason, '; ')) AS reason FROM mapped WHERE __keep AND __reason IS NOT NULL)
        GROUP BY 1 ORDER BY 1
        """
    ).fetchall()
    kept = _count_of(engine, "SELECT count(*) FROM ranked WHERE __nth = 1")
    others = _count_of(engine, "SELECT count(*) FROM ranked") - kept
    return StagedFeed(
        feed=mapping.name,
        kind=feed.kind,
        rows_read=read + sum(broken.values()),
        rows=kept,
        excluded=_count_of(engine, "SELECT count(*) FROM mapped WHERE NOT coalesce(__keep, false)"),
        rejected={**dict(reasons), **broken},
        duplicates=0 if feed.has_versions else others,
        versions=others if feed.has_versions else 0,
        ahead=_count_of(engine, "SELECT count(*) FROM kept WHERE __ahead")
        + sum(count for reason, count in reasons if reason.endswith(AFTER_DELIVERY)),
        open_times=_count_of(engine, "SELECT count(*) FROM kept WHERE __open"),
        newest=one_row(engine, "SELECT strftime(max(known_at), '%Y-%m-%dT%H:%M:%SZ') FROM kept")[0] or "",
        delivered=iso(mapping.loaded_at),
        digest="",
    )


def _refuse(engine: duckdb.DuckDBPyConnection, source: FeedSource, feed: Feed, staged: StagedFeed) -> None:
    name = source.feed
    place = f"of {source.names[0]}" if len(source.names) == 1 else "over all the files"
    unusable = staged.unusable
    if unusable > feed.reject_above * staged.rows_read:
        worst = max(staged.rejected, key=lambda reason: staged.rejected[reason])
        (row,) = one_row(engine, "SELECT min(__row) FROM mapped WHERE __keep AND __reason IS NOT NULL")
        first = f"; the first is row {row} {place}" if row is not None else f" {place}"
        raise BadData(
            "feed.too_many_rejected",
            f"{unusable} of {staged.rows_read} rows cannot be used, most of them because {worst}{first}",
            where=f"feed {name}",
            hint=f"mend the mapping or the files, or raise reject_above (now {feed.reject_above:g})",
        )
    if staged.rows == 0:
        raise BadData(
            "feed.empty",
            "no row is left after `where`" if staged.excluded else "no row is left",
            where=f"feed {name}",
            hint="check `where` and the files",
        )
    if feed.has_versions or (feed.duplicates != "refuse" and not (feed.duplicates == "drop_identical" and feed.keys)):
        return
    clashes, first = one_row(
        engine,
        """
        SELECT count(*), min(rows)
        FROM (
            SELECT min(__row) AS rows FROM ranked
            GROUP BY record_id HAVING count(*) > 1 AND count(DISTINCT __as_row) > 1
        )
        """,
    )
    if clashes:
        raise BadData(
            "feed.duplicate_key",
            f"{clashes} keys stand on rows that differ; the first is at row {first} {place}",
            where=f"feed {name}",
            hint="add a column to `key`, or set `duplicates` to keep_last or keep_first",
        )


def _write(engine: duckdb.DuckDBPyConnection, select: str, path: Path) -> None:
    stream_parquet(engine.sql(select).to_arrow_reader(), path)


def _count_of(engine: duckdb.DuckDBPyConnection, select: str) -> int:
    return int(one_row(engine, select)[0])
