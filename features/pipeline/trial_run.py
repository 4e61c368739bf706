"""Trial run of declared feeds in a temporary workspace: what `unify` would keep, lose or refuse, feed by feed."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from features.base.database_engine import literal, one_row, open_engine, quoted
from features.base.progress import Progress
from features.base.storage import read_json
from features.base.workspace import Workspace
from features.config.canonical import CANONICAL, Kind
from features.config.engine_settings import FEEDS, engine_resources
from features.config.feeds_file import FeedsFile
from features.config.loading import read_document
from features.config.workspace_files import load_feeds
from features.ingest.parquet_files import SUFFIXES as PARQUET
from features.pipeline.unify import unify

#: Bytes of a file that are tried, of text; and rows, of Parquet.
_BYTES = 2 << 20
_ROWS = 20_000
_SMALL = 64 << 10
_LINES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson")
_TIME = {"holdings": "held_from"}
#: People's judgements of pairs, which may name records that a trial does not read.
_JUDGED = ("always", "never", "labels")


@dataclass(frozen=True)
class FeedTrial:
    """What a trial run did with one feed.

    Parameters
    ----------
    feed, kind : the feed and its canonical table
    rows_read, rows : rows of its files, and rows that its table holds
    left_out : rows that `where` leaves out, or that have a key that another row has
    lost : rows that cannot be used, by reason
    unlinked : rows whose customer is not known
    people : customers that its rows are about; of rows whose customers' file is tried in part, whom the rows name
    amount : sum of its amounts; None where it has none
    first, last : range of its times, ISO 8601; empty where it has none
    sampled : whether only its first rows were read
    """

    feed: str
    kind: Kind
    rows_read: int
    rows: int
    left_out: int
    lost: Mapping[str, int]
    unlinked: int
    people: int
    amount: float | None
    first: str
    last: str
    sampled: bool

    @property
    def problems(self) -> list[str]:
        """What a person should look at, one sentence each."""
        found = [f"{self.feed}: {count:,} rows are not used: {reason}" for reason, count in self.lost.items()]
        if self.unlinked:
            share = self.unlinked / max(self.rows_read, 1)
            found.append(f"{self.feed}: {self.unlinked:,} rows ({share:.0%}) are about customers that no feed knows")
        return found


def try_feeds(root: Path, feeds_yaml: str, progress: Progress, *, whole: bool = False) -> list[FeedTrial]:
    """Unify feeds in a temporary workspace and return what came of each; of large files the first rows are read.

    Records are joined by links and equal contact points alone, which is quick.

    Parameters
    ----------
    root : the workspace that relative paths start from
    feeds_yaml : the text of ``features/feeds.yaml``
    progress : shows the steps
    whole : whether all rows are read, however many there are

    Returns
    -------
    list of FeedTrial : none where a feed is no local file

    Raises
    ------
    BadData, BadConfiguration : as `unify` would
    """
    with tempfile.TemporaryDirectory(prefix="nextbest-trial-") as folder:
        place = Path(folder)
        workspace = Workspace(place)
        file = workspace.file(FEEDS)
        file.parent.mkdir(parents=True)
        file.write_text(feeds_yaml, encoding="utf-8")
        declared: dict[str, Any] = read_document(file, name=FEEDS)[0]
        sampled: dict[str, list[Path]] = {}
        apart = set()
        for name, feed in declared["feeds"].items():
            sources = [feed["source"]] if isinstance(feed["source"], str) else list(feed["source"])
            if any("://" in source for source in sources):
                return []
            files = [file for source in sources for file in _files(root, source)]
            feed["source"] = [escape(str(_sample(file, place / "data" / name, whole=whole))) for file in files] or feed[
                "source"
            ]
            if not whole and any(_is_large(file) for file in files):
                sampled[name] = files
        for name, feed in declared["feeds"].items():
            linked = [other for other in sampled if re.search(rf"\b{other}\.", str(feed.get("customer", "")))]
            if any(other != name and sampled[other] != sampled.get(name) for other in linked):
                apart.add(name)
        if apart:  # most of their customers lie beyond the rows that are tried
            quality = declared["quality"] = dict(declared.get("quality") or {})
            quality["checks"] = {**(quality.get("checks") or {}), "FQ004": {"severity": "warn"}}
        identity = declared.get("identity") or {}
        if identity.get("rules") == "people":
            identity = {"rules": "exact"}
        declared["identity"] = {name: value for name, value in identity.items() if name not in _JUDGED}
        file.write_text(json.dumps(declared, ensure_ascii=False, indent=1, default=str), encoding="utf-8")
        unify(workspace, progress)
        return list(_counted(workspace, load_feeds(workspace)[0], sampled=sampled, apart=apart))


def trial_table(trials: Sequence[FeedTrial]) -> list[list[str]]:
    """Return a trial run as a table of texts, its header first.

    Examples
    --------
    >>> trial_table([])
    [['feed', 'table', 'rows', 'kept', 'people', 'amount', 'from', 'to']]
    """
    lines = [["feed", "table", "rows", "kept", "people", "amount", "from", "to"]]
    for trial in trials:
        amount = "" if trial.amount is None else f"{trial.amount:,.2f}"
        rows = f"{'first ' if trial.sampled else ''}{trial.rows_read:,}"
        people = f"{trial.people:,}"
        lines.append([trial.feed, trial.kind, rows, f"{trial.rows:,}", people, amount, trial.first, trial.last])
    return lines


def _files(root: Path, source: str) -> list[Path]:
    path = Path(os.path.normpath(root.resolve() / source))
    if any(mark in source for mark in "*?["):
        return sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def _is_large(file: Path) -> bool:
    if not file.is_file() or file.stat().st_size <= _SMALL:
        return False
    if file.suffix.lower() in PARQUET:
        return int(pq.read_metadata(file).num_rows) > _ROWS
    return file.suffix.lower() in _LINES and file.stat().st_size > _BYTES


def _sample(file: Path, folder: Path, *, whole: bool) -> Path:
    """Return a file, or a copy of its first rows where it is large."""
    if whole or not _is_large(file):
        return file.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / file.name
    if file.suffix.lower() in PARQUET:
        with pq.ParquetFile(file) as source:
            pq.write_table(pa.Table.from_batches([next(source.iter_batches(batch_size=_ROWS))]), copy)
    else:
        with file.open("rb") as stream:
            head = stream.read(_BYTES)
        copy.write_bytes(head[: head.rfind(b"\n") + 1])
    stat = file.stat()
    os.utime(copy, (stat.st_atime, stat.st_mtime))
    return copy


def _counted(
    workspace: Workspace, file: FeedsFile, *, sampled: Collection[str], apart: Collection[str]
) -> Iterator[FeedTrial]:
    with open_engine(folders=[workspace.state], resources=engine_resources(workspace)) as engine:
        for name, feed in file.feeds.items():
            staged: dict[str, Any] = read_json(workspace.staged / name / "staged.json")
            table = workspace.unified / f"{feed.kind}.parquet"
            who = "customer_id"
            if name in apart:
                table, who = workspace.staged / name / "rows.parquet", "customer_ref"
            rows, people, amount, first, last = staged["rows"], 0, None, "", ""
            if table.is_file() and CANONICAL[feed.kind].about_customer | (feed.kind == "customers"):
                only = "true" if name in apart else f"feed = {literal(name)}"
                rows, people, amount, first, last = _of_table(engine, table, only, feed.kind, who=who)
            yield FeedTrial(
                name,
                feed.kind,
                staged["rows_read"],
                rows,
                staged["excluded"] + staged["duplicates"],
                staged["rejected"],
                max(staged["rows"] - rows, 0),
                people,
                amount,
                first,
                last,
                name in sampled,
            )


def _of_table(
    engine: duckdb.DuckDBPyConnection, table: Path, only: str, kind: Kind, *, who: str
) -> tuple[int, int, float | None, str, str]:
    source = f"read_parquet({literal(str(table))})"
    columns = {row[0] for row in engine.execute(f"DESCRIBE FROM {source}").fetchall()}
    time = _TIME.get(kind, "event_time")
    amount = "sum(amount)" if "amount" in columns else "NULL"
    timed = (time in columns and CANONICAL[kind].timed) or kind in ("holdings", "consents")
    first, last = (f"strftime({how}({quoted(time)}), '%Y-%m-%d')" if timed else "''" for how in ("min", "max"))
    counts = f"count(*), count(DISTINCT {who}), {amount}, {first}, {last}"
    rows, people, total, begin, end = one_row(engine, f"SELECT {counts} FROM {source} WHERE {only}")
    return int(rows), int(people), None if total is None else float(total), begin or "", end or ""
