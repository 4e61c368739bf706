"""JSON: one row a line, or a document that holds a list of rows; nested objects and short lists are parted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from features.base.errors import BadData
from features.config.canonical import snake_case
from features.ingest.declared_columns import declared_columns
from features.ingest.json_lists import ListShapes
from features.ingest.location import FeedFiles
from features.ingest.reader import check_names, create_raw_rows, empty
from features.ingest.typed_numbers import StoredNumber, TypedNumbers

SUFFIXES = (".jsonl", ".ndjson", ".json")
_BATCH = 20_000
_DEEP = 20
_DEPTH = 3
#: Words in the names of members that stand beside the rows of a page and belong to none of them.
_PAGING = re.compile(
    "((count|cursor|first|has|last|limit|links?|meta(data)?|more|next|object|offset|pages?|paging|pagination|per|prev"
    "|previous|self|size|start|status|success|token|total|url|version)(_|$))+"
)


class JsonFiles(FeedFiles):
    """JSON files of one feed.

    ``{"address": {"city": "Bath"}}`` gives a column ``address.city``. Every value stays text, numbers digit for digit
    as they are written, so that no long number is rounded; it is read as what it is later, like CSV.
    """

    is_text = True
    is_table_text = False
    may_sniff_decimal = False

    @cached_property
    def columns(self) -> tuple[str, ...]:
        names, _ = self._seen
        check_names(self.feed, tuple(names))
        return tuple(names)

    @property
    def number_columns(self) -> frozenset[str]:
        """The columns in which every value is a JSON number."""
        return self._seen[1].columns

    @cached_property
    def _seen(self) -> tuple[dict[str, None], TypedNumbers]:
        """The columns, and which of them hold JSON numbers."""
        lists, names, numbers = self._observed
        if lists.any:
            for row in self._flat_rows():
                names.update(dict.fromkeys(row))
                numbers.observe(row)
        return names, numbers

    @cached_property
    def _observed(self) -> tuple[ListShapes, dict[str, None], TypedNumbers]:
        """How the lists of all rows are read, and what `_seen` holds where there is no list."""
        lists, names, numbers = ListShapes(), dict[str, None](), TypedNumbers(self.declared.decimal)
        for file, name in zip(self.files, self.names, strict=True):
            read = False
            for place, row in islice(self._objects(file, name), self.rows):
                try:
                    lists.observe(row)
                    flat = {} if lists.any else _encodable(lists.flatten(row))
                except (RecursionError, UnicodeEncodeError):
                    raise self._nested(name, place) from None
                names.update(dict.fromkeys(flat))
                numbers.observe(flat)
                read = True
            if not read:
                raise empty(self.feed, f"{name} has no rows")
        return (lists, {}, TypedNumbers(self.declared.decimal)) if lists.any else (lists, names, numbers)

    def load(self, engine: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> None:
        """Create ``raw_rows`` of these columns, all text."""
        schema = pa.schema([(column, pa.string()) for column in columns])
        create_raw_rows(engine, schema, self._batches(schema))

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        rows: list[dict[str, str | None]] = []
        for row in self._rows():
            rows.append(row)
            if len(rows) == _BATCH:
                yield pa.RecordBatch.from_pylist(rows, schema=schema)
                rows = []
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=schema)

    def _rows(self) -> Iterator[dict[str, str | None]]:
        _, numbers = self._seen
        for row in self._flat_rows():
            yield {
                column: numbers.written(column, value) if isinstance(value, StoredNumber) else value
                for column, value in row.items()
            }

    def _flat_rows(self) -> Iterator[dict[str, str | None]]:
        lists, *_ = self._observed
        for file, name in zip(self.files, self.names, strict=True):
            for place, row in islice(self._objects(file, name), self.rows):
                try:
                    yield _encodable(lists.flatten(row))
                except (RecursionError, UnicodeEncodeError):
                    raise self._nested(name, place) from None

    def _objects(self, file: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for place, row in self._documents(file, name):
            if not isinstance(row, dict):
                raise self._refused(f"{name}: {place} is no object", "write one JSON object a row")
            yield place, row

    def _nested(self, name: str, place: str) -> BadData:
        message = f"{name}: {place} is nested more than {_DEEP} levels deep, or holds half a character"
        return self._refused(message, "deliver the file again")

    def _documents(self, file: Path, name: str) -> Iterator[tuple[str, Any]]:
        """Yield each row as it stands, with its place."""
        lines = file.suffix.lower() != ".json"
        if not lines:
            text = self._text(file, name)
            try:
                document = json.loads(text, **_AS_WRITTEN)
            except (ValueError, RecursionError) as error:
                if not (isinstance(error, json.JSONDecodeError) and error.msg == "Extra data"):
                    raise self._broken(name, error) from None
                lines = True  # a `.json` of one object a line
            else:
                for number, row in enumerate(self._list_of(document, name), start=1):
                    yield f"row {number}", row
                return
        with file.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                try:
                    yield f"line {number}", json.loads(line.decode("utf-8-sig"), **_AS_WRITTEN)
                except (ValueError, RecursionError) as error:
                    raise self._broken(name, error, line=number) from None

    def _text(self, file: Path, name: str) -> str:
        try:
            return file.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self._broken(name, error) from None

    def _list_of(self, document: Any, name: str) -> list[Any]:
        """Return the rows of a document: the list it is, the one at ``rows_at``, the only one it holds, or itself."""
        path = self.declared.rows_at
        if path is not None:
            for part in path.split("."):
                document = document.get(part) if isinstance(document, dict) else None
            if not isinstance(document, list):
                raise self._refused(f"{name} has no list of rows at {path!r}", "check `rows_at`")
            return document
        if isinstance(document, list):
            only = document[0] if len(document) == 1 and isinstance(document[0], dict) else {}
            inside = [(key, rows) for key, rows in _lists_of_objects(only, 1) if len(rows) > 1]
            if (
                len(inside) == 1
                and all(key == inside[0][0] or _is_paging(key) for key in only)
                and not self._held(only)
            ):
                return inside[0][1]
            return document
        if not isinstance(document, dict):
            raise self._refused(f"{name} holds no rows", "write a list of objects, or one object a line")
        lists = dict(_lists_of_objects(document, 1)) or dict(_lists_of_objects(document, _DEPTH))
        if len(lists) > 1:
            raise self._refused(
                f"{name} holds {len(lists)} lists of rows", f"set `rows_at` to one of {', '.join(lists)}"
            )
        rows = next(iter(lists.values()), [document])
        outside, within = len(self._held(document)), max(len(self._held(row)) for row in rows)
        if lists and outside and outside == within:
            message = f"{name} is one object with the feed's columns that holds a list of objects with as many of them"
            hint = (
                f"write the object in a list if it is a row; set `rows_at: {next(iter(lists))}` if the list holds them"
            )
            raise self._refused(message, hint)
        return rows if within >= outside else [document]

    def _held(self, row: dict[str, Any]) -> frozenset[str]:
        """Return the columns that the feed declares and an object has."""
        return frozenset(column for column in declared_columns(self.declared, self.feed) if _has(row, column))

    def _broken(self, name: str, error: Exception, *, line: int | None = None) -> BadData:
        if isinstance(error, UnicodeDecodeError):
            place = f"line {line}" if line else f"byte {error.start + 1}"
            message = f"{name} is not utf-8: {place} holds a byte that cannot be read"
            return BadData("feed.encoding", message, where=f"feed {self.feed}", hint="save the file as UTF-8")
        at = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        return self._refused(
            f"{name} is no JSON from line {line or at} on", "it is cut off or damaged: deliver it again"
        )

    def _refused(self, message: str, hint: str) -> BadData:
        return BadData("feed.json", message, where=f"feed {self.feed}", hint=hint)


def _encodable(row: dict[str, str | None]) -> dict[str, str | None]:
    for text in row.values():
        if text is not None:
            text.encode()
    return row


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


#: Numbers stay as they are written.
_AS_WRITTEN: dict[str, Any] = {"parse_int": StoredNumber, "parse_float": StoredNumber, "parse_constant": _no_number}


def _is_paging(key: str) -> bool:
    return _PAGING.fullmatch(snake_case(key)) is not None


def _has(row: dict[str, Any], column: str) -> bool:
    """Return whether an object has a column; a nested object's have dotted names."""
    first, dot, rest = column.partition(".")
    inner = row.get(first)
    return column in row or (bool(dot) and isinstance(inner, dict) and _has(inner, rest))


def _lists_of_objects(document: dict[str, Any], depth: int) -> Iterator[tuple[str, list[Any]]]:
    """Yield the lists of objects in an object and in those inside it, with their dotted paths."""
    for key, value in document.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            yield key, value
        elif isinstance(value, dict) and depth > 1:
            inside = _lists_of_objects(value, depth - 1)
            yield from ((f"{key}.{path}", rows) for path, rows in inside if len(rows) > 1)
