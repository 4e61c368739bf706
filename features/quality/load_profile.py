"""Profile of a load: how many rows, the share of rows with a value by column, the distribution of the values.

A profile holds no value that may be personal: text is counted by value only in fields that are not personal (an event's
type, a channel), and of numbers only quantiles are stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from features.base.database_engine import literal, one_row, quoted
from features.base.storage import digest_of, read_json, write_json
from features.config.canonical import CANONICAL
from features.config.feed import Feed
from features.ingest.staging import StagedFeed

#: Raised when a profile of the same rows would come out differently.
VERSION = 2
BINS = 10
#: Rows that the distribution is estimated from.
SAMPLE = 100_000
#: Texts that are counted one by one; a column with more different ones is not compared by value.
MOST_CATEGORIES = 30
#: Text fields whose values are not personal.
_CATEGORIES = {
    "events": ("event", "channel"),
    "holdings": ("item",),
    "interactions": ("offer", "channel", "arm", "outcome"),
    "consents": ("purpose", "status", "basis"),
    "items": ("group",),
    "customers": ("gender", "country"),
}
_NUMBERS = {"events": ("amount", "quantity"), "holdings": ("price",), "items": ("price",)}


@dataclass(frozen=True)
class ColumnStatistics:
    """One column of a load.

    Parameters
    ----------
    filled : rows that hold a value
    constant : whether all filled rows hold the same one
    commonest : share of rows (of the sample) with the most frequent value, empty counted as a value
    edges : of the bins that `counts` counts numbers in; empty for categories and for what is not compared
    counts : rows of the sample by bin or by category
    """

    filled: int
    constant: bool
    commonest: float
    edges: tuple[float, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadProfile:
    """One load of a feed.

    Parameters
    ----------
    feed : the feed
    digest : of the staged feed
    declared : digest of the declaration but for the place of the files; loads are compared under one declaration
    rows_read, rows : in the files, and kept
    newest : the last moment that a row itself carries, ISO 8601; empty where no row carries one
    columns : by name
    """

    feed: str
    digest: str
    declared: str
    rows_read: int
    rows: int
    newest: str
    columns: Mapping[str, ColumnStatistics]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> LoadProfile:
        """Return the profile that `as_dict` made a document of."""
        columns = {
            name: ColumnStatistics(**{**column, "edges": tuple(column["edges"])})
            for name, column in document["columns"].items()
        }
        return cls(**{**document, "columns": columns})


def profile_load(
    engine: duckdb.DuckDBPyConnection, staged: StagedFeed, feed: Feed, folder: Path, *, last: LoadProfile | None
) -> LoadProfile:
    """Return the profile of the rows in `folder`; one that is stored there for the same rows is reused.

    Parameters
    ----------
    engine : may read `folder`
    staged, feed : the feed
    folder : holds ``rows.parquet``; the profile is written beside it
    last : profile of the last accepted load, whose bins are counted in
    """
    against = {name: list(column.edges) for name, column in last.columns.items()} if last is not None else {}
    wanted = digest_of([VERSION, staged.digest, against])
    path = folder / "profile.json"
    if path.is_file():
        done = read_json(path)
        if done.get("wanted") == wanted:
            return LoadProfile.from_json(done["profile"])
    made = _profiled(engine, staged, feed, folder, against)
    write_json(path, {"wanted": wanted, "profile": made.as_dict()})
    return made


def _profiled(
    engine: duckdb.DuckDBPyConnection,
    staged: StagedFeed,
    feed: Feed,
    folder: Path,
    against: Mapping[str, Sequence[float]],
) -> LoadProfile:
    source = f"read_parquet({literal(str(folder / 'rows.parquet'))})"
    names = [row[0] for row in engine.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
    columns = [name for name in names if name != "record_id" and not name.startswith("__")]
    every = max(1, -(-staged.rows // SAMPLE))
    engine.execute(
        f"CREATE OR REPLACE TEMP TABLE sampled AS SELECT * FROM {source} WHERE hash(record_id) % {every:d} = 0"
    )
    (size,) = one_row(engine, "SELECT count(*) FROM sampled")
    found = _counted(engine, source, columns)
    compared = _compared(feed)
    profiles = {}
    for column in columns:
        filled, constant = found[column]
        edges, counts = _spread(engine, column, compared.get(column), against.get(column, ()))
        profiles[column] = ColumnStatistics(filled, constant, _largest_share(engine, column, size), edges, counts)
    engine.execute("DROP TABLE sampled")
    return LoadProfile(
        feed=staged.feed,
        digest=staged.digest,
        declared=digest_of(feed.model_dump(mode="json", exclude={"source"})),
        rows_read=staged.rows_read,
        rows=staged.rows,
        newest=staged.newest,
        columns=profiles,
    )


def _counted(engine: duckdb.DuckDBPyConnection, source: str, columns: Sequence[str]) -> dict[str, tuple[int, bool]]:
    """Return for each column how many rows have a value, and whether all have the same."""
    counts = ", ".join(
        f"count({quoted(column)}), coalesce(min({quoted(column)}) = max({quoted(column)}), false)" for column in columns
    )
    row = one_row(engine, f"SELECT {counts} FROM {source}")
    return {column: (row[2 * at], row[2 * at + 1]) for at, column in enumerate(columns)}


def _largest_share(engine: duckdb.DuckDBPyConnection, column: str, size: int) -> float:
    most = one_row(engine, f"SELECT max(n) FROM (SELECT count(*) AS n FROM sampled GROUP BY {quoted(column)})")[0]
    return round((most or 0) / max(size, 1), 6)


def _compared(feed: Feed) -> dict[str, str]:
    """Return the columns whose spread is compared: as categories, or as numbers."""
    mapped = {name for name in CANONICAL[feed.kind].fields if name in feed.fields or name == "event"}
    found = {name: "category" for name in _CATEGORIES.get(feed.kind, ()) if name in mapped}
    return found | {name: "number" for name in _NUMBERS.get(feed.kind, ()) if name in mapped}


def _spread(
    engine: duckdb.DuckDBPyConnection, column: str, kind: str | None, edges: Sequence[float]
) -> tuple[tuple[float, ...], dict[str, int]]:
    if kind is None:
        return (), {}
    if kind == "category":
        counted = engine.execute(
            f"SELECT CAST({quoted(column)} AS VARCHAR), count(*) FROM sampled GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
        if len(counted) > MOST_CATEGORIES:
            return (), {}
        return (), {"(empty)" if value is None else value: int(count) for value, count in counted}
    values = engine.execute(f"SELECT {quoted(column)} FROM sampled WHERE {quoted(column)} IS NOT NULL").fetchnumpy()
    numbers = np.asarray(values[column], dtype=np.float64)
    if not len(numbers):
        return tuple(edges), {}
    bounds = np.asarray(edges) if len(edges) else np.unique(np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = np.bincount(np.searchsorted(bounds, numbers, side="left"), minlength=len(bounds) + 1)
    return tuple(float(edge) for edge in bounds), {str(place): int(count) for place, count in enumerate(counts)}


def shift(then: ColumnStatistics, now: ColumnStatistics) -> float | None:
    """Return the population stability index between two loads of one column; None where it is not compared.

    A half is added to every count, so that a bin that is empty on one side has a finite weight.

    Examples
    --------
    >>> then = ColumnStatistics(100, constant=False, commonest=0.5, counts={"web": 50, "shop": 50})
    >>> now = ColumnStatistics(100, constant=False, commonest=0.9, counts={"web": 90, "shop": 10})
    >>> round(shift(then, now), 2)
    0.85
    """
    if then.edges != now.edges or not then.counts or not now.counts:
        return None
    places = sorted(set(then.counts) | set(now.counts))
    before = np.array([then.counts.get(place, 0) for place in places], dtype=np.float64) + 0.5
    after = np.array([now.counts.get(place, 0) for place in places], dtype=np.float64) + 0.5
    p, q = before / before.sum(), after / after.sum()
    return float(np.sum((q - p) * np.log(q / p)))
