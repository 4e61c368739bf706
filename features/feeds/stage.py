"""Read one feed in place, map it, keep unusable rows aside, and write its canonical table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from features.base.engine import one_row, open_engine, quoted
from features.base.errors import BadConfiguration, BadData, Problem
from features.base.storage import atomic_folder, digest_of, read_done, stream_parquet, write_json
from features.declaration.canonical import Kind
from features.declaration.feed import Feed
from features.feeds.mapping import EXACT_INTEGERS, RAW, TYPED, FeedMapping, plain_number
from features.feeds.quarantine import Quarantine, digest_of_returned, read_again, settle
from features.feeds.quarantine import write as write_held
from features.feeds.source import Source, find, select_all

#: Raised when this module would write other bytes for the same feed, so that nothing stale is taken over.
VERSION = 3
#: Share of values that may be no number in a column that is calculated with.
_ODD_NUMBERS = 0.1


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
    load_time : whether some row is known only since the files were written
    digest : of the files' bytes and the declaration; equal digests mean equal rows
    """

    feed: str
    kind: Kind
    rows_read: int
    rows: int
    excluded: int
    rejected: dict[str, int]
    duplicates: int
    load_time: bool
    digest: str


@dataclass(frozen=True)
class Afterwards:
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
    afterwards: Afterwards | None = None,
    replay: bool = False,
) -> StagedFeed:
    """Stage one feed; nothing is read again when neither the files nor the declaration changed.

    Parameters
    ----------
    name, feed : the feed
    root : the workspace that relative paths start from
    folder : where ``NAME/rows.parquet``, ``NAME/rejected.parquet`` and ``NAME/staged.json`` lie
    named_by : columns by which other feeds name this feed's records
    arriving : where they are written when they have to be read, until the load is accepted; `folder` if left out
    afterwards : what is done to the rows before they take their place
    replay : read the feed again, with the rows that are held of earlier loads

    Returns
    -------
    StagedFeed

    Raises
    ------
    BadData : the files cannot be used, or more rows are unusable than ``reject_above``
    BadConfiguration : the declaration names columns that the files do not have
    """
    source = find(name, feed, root)
    loaded_at = max(datetime.fromtimestamp(file.stat().st_mtime, UTC) for file in source.files)
    extra = [afterwards.digest] if afterwards is not None else []
    unchanged = [VERSION, source.fingerprint, feed.model_dump(mode="json"), list(named_by), *extra]
    quarantine = Quarantine(folder / name, replay=replay)
    digest = digest_of([*unchanged, *quarantine.digest])
    dated = digest_of([digest, loaded_at.isoformat()])
    target = (arriving or folder) / name
    for there in dict.fromkeys((folder / name, target)) if not replay else ():
        for wanted in (digest, dated):
            done = read_done(there / "staged.json", wanted)
            if done is not None and (there / "rows.parquet").is_file():
                return StagedFeed(**done)
    with open_engine(folders=[*source.files, folder, target.parent], scratch=folder / ".scratch") as engine:
        _read(engine, source)
        mapping = _mapping(engine, source, feed, loaded_at, tuple(named_by))
        broken = _broken_lines(engine, source)
        if quarantine.open(engine, RAW):
            read_again(engine, RAW, mapping.types)
        _map(engine, mapping)
        staged = _count(engine, name, feed, broken)
        _refuse(engine, name, feed, staged)
        with atomic_folder(target) as part:
            _write(engine, _KEPT, part / "rows.parquet")
            write_held(engine, _REJECTED, part)
            if afterwards is not None:
                afterwards.work(part)
            digest = digest_of([*unchanged, *digest_of_returned(part)])
            dated = digest_of([digest, loaded_at.isoformat()])
            staged = replace(staged, digest=dated if staged.load_time else digest)
            write_json(part / "staged.json", asdict(staged))
    return staged


def inspect(name: str, feed: Feed, source: Source, *, named_by: Sequence[str] = ()) -> tuple[list[Problem], list[str]]:
    """Return everything that is wrong with a feed's mapping to its files' columns, and the columns that survive it."""
    types = dict.fromkeys(source.columns, "VARCHAR")
    mapping = FeedMapping(name, feed, types, frozenset(), datetime.fromtimestamp(0, UTC), tuple(named_by))
    return mapping.check(), mapping.surviving()


_KEPT = "SELECT * EXCLUDE (__row, __reason, __keep, __loaded) FROM kept ORDER BY __row"
_REJECTED = f"""
SELECT __row AS row, CAST(NULL AS BIGINT) AS line, __reason AS reason, CAST(to_json({RAW}) AS VARCHAR) AS as_read
FROM mapped JOIN {RAW} USING (__row)
WHERE __keep AND __reason IS NOT NULL
UNION ALL
SELECT NULL, line, reason, as_read FROM broken_lines
ORDER BY row NULLS LAST, line, as_read
"""


