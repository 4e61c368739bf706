"""Which records are one customer: declared links and equal contact points, closed transitively."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from features.base.engine import literal, one_row, quoted
from features.declaration.feed import Feed
from features.declaration.identity import Identity
from features.feeds.mapping import reference_name

#: Digits of a telephone number that are compared: all that national and international spelling share.
PHONE_DIGITS = 9


@dataclass(frozen=True)
class Resolution:
    """Records and the groups that they form; the id ledger says which customer each group is.

    Parameters
    ----------
    partition : table of ``feed``, ``record_id``, ``known_at``, ``group``, one row a record, in feed and record order
    customers : how many customers there are
    shared : contact points that too many records share and that therefore linked nobody
    """

    partition: pa.Table
    customers: int
    shared: int


def resolve(
    engine: duckdb.DuckDBPyConnection, feeds: Mapping[str, Feed], identity: Identity, staged: Path
) -> Resolution:
    """Group the records of all customer feeds into customers.

    Two records are one customer when a declared ``customer:`` link joins them or, under the rule ``exact``, when
    they hold the same normalised e-mail address (lower case), or the same telephone number (last nine digits) and
    given names that begin alike, since a number is often a household's; and so on transitively.

    Parameters
    ----------
    engine : may read `staged`
    feeds : all declared feeds; those of other kinds are passed over
    identity : the rules
    staged : folder of the staged feeds

    Returns
    -------
    Resolution
    """
    customers = {name: feed for name, feed in feeds.items() if feed.kind == "customers"}
    nodes = " UNION ALL ".join(
        f"SELECT {literal(name)} AS feed, record_id, known_at FROM read_parquet({literal(_rows(staged, name))})"
        for name in sorted(customers)
    )
    engine.execute(
        f"CREATE TEMP TABLE nodes AS SELECT *, row_number() OVER (ORDER BY feed, record_id) - 1 AS node FROM ({nodes})"
    )
    tokens = [
        *_links(customers, staged),
        *(_contacts(customers, staged, identity) if identity.rules == "exact" else ()),
    ]
    engine.execute("CREATE TEMP TABLE tokens (feed VARCHAR, record_id VARCHAR, token VARCHAR, contact BOOLEAN)")
    for select in tokens:
        engine.execute(f"INSERT INTO tokens {select}")
    engine.execute(
        """
        CREATE TEMP TABLE uses AS
        SELECT token, contact, count(DISTINCT (feed, record_id)) AS users
        FROM tokens WHERE token IS NOT NULL
        GROUP BY ALL
        HAVING users > 1
        """
    )
    limit = identity.shared_by_at_most
    edges = engine.sql(
        f"""
        SELECT DISTINCT node, dense_rank() OVER (ORDER BY token) - 1 AS token
        FROM tokens JOIN uses USING (token, contact) JOIN nodes USING (feed, record_id)
        WHERE NOT contact OR users <= {limit:d}
        ORDER BY ALL
        """
    ).to_arrow_table()
    (shared,) = one_row(engine, f"SELECT count(*) FROM uses WHERE contact AND users > {limit:d}")
    records = engine.sql("SELECT feed, record_id, known_at FROM nodes ORDER BY node").to_arrow_table()
    group = _components(records.num_rows, edges)
    partition = records.append_column("group", pa.array(group, pa.int64()))
    return Resolution(partition=partition, customers=len(np.unique(group)), shared=int(shared))


def _rows(staged: Path, name: str) -> str:
    return str(staged / name / "rows.parquet")


def _links(customers: Mapping[str, Feed], staged: Path) -> list[str]:
    """Return one SELECT of tokens for each side of each declared link between customer feeds."""
    selects = []
    for name, feed in sorted(customers.items()):
        link = feed.link(name)
        if link is None:
            continue
        other, column, _ = link
        label = literal(f"{other}.{column}=")
        theirs = reference(customers[other], column)
        selects.append(_tokens(name, f"{label} || customer_ref", staged, contact=False))
        selects.append(_tokens(other, f"{label} || {theirs}", staged, contact=False))
    return selects


def _contacts(customers: Mapping[str, Feed], staged: Path, identity: Identity) -> list[str]:
    normalised = {
        "email": "CASE WHEN regexp_matches(email, '^[^@ ]+@[^@ ]+$') THEN 'email=' || lower(email) END",
        "phone": (
            f"CASE WHEN length(regexp_replace(phone, '[^0-9]', '', 'g')) >= {PHONE_DIGITS:d} "
            f"THEN 'phone=' || right(regexp_replace(phone, '[^0-9]', '', 'g'), {PHONE_DIGITS:d}) || ' ' "
            "|| coalesce(lower(left(coalesce(first_name, full_name), 1)), '') END"
        ),
    }
    return [
        _tokens(name, normalised[field], staged, contact=True) for field in identity.match for name in sorted(customers)
    ]


def _tokens(name: str, token: str, staged: Path, *, contact: bool) -> str:
    return (
        f"SELECT {literal(name)}, record_id, {token}, {str(contact).lower()} "
        f"FROM read_parquet({literal(_rows(staged, name))})"
    )


def reference(feed: Feed, column: str) -> str:
    """Return SQL of the value by which other feeds name a record of this one: its key, or another column."""
    return "record_id" if feed.keys == [column] else quoted(reference_name(column))


def _components(records: int, edges: pa.Table) -> np.ndarray:
    node = edges.column("node").to_numpy()
    token = edges.column("token").to_numpy()
    if not len(node):
        return np.arange(records)
    size = records + int(token.max()) + 1
    graph = coo_array((np.ones(len(node), dtype=np.int8), (node, records + token)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1][:records])
