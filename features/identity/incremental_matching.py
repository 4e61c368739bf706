"""A day's records against those that are there: only what changed is weighed again, by the weights as they were.

What a pair weighs depends on its two records, on which contact points too many records share, and on which blocks are
too large to be looked at. So what is weighed again are the pairs of records that are new or changed, or whose contact
point or block has come to the other side of its limit. All other edges stay, and the groups are those of a full run
with the same weights.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from features.base.database_engine import literal, one_row, quoted
from features.base.storage import digest_of
from features.base.telephone import NO_COUNTRY, PhoneCountries
from features.config.feed import Feed
from features.config.identity_settings import WEIGHED, Identity
from features.identity.blocking import KEY_SEPARATOR, NAME_KEY, copied_select, new_pairs_select
from features.identity.judgements import Judgements
from features.identity.keyed_digest import keyed_digest, register_key
from features.identity.links import EDGES, link_edges
from features.identity.matcher import Matcher
from features.identity.matching_memory import MATCHES, VERSION, Memory
from features.identity.records import (
    KEY,
    Records,
    codes,
    contacts,
    digest_expression,
    fields_of,
    first_of_copies,
    give_countries,
    of_all_copies,
    same_expression,
    staged_select,
    write_whole,
)
from features.identity.resolve import Evidence, gather

#: Share by which the records may have grown since the weights were learnt, until they are learnt again.
REFIT_GROWTH = 0.5


@dataclass(frozen=True)
class Gathered:
    """What speaks for joining records, what to keep for the next run, and how much was looked at anew.

    Parameters
    ----------
    evidence : for `resolve.join`
    memory : to be kept; nothing for rules that do not weigh
    fresh : records whose pairs were weighed; all of them in a full run
    refitted : whether the weights were learnt
    """

    evidence: Evidence
    memory: Memory | None
    fresh: int
    refitted: bool


def gather_again(
    engine: duckdb.DuckDBPyConnection,
    feeds: Mapping[str, Feed],
    identity: Identity,
    staged: Path,
    *,
    judged: Judgements,
    memory: Memory | None,
    key: bytes,
    refit: bool = False,
    phones: PhoneCountries = NO_COUNTRY,
) -> Gathered:
    """Find everything that speaks for joining two records, from what is kept and what has changed.

    Parameters
    ----------
    engine : may read `staged`
    feeds : all declared feeds
    identity : the rules
    staged : folder of the staged feeds
    judged : people's judgements; labels are learnt from when the weights are
    memory : what the last run left
    key : the workspace's secret, with which stored digests are computed
    refit : learn the weights again
    phones : by which country telephone numbers are read
    """
    declared = _declared(feeds, identity, staged, judged, key=key, phones=phones)
    if identity.rules in WEIGHED and memory is not None and memory.declared == declared and not refit:
        evidence, kept, fresh = _delta(engine, feeds, identity, staged, memory, key=key, phones=phones)
        if evidence.records.table.num_rows <= (1 + REFIT_GROWTH) * memory.fitted_on:
            return Gathered(evidence, kept, fresh, refitted=False)
    evidence = gather(engine, feeds, identity, staged, judged=judged, key=key, phones=phones)
    records, matcher = evidence.records.table, evidence.matcher
    if matcher is None:
        return Gathered(evidence, None, records.num_rows, refitted=False)
    keys = f"({_hashes_select(matcher.keys)})"
    hashes = engine.sql(f"SELECT same, h.* EXCLUDE (node) FROM {keys} h JOIN copies USING (node) ORDER BY node")
    table = hashes.to_arrow_table()
    for place, name in enumerate(("feed", "record_id", "digest")):
        table = table.add_column(place, name, records[name])
    kept = Memory(declared, records.num_rows, matcher, table, _by_same(engine, evidence.matches))
    return Gathered(evidence, kept, records.num_rows, refitted=True)


def _by_same(engine: duckdb.DuckDBPyConnection, matches: pa.Table) -> pa.Table:
    """Return edges between the first of equal records by what these are compared as."""
    engine.register("matches", matches)
    found = engine.sql(
        """
        SELECT l.same AS "left", r.same AS "right", weight
        FROM matches JOIN copies l ON l.node = "left" JOIN copies r ON r.node = "right" ORDER BY ALL
        """
    ).to_arrow_table()
    engine.unregister("matches")
    return found.cast(MATCHES)


def _declared(
    feeds: Mapping[str, Feed],
    identity: Identity,
    staged: Path,
    judged: Judgements,
    *,
    key: bytes,
    phones: PhoneCountries,
) -> str:
    rules = identity.model_dump(mode="json", exclude={"always", "never", "at_most"})
    customers = sorted(name for name, feed in feeds.items() if feed.kind == "customers")
    selects = [staged_select(name, staged, fields_of(identity)).partition(" FROM ")[0] for name in customers]
    same_key = hmac.digest(key, b"identity", "sha256").hex()
    read_by = [phones.company, dict(phones.feeds)]
    labels = [list(row) for row in judged.labels]
    return digest_of([VERSION, duckdb.__version__, same_key, rules, selects, read_by, labels])


def _hashes_select(keys: Sequence[str]) -> str:
    """Return SQL of each blocking key's keyed hash for the records of ``whole``: null where the key is null.

    A key joins parts, such as a name and a year; each distinct part is digested once, which is most of the work.
    """
    parts = list(dict.fromkeys(part for key in keys for part in key.split(KEY_SEPARATOR)))
    texts = ", ".join(f"{part} AS p{at:d}" for at, part in enumerate(parts))
    listed = ", ".join(f"p{at:d}" for at in range(len(parts)))
    joins = "\n".join(f"LEFT JOIN digested d{at:d} ON d{at:d}.part = p{at:d}" for at in range(len(parts)))
    columns = []
    for at, key in enumerate(keys):
        places = [f"d{parts.index(part):d}.digest" for part in key.split(KEY_SEPARATOR)]
        there = " AND ".join(f"{place} IS NOT NULL" for place in places)
        columns.append(f"CASE WHEN {there} THEN hash({', '.join(places)}, {at:d}) END AS h{at:d}")
    digest = keyed_digest("part", domain=literal("block"), key=KEY)
    return f"""
        WITH texts AS (SELECT node, {texts} FROM whole),
        distinct_parts AS (SELECT DISTINCT unnest([{listed}]) AS part FROM texts),
        digested AS MATERIALIZED (SELECT part, hash({digest}) AS digest FROM distinct_parts WHERE part IS NOT NULL)
        SELECT node, {", ".join(columns)} FROM texts
        {joins}
        """


def _delta(
    engine: duckdb.DuckDBPyConnection,
    feeds: Mapping[str, Feed],
    identity: Identity,
    staged: Path,
    memory: Memory,
    *,
    key: bytes,
    phones: PhoneCountries,
) -> tuple[Evidence, Memory, int]:
    """Weigh what has changed, by the weights of the memory."""
    register_key(engine, KEY, key)
    matcher = memory.matcher
    chosen, shared_by_at_most = matcher.compared, identity.shared_by_at_most
    table = _look(engine, feeds, identity, staged, phones)
    links = link_edges(engine, feeds, identity, staged, phones)
    exclusive = {name: codes(engine, name, identity, phones) for name in identity.exclusive}
    engine.register("before", memory.hashes)
    _write_hashed(engine, matcher, phones)
    contact_keys = {at for at, key in enumerate(matcher.keys) if key in contacts(chosen)}
    _write_fresh(engine, matcher, contact_keys, shared_by_at_most)
    left_out = _write_neighbours(engine, matcher.limits)
    write_whole(engine, chosen, phones, "nodes SEMI JOIN near USING (node)")
    engine.execute("CREATE OR REPLACE TEMP TABLE compared AS SELECT * FROM whole ORDER BY node")
    for at in contact_keys:
        engine.execute(_empty_shared(at, matcher.keys, shared_by_at_most))
    _write_keyed(engine, matcher, contact_keys)
    copied = copied_select(len(matcher.keys), "copies SEMI JOIN fresh ON rep = fresh.node")
    engine.execute(f"CREATE OR REPLACE TEMP TABLE pairs AS {new_pairs_select(len(matcher.keys))} UNION ALL {copied}")
    found = matcher.weigh(engine, "pairs", threshold=matcher.threshold)
    matches = pa.concat_tables([_kept(engine, memory.matches), found]).combine_chunks()
    columns = ", ".join(f"h{at:d}" for at in range(len(matcher.keys)))
    now = engine.sql(f"SELECT feed, record_id, digest, same, {columns} FROM now JOIN hashed USING (node) ORDER BY node")
    (fresh,) = one_row(engine, "SELECT count(*) FROM copies SEMI JOIN fresh ON rep = fresh.node")
    evidence = Evidence(
        Records(table, chosen, exclusive),
        pa.concat_tables([links.edges, of_all_copies(engine, matches)]),
        links,
        matcher,
        matches=matches,
        first=first_of_copies(engine),
        left_out=left_out,
    )
    kept = Memory(memory.declared, memory.fitted_on, matcher, now.to_arrow_table(), _by_same(engine, matches))
    return evidence, kept, int(fresh)


def _look(
    engine: duckdb.DuckDBPyConnection,
    feeds: Mapping[str, Feed],
    identity: Identity,
    staged: Path,
    phones: PhoneCountries,
) -> pa.Table:
    """Write ``nodes`` (every record as staged) and ``now`` (its digest); return feed, key, time, digest."""
    customers = sorted(name for name, feed in feeds.items() if feed.kind == "customers")
    fields = fields_of(identity)
    selects = " UNION ALL BY NAME ".join(staged_select(name, staged, fields) for name in customers)
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE nodes AS
        SELECT row_number() OVER (ORDER BY feed, record_id) - 1 AS node, * FROM ({selects})
        """
    )
    give_countries(engine, phones)
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE now AS
        SELECT node, feed, record_id, known_at, {digest_expression(fields)} AS digest FROM nodes
        """
    )
    return engine.sql("SELECT feed, record_id, known_at, digest FROM now ORDER BY node").to_arrow_table()


def _write_hashed(engine: duckdb.DuckDBPyConnection, matcher: Matcher, phones: PhoneCountries) -> None:
    """Write ``hashed`` (node, same, h0, …; of unchanged records as stored) and ``copies``, as a full run does.

    ``kinds`` and ``kinds_before`` hold what is compared as one, once: same, h0, …, the first node, and records.
    """
    columns = ", ".join(f"h{at:d}" for at in range(len(matcher.keys)))
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE stayed AS
        SELECT node, same, {columns} FROM now JOIN before USING (feed, record_id, digest)
        """
    )
    write_whole(engine, matcher.compared, phones, "nodes ANTI JOIN stayed USING (node)")
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE hashed AS
        FROM stayed
        UNION ALL BY NAME
        SELECT * FROM ({_hashes_select(matcher.keys)})
        JOIN (SELECT node, {same_expression(matcher.compared)} AS same FROM whole) USING (node)
        """
    )
    first_node = "min(node) OVER (PARTITION BY same) AS rep"
    engine.execute(f"CREATE OR REPLACE TEMP TABLE copies AS SELECT node, same, {first_node} FROM hashed")
    first = ", ".join(f"any_value({column}) AS {column}" for column in columns.split(", "))
    for name, source, node in (("kinds", "hashed", "min(node)"), ("kinds_before", "before", "NULL")):
        engine.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS "
            f"SELECT same, {first}, {node} AS node, count(*) AS records FROM {source} GROUP BY same"
        )


def _write_fresh(
    engine: duckdb.DuckDBPyConnection, matcher: Matcher, contact_keys: Collection[int], shared_by_at_most: int
) -> None:
    """Write ``fresh``: first records of kinds that are new or have copies now, or whose block or contact point crossed.

    A block crosses when it was larger than its limit, and is not now, or the other way round.
    """
    engine.execute(
        """
        CREATE OR REPLACE TEMP TABLE fresh AS
        SELECT kinds.node FROM kinds LEFT JOIN kinds_before b USING (same)
        WHERE b.same IS NULL OR (kinds.records > 1) <> (b.records > 1)
        """
    )
    for at, limit in enumerate(matcher.limits):
        engine.execute(_crossing_insert(at, "count(*)", limit))
        if at in contact_keys:
            engine.execute(_crossing_insert(at, f"count(DISTINCT {_who(matcher.keys)})", shared_by_at_most))
    engine.execute("CREATE OR REPLACE TEMP TABLE fresh AS SELECT DISTINCT node FROM fresh")


def _who(keys: Sequence[str]) -> str:
    """Return SQL of what counts once among those who share a contact point: a name or, without one, a record."""
    return f"coalesce(h{keys.index(NAME_KEY):d}, same)" if NAME_KEY in keys else "same"


def _crossing_insert(at: int, counted: str, limit: int) -> str:
    h = f"h{at:d}"
    return f"""
        INSERT INTO fresh
        WITH moved AS (
          SELECT {h} FROM kinds_before ANTI JOIN kinds USING (same) WHERE {h} IS NOT NULL
          UNION SELECT {h} FROM kinds ANTI JOIN kinds_before USING (same) WHERE {h} IS NOT NULL
        ),
        was AS (SELECT {h}, {counted} AS size FROM kinds_before SEMI JOIN moved USING ({h}) GROUP BY {h}),
        there AS (SELECT {h}, {counted} AS size FROM kinds SEMI JOIN moved USING ({h}) GROUP BY {h}),
        crossed AS (
          SELECT {h} FROM was FULL JOIN there USING ({h})
          WHERE (coalesce(was.size, 0) > {limit:d}) <> (coalesce(there.size, 0) > {limit:d})
        )
        SELECT node FROM kinds SEMI JOIN crossed USING ({h})
        """


def _write_neighbours(engine: duckdb.DuckDBPyConnection, limits: Sequence[int]) -> int:
    """Write ``near`` (fresh records and all that share a block with one) and ``small0``, … (blocks to be compared).

    Returns how many blocks of all are too large to be compared.
    """
    engine.execute("CREATE OR REPLACE TEMP TABLE near AS SELECT node FROM fresh")
    left_out = 0
    for at, limit in enumerate(limits):
        h = f"h{at:d}"
        engine.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE small{at:d} AS
            WITH wanted AS (SELECT {h} FROM kinds SEMI JOIN fresh USING (node) WHERE {h} IS NOT NULL)
            SELECT {h} FROM kinds SEMI JOIN wanted USING ({h}) GROUP BY {h} HAVING count(*) BETWEEN 2 AND {limit:d}
            """
        )
        engine.execute(f"INSERT INTO near SELECT node FROM kinds SEMI JOIN small{at:d} USING ({h})")
        large = f"SELECT {h} FROM kinds WHERE {h} IS NOT NULL GROUP BY {h} HAVING count(*) > {limit:d}"
        left_out += one_row(engine, f"SELECT count(*) FROM ({large})")[0]
    engine.execute("CREATE OR REPLACE TEMP TABLE near AS SELECT DISTINCT node FROM near")
    return int(left_out)


