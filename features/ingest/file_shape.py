"""Where the table stands in a file: title rows above it, the rows of its header, columns without a name beside it."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from features.base.errors import BadData
from features.config.feed import Feed
from features.ingest.declared_columns import declared_columns
from features.ingest.reader import check_header

#: Rows that are looked at.
SAMPLE = 100
#: Above this share of its values a column is one of numbers, times or addresses.
_MOSTLY = 0.8
_TYPES = {
    "number": re.compile(r"[-+(]?[€$£]? ?\d[\d.,' \u00a0]*[)%-]?"),
    "time": re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T,].*)?|\d{1,2}:\d{2}(:\d{2})?"),
    "address": re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}"),
}
_IMPORT_ID = '{"ImportId"'
#: What people write where there is no value; it titles no column.
_PLACEHOLDER = re.compile(r"n/?a|none|null|nil|never|unknown|pending|tbd|[-–.?]+", re.IGNORECASE)
#: A declared column is taken for a misspelt name of the header above this likeness.
_MISSPELT = 0.75


@dataclass(frozen=True)
class FileShape:
    """Where the table stands in a file.

    Parameters
    ----------
    columns : their names, in order
    skip : rows above the first row of data, the header among them
    unnamed : columns without a name and without a value, after the others
    notes : what was found, one sentence each; no value of the data stands in them
    """

    columns: tuple[str, ...]
    skip: int
    unnamed: int = 0
    notes: tuple[str, ...] = ()


def find_shape(rows: Sequence[Sequence[str]], feed: Feed, *, name: str, file: str) -> FileShape:
    """Return where the table stands in the first rows of a file.

    Parameters
    ----------
    rows : the first rows, blank ones too, as text
    feed : its declaration: `header_at`, `header_rows` and `column_names` come before what is found
    name : the feed
    file : what the file is called, for messages

    Raises
    ------
    BadData : ``feed.no_header`` where the first row holds values, ``feed.header`` where a column has no name of its own
        or no declared column is in the header

    Examples
    --------
    >>> feed = Feed(source="till.csv", kind="customers", key="row")
    >>> shape = find_shape([["Sales"], [], ["day", "paid"], ["1.5.", "3"]], feed, name="till", file="till.csv")
    >>> shape.columns, shape.skip, shape.notes
    (('day', 'paid'), 3, ('1 row above the header is left out',))
    """
    if feed.column_names:
        return FileShape(tuple(feed.column_names), 0, _nameless(rows, len(feed.column_names)))
    declared = declared_columns(feed, name)
    at = feed.header_at - 1 if feed.header_at is not None else _header_row(rows, declared)
    if at >= len(rows):
        raise BadData("feed.header", f"{file} has no row {at + 1}", where=f"feed {name}", hint="check `header_at`")
    header, below = list(rows[at]), [row for row in rows[at + 1 :] if any(row)]
    if _holds_values(header, below):
        row = "its first row" if feed.header_at is None else f"row {feed.header_at}"
        raise BadData(
            "feed.no_header",
            f"{file} has no header: {row} holds values such as numbers and dates, not names",
            where=f"feed {name}",
            hint="name its columns in order, such as `column_names: [customer, day, amount]`",
        )
    while len(header) > 1 and not header[-1] and not any(any(row[len(header) - 1 :]) for row in below):
        header.pop()
    if at and len(set(header)) < len(header):
        header = _with_groups(rows[at - 1], header)
    joined = _names_in_two_rows(header, below)
    if joined:
        header, below = joined, below[1:]
    if declared and not _names_any(header, declared):  # its cells may be values, which no message may hold
        raise BadData(
            "feed.header",
            f"{file}: its header was not found: row {at + 1} names none of the columns that the feed declares",
            where=f"feed {name}",
            hint="set `header_at` to the row of its names, name them with `column_names`, or change the mapping",
        )
    check_header(name, file, header)
    link = feed.link(name)
    named = {*feed.keys, *([] if link is None else [link[2]])}
    keys = [place for place, cell in enumerate(header) if cell in named] or [0]
    found = _more_header_rows(header, below, keys) + bool(joined)
    more = feed.header_rows - 1 if feed.header_rows is not None else found
    notes = []
    above = sum(1 for row in rows[:at] if any(row))
    if above and feed.header_at is None:
        notes.append(
            f"{above} {'row' if above == 1 else 'rows'} above the header {'is' if above == 1 else 'are'} left out"
        )
    if more and feed.header_rows is None:
        notes.append(f"the header takes {more + 1} rows; its first names the columns")
    if joined:
        notes.append("columns without a name are called as the row below and the name before them")
    unnamed = _nameless(rows[at:], len(header))
    if unnamed:
        notes.append("each row ends with a delimiter")
    return FileShape(tuple(header), at + 1 + more, unnamed, tuple(notes))


def modal_width(rows: Sequence[Sequence[str]]) -> tuple[int, float]:
    """Return the most common number of cells of a row, and the share of rows that have it.

    Examples
    --------
    >>> modal_width([["Sales"], ["a", "b"], ["1", "2"], ["3", "4"]])
    (2, 0.75)
    """
    widths = Counter(len(row) for row in rows if any(row))
    if not widths:
        return 0, 0.0
    width, times = max(widths.items(), key=lambda item: (item[1], item[0]))
    return width, times / widths.total()


def _names_any(header: Sequence[str], declared: Collection[str]) -> bool:
    """Return whether some declared column is in the header, perhaps misspelt."""
    cells = [cell.lower() for cell in header]
    return any(difflib.get_close_matches(column.lower(), cells, n=1, cutoff=_MISSPELT) for column in declared)


def _header_row(rows: Sequence[Sequence[str]], declared: Collection[str]) -> int:
    """Return the place of the first row that is wide enough to name the columns."""
    filled = [sum(1 for cell in row if cell) for row in rows]
    widest = max(filled, default=0)
    first = next((place for place, cells in enumerate(filled) if cells), 0)
    if widest < 2:
        return first
    narrow = max(1, min(3, widest // 3))
    for place, row in enumerate(rows[:-1]):
        below = [other for other in rows[place + 1 :] if any(other)]
        longer = [other for other in below if any(other[len(row) :])]
        if filled[place] > narrow and (len(longer) <= len(below) / 2 or not _names_columns(longer[0], longer[1:])):
            return place + _is_group_row(row, rows[place + 1], declared)
    return first


def _names_columns(row: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Return whether a row holds no value of a type, though columns below it do."""
    return not any(map(_type_of, row)) and any(_column_type(below, place) for place in range(len(row)))


