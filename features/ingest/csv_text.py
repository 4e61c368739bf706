"""CSV: the header, delimiter and encoding, declared or found; every byte is decoded before a row is used."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import duckdb

from features.base.database_engine import literal, quoted
from features.base.errors import BadData
from features.ingest.location import FeedFiles
from features.ingest.reader import RAW, check_header, check_names, empty

SUFFIXES = (".csv", ".tsv", ".txt")
_DELIMITERS = ",;\t|"
_CHUNK = 1 << 20


class CsvFiles(FeedFiles):
    """CSV files of one feed: one header, one delimiter, one encoding; every value stays text."""

    is_text = True

    @property
    def may_sniff_decimal(self) -> bool:
        return self._header[0] != ","

    @property
    def columns(self) -> tuple[str, ...]:
        return self._header[1]

    @cached_property
    def encoding(self) -> str:
        return self.declared.encoding or _encoding(self.files[0])

    @cached_property
    def _header(self) -> tuple[str, tuple[str, ...]]:
        headers = [
            self._header_of(file, found.name) for file, found in zip(self.files, self.located.files, strict=True)
        ]
        for found, header in zip(self.located.files, headers, strict=True):
            if header != headers[0]:
                what = "other columns" if header[1] != headers[0][1] else "another delimiter"
                raise BadData(
                    "feed.header",
                    f"{found.name} has {what} than {self.located.files[0].name}",
                    where=f"feed {self.feed}",
                    hint="make two feeds of them",
                )
        check_names(self.feed, headers[0][1])
        return headers[0]

    def load(self, engine: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> None:
        """Create ``raw_rows``; lines that are no rows stand in ``reject_errors`` afterwards."""
        delimiter, header = self._header
        files = "[" + ", ".join(literal(str(file)) for file in self.files) + "]"
        types = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in header)
        engine.execute(
            f"""
            CREATE TEMP TABLE {RAW} AS
            SELECT row_number() OVER () AS __row, {", ".join(quoted(column) for column in columns)}
            FROM read_csv(
                {files}, auto_detect = false, header = true, delim = {literal(delimiter)}, quote = '"', escape = '"',
                encoding = {literal(self.encoding)}, columns = {{{types}}}, store_rejects = true, rejects_limit = 0,
                parallel = true
            )
            """
        )

    def _header_of(self, file: Path, called: str) -> tuple[str, tuple[str, ...]]:
        first = _checked_first_line(self.feed, file, called, self.encoding)
        bare = re.sub('"[^"]*"', "", first)
        delimiter = self.declared.delimiter or max(_DELIMITERS, key=bare.count)
        columns = tuple(next(csv.reader([first], delimiter=delimiter), []))
        others = [mark for mark in _DELIMITERS if mark != delimiter and bare.count(mark) > 0]
        if len(columns) == 1 and others:
            raise BadData(
                "feed.delimiter",
                f"{called} has one column when split at {delimiter!r}",
                where=f"feed {self.feed}",
                hint=f"its header holds {others[0]!r}: set `delimiter` to that, or leave it out",
            )
        check_header(self.feed, called, columns)
        return delimiter, columns


def _encoding(file: Path) -> str:
    """Return what the file's first bytes say of its encoding; nothing else is guessed."""
    with file.open("rb") as stream:
        first = stream.read(2)
    return "utf-16" if first in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8"


def _checked_first_line(name: str, file: Path, called: str, encoding: str) -> str:
    """Return the header after decoding the whole file once, so that a bad byte is found before anything is used."""
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)()
    first, lines, complete, rows = "", 0, False, False
    with file.open("rb") as stream:
        while True:
            chunk = stream.read(_CHUNK)
            if encoding == "utf-16" and not lines and chunk.startswith(codecs.BOM_UTF16_BE):
                raise BadData(
                    "feed.encoding",
                    f"{called} is UTF-16 with the high byte first",
                    where=f"feed {name}",
                    hint="save it as UTF-8, or as UTF-16 with the low byte first (UTF-16LE)",
                )
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeError as error:  # of UTF-16 without its mark it does not say where
                start = error.start if isinstance(error, UnicodeDecodeError) else 0
                line = lines + 1 + chunk[:start].count(b"\n")
                raise BadData(
                    "feed.encoding",
                    f"{called} is not {encoding}: line {line} holds a byte that cannot be read",
                    where=f"feed {name}",
                    hint="set `encoding` to latin-1 or utf-16, or save the file as UTF-8",
                ) from None
            if "\x00" in text:
                line = lines + 1 + text[: text.index("\x00")].count("\n")
                raise BadData(
                    "feed.nul",
                    f"{called} holds a NUL character near line {line}",
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
        raise empty(name, f"{called} has a header and no rows")
    return first.rstrip("\r")