def _empty_shared(at: int, keys: Sequence[str], shared_by_at_most: int) -> str:
    """Return SQL that leaves a contact point empty in ``compared`` where too many share it."""
    h = f"h{at:d}"
    crowded = (
        f"SELECT {h} FROM kinds WHERE {h} IS NOT NULL "
        f"GROUP BY {h} HAVING count(DISTINCT {_who(keys)}) > {shared_by_at_most:d}"
    )
    nodes = f"SELECT node FROM kinds WHERE {h} IN ({crowded})"
    return f"UPDATE compared SET {quoted(keys[at])} = NULL WHERE node IN ({nodes})"


def _write_keyed(engine: duckdb.DuckDBPyConnection, matcher: Matcher, contact_keys: Collection[int]) -> None:
    """Write ``keyed`` for the records that are near: the keys that are compared; a contact point left empty is none."""
    chosen = [
        f"CASE WHEN {f'compared.{quoted(key)} IS NOT NULL' if at in contact_keys else 'true'} "
        f"THEN small{at:d}.h{at:d} END AS k{at:d}"
        for at, key in enumerate(matcher.keys)
    ]
    joins = "\n".join(f"LEFT JOIN small{at:d} ON small{at:d}.h{at:d} = n.h{at:d}" for at in range(len(matcher.keys)))
    engine.execute(
        f"CREATE OR REPLACE TEMP TABLE keyed AS SELECT n.node, {', '.join(chosen)} "
        f"FROM (FROM kinds SEMI JOIN near USING (node)) n JOIN compared USING (node) {joins}"
    )


def _kept(engine: duckdb.DuckDBPyConnection, matches: pa.Table) -> pa.Table:
    """Return the edges between records that are as they were, by the row numbers that they have now."""
    engine.register("matches", matches)
    found = engine.sql(
        """
        SELECT least(l.node, r.node) AS "left", greatest(l.node, r.node) AS "right", weight, 'match' AS cause
        FROM matches
        JOIN (FROM kinds ANTI JOIN fresh USING (node)) l ON l.same = "left"
        JOIN (FROM kinds ANTI JOIN fresh USING (node)) r ON r.same = "right"
        """
    ).to_arrow_table()
    engine.unregister("matches")
    return found.cast(EDGES)
