"""The reader of a feed's source, by the scheme of its address or the suffix of its files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from features.base.errors import BadData
from features.base.workspace import reveal
from features.config.feed import Feed
from features.config.loading import did_you_mean
from features.ingest import csv_text, database, excel, json_rows, parquet_files
from features.ingest.foreign_formats import refuse_foreign
from features.ingest.location import locate
from features.ingest.reader import FeedSource

_FORMATS: dict[str, Callable[..., FeedSource]] = {
    **dict.fromkeys(csv_text.SUFFIXES, csv_text.CsvFiles),
    **dict.fromkeys(parquet_files.SUFFIXES, parquet_files.ParquetFiles),
    **dict.fromkeys(json_rows.SUFFIXES, json_rows.JsonFiles),
    **dict.fromkeys(excel.SUFFIXES, excel.ExcelFiles),
}

_SQLITE = (".db", ".db3", ".sqlite", ".sqlite3")


def find(name: str, feed: Feed, root: Path, *, rows: int | None = None) -> FeedSource:
    """Return a feed's source; its rows are not read yet.

    Parameters
    ----------
    name : the feed's name, for messages
    feed : its declaration
    root : the workspace, which relative paths start from
    rows : how many rows are read of files, from the first; then their digests are not of their bytes

    Raises
    ------
    BadData : nothing is there, or the files are of a kind that cannot be read, or of several kinds
    BadConfiguration : the address or a secret in it cannot be used
    Unreachable : an object store does not answer
    """
    where = f"feeds.{name}.source"
    if any(database.is_address(source) for source in feed.sources) or feed.is_database:
        return database.open_table(name, feed, feed.sources[0], root)
    sources = [reveal(source, root=root, where=where) for source in feed.sources]
    if any(database.is_address(source) for source in sources):
        return database.open_table(name, feed, feed.sources[0], root)
    located = locate(name, feed, sources, root, compare=rows is None)
    suffixes = sorted({file.suffix for file in located.files})
    formats = {_FORMATS.get(suffix) for suffix in suffixes}
    if len(formats) == 1 and (kind := formats.pop()) is not None:
        return kind(name, feed, located, rows)
    for file in located.files:
        refuse_foreign(name, file.name)
    odd = next((suffix for suffix in suffixes if suffix not in _FORMATS), "")
    near = did_you_mean(odd, list(_FORMATS)) if odd else "make a feed of each kind"
    if odd in _SQLITE:
        near = "a SQLite file is read as `source: sqlite:///PATH` with `table:` or `query:`"
    together = " together" if len(suffixes) > 1 else ""
    raise BadData(
        "feed.format",
        f"cannot read files of kind {', '.join(suffix or 'without a suffix' for suffix in suffixes)}{together}",
        where=f"feed {name}",
        hint=f"a feed's files are all CSV, all Parquet, all JSON or all Excel; {near}",
    )
