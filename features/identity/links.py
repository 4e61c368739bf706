"""Edges by an equal value: declared ``customer:`` links, versions of one record, and equal contact points.

A value that several people share shows of two records only that they may be one person. What separates people
(`separation`) holds against it, and a record that fits two people who are kept apart is left for review.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from features.base.database_engine import literal, one_row, quoted
from features.base.telephone import LEAST_DIGITS, PhoneCountries, without_extension_sql
from features.config.feed import Feed
from features.config.identity_settings import Identity
from features.identity.normalisation import email
from features.identity.records import digest_expression, fields_of, write_person
from features.identity.separation import family_differs, separation_sql
from features.ingest.mapping import reference_name

#: Weights of edges that were not estimated. A person's judgement comes first, then a link, then what was compared.
ALWAYS, LINK, EMAIL, PHONE, STRONGEST_MATCH = 1000.0, 900.0, 800.0, 700.0, 600.0
EDGES = pa.schema([("left", pa.int64()), ("right", pa.int64()), ("weight", pa.float64()), ("cause", pa.string())])
#: Edges with why they were not followed.
REVIEW = pa.schema([*EDGES, ("reason", pa.string())])
#: Rules whose customers are people, whom names and birth dates tell apart.
_OF_PEOPLE = ("exact", "people")

#: Two spellings of one number end alike: only numbers whose last digits another record has need to be read.
_DIGITS = f"regexp_replace({without_extension_sql('phone')}, '[^0-9]', '', 'g')"
_SHARED_DIGITS = f"count(*) OVER (PARTITION BY right({_DIGITS}, {LEAST_DIGITS:d})) > 1"


@dataclass(frozen=True)
class LinkEvidence:
    """Evidence of equal values about pairs of records, by row number.

    Parameters
    ----------
    edges : `EDGES` that may be followed
    apart : `REVIEW` pairs of people whom something separates: they may not come into one group in any other way
    undecided : `REVIEW` pairs of which one record fits two people who are kept apart
    shared : contact points and links that too many records share; they link nobody
    """

    edges: pa.Table
    apart: pa.Table
    undecided: pa.Table
    shared: int


def link_edges(
    engine: duckdb.DuckDBPyConnection,
    feeds: Mapping[str, Feed],
    identity: Identity,
    staged: Path,
    phones: PhoneCountries,
) -> LinkEvidence:
    """Return the evidence of declared links and equal contact points.

    Parameters
    ----------
    engine : has the table ``nodes``, may read `staged`
    feeds : all declared feeds
    identity : the rules
    staged : folder of the staged feeds
    phones : by which country telephone numbers are read
    """
    customers = {name: feed for name, feed in sorted(feeds.items()) if feed.kind == "customers"}
    columns = "node BIGINT, token VARCHAR, cause VARCHAR, weight DOUBLE, certain BOOLEAN"
    engine.execute(f"CREATE OR REPLACE TEMP TABLE tokens ({columns})")
    for select in [*_links(customers, identity, staged), *_versions(customers), *_contacts(identity, phones)]:
        engine.execute(f"INSERT INTO tokens {select}")
    chains = engine.sql(_CHAINS).to_arrow_table().cast(EDGES)
    if identity.rules not in _OF_PEOPLE:
        return LinkEvidence(chains, REVIEW.empty_table(), REVIEW.empty_table(), 0)
    _write_pairs(engine, identity)
    found = engine.sql(_edges_select(people=identity.rules == "people")).to_arrow_table().cast(EDGES)
    (shared,) = one_row(engine, "SELECT count(DISTINCT (token, cause)) FROM users WHERE crowded")
    return LinkEvidence(
        edges=pa.concat_tables([chains, found]),
        apart=engine.sql(_APART).to_arrow_table().cast(REVIEW),
        undecided=engine.sql(_UNDECIDED_EDGES).to_arrow_table().cast(REVIEW),
        shared=int(shared),
    )


def _links(customers: Mapping[str, Feed], identity: Identity, staged: Path) -> list[str]:
    """Return one SELECT of tokens for each side of each declared link between feeds of customers.

    A link to a key names one record. What is no key, such as a loyalty card, may be shared by people. A value that no
    record of the other feed has ties nobody where several records of one feed have it, such as 0.
    """
    selects = []
    for name, feed in customers.items():
        link = feed.link(name)
        if link is None:
            continue
        other, column, _ = link
        label, certain = f"{other}.{column}", customers[other].keys == [column] or identity.rules not in _OF_PEOPLE
        linked = reference(customers[other], column)
        owners = f"SELECT {linked} FROM read_parquet({literal(str(staged / other / 'rows.parquet'))})"
        for side, value in ((name, "customer_ref"), (other, linked)):
            path = literal(str(staged / side / "rows.parquet"))
            selects.append(
                f"SELECT node, {literal(label)} || '=' || value, {literal(f'link {label}')}, {LINK}, {certain}\n"
                f"FROM (SELECT record_id, {value} AS value FROM read_parquet({path})\n"
                f"  QUALIFY value IN ({owners}) OR count(*) OVER (PARTITION BY value) = 1) s\n"
                f"JOIN nodes ON nodes.feed = {literal(side)} AND nodes.record_id = s.record_id"
            )
    return selects


def _versions(customers: Mapping[str, Feed]) -> list[str]:
    """Return one SELECT of tokens for each feed that holds versions of its records: its key has the time of change."""
    selects = []
    for name, feed in customers.items():
        times = {feed.updated_at, feed.event_time, feed.known_at}
        kept = [at for at, column in enumerate(feed.keys) if column not in times]
        if not kept or len(kept) == len(feed.keys):
            continue
        # a key's parts are joined by bars; bars and backslashes inside them are escaped
        parts = r"string_split(replace(replace(record_id, '\\', chr(2)), '\|', chr(1)), '|')"
        key = ", ".join(f"{parts}[{at + 1:d}]" for at in kept)
        selects.append(
            f"SELECT node, {literal(f'{name} ')} || concat_ws('|', {key}), 'version', {LINK}, true\n"
            f"FROM nodes WHERE feed = {literal(name)}"
        )
    return selects


def _contacts(identity: Identity, phones: PhoneCountries) -> list[str]:
    """Return a SELECT of tokens for each contact point; of weight 0 where it only separates people."""
    phone = f"CASE WHEN {_SHARED_DIGITS} THEN {phones.number_sql('phone')} END"
    initial = "coalesce(lower(left(coalesce(first_name, full_name), 1)), '')"
    if identity.rules == "exact":
        values = {"email": (email("email"), EMAIL), "phone": (f"{phone} || ' ' || {initial}", PHONE)}
        values = {field: values[field] for field in identity.match}
    elif identity.rules == "people":
        values = {"email": (email("email"), EMAIL), "phone": (phone, 0.0)}
    else:
        return []
    return [
        f"SELECT node, {literal(f'{field}=')} || {value}, {literal(field)}, {weight}, false FROM nodes"
        for field, (value, weight) in values.items()
    ]


#: Along values that are certain every record is tied to the next one that has the value.
_CHAINS = """
    SELECT one AS "left", other AS "right", max(weight) AS weight, arg_max(cause, (weight, cause)) AS cause
    FROM (
      SELECT node AS one, lead(node) OVER (PARTITION BY token, cause ORDER BY node) AS other, weight, cause
      FROM (SELECT DISTINCT node, token, cause, weight FROM tokens WHERE token IS NOT NULL AND certain)
    )
    WHERE other IS NOT NULL GROUP BY one, other ORDER BY one, other
    """


def _write_pairs(engine: duckdb.DuckDBPyConnection, identity: Identity) -> None:
    """Write ``users`` (records by shared value), ``met`` (pairs of people who share one) and ``undecided``.

    Equal records are one user. A value that more differently named people share than is allowed ties none.
    """
    engine.execute(
        """
        CREATE OR REPLACE TEMP TABLE uses AS
        SELECT DISTINCT node, token, cause, weight FROM tokens WHERE token IS NOT NULL AND NOT certain
        QUALIFY count(*) OVER (PARTITION BY token, cause) > 1
        """
    )
    digest = digest_expression(fields_of(identity))
    write_person(engine, identity, "nodes SEMI JOIN uses USING (node)")
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE users AS
        WITH who AS (
          SELECT node, given, family, suffix, born, digest,
                 coalesce(given || ' ' || family, digest) AS name,
                 CASE WHEN given || family IS NULL THEN digest
                      ELSE concat_ws('|', given || ' ' || family, suffix, born) END AS person
          FROM person JOIN (SELECT node, {digest} AS digest FROM nodes SEMI JOIN uses USING (node)) USING (node)
        ), crowds AS (
          SELECT token, cause, count(DISTINCT name) > {identity.shared_by_at_most:d} AS crowded
          FROM uses JOIN who USING (node) GROUP BY token, cause
        )
        SELECT token, cause, weight, crowded, who.*, min(node) OVER (PARTITION BY token, cause, digest) AS copy_of,
               min(node) OVER (PARTITION BY token, cause, person) AS first
        FROM uses JOIN crowds USING (token, cause) JOIN who USING (node)
        """
    )
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE met AS
        WITH people AS (
          SELECT token, cause, weight, node, given, family, suffix, born FROM users WHERE node = first AND NOT crowded
        )
        SELECT token, cause, l.weight, l.node AS one, r.node AS other,
               l.given AS given_l, r.given AS given_r, l.family AS family_l, r.family AS family_r,
               l.suffix AS suffix_l, r.suffix AS suffix_r, l.born AS born_l, r.born AS born_r,
               {separation_sql(weighed=identity.rules == "people")} AS separated,
               coalesce({family_differs()}, false) AS family_differs
        FROM people l JOIN people r USING (token, cause) WHERE l.node < r.node
        """
    )
    engine.execute(
        """
        CREATE OR REPLACE TEMP TABLE undecided AS
        WITH alike AS (
          SELECT token, cause, one AS node, other AS fits FROM met WHERE separated IS NULL
          UNION ALL SELECT token, cause, other, one FROM met WHERE separated IS NULL
        )
        SELECT DISTINCT m.token, m.cause, a.node
        FROM met m
        JOIN alike a ON a.token = m.token AND a.cause = m.cause AND a.fits = m.one
        JOIN alike b ON b.token = m.token AND b.cause = m.cause AND b.fits = m.other AND b.node = a.node
        WHERE m.separated IS NOT NULL
        """
    )


def _edges_select(*, people: bool) -> str:
    """Return SQL of the edges between users that nothing separates, and along the records of each user.

    Among people whose names and dates are weighed, too, another family name speaks against an equal address.
    """
    against = "AND NOT family_differs" if people else ""
    return f"""
        WITH ties AS (
          SELECT one, other, weight, cause FROM met
          WHERE separated IS NULL AND weight > 0 {against}
            AND (token, cause, one) NOT IN (FROM undecided) AND (token, cause, other) NOT IN (FROM undecided)
          UNION ALL
          SELECT node, lead(node) OVER (PARTITION BY token, cause, first ORDER BY node), weight, cause
          FROM users
          WHERE NOT crowded AND weight > 0 AND (token, cause, first) NOT IN (FROM undecided)
        )
        SELECT one AS "left", other AS "right", max(weight) AS weight, arg_max(cause, (weight, cause)) AS cause
        FROM ties WHERE other IS NOT NULL GROUP BY one, other ORDER BY one, other
        """


#: Every two records of people who are kept apart, but of copies the first.
_APART = """
    SELECT least(l.node, r.node) AS "left", greatest(l.node, r.node) AS "right", max(m.weight) AS weight,
           min(m.cause) AS cause, min(separated) AS reason
    FROM met m
    JOIN users l ON l.token = m.token AND l.cause = m.cause AND l.first = m.one AND l.node = l.copy_of
    JOIN users r ON r.token = m.token AND r.cause = m.cause AND r.first = m.other AND r.node = r.copy_of
    WHERE separated IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
    """
_UNDECIDED_EDGES = """
    SELECT one AS "left", other AS "right", max(weight) AS weight, min(cause) AS cause,
           'fits several people' AS reason
    FROM met
    WHERE separated IS NULL AND weight > 0
      AND ((token, cause, one) IN (FROM undecided) OR (token, cause, other) IN (FROM undecided))
    GROUP BY one, other ORDER BY one, other
    """


def reference(feed: Feed, column: str) -> str:
    """Return SQL of the value by which other feeds name a record of this one: its key, or another column."""
    return "record_id" if feed.keys == [column] else quoted(reference_name(column))