def _is_group_row(row: Sequence[str], below: Sequence[str], declared: Collection[str]) -> bool:
    """Return whether a row only groups the names that stand below it, such as Billing above City and Postcode.

    A label stands above several columns; a header that lacks a name, or that names declared columns, is no such row.
    """
    labels = [place for place, cell in enumerate(row) if cell]
    wide = any(not cell for cell in row[labels[0] :]) and len(row) - len(labels) >= len(labels)
    named = all(below) and not any(_type_of(cell) for cell in below) and len(below) >= len(row)
    return wide and named and not len(set(row) & set(declared)) > len(set(below) & set(declared))


def _holds_values(header: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Return whether the cells of a header are values like those below them."""
    kinds = [(_type_of(cell), cell) for cell in header]
    alike = [(kind, cell) for place, (kind, cell) in enumerate(kinds) if kind and _column_type(below, place) == kind]
    if any(kind in ("time", "address") for kind, _ in alike):
        return True
    numbers = [
        cell for _, cell in alike if not re.fullmatch(r"(19|20)\d\d|\d{1,3}", cell)
    ]  # years and ordinals are names
    return len(numbers) >= max(2, sum(1 for cell in header if cell) / 2)


def _more_header_rows(header: Sequence[str], below: Sequence[Sequence[str]], keys: Sequence[int]) -> int:
    """Return how many rows after the first belong to the header, where there is clear evidence.

    A row of import ids ends a header; a row of names stands above columns that hold values of another type, those of
    the key or the customer among them (`keys`, their places).
    """
    ends = [place for place, row in enumerate(below[:3]) if any(cell.startswith(_IMPORT_ID) for cell in row)]
    if ends:
        return ends[-1] + 1
    for more, row in enumerate(below[:3]):
        rest = below[more + 1 :]
        typed = [place for place in range(len(row)) if _column_type(rest[2:] or rest, place)]
        titles = [place for place, cell in enumerate(row) if cell and not _type_of(cell) and not _is_placeholder(cell)]
        unlike = len(typed) >= 2 and {*typed, *keys} <= {*titles} and {*keys} <= {*typed}
        repeats = 2 * sum(1 for cell, title in zip(row, header, strict=False) if cell and cell == title) > len(row)
        filled = sum(1 for cell in row if cell)
        if len(rest) < 3 or not (unlike or repeats) or len(titles) < filled or filled < _MOSTLY * len(row):
            return more
    return min(3, len(below))


def _is_placeholder(cell: str) -> bool:
    return _PLACEHOLDER.fullmatch(cell.strip()) is not None


def _with_groups(above: Sequence[str], header: Sequence[str]) -> list[str]:
    """Return the names with the group that stands above them: Billing City, Shipping City."""
    named, group = [], ""
    for place, cell in enumerate(header):
        group = (above[place] if place < len(above) else "") or group
        named.append(f"{group} {cell}".strip() if header.count(cell) > 1 else cell)
    return named


def _names_in_two_rows(header: Sequence[str], below: Sequence[Sequence[str]]) -> list[str]:
    """Return the names where a second row names what the first leaves blank; none where it does not.

    No cell of that row is a number, a time or an address, and it is blank where every row of data holds one.
    """
    if "" not in header or len(below) < 3 or len(below[0]) < len(header):
        return []
    second, rest = below[0], below[1:]
    typed = [place for place in range(len(header)) if _column_type(rest, place)]
    empty = [place for place in typed if not second[place] and all(place < len(row) and row[place] for row in rest)]
    if not empty or any(map(_type_of, second)) or any(not c and not s for c, s in zip(header, second, strict=False)):
        return []
    named, group = [], ""
    for cell, part in zip(header, second, strict=False):
        group = cell or group
        named.append(cell or f"{group} {part}".strip())
    return named


def _nameless(rows: Sequence[Sequence[str]], named: int) -> int:
    """Return how many columns without a name and a value follow."""
    width, share = modal_width(rows)
    empty = not any(any(row[named:]) for row in rows)
    return width - named if width > named and share >= _MOSTLY and empty else 0


def _column_type(rows: Sequence[Sequence[str]], place: int) -> str | None:
    found = Counter(_type_of(row[place]) for row in rows if place < len(row) and row[place])
    kind, times = found.most_common(1)[0] if found else (None, 0)
    return kind if kind is not None and times >= _MOSTLY * found.total() else None


def _type_of(cell: str) -> str | None:
    return next((kind for kind, pattern in _TYPES.items() if pattern.fullmatch(cell.strip())), None)