def _read(engine: duckdb.DuckDBPyConnection, source: Source) -> None:
    try:
        engine.execute(f"CREATE TEMP TABLE {RAW} AS {select_all(source)}")
    except duckdb.Error as error:
        raise BadData(
            "feed.unreadable",
            f"the files cannot be read ({type(error).__name__})",
            where=f"feed {source.feed}",
            hint="a file is damaged, or the files of one feed differ in type: deliver them again or split the feed",
        ) from None


def _broken_lines(engine: duckdb.DuckDBPyConnection, source: Source) -> dict[str, int]:
    """Keep aside the lines that are not rows at all (CSV); return their number by reason.

    A file in which lines were swallowed is refused.
    """
    engine.execute("CREATE TEMP TABLE broken_lines (file BIGINT, line BIGINT, reason VARCHAR, as_read VARCHAR)")
    if not source.is_text:
        return {}
    engine.execute(
        """
        INSERT INTO broken_lines
        SELECT file_id, line, 'line has ' || min(lower(error_type)), any_value(csv_line)
        FROM reject_errors GROUP BY file_id, line
        """
    )
    found = engine.execute(
        "SELECT reason, count(*), min(line) FROM broken_lines GROUP BY reason ORDER BY reason"
    ).fetchall()
    for reason, _, line in found:
        if reason not in ("line has missing columns", "line has too many columns"):
            raise BadData(
                "feed.quote",
                f"from line {line} on the file cannot be parted into rows: "
                "a quotation mark is opened and never closed, or stands inside a quoted value",
                where=f"feed {source.feed}",
                hint="double the quotation marks inside quoted values, and deliver the file again",
            )
    return {reason: count for reason, count, _ in found}


def _mapping(
    engine: duckdb.DuckDBPyConnection, source: Source, feed: Feed, loaded_at: datetime, named_by: tuple[str, ...]
) -> FeedMapping:
    described = engine.execute(f"DESCRIBE {RAW}").fetchall()
    types = {column: kind for column, kind, *_ in described if column != "__row"}
    mapping = FeedMapping(source.feed, feed, types, frozenset(), loaded_at, named_by)
    problems = mapping.check()
    if problems:
        raise BadConfiguration.of(problems)
    return replace(mapping, numeric=_number_columns(engine, source, mapping)) if source.is_text else mapping


def _number_columns(engine: duckdb.DuckDBPyConnection, source: Source, mapping: FeedMapping) -> frozenset[str]:
    """Return the text columns that hold numbers: every value reads as one, and none as a code such as 007.

    Of a column that an expression calculates with, nearly every value is enough: rows with others are kept aside.
    Of any other column no value gets lost: it stays text.
    """
    feed, tests = mapping.feed, []
    tolerated = min(feed.reject_above, _ODD_NUMBERS)
    calculated = mapping.calculated()
    for column in source.columns:
        text = f"nullif(trim({quoted(column)}), '')"
        number = f"TRY_CAST({plain_number(column, feed)} AS DOUBLE)"
        least = 1 - tolerated if column in calculated else 1
        tests.append(
            f"count({text}) > 0 AND count(CASE WHEN isfinite({number}) THEN 1 END) >= count({text}) * {least} "
            f"AND NOT coalesce(bool_or(regexp_matches({text}, '^([+]|-?0[0-9])')), false) "
            f"AND coalesce(max(abs({number})) FILTER (isfinite({number})), 0) < {EXACT_INTEGERS}"
        )
    keys = {*feed.keys}
    row = one_row(engine, f"SELECT {', '.join(tests)} FROM {RAW}")
    return frozenset(
        column for column, numeric in zip(source.columns, row, strict=True) if numeric and column not in keys
    )


def _map(engine: duckdb.DuckDBPyConnection, mapping: FeedMapping) -> None:
    """Create ``mapped`` (each row's reason to be kept aside), ``ranked`` (its rank under its key) and ``kept``."""
    feed = mapping.feed
    try:
        engine.execute(f"CREATE TEMP VIEW {TYPED} AS {mapping.typed_select()}")
        kinds = {
            text: engine.execute(f"DESCRIBE SELECT {sql} AS v FROM {TYPED}").fetchall()[0][1]
            for text, sql in mapping.described().items()
        }
        if feed.keys and feed.duplicates in ("keep_first", "keep_last"):
            _keep_one(engine, mapping, kinds)
        else:
            _keep_identical(engine, mapping, kinds)
    except duckdb.Error as error:
        raise BadData(
            "feed.expression",
            f"an expression of the mapping fails on the data ({type(error).__name__})",
            where=f"feeds.{mapping.name}",
            hint="use TRY_CAST where a value may not convert, and compare values of one type",
        ) from None


