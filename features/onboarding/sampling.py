"""Read the sources for a proposal: find their files, detect how they are written, and profile them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from glob import escape
from pathlib import Path
from typing import Any

import duckdb
import yaml

from features.base.database_engine import one_row, quoted
from features.base.errors import BadData, NextbestError, UsageError
from features.base.progress import Progress
from features.config.canonical import snake_case
from features.config.feed import Feed
from features.ingest import csv_text, excel, json_rows, parquet_files
from features.ingest.raw_rows import read_rows
from features.ingest.reader import RAW, empty
from features.ingest.source import find
from features.onboarding.column_profile import MANY_GROUPS, TableProfile, profile_table, stands_once
from features.onboarding.proposal import ProfiledSource, Reasoned

#: Files that a folder is searched for.
_KINDS = (*csv_text.SUFFIXES, *parquet_files.SUFFIXES, *json_rows.SUFFIXES, *excel.SUFFIXES)
_ENCODINGS = ("utf-16", "latin-1")
#: Cells of a source that are looked at, and rows of it at least; of a larger source its first rows.
_CELLS = 400_000
_ROWS = 20_000
_COMMAS = 0.9
_LARGE = 64 << 20


def name_sources(asked: Sequence[str], *, here: Path, root: Path) -> dict[str, str]:
    """Return a feed's name and its source, as the workspace will write it, for each source asked for.

    Parameters
    ----------
    asked : files, folders (each file in them), patterns (one source), or addresses
    here : the folder that relative paths start from
    root : the workspace; a relative path is written as seen from it, an absolute one as it is

    Raises
    ------
    UsageError : there is no such file
    """
    named: dict[str, str] = {}
    for source, stem, parent in (one for text in asked for one in _expand(text, here)):
        seen = (
            source if "://" in source or Path(source).is_absolute() else os.path.relpath(here / source, root.resolve())
        )
        if seen in named.values():
            continue
        name = _name(stem)
        if name in named:
            name = _name(f"{parent}_{stem}")
        tries = [name, *(f"{name}_{number}" for number in range(2, len(named) + 3))]
        named[next(one for one in tries if one not in named)] = seen
    return named


def read_source(
    engine: duckdb.DuckDBPyConnection, name: str, source: str, settings: dict[str, Reasoned], *, root: Path
) -> ProfiledSource:
    """Return a source with its profile; the rows that were looked at stay in the engine.

    Parameters
    ----------
    engine : may read the source's files
    name, source : the feed
    settings : how it has to be read, as `settings_of` found it
    root : the workspace
    """
    table = f"given_{name}"
    profile, delivered, notes = _profiled(engine, table, name, source, settings, root)
    continued = _continued(engine, profile)
    if continued is not None:
        settings = settings | {"fill_down": continued}
        profile, delivered, notes = _profiled(engine, table, name, source, settings, root)
    is_text = any(column.sql_type == "VARCHAR" and not column.stays_text for column in profile.columns.values())
    if is_text and any(column.share("comma") >= _COMMAS for column in profile.columns.values()):
        settings = settings | {"decimal": Reasoned("','", "numbers are written 1.234,56")}
    return ProfiledSource(name, source, profile, settings, notes, delivered)


def _profiled(
    engine: duckdb.DuckDBPyConnection, table: str, name: str, source: str, settings: dict[str, Reasoned], root: Path
) -> tuple[TableProfile, str, tuple[str, ...]]:
    """Read the first rows of a source into a table; return its profile, when it was written, and notes on its shape."""
    feed = _feed(source, settings, root)
    found = find(name, feed, root, rows=_ROWS)
    most = max(_ROWS, _CELLS // max(len(found.columns), 1))
    found.close()
    found = find(name, feed, root, rows=most)
    try:
        notes = read_rows(engine, found, feed, found.columns).notes
        engine.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(table)} AS SELECT * EXCLUDE (__row) FROM {RAW}")
        (rows,) = one_row(engine, f"SELECT count(*) FROM {RAW}")
        engine.execute(f"DROP TABLE {RAW}")
    except duckdb.Error as error:
        raise BadData(
            "feed.unreadable",
            f"the file cannot be read ({type(error).__name__})",
            where=f"feed {name}",
            hint="it is damaged, or not of the kind that its name says: deliver it again",
        ) from None
    finally:
        found.close()
    if not rows:
        raise empty(name, "the file has no row")
    profile = profile_table(engine, table, typed=not found.is_text, complete=rows < most)
    return profile, found.loaded_at.strftime("%Y-%m-%d %H:%M:%S"), notes


def _continued(engine: duckdb.DuckDBPyConnection, profile: TableProfile) -> Reasoned | None:
    """Return how blank cells of an order's further rows are filled; None where its first row says nothing alone."""
    columns = list(profile.columns.values())
    for shape in ("dated", "email"):
        shaped = [column for column in columns if column.share(shape) > 0.8]
        if any(column.share_filled > 0.98 for column in shaped):
            continue
        for group in columns:
            if group.share_filled < 0.99 or group.share("code") < 0.9 or not group.distinct * 1.05 < profile.rows:
                continue
            if group.distinct == 1 and not group.meaning & {"order", "invoice"} and not group.share("hash"):
                continue  # of one order any column is the same on each line: its name has to say that it is the order's
            heads = [
                column
                for column in columns
                if column.filled == group.distinct and stands_once(engine, profile.table, group.name, column.name)
            ]
            if any(column in shaped for column in heads) and (group.distinct >= MANY_GROUPS or len(heads) > 1):
                filled = [column.name for column in heads if not column.share("amount") > 0.9]
                listed = ", ".join(json.dumps(name, ensure_ascii=False) for name in filled)
                text = f"{{columns: [{listed}], within: {json.dumps(group.name, ensure_ascii=False)}}}"
                return Reasoned(text, f"they stand on the first row of each {group.name} alone")
    return None


