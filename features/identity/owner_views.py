"""Each owner's own definition of a customer, kept beside the unified one, with the link between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from features.base.database_engine import EngineResources, literal, open_engine, quoted
from features.base.errors import BadData, StorageFailure
from features.base.parquet import read_parquet, stream_parquet
from features.config.canonical import CANONICAL, snake_case
from features.config.feeds_file import FeedsFile

FOLDER = "owners"


@dataclass(frozen=True)
class Owner:
    """How an owner counts its customers, against how many they turned out to be.

    Parameters
    ----------
    name : the unit, or the feed where it declares none
    feeds : its feeds of customers
    counted : customers as the owner counts them: its own keys
    customers : unified customers behind them
    only_here : unified customers whom no other owner has
    """

    name: str
    feeds: tuple[str, ...]
    counted: int
    customers: int
    only_here: int


def owners_of(feeds: FeedsFile) -> dict[str, list[str]]:
    """Return the feeds of customers of every owner, under the name that its view has."""
    found: dict[str, list[str]] = {}
    for name, feed in sorted(feeds.feeds.items()):
        if feed.kind == "customers":
            found.setdefault(snake_case(feed.owner or name), []).append(name)
    return dict(sorted(found.items()))


def write_owner_views(engine: duckdb.DuckDBPyConnection, feeds: FeedsFile, *, source: str, folder: Path) -> None:
    """Write ``owners/OWNER.parquet`` of every owner: one row for each of its own customers.

    A row has the ``customer_id`` that it belongs to, its ``feed`` and ``record_id`` (its place among the feed's keys;
    the owner's key itself identifies a person), its times, its own attributes as far as they identify nobody, and
    ``own_records``: how many of the owner's customers are the same person.

    Parameters
    ----------
    engine : has `source`
    feeds : the declared feeds
    source : relation of all customers' records, without what identifies them
    folder : where the views go
    """
    there = [row[0] for row in engine.execute(f"DESCRIBE {source}").fetchall()]
    (folder / FOLDER).mkdir(exist_ok=True)
    for owner, own in owners_of(feeds).items():
        fields = _fields(own, feeds, there)
        stream_parquet(
            engine.sql(
                f"""
                SELECT customer_id, feed, record_id, event_time, known_at,
                       {"".join(f"{quoted(field)}, " for field in fields)}
                       count(*) OVER (PARTITION BY customer_id) AS own_records
                FROM {source} WHERE feed IN ({", ".join(map(literal, own))})
                ORDER BY feed, record_id
                """
            ).to_arrow_reader(),
            folder / FOLDER / f"{owner}.parquet",
        )


def owners(unified: Path, feeds: FeedsFile, *, resources: EngineResources | None = None) -> list[Owner]:
    """Return how every owner counts, from the views that unification wrote.

    Raises
    ------
    BadData : there are no views yet
    StorageFailure : one of them is damaged
    """
    declared = owners_of(feeds)
    paths = {owner: unified / FOLDER / f"{owner}.parquet" for owner in declared}
    if not all(path.is_file() for path in paths.values()):
        raise BadData("owners.none", "the owners' views are not there", hint="run `nextbest unify` first")
    with open_engine(folders=[unified], resources=resources) as engine:
        rows = " UNION ALL ".join(
            f"SELECT {literal(owner)} AS owner, customer_id FROM {_counted(engine, owner, path)}"
            for owner, path in paths.items()
        )
        counted: Mapping[str, tuple[int, int, int]] = {
            owner: (records, customers, alone)
            for owner, records, customers, alone in engine.execute(
                f"""
                WITH rows AS ({rows}),
                     known AS (SELECT customer_id, count(DISTINCT owner) AS by_owners FROM rows GROUP BY customer_id)
                SELECT owner, count(*), count(DISTINCT customer_id),
                       count(DISTINCT customer_id) FILTER (by_owners = 1)
                FROM rows JOIN known USING (customer_id) GROUP BY owner
                """
            ).fetchall()
        }
    return [Owner(owner, tuple(own), *counted.get(owner, (0, 0, 0))) for owner, own in declared.items()]


def _counted(engine: duckdb.DuckDBPyConnection, owner: str, path: Path) -> str:
    """Register whom an owner's view counts, its pages proven; return the relation."""
    try:
        view = read_parquet(path, columns=["customer_id"])
    except StorageFailure as error:
        raise StorageFailure(
            error.first.code,
            error.first.message,
            where=f"state/unified/{FOLDER}/{path.name}",
            hint="remove the folder state/unified and run `nextbest unify`, which makes all of it again",
        ) from error
    engine.register(f"counted_{owner}", view)
    return quoted(f"counted_{owner}")


def _fields(own: Sequence[str], feeds: FeedsFile, there: Sequence[str]) -> list[str]:
    """Return the columns of a view: what its feeds map or keep, as far as it is there."""
    mapped = {field for name in own for field in feeds.feeds[name].fields}
    canonical = [field for field in CANONICAL["customers"].fields if field in mapped]
    attributes = sorted(column for column in there if column.partition(".")[0] in own and "." in column)
    return [field for field in [*canonical, *attributes] if field in there]