def _keep_one(engine: duckdb.DuckDBPyConnection, mapping: FeedMapping, kinds: Mapping[str, str]) -> None:
    """Rank rows by their key and time alone; the fields, which may be costly, are made for the rows that stay."""
    order = "event_time DESC, __row DESC" if mapping.feed.duplicates == "keep_last" else "event_time, __row"
    engine.execute(
        f"""
        CREATE TEMP TABLE mapped AS
        SELECT __row, record_id, event_time, __reason, __keep, __loaded FROM ({mapping.select(kinds)})
        """
    )
    settle(engine, keyed=True)
    engine.execute(
        f"""
        CREATE TEMP TABLE ranked AS
        SELECT __row, __loaded, row_number() OVER (PARTITION BY record_id ORDER BY {order}) AS __nth
        FROM mapped WHERE __keep AND __reason IS NULL
        """
    )
    stay = f"(SELECT * FROM {TYPED} WHERE __row IN (SELECT __row FROM ranked WHERE __nth = 1))"
    engine.execute(f"CREATE TEMP TABLE kept AS {mapping.select(kinds, source=stay)}")


def _keep_identical(engine: duckdb.DuckDBPyConnection, mapping: FeedMapping, kinds: Mapping[str, str]) -> None:
    """Rank rows by their key, or by all they hold; rows that differ under one key can be told apart by a hash."""
    feed = mapping.feed
    engine.execute(f"CREATE TEMP TABLE mapped AS {mapping.select(kinds)}")
    settle(engine, keyed=bool(feed.keys))
    same = "__as_row" if not feed.keys and feed.duplicates == "drop_identical" else "record_id"
    columns = [row[0] for row in engine.execute("DESCRIBE mapped").fetchall()]
    compared = [quoted(column) for column in columns if column not in ("__row", "__reason", "__keep", "__loaded")]
    compared = [column for column in compared if feed.keys or column != '"record_id"']
    engine.execute(
        f"""
        CREATE TEMP TABLE ranked AS
        SELECT *, row_number() OVER (PARTITION BY {same} ORDER BY event_time, __row) AS __nth
        FROM (SELECT *, hash({", ".join(compared)}) AS __as_row FROM mapped WHERE __keep AND __reason IS NULL)
        """
    )
    engine.execute("CREATE TEMP VIEW kept AS SELECT * EXCLUDE (__nth, __as_row) FROM ranked WHERE __nth = 1")


def _count(engine: duckdb.DuckDBPyConnection, name: str, feed: Feed, broken: dict[str, int]) -> StagedFeed:
    read = _count_of(engine, f"SELECT count(*) FROM {RAW}")
    reasons = engine.execute(
        """
        SELECT reason, count(*)
        FROM (SELECT unnest(string_split(__reason, '; ')) AS reason FROM mapped WHERE __keep AND __reason IS NOT NULL)
        GROUP BY 1 ORDER BY 1
        """
    ).fetchall()
    kept = _count_of(engine, "SELECT count(*) FROM ranked WHERE __nth = 1")
    return StagedFeed(
        feed=name,
        kind=feed.kind,
        rows_read=read + sum(broken.values()),
        rows=kept,
        excluded=_count_of(engine, "SELECT count(*) FROM mapped WHERE NOT coalesce(__keep, false)"),
        rejected={**dict(reasons), **broken},
        duplicates=_count_of(engine, "SELECT count(*) FROM ranked") - kept,
        load_time=bool(_count_of(engine, "SELECT count(*) FROM ranked WHERE __nth = 1 AND __loaded")),
        digest="",
    )


def _refuse(engine: duckdb.DuckDBPyConnection, name: str, feed: Feed, staged: StagedFeed) -> None:
    usable = staged.rows + staged.duplicates + staged.excluded
    unusable = staged.rows_read - usable
    if unusable > feed.reject_above * staged.rows_read:
        worst = max(staged.rejected, key=lambda reason: staged.rejected[reason])
        raise BadData(
            "feed.too_many_rejected",
            f"{unusable} of {staged.rows_read} rows cannot be used, most of them because {worst}",
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
    if feed.duplicates != "refuse" and not (feed.duplicates == "drop_identical" and feed.keys):
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
            f"{clashes} keys stand on rows that differ; the first is at row {first}",
            where=f"feed {name}",
            hint="add a column to `key`, or set `duplicates` to keep_last or keep_first",
        )


def _write(engine: duckdb.DuckDBPyConnection, select: str, path: Path) -> None:
    stream_parquet(engine.sql(select).to_arrow_reader(), path)


def _count_of(engine: duckdb.DuckDBPyConnection, select: str) -> int:
    return int(one_row(engine, select)[0])