def settings_of(name: str, source: str, *, root: Path) -> tuple[dict[str, Reasoned], tuple[Path, ...]]:
    """Return how a source has to be read, and its files.

    Raises
    ------
    BadData : it cannot be read in any way that is known
    """
    try:
        return {}, _files(name, source, {}, root)
    except BadData as error:
        if error.first.code not in ("feed.encoding", "feed.nul"):
            raise
        first = error
    for encoding in _ENCODINGS:
        settings = {"encoding": Reasoned(encoding, "the file is not UTF-8")}
        try:
            return settings, _files(name, source, settings, root)
        except (NextbestError, UnicodeError):
            continue
    raise first


def read_sources(
    engine: duckdb.DuckDBPyConnection,
    sources: dict[str, str],
    settings: dict[str, dict[str, Reasoned]],
    progress: Progress,
    *,
    root: Path,
) -> list[ProfiledSource]:
    """Return every source with its profile."""
    progress.step("looking at what the files hold", total=len(sources))
    given = []
    for name, source in sources.items():
        given.append(read_source(engine, name, source, settings[name], root=root))
        progress.advance()
    return given


def _files(name: str, source: str, settings: dict[str, Reasoned], root: Path) -> tuple[Path, ...]:
    """Return a source's files after looking at each of them, at the beginning of large ones."""
    local = root / source
    large = local.is_file() and local.stat().st_size > _LARGE
    found = find(name, _feed(source, settings, root), root, rows=_ROWS if large else None)
    try:
        if not found.columns:
            raise BadData("feed.empty", "there is no column", where=f"feed {name}", hint="deliver the file again")
        return tuple(found.files)
    finally:
        found.close()


def _feed(source: str, settings: dict[str, Reasoned], root: Path) -> Feed:
    """Return a feed that only reads; its path does not climb out of a workspace that is not there yet."""
    if "://" not in source:
        source = os.path.normpath(root / source)
    encoding = settings.get("encoding")
    mapped: dict[str, Any] = {"encoding": encoding.value} if encoding is not None else {}
    if "fill_down" in settings:
        mapped["fill_down"] = yaml.safe_load(settings["fill_down"].value)
    return Feed.model_validate({"source": source, "kind": "customers", "key": "row", **mapped})


def _expand(text: str, here: Path) -> Iterator[tuple[str, str, str]]:
    """Yield each source of what was asked for: as the workspace's pattern, with the stem and parent of its name."""
    if "://" in text:
        yield text, re.sub(r"[?#].*", "", text).rstrip("/").rsplit("/", 1)[-1], ""
        return
    path = here / text
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in _KINDS and file.is_file())
        if not files:
            raise UsageError(
                "init.no_files", f"the folder {text} holds no file that can be read", hint=f"kinds: {', '.join(_KINDS)}"
            )
        for file in files:
            yield escape(str(Path(text) / file.name)), file.stem, file.parent.name
        return
    if path.is_file():
        yield escape(text), path.stem, path.resolve().parent.name
        return
    if not any(mark in text for mark in "*?["):
        raise UsageError(
            "init.no_file", f"there is no file {text}", hint="name files, folders or patterns after --from"
        )
    stem = re.sub(r"[*?\[\]]+", "", Path(text).stem).strip("_-. ")
    yield text, stem or Path(text).parent.name, Path(text).parent.parent.name


def _name(stem: str) -> str:
    """Return a feed's name made of a file's: small letters, digits and underscores, a letter first."""
    name = re.sub(r"_+", "_", snake_case(stem))
    return name if name[:1].isalpha() and name.isascii() else f"feed_{name}"
