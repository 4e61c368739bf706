"""Find a feed's files, see that they are sound, and offer them to the engine as one relation."""

from __future__ import annotations

import codecs
import csv
import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.base.engine import literal, quoted
from features.base.errors import BadConfiguration, BadData
from features.base.storage import digest_file
from features.declaration.feed import Feed

_CSV = (".csv", ".tsv", ".txt")
_DELIMITERS = ",;\t|"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Source:
    """A feed's files, found and sound.

    Parameters
    ----------
    feed : the feed's name
    files : the files, in name order
    columns : the columns, in the files' order
    delimiter : of CSV files; None for Parquet
    encoding : of CSV files
    fingerprint : SHA-256 of all the files' bytes
    """

    feed: str
    files: tuple[Path, ...]
    columns: tuple[str, ...]
    delimiter: str | None
    encoding: str
    fingerprint: str

    @property
    def is_text(self) -> bool:
        """Whether every value arrives as text (CSV) and still has to be read as what it is."""
        return self.delimiter is not None

    @property
    def relation(self) -> str:
        """The SQL table function that reads the files; CSV values stay text."""
        files = "[" + ", ".join(literal(str(file)) for file in self.files) + "]"
        if self.delimiter is None:
            return f"read_parquet({files}, union_by_name = true)"
        columns = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in self.columns)
        return (
            f"read_csv({files}, auto_detect = false, header = true, delim = {literal(self.delimiter)}, quote = '\"', "
            f"escape = '\"', encoding = {literal(self.encoding)}, columns = {{{columns}}}, "
            "store_rejects = true, rejects_limit = 0, parallel = true)"
        )


def find(name: str, feed: Feed, root: Path) -> Source:
    """Return a feed's files after looking at each of them.

    Parameters
    ----------
    name : the feed's name, for messages
    feed : its declaration
    root : the workspace, which relative patterns start from

    Raises
    ------
    BadData : a file is missing, empty, truncated, not in the declared encoding, or of a kind that cannot be read
    """
    files = tuple(file for pattern in feed.sources for file in _expand(name, pattern, root))
    suffixes = {file.suffix.lower() for file in files}
    headers: list[tuple[str | None, tuple[str, ...]]]
    if suffixes <= set(_CSV):
        headers = [*(_csv_header(name, file, feed) for file in files)]
        delimiter = headers[0][0]
    elif suffixes == {".parquet"}:
        headers = [(None, _parquet_columns(name, file)) for file in files]
        delimiter = None
    else:
        raise BadData(
            "feed.format",
            f"cannot read files of kind {', '.join(sorted(suffixes))} together",
            where=f"feed {name}",
            hint="a feed's files are all CSV (.csv, .tsv, .txt) or all Parquet (.parquet)",
        )
    columns = headers[0][1]
    if delimiter is not None:
        for file, header in zip(files, headers, strict=True):
            if header != headers[0]:
                what = "other columns" if header[1] != columns else "another delimiter"
                raise BadData(
                    "feed.header",
                    f"{file.name} has {what} than {files[0].name}",
                    where=f"feed {name}",
                    hint="make two feeds of them",
                )
    else:
        columns = tuple(dict.fromkeys(column for _, others in headers for column in others))
    _check_names(name, columns)
    fingerprint = "-".join(digest_file(file) for file in files)
    return Source(name, files, columns, delimiter, feed.encoding, fingerprint)


def _check_names(name: str, columns: Sequence[str]) -> None:
    """Refuse columns that the engine cannot tell apart, or that have the names of ours."""
    seen: dict[str, str] = {}
    for column in columns:
        other = seen.setdefault(column.lower(), column)
        if other != column or column.startswith("__") or not column.strip():
            same = f"two columns that differ only in case ({other!r}, {column!r})"
            raise BadData(
                "feed.header",
                f"the files have {same if other != column else f'a column called {column!r}'}",
                where=f"feed {name}",
                hint="rename it; a name may not begin with two underscores",
            )


def _expand(name: str, pattern: str, root: Path) -> Sequence[Path]:
    if "://" in pattern:
        raise BadConfiguration(
            "feed.source",
            "only files are read in this version, no database or object store",
            where=f"feed {name}",
            hint="export the table as Parquet or CSV and name the file",
        )
    found = sorted(Path(match) for match in glob.glob(str(root / pattern), recursive=True))  # noqa: PTH207 - a pattern may be absolute or climb with ..
    files = [path.resolve() for path in found if path.is_file()]
    if not files:
        raise BadData(
            "feed.missing",
            f"no file matches {pattern!r}",
            where=f"feed {name}",
            hint="check `source` in features/feeds.yaml; it starts from the workspace's folder",
        )
    for file in files:
        if file.stat().st_size == 0:
            raise BadData("feed.empty", f"{file.name} is empty", where=f"feed {name}", hint="deliver the file again")
    return files


