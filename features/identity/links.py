"""Edges that are certain as declared: ``customer:`` links and, under ``exact``, equal contact points."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from features.base.database_engine import literal, one_row, quoted
from features.base.telephone import PhoneCountries
from features.config.feed import Feed
from features.config.identity_settings import Identity
from features.identity.normalisation import email
from features.ingest.mapping import reference_name

#: Weights of edges that were not estimated. A person's word comes first, then a link, then what was compared.
ALWAYS, LINK, EMAIL, PHONE, STRONGEST_MATCH = 1000.0, 900.0, 800.0, 700.0, 600.0
EDGES = pa.schema([("left", pa.int64()), ("right", pa.int64()), ("weight", pa.float64()), ("cause", pa.string())])


def link_edges(
    engine: duckdb.DuckDBPyConnection,
    feeds: Mapping[str, Feed],
    identity: Identity,
    staged: Path,
    phones: PhoneCountries,
) -> tuple[pa.Table, int]:
    """Return the edges of declared links and equal contact points, and how many contact points too many share.

    Parameters
    ----------
    engine : knows the table ``nodes``, may read `staged`
    feeds : all declared feeds
    identity : the rules
    staged : folder of the staged feeds
    phones : by which country telephone numbers are read
    """
    customers = {name: feed for name, feed in sorted(feeds.items()) if feed.kind == "customers"}
    engine.execute("CREATE OR REPLACE TEMP TABLE tokens (node BIGINT, token VARCHAR, cause VARCHAR, weight DOUBLE)")
    for select in _links(customers, staged):
        engine.execute(f"INSERT INTO tokens {select}")
    for select in _contacts(identity, phones):
        engine.execute(f"INSERT INTO tokens {select}")
    limit = identity.shared_by_at_most
    edges = engine.sql(_edges_select(limit)).to_arrow_table().cast(EDGES)
    (shared,) = one_row(engine, _shared_select(limit))
    return edges, int(shared)


def _links(customers: Mapping[str, Feed], staged: Path) -> list[str]:
    """Return one SELECT of tokens for each side of each declared link between feeds of customers."""
    selects = []
    for name, feed in customers.items():
        link = feed.link(name)
        if link is None:
            continue
        other, column, _ = link
        label = f"{other}.{column}"
        for side, value in ((name, "customer_ref"), (other, reference(customers[other], column))):
            path = literal(str(staged / side / "rows.parquet"))
            selects.append(
                f"SELECT node, {literal(label)} || '=' || value, {literal(f'link {label}')}, {LINK}\n"
                f"FROM (SELECT record_id, {value} AS value FROM read_parquet({path})) s\n"
                f"JOIN nodes ON nodes.feed = {literal(side)} AND nodes.record_id = s.record_id"
            )
    return selects


def _contacts(identity: Identity, phones: PhoneCountries) -> list[str]:
    if identity.rules != "exact":
        return []
    initial = "coalesce(lower(left(coalesce(first_name, full_name), 1)), '')"
    value = {"email": email("email"), "phone": f"{phones.compared_sql('phone')} || ' ' || {initial}"}
    weight = {"email": EMAIL, "phone": PHONE}
    return [
        f"SELECT node, {literal(f'{field}=')} || {value[field]}, {literal(field)}, {weight[field]} FROM nodes"
        for field in identity.match
    ]


def _edges_select(limit: int) -> str:
    """Return SQL of the edges: every pair that shares a contact point, and a chain along each link."""
    return f"""
        WITH uses AS (
          SELECT DISTINCT node, token, cause, weight FROM tokens WHERE token IS NOT NULL
        ), counted AS (
          SELECT *, count(*) OVER (PARTITION BY token, cause) AS users FROM uses
        ), contacts AS (
          SELECT l.node AS one, r.node AS other, l.weight, l.cause
          FROM counted l JOIN counted r USING (token, cause)
          WHERE l.node < r.node AND l.weight < {LINK} AND l.users <= {limit:d}
        ), chains AS (
          SELECT node AS one, lead(node) OVER (PARTITION BY token, cause ORDER BY node) AS other, weight, cause
          FROM counted WHERE weight >= {LINK} AND users > 1
        ), edges AS (FROM contacts UNION ALL FROM chains WHERE other IS NOT NULL)
        SELECT one AS "left", other AS "right", max(weight) AS weight, arg_max(cause, (weight, cause)) AS cause
        FROM edges GROUP BY one, other ORDER BY one, other
        """


def _shared_select(limit: int) -> str:
    return f"""
        SELECT count(*) FROM (
          SELECT token FROM tokens WHERE token IS NOT NULL AND weight < {LINK}
          GROUP BY token HAVING count(DISTINCT node) > {limit:d}
        )
        """


def reference(feed: Feed, column: str) -> str:
    """Return SQL of the value by which other feeds name a record of this one: its key, or another column."""
    return "record_id" if feed.keys == [column] else quoted(reference_name(column))
