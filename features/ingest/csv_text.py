"""CSV: the header, delimiter and encoding, declared or found; every byte is decoded before a row is used."""

from __future__ import annotations

import codecs
import csv
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, islice
from pathlib import Path

import duckdb

from features.base.database_engine import literal, one_row, quoted
from features.base.errors import BadData
from features.ingest.file_shape import SAMPLE, FileShape, find_shape, modal_width
from features.ingest.foreign_formats import refuse_foreign
from features.ingest.location import FeedFiles, Found
from features.ingest.reader import RAW, check_names, empty

SUFFIXES = (".csv", ".tsv", ".txt")
_DELIMITERS = ",;\t|"
_CHUNK = 1 << 20
_HEAD = 1 << 18
_UNNAMED = "__unnamed"
_SEPARATOR = re.compile(r'"?sep=(.)"?\r?$', re.IGNORECASE)


@dataclass(frozen=True)
class _Text:
    """What one pass over a file's text finds.

    Parameters
    ----------
    head : its beginning
    tail : its end; empty where it was not reached
    line_ends : which of CR LF, LF and CR occur
    """

    head: str
    tail: str
    line_ends: frozenset[str]


class CsvFiles(FeedFiles):
    """CSV files of one feed: one header, one delimiter, one encoding; every value stays text."""

    is_text = True
    is_table_text = True
    may_sniff_decimal = True

    @property
    def columns(self) -> tuple[str, ...]:
        return self._shapes[0][1].columns

    @property
    def notes(self) -> tuple[str, ...]:
        mixed = ["lines end in different ways (mixed line ends)"] if self._mixed else []
        return tuple(dict.fromkeys([*(note for _, shape in self._shapes for note in shape.notes), *mixed]))

    @property
    def footers(self) -> tuple[str, ...]:
        """Lines of text below the last row of each file."""
        shaped = zip(self._texts.values(), self._shapes, strict=True)
        return tuple(line for text, (mark, shape) in shaped for line in _footer(text.tail, mark, len(shape.columns)))

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The files on this machine; of one with mixed line ends, a copy in which all lines end alike."""
        mixed = self._mixed
        return tuple(self._with_one_line_end(file) if file in mixed else file for file in self.delivered)

    def close(self) -> None:
        """Remove what was fetched or copied."""
        super().close()
        for folder in self._copies:
            shutil.rmtree(folder, ignore_errors=True)

    @cached_property
    def encoding(self) -> str:
        return self.declared.encoding or _encoding(self.delivered[0])

    @cached_property
    def _copies(self) -> list[Path]:
        return []

    @cached_property
    def _texts(self) -> dict[Path, _Text]:
        return {
            file: _checked_text(self.feed, file, found, self.encoding, whole=self.rows is None)
            for file, found in zip(self.delivered, self.located.files, strict=True)
        }

    @cached_property
    def _mixed(self) -> frozenset[Path]:
        doubtful = [file for file, text in self._texts.items() if len(text.line_ends) > 1]
        return frozenset(file for file in doubtful if len(_line_ends_outside_quotes(file, self.encoding)) > 1)

    @cached_property
    def _shapes(self) -> list[tuple[str, FileShape]]:
        """The delimiter and the shape of every file; all have the same columns."""
        shapes = [
            self._shape_of(text.head, found)
            for text, found in zip(self._texts.values(), self.located.files, strict=True)
        ]
        for found, (delimiter, shape) in zip(self.located.files, shapes, strict=True):
            if (delimiter, shape.columns) != (shapes[0][0], shapes[0][1].columns):
                what = "other columns" if shape.columns != shapes[0][1].columns else "another delimiter"
                raise BadData(
                    "feed.header",
                    f"{found.name} has {what} than {self.located.files[0].name}",
                    where=f"feed {self.feed}",
                    hint="make two feeds of them",
                )
        check_names(self.feed, shapes[0][1].columns)
        return shapes

    def load(self, engine: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> None:
        """Create ``raw_rows``; lines that are no rows stand in ``reject_errors`` afterwards."""
        alike = groupby(
            zip(self.files, self._shapes, strict=True), key=lambda each: (each[1][1].skip, each[1][1].unnamed)
        )
        parts = [self._read(*shape, [file for file, _ in group]) for shape, group in alike]
        unnamed = sorted({name for _, shape in self._shapes for name in _unnamed(shape.unnamed)})
        selected = ", ".join(quoted(column) for column in (*columns, *unnamed))
        limit = "" if self.rows is None else f"LIMIT {self.rows:d}"
        engine.execute(
            f"""
            CREATE TEMP TABLE {RAW} AS
            SELECT row_number() OVER () AS __row, {selected} FROM ({" UNION ALL BY NAME ".join(parts)} {limit})
            """
        )
        for column in unnamed:
            if one_row(engine, f"SELECT count({quoted(column)}) FROM {RAW}")[0]:
                raise BadData(
                    "feed.header",
                    f"{self.names[0]} has values in a column without a name",
                    where=f"feed {self.feed}",
                    hint="give each column a name of its own",
                )
            engine.execute(f"ALTER TABLE {RAW} DROP {quoted(column)}")

    def _read(self, skip: int, unnamed: int, files: Sequence[Path]) -> str:
        names = (*self.columns, *_unnamed(unnamed))
        types = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in names)
        listed = "[" + ", ".join(literal(str(file)) for file in files) + "]"
        return f"""
            SELECT * FROM read_csv(
                {listed}, auto_detect = false, header = false, skip = {skip:d}, delim = {literal(self._shapes[0][0])},
                quote = '"', escape = '"', encoding = {literal(self.encoding)}, columns = {{{types}}},
                store_rejects = true, rejects_limit = 0, parallel = true
            )
            """

    def _shape_of(self, head: str, found: Found) -> tuple[str, FileShape]:
        first = head.partition("\n")[0].rstrip("\r")
        separator = _SEPARATOR.match(first)
        delimiter = self.declared.delimiter or (separator[1] if separator else _delimiter(head))
        rows = _rows(head, delimiter)
        if separator:
            rows = [[], *rows[1:]]
        width, _ = modal_width(rows)
        bare = re.sub('"[^"]*"', "", first)
        others = [mark for mark in _DELIMITERS if mark != delimiter and mark in bare]
        if width <= 1 and others:
            raise BadData(
                "feed.delimiter",
                f"{found.name} has one column when split at {delimiter!r}",
                where=f"feed {self.feed}",
                hint=f"its header holds {others[0]!r}: set `delimiter` to that, or leave it out",
            )
        return delimiter, find_shape(rows, self.declared, name=self.feed, file=found.name)

    def _with_one_line_end(self, file: Path) -> Path:
        """Return a copy of a file in which each line ends with LF; inside quotes nothing is changed."""
        folder = Path(tempfile.mkdtemp(prefix="lines-"))
        self._copies.append(folder)
        copy = folder / file.name
        with copy.open("w", encoding=self.encoding, newline="") as out:
            for outside, text in _parted_at_quotes(file, self.encoding):
                out.write(re.sub("\r\n?", "\n", text) if outside else text)
        return copy


def _unnamed(count: int) -> tuple[str, ...]:
    return tuple(f"{_UNNAMED}{number}" for number in range(count))


def _rows(head: str, delimiter: str) -> list[list[str]]:
    """Return the first rows of a text; a last one that may be cut off is left out."""
    lines = re.split("\r\n|\n|\r", head)
    whole = lines if len(head) < _HEAD else lines[:-1]
    rows: list[list[str]] = []
    with suppress(csv.Error):  # a cell that does not end: the engine names its line
        rows.extend(islice(csv.reader((line + "\n" for line in whole), delimiter=delimiter), SAMPLE))
    return rows


def _footer(tail: str, delimiter: str, width: int) -> list[str]:
    """Return the last lines that are one cell, where a row has more than two."""
    found: list[str] = []
    lines = [line for line in re.split("\r\n|\n|\r", tail) if line.strip()]
    for line in reversed(lines[1:] if width > 2 else ()):
        with suppress(csv.Error):
            if [len(row) for row in csv.reader([line], delimiter=delimiter)] == [1]:
                found.append(line.strip())
                continue
        break
    cut_off = len(found) == 1 and not tail.endswith(("\n", "\r"))  # a row that was not written to its end
    return [] if cut_off else found


def _delimiter(head: str) -> str:
    """Return the delimiter that parts the header and the rows below it into equally many cells."""
    first = re.sub('"[^"]*"', "", head.partition("\n")[0])
    named = max(_DELIMITERS, key=first.count)
    best, most = named, (0.0, False, 0)
    for mark in _DELIMITERS:
        rows = _rows(head, mark)
        width, share = modal_width(rows)
        if width > 1:
            found = (round(share, 1), mark == named and len(rows[0]) > 1, width)
            best, most = (mark, found) if found > most else (best, most)
    return best


def _encoding(file: Path) -> str:
    """Return what the file's first bytes say of its encoding; nothing else is guessed."""
    with file.open("rb") as stream:
        first = stream.read(2)
    return "utf-16" if first in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8"


