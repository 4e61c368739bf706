"""The canonical tables of all feeds together, with one ``customer_id`` on every row that has a customer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from features.base.engine import literal, one_row, quoted
from features.base.storage import stream_parquet
from features.declaration.canonical import CANONICAL, Kind, attribute_name
from features.declaration.feed import Feed
from features.declaration.file import FeedsFile
from features.feeds.mapping import reference_name
from features.unify.links import reference


@dataclass(frozen=True)
class Attached:
    """How many rows of a feed found their customer.

    Parameters
    ----------
    feed : the feed
    rows : rows with a customer
    anonymous : rows that name no customer
    unknown : rows that name a customer nobody knows; kept aside
    """

    feed: str
    rows: int
    anonymous: int
    unknown: int


def write_tables(engine: duckdb.DuckDBPyConnection, feeds: FeedsFile, *, staged: Path, folder: Path) -> list[Attached]:
    """Write every canonical table that some feed maps to; the table ``records`` must be registered.

    Parameters
    ----------
    engine : knows ``records`` (feed, record_id, customer_id), may read `staged` and write `folder`
    feeds : the declared feeds
    staged : folder of the staged feeds
    folder : where ``KIND.parquet`` and ``unknown/FEED.parquet`` go

    Returns
    -------
    list of Attached, one for each feed that is about customers
    """
    counts: list[Attached] = []
    for kind, table in CANONICAL.items():
        members = {name: feed for name, feed in sorted(feeds.feeds.items()) if feed.kind == kind}
        if not members:
            continue
        selects = [_select(name, feed, feeds, staged) for name, feed in members.items()]
        engine.execute(f"CREATE OR REPLACE TEMP TABLE joined AS {' UNION ALL BY NAME '.join(selects)}")
        keep = "customer_id IS NOT NULL" if table.about_customer else "true"
        order = "customer_id, event_time, feed, record_id" if table.about_customer else "feed, record_id"
        stream_parquet(
            engine.sql(f"SELECT * EXCLUDE (__ref) FROM joined WHERE {keep} ORDER BY {order}").to_arrow_reader(),
            folder / f"{kind}.parquet",
        )
        if table.about_customer:
            counts += [_attached(engine, name, folder) for name in members]
    return counts


def _select(name: str, feed: Feed, feeds: FeedsFile, staged: Path) -> str:
    rows = staged / name / "rows.parquet"
    hidden = _hidden(name, feed, feeds, rows)
    exclude = f"EXCLUDE ({', '.join(quoted(column) for column in hidden)})" if hidden else ""
    source = f"read_parquet({literal(str(rows))})"
    if feed.kind == "customers":
        return (
            f"SELECT r.customer_id, {literal(name)} AS feed, s.* {exclude}, NULL AS __ref "
            f"FROM {source} s JOIN records r ON r.feed = {literal(name)} AND r.record_id = s.record_id"
        )
    link = feed.link(name)
    if link is None:
        return f"SELECT {literal(name)} AS feed, s.* {exclude}, NULL AS __ref FROM {source} s"
    other, column, _ = link
    owner = feeds.feeds[other]
    theirs = reference(owner, column)
    known = (
        f"SELECT {theirs} AS ref, min(r.customer_id) AS customer_id "
        f"FROM read_parquet({literal(str(staged / other / 'rows.parquet'))}) o "
        f"JOIN (SELECT record_id AS rid, customer_id FROM records WHERE feed = {literal(other)}) r "
        "ON r.rid = o.record_id WHERE ref IS NOT NULL GROUP BY 1"
    )
    return (
        f"SELECT k.customer_id, {literal(name)} AS feed, s.* {exclude}, s.customer_ref AS __ref "
        f"FROM {source} s LEFT JOIN ({known}) k ON k.ref = s.customer_ref"
    )


def _hidden(name: str, feed: Feed, feeds: FeedsFile, rows: Path) -> list[str]:
    """Return the columns that stay behind: all references and, outside ``customers``, personal columns."""
    present = set(pq.read_schema(rows).names)
    hidden = {"customer_ref", *map(reference_name, feeds.named_by_others(name))}
    if feed.kind != "customers":
        hidden |= {attribute_name(name, column) for column in feed.pii}
        link = feed.link(name)
        if link is not None:
            hidden.add(attribute_name(name, link[2]))
    return sorted(hidden & present)


def _attached(engine: duckdb.DuckDBPyConnection, name: str, folder: Path) -> Attached:
    feed = literal(name)
    rows, anonymous, unknown = one_row(
        engine,
        f"""
        SELECT count(customer_id),
               count(*) FILTER (customer_id IS NULL AND __ref IS NULL),
               count(*) FILTER (customer_id IS NULL AND __ref IS NOT NULL)
        FROM joined WHERE feed = {feed}
        """,
    )
    stream_parquet(
        engine.sql(
            f"SELECT * EXCLUDE (customer_id) FROM joined "
            f"WHERE feed = {feed} AND customer_id IS NULL AND __ref IS NOT NULL ORDER BY record_id"
        ).to_arrow_reader(),
        folder / "unknown" / f"{name}.parquet",
    )
    return Attached(feed=name, rows=rows, anonymous=anonymous, unknown=unknown)


def columns_of(folder: Path, kind: Kind) -> list[str]:
    """Return the columns of one canonical table, or none when no feed maps to it."""
    path = folder / f"{kind}.parquet"
    return list(pq.read_schema(path).names) if path.is_file() else []
