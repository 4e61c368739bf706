"""Changes of a feed's columns since the last load: a renamed or retyped column is refused."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from features.base.errors import BadData
from features.base.storage import read_done, write_json
from features.config.feed import Feed

FILE = "columns.json"
#: From nearly all to hardly any: what changes less is data, not a change of type.
_NEARLY_ALL, _HARDLY_ANY = 0.95, 0.2
_CLASSES = {"BOOLEAN": "truth values", "VARCHAR": "text", "DATE": "dates", "BLOB": "bytes"}


@dataclass(frozen=True)
class Columns:
    """The columns that were read.

    Parameters
    ----------
    digest : of the declaration under which they were
    types : their SQL types
    numbers : of text columns with some values, the share of them that read as numbers
    """

    digest: str
    types: Mapping[str, str]
    numbers: Mapping[str, float] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        write_json(folder / FILE, asdict(self))

    @classmethod
    def last(cls, folder: Path, digest: str) -> Columns | None:
        """Return the last load's columns; None when there is none, or it was mapped by another declaration.

        Whoever changed the declaration has looked at the columns.
        """
        document = read_done(folder / FILE, digest)
        return None if document is None else cls(**document)


def refuse_renamed(name: str, feed: Feed, last: Columns | None, columns: Sequence[str]) -> None:
    """Refuse a load that lacks a column which the last one had, naming the new one that looks like it.

    Raises
    ------
    BadData : code ``feed.column_renamed``
    """
    if last is None:
        return
    gone = [column for column in last.types if column not in columns]
    if not gone:
        return
    new = [column for column in columns if column not in last.types and column not in feed.drop]
    near = difflib.get_close_matches(gone[0].lower(), [column.lower() for column in new], n=1, cutoff=0.5)
    likely = next((column for column in new if near and column.lower() == near[0]), new[0] if len(new) == 1 else None)
    others = f" (and {len(gone) - 1} more)" if len(gone) > 1 else ""
    raise BadData(
        "feed.column_renamed",
        f"the column {gone[0]!r} of the last load is not there any more{others}",
        where=f"feed {name}",
        hint=(f"did you mean {likely!r}, which is new? " if likely else "")
        + f"deliver it as before, or change the mapping; `nextbest unify --accept {name}` takes it as it is",
    )


def refuse_retyped(name: str, last: Columns | None, now: Columns) -> None:
    """Refuse a load in which a column holds another kind of values than in the last one.

    Raises
    ------
    BadData : code ``feed.column_retyped``
    """
    if last is None:
        return
    for column, before, after in _retyped(last, now):
        raise BadData(
            "feed.column_retyped",
            f"the column {column!r} held {before} in the last load and holds {after} in this one",
            where=f"feed {name}",
            hint=f"deliver it as before; `nextbest unify --accept {name}` takes it as it is",
        )


def _retyped(last: Columns, now: Columns) -> list[tuple[str, str, str]]:
    found = []
    for column, kind in now.types.items():
        if column not in last.types:
            continue
        before, after = _class(last.types[column]), _class(kind)
        if before == after == "text" and column in last.numbers and column in now.numbers:
            shares = last.numbers[column], now.numbers[column]
            if shares[0] >= _NEARLY_ALL and shares[1] <= _HARDLY_ANY:
                after, before = "text", "numbers"
            elif shares[0] <= _HARDLY_ANY and shares[1] >= _NEARLY_ALL:
                after, before = "numbers", "text"
        if before != after:
            found.append((column, before, after))
    return found


def _class(kind: str) -> str:
    if kind.startswith(("TIMESTAMP", "TIME")):
        return "times"
    return _CLASSES.get(kind, "numbers")