def _chunks(file: Path, encoding: str) -> Iterator[str]:
    """Yield the text of a file; a line end is never parted."""
    with file.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="") as stream:
        held = ""
        while chunk := stream.read(_CHUNK):
            chunk = held + chunk
            held = "\r" if chunk.endswith("\r") else ""
            yield chunk.removesuffix(held)
        yield held


def _parted_at_quotes(file: Path, encoding: str) -> Iterator[tuple[bool, str]]:
    """Yield a file's text in pieces, and whether each stands outside quotation marks."""
    outside = True
    for chunk in _chunks(file, encoding):
        for number, piece in enumerate(chunk.split('"')):
            if number:
                outside = not outside
                yield outside, '"'
            yield outside, piece


def _line_ends_outside_quotes(file: Path, encoding: str) -> frozenset[str]:
    found: set[str] = set()
    for outside, text in _parted_at_quotes(file, encoding):
        if outside:
            found.update(re.findall("\r\n|\n|\r", text))
    return frozenset(found)


def _checked_text(name: str, file: Path, found: Found, encoding: str, *, whole: bool) -> _Text:
    """Return the beginning and the line ends of a file after decoding it, so that a bad byte is found before use.

    Parameters
    ----------
    name : the feed
    file : where it lies
    found : what it is called
    encoding : declared or found
    whole : whether all of it is decoded, or its first part only
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)()
    head, tail, lines, rows, held = "", "", 0, False, ""
    returns = news = pairs = 0
    with file.open("rb") as stream:
        while True:
            chunk = stream.read(_CHUNK)
            if encoding == "utf-16" and not lines and chunk.startswith(codecs.BOM_UTF16_BE):
                raise BadData(
                    "feed.encoding",
                    f"{found.name} is UTF-16 with the high byte first",
                    where=f"feed {name}",
                    hint="save it as UTF-8, or as UTF-16 with the low byte first (UTF-16LE)",
                )
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeError as error:  # of UTF-16 without its mark it does not say where
                start = error.start if isinstance(error, UnicodeDecodeError) else 0
                line = lines + 1 + chunk[:start].count(b"\n")
                if not head:
                    refuse_foreign(name, found.name, chunk.decode("latin-1"))
                raise BadData(
                    "feed.encoding",
                    f"{found.name} is not {encoding}: line {line} holds a byte that cannot be read",
                    where=f"feed {name}",
                    hint="set `encoding` to latin-1 or utf-16, or save the file as UTF-8",
                ) from None
            if not head:
                refuse_foreign(name, found.name, text[:_CHUNK])
            if "\x00" in text:
                line = lines + 1 + text[: text.index("\x00")].count("\n")
                raise BadData(
                    "feed.nul",
                    f"{found.name} holds a NUL character near line {line}",
                    where=f"feed {name}",
                    hint="it may be UTF-16 (set `encoding`), or damaged: deliver it again",
                )
            if len(head) < _HEAD:
                head += text[: _HEAD - len(head)]
            returns, news = returns + text.count("\r"), news + text.count("\n")
            pairs += text.count("\r\n") + (held == "\r" and text.startswith("\n"))
            rows = rows or bool(re.search(r"[\r\n]\s*[^\s]", head if lines == 0 else held + "\n" + text))
            held = text[-1:] or held
            lines += text.count("\n")
            tail = (tail + text)[-_HEAD:]
            if not chunk or not whole:
                break
    if not rows:
        raise empty(name, f"{found.name} has a header and no rows")
    ends = {"\r\n": pairs, "\n": news - pairs, "\r": returns - pairs}
    return _Text(head, "" if chunk else tail, frozenset(end for end, count in ends.items() if count))
