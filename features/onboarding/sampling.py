"""Read the sources for a proposal: find their files, detect how they are written, and profile them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from glob import escape
from pathlib import Path

import duckdb

from features.base.database_engine import quoted
from features.base.errors import BadData, NextbestError, UsageError
from features.base.progress import Progress
from features.config.canonical import snake_case
from features.config.feed import Feed
from features.ingest import csv_text, excel, json_rows, parquet_files
from features.ingest.reader import RAW
from features.ingest.source import find
from features.onboarding.column_profile import ROWS, profile_table
from features.onboarding.proposal import ProfiledSource, Reasoned

#: Files that a folder is searched for.
_KINDS = (*csv_text.SUFFIXES, *parquet_files.SUFFIXES, *json_rows.SUFFIXES, *excel.SUFFIXES)
_ENCODINGS = ("utf-16", "latin-1")
_COMMAS = 0.9


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
    """Return a source with its profile; its rows, up to two million, stay in the engine.

    Parameters
    ----------
    engine : may read the source's files
    name, source : the feed
    settings : how it has to be read, as `settings_of` found it
    root : the workspace
    """
    found = find(name, _feed(source, settings, root), root)
    table = quoted(f"given_{name}")
    try:
        found.load(engine, found.columns)
        engine.execute(f"CREATE TEMP TABLE {table} AS SELECT * EXCLUDE (__row) FROM {RAW} LIMIT {ROWS}")
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
    profile = profile_table(engine, f"given_{name}", typed=not found.is_text)
    if found.is_text and any(column.share("comma") >= _COMMAS for column in profile.columns.values()):
        settings = settings | {"decimal": Reasoned("','", "numbers are written 1.234,56")}
    return ProfiledSource(name, source, profile, settings)


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
    """Return a source's files after looking at each of them."""
    found = find(name, _feed(source, settings, root), root)
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
    mapped = {"encoding": encoding.value} if encoding is not None else {}
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