def _parquet_columns(name: str, file: Path) -> tuple[str, ...]:
    try:
        metadata = pq.read_metadata(file)
    except (pa.ArrowException, OSError):
        raise BadData(
            "feed.truncated",
            f"{file.name} is not a whole Parquet file",
            where=f"feed {name}",
            hint="it is truncated or damaged: deliver it again",
        ) from None
    if metadata.num_rows == 0:
        raise BadData("feed.empty", f"{file.name} has no rows", where=f"feed {name}", hint="deliver the file again")
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            if metadata.row_group(group).column(column).compression == "BROTLI":
                raise BadData(
                    "feed.codec",
                    f"{file.name} is compressed with Brotli",
                    where=f"feed {name}",
                    hint="write it with zstd",
                )
    return tuple(metadata.schema.to_arrow_schema().names)


def _csv_header(name: str, file: Path, feed: Feed) -> tuple[str, tuple[str, ...]]:
    first = _checked_first_line(name, file, feed.encoding)
    bare = re.sub('"[^"]*"', "", first)
    delimiter = feed.delimiter or max(_DELIMITERS, key=bare.count)
    columns = tuple(next(csv.reader([first], delimiter=delimiter), []))
    others = [mark for mark in _DELIMITERS if mark != delimiter and bare.count(mark) > 0]
    if len(columns) == 1 and others:
        raise BadData(
            "feed.delimiter",
            f"{file.name} has one column when split at {delimiter!r}",
            where=f"feed {name}",
            hint=f"its header holds {others[0]!r}: set `delimiter` to that, or leave it out",
        )
    repeated = sorted({column for column in columns if columns.count(column) > 1})
    if repeated or "" in columns:
        raise BadData(
            "feed.header",
            f"{file.name} has {'two columns ' + repr(repeated[0]) if repeated else 'a column without a name'}",
            where=f"feed {name}",
            hint="give each column a name of its own",
        )
    return delimiter, columns


def _checked_first_line(name: str, file: Path, encoding: str) -> str:
    """Return the header after decoding the whole file once, so that a bad byte is found before anything is used."""
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)()
    first, lines, complete, rows = "", 0, False, False
    with file.open("rb") as stream:
        while True:
            chunk = stream.read(_CHUNK)
            if encoding == "utf-16" and not lines and chunk.startswith(codecs.BOM_UTF16_BE):
                raise BadData(
                    "feed.encoding",
                    f"{file.name} is UTF-16 with the high byte first",
                    where=f"feed {name}",
                    hint="save it as UTF-8, or as UTF-16 with the low byte first (UTF-16LE)",
                )
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line = lines + 1 + chunk[: error.start].count(b"\n")
                raise BadData(
                    "feed.encoding",
                    f"{file.name} is not {encoding}: line {line} holds a byte that cannot be read",
                    where=f"feed {name}",
                    hint="set `encoding` to latin-1 or utf-16, or save the file as UTF-8",
                ) from None
            if "\x00" in text:
                line = lines + 1 + text[: text.index("\x00")].count("\n")
                raise BadData(
                    "feed.nul",
                    f"{file.name} holds a NUL character near line {line}",
                    where=f"feed {name}",
                    hint="it may be UTF-16 (set `encoding`), or damaged: deliver it again",
                )
            if complete:
                rows = rows or bool(text.strip())
            else:
                head, newline, rest = text.partition("\n")
                first, complete, rows = first + head, bool(newline), bool(rest.strip())
            lines += text.count("\n")
            if not chunk:
                break
    if not rows:
        raise BadData(
            "feed.empty", f"{file.name} has a header and no rows", where=f"feed {name}", hint="deliver the file again"
        )
    return first.rstrip("\r")


def select_all(source: Source) -> str:
    """Return SQL that reads every column and the row's ordinal over all the files, from 1."""
    columns = ", ".join(quoted(column) for column in source.columns)
    return f"SELECT row_number() OVER () AS __row, {columns} FROM {source.relation}"
