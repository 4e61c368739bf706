"""Excel workbooks: one sheet, its title rows left out; every value becomes text."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from python_calamine import CalamineError, CalamineWorkbook

from features.base.errors import BadConfiguration, BadData
from features.config.loading import did_you_mean
from features.ingest.file_shape import SAMPLE, FileShape, find_shape
from features.ingest.foreign_formats import refuse_foreign
from features.ingest.location import FeedFiles
from features.ingest.reader import check_names, create_raw_rows, empty
from features.ingest.typed_numbers import TypedNumbers

SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
_BATCH = 20_000
_HEAD = 4_096
_HARMLESS = 256 << 20
_EXACT = 10**15  # a spreadsheet keeps fifteen digits


class ExcelFiles(FeedFiles):
    """Sheets of one feed, of one header."""

    is_text = True
    is_table_text = True
    may_sniff_decimal = False

    @property
    def columns(self) -> tuple[str, ...]:
        return self._shapes[0].columns

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(note for shape in self._shapes for note in shape.notes))

    @property
    def number_columns(self) -> frozenset[str]:
        """The columns in which every cell is a number."""
        return self._seen[1].columns

    @property
    def _shapes(self) -> list[FileShape]:
        return self._seen[0]

    @cached_property
    def _seen(self) -> tuple[list[FileShape], TypedNumbers]:
        """Where the table stands in each file, and which columns hold numbers."""
        shapes, numbers = [], TypedNumbers(self.declared.decimal)
        for file, name in zip(self.delivered, self.names, strict=True):
            shape, rows = self._sheet(file, name)
            shapes.append(shape)
            for row in rows[: self.rows]:
                numbers.observe(dict(zip(shape.columns, row, strict=False)))
        for shape, name in zip(shapes, self.names, strict=True):
            if shape.columns != shapes[0].columns:
                raise BadData(
                    "feed.header",
                    f"{name} has other columns than {self.names[0]}",
                    where=f"feed {self.feed}",
                    hint="make two feeds of them",
                )
        check_names(self.feed, shapes[0].columns)
        return shapes, numbers

    def load(self, engine: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> None:
        """Create ``raw_rows`` of these columns, all text."""
        schema = pa.schema([(column, pa.string()) for column in columns])
        create_raw_rows(engine, schema, self._batches(schema))

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for file, name in zip(self.delivered, self.names, strict=True):
            shape, rows = self._sheet(file, name)
            places = [shape.columns.index(column) for column in schema.names]
            rows = rows[: self.rows]
            for start in range(0, len(rows), _BATCH):
                part = rows[start : start + _BATCH]
                for number, row in enumerate(part, start=shape.skip + 1 + start):
                    self._refuse_rounded(row, shape.columns, places, f"{name}, row {number}")
                columns = [[self._written(shape.columns[place], row[place]) for row in part] for place in places]
                yield pa.record_batch([pa.array(values, pa.string()) for values in columns], schema=schema)

    def _written(self, column: str, value: Any) -> str | None:
        text = _text(value)
        return self._seen[1].written(column, text) if isinstance(value, float) and text is not None else text

    def _sheet(self, file: Path, name: str) -> tuple[FileShape, list[list[Any]]]:
        """Return where the table stands in the sheet, and its rows."""
        self._refuse_bomb(file, name)
        try:
            book = CalamineWorkbook.from_path(str(file))
            sheet = self.declared.sheet or book.sheet_names[0]
            if sheet not in book.sheet_names:
                raise BadConfiguration(
                    "feed.sheet",
                    f"{name} has no sheet {sheet!r}",
                    where=f"feeds.{self.feed}.sheet",
                    hint=did_you_mean(sheet, book.sheet_names),
                )
            rows = book.get_sheet_by_name(sheet).to_python(skip_empty_area=False)
        except (CalamineError, OSError, IndexError):
            with file.open("rb") as stream:
                head = stream.read(_HEAD).decode("latin-1")
            refuse_foreign(self.feed, name, "" if head.startswith("PK") else head)
            raise BadData(
                "feed.truncated",
                f"{name} is not a whole workbook",
                where=f"feed {self.feed}",
                hint="it is truncated, damaged or locked by a password: deliver it again",
            ) from None
        first = [[_text(value) or "" for value in row] for row in rows[:SAMPLE]]
        if not any(any(row) for row in first):
            raise empty(self.feed, f"the sheet {sheet!r} of {name} has no rows below a header")
        shape = find_shape(first, self.declared, name=self.feed, file=name)
        below = [row for row in rows[shape.skip :] if any(_text(value) for value in row)]
        if not below:
            raise empty(self.feed, f"the sheet {sheet!r} of {name} has no rows below a header")
        return shape, below

    def _refuse_rounded(self, row: list[Any], header: Sequence[str], places: Sequence[int], where: str) -> None:
        for place in places:
            value = row[place]
            if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) >= _EXACT:
                raise BadData(
                    "feed.rounded",
                    f"{where}: the column {header[place]!r} holds a number of more than 15 digits, which Excel rounds",
                    where=f"feed {self.feed}",
                    hint="format the column as text before the numbers are entered, or deliver CSV",
                )

    def _refuse_bomb(self, file: Path, name: str) -> None:
        if not zipfile.is_zipfile(file):
            return
        limit = self.declared.expands_at_most
        with zipfile.ZipFile(file) as parts:
            unpacked = sum(part.file_size for part in parts.infolist())
        if unpacked > _HARMLESS and unpacked > limit * file.stat().st_size:
            raise BadData(
                "feed.bomb",
                f"{name} unpacks to {unpacked // file.stat().st_size:,} times its size: nothing of it was read",
                where=f"feed {self.feed}",
                hint=f"deliver it again, or raise `expands_at_most` (now {limit}) if it is meant",
            )


def _text(value: Any) -> str | None:
    """Return a cell as it would stand in a CSV file."""
    match value:
        case None | "":
            return None
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case float():
            return str(value)
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case datetime() | date() | time():
            return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
        case timedelta():
            return str(value.total_seconds())
        case _:
            return str(value)
