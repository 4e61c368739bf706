"""A day's records against those that are there: only what changed is weighed again, by the weights as they were.

What a pair weighs depends on its two records, on which contact points too many records share, and on which blocks are
too large to be looked at. So what is weighed again are the pairs of records that are new or changed, or whose contact
point or block has come to the other side of its limit. All other edges stay, and the groups are those of a full run
with the same weights.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.base.database_engine import literal, one_row, quoted
from features.base.errors import StorageFailure
from features.base.parquet import read_parquet, write_parquet
from features.base.storage import digest_of, read_json, write_json
from features.base.telephone import NO_COUNTRY, PhoneCountries
from features.config.feed import Feed
from features.config.identity_settings import WEIGHED, Identity
from features.identity.blocking import KEY_SEPARATOR, new_pairs_select
from features.identity.judgements import Judgements
from features.identity.keyed_digest import keyed_digest, register_key
from features.identity.links import EDGES, link_edges
from features.identity.matcher import MODEL, TERMS, Matcher
from features.identity.presets import Compared
from features.identity.records import (
    KEY,
    Records,
    codes,
    contacts,
    digest_expression,
    fields_of,
    staged_select,
    whole_select,
)
from features.identity.resolve import Evidence, gather

VERSION = 3
MANIFEST, HASHES, EDGES_FILE = "resolved.json", "hashes.parquet", "edges.parquet"
MEMORY_FILES = (MANIFEST, HASHES, EDGES_FILE, MODEL, TERMS)
#: Share by which the records may have grown since the weights were learnt, until they are learnt again.
REFIT_GROWTH = 0.5


@dataclass(frozen=True)
class Memory:
    """What a run leaves for the next: which records it weighed, by which weights, and what it found.

    Parameters
    ----------
    asked : digest of the declaration and the engine's version; another one makes what is kept useless
    fitted_on : how many records the weights were learnt from
    matcher : the weights
    hashes : ``feed``, ``record_id``, ``digest`` and ``h0``, ``h1``, …: a keyed hash of each blocking key's value
    matches : the weighed edges, by row number of `hashes`
    """

    asked: str
    fitted_on: int
    matcher: Matcher
    hashes: pa.Table
    matches: pa.Table

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        self.matcher.save(folder)
        write_parquet(self.hashes, folder / HASHES)
        write_parquet(self.matches, folder / EDGES_FILE)
        write_json(folder / MANIFEST, {"version": VERSION, "asked": self.asked, "fitted_on": self.fitted_on})

    @classmethod
    def load(cls, folder: Path) -> Memory | None:
        """Read what the last run left; nothing when there is none, or it is damaged: it can be made again."""
        try:
            manifest = read_json(folder / MANIFEST)
            hashes, matches = read_parquet(folder / HASHES), read_parquet(folder / EDGES_FILE).cast(EDGES)
            matcher = Matcher.load(folder)
            if manifest["version"] != VERSION:
                return None
            return cls(str(manifest["asked"]), int(manifest["fitted_on"]), matcher, hashes, matches)
        except (StorageFailure, KeyError, TypeError, pa.ArrowException):
            return None


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
    if identity.rules not in WEIGHED:
        evidence = gather(engine, feeds, identity, staged, judged=judged, key=key, phones=phones)
        return Gathered(evidence, None, evidence.records.table.num_rows, refitted=False)
    asked = _asked(feeds, identity, staged, judged, key=key, phones=phones)
    if memory is not None and memory.asked == asked and not refit:
        evidence, kept, fresh = _delta(engine, feeds, identity, staged, memory, key=key, phones=phones)
        if evidence.records.table.num_rows <= (1 + REFIT_GROWTH) * memory.fitted_on:
            return Gathered(evidence, kept, fresh, refitted=False)
    evidence = gather(engine, feeds, identity, staged, judged=judged, key=key, phones=phones)
    matcher = evidence.matcher
    if matcher is None:
        return Gathered(evidence, None, evidence.records.table.num_rows, refitted=False)
    records = evidence.records.table
    hashes = engine.sql(f"{_hashes_select(matcher.keys)} ORDER BY node").to_arrow_table().drop_columns(["node"])
    for place, name in enumerate(("feed", "record_id", "digest")):
        hashes = hashes.add_column(place, name, records[name])
    matches = evidence.edges.filter(pc.equal(evidence.edges["cause"], "match"))
    kept = Memory(asked, records.num_rows, matcher, hashes, matches)
    return Gathered(evidence, kept, records.num_rows, refitted=True)


def _asked(
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
    table = _look(engine, feeds, identity, staged)
    edges, shared = link_edges(engine, feeds, identity, staged, phones)
    exclusive = {name: codes(engine, name, identity, phones) for name in identity.exclusive}
    hashes = memory.hashes.append_column("old", pa.array(np.arange(memory.hashes.num_rows)))
    engine.register("before", hashes)
    _compare(engine)
    _write_whole(engine, matcher.compared, "changed", phones)
    _write_hashed(engine, matcher.keys)
    limits = _crossed(engine, matcher, identity.shared_by_at_most)
    _write_neighbours(engine, limits)
    _write_whole(engine, matcher.compared, "near", phones)
    _write_compared(engine, matcher, identity.shared_by_at_most)
    _write_keyed(engine, limits)
    engine.execute(f"CREATE OR REPLACE TEMP TABLE pairs AS {new_pairs_select(len(matcher.keys))}")
    found = matcher.weigh(engine, "pairs", threshold=matcher.threshold)
    matches = pa.concat_tables([_kept(engine, memory.matches, memory.hashes.num_rows), found]).combine_chunks()
    columns = ", ".join(f"h{at:d}" for at in range(len(matcher.keys)))
    now = engine.sql(f"SELECT feed, record_id, digest, {columns} FROM now JOIN hashed USING (node) ORDER BY node")
    (fresh,) = one_row(engine, "SELECT count(*) FROM fresh")
    records = Records(table, matcher.compared, exclusive)
    evidence = Evidence(records, pa.concat_tables([edges, matches]), shared, matcher)
    return evidence, Memory(memory.asked, memory.fitted_on, matcher, now.to_arrow_table(), matches), int(fresh)


def _look(engine: duckdb.DuckDBPyConnection, feeds: Mapping[str, Feed], identity: Identity, staged: Path) -> pa.Table:
    """Write ``nodes`` (every record, unchanged as staged) and ``now`` (its digest); return feed, key, time, digest."""
    customers = sorted(name for name, feed in feeds.items() if feed.kind == "customers")
    fields = fields_of(identity)
    selects = " UNION ALL BY NAME ".join(staged_select(name, staged, fields) for name in customers)
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE nodes AS
        SELECT row_number() OVER (ORDER BY feed, record_id) - 1 AS node, * FROM ({selects})
        """
    )
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE now AS
        SELECT node, feed, record_id, known_at, {digest_expression(fields)} AS digest FROM nodes
        """
    )
    return engine.sql("SELECT feed, record_id, known_at, digest FROM now ORDER BY node").to_arrow_table()


def _compare(engine: duckdb.DuckDBPyConnection) -> None:
    """Write ``stayed`` (node, old: records as they were), ``changed`` (new ones and others), ``lost`` (old rows)."""
    engine.execute(
        """
        CREATE OR REPLACE TEMP TABLE stayed AS
        SELECT now.node, before.old FROM now JOIN before USING (feed, record_id, digest)
        """
    )
    engine.execute("CREATE OR REPLACE TEMP TABLE changed AS SELECT node FROM now ANTI JOIN stayed USING (node)")
    engine.execute("CREATE OR REPLACE TEMP TABLE lost AS SELECT before.* FROM before ANTI JOIN stayed USING (old)")


def _write_whole(
    engine: duckdb.DuckDBPyConnection, compared: Sequence[Compared], chosen: str, phones: PhoneCountries
) -> None:
    """Write ``whole`` for the nodes of one table."""
    select = whole_select(compared, phones).replace(
        "FROM nodes", f"FROM (FROM nodes SEMI JOIN {quoted(chosen)} USING (node))"
    )
    engine.execute(select)


def _write_hashed(engine: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> None:
    """Write ``hashed``: the hash of each key's value for every record; of unchanged ones, as stored."""
    columns = ", ".join(f"h{at:d}" for at in range(len(keys)))
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE hashed AS
        SELECT node, {columns} FROM before JOIN stayed USING (old)
        UNION ALL BY NAME
        FROM ({_hashes_select(keys)})
        """
    )


def _crossed(engine: duckdb.DuckDBPyConnection, matcher: Matcher, shared_by_at_most: int) -> tuple[int, ...]:
    """Write ``fresh``: records that changed, or whose block or contact point has crossed its limit; return the limits.

    A contact point that too many share is no key either, so its limit is the smaller one.
    """
    shared = {at for at, key in enumerate(matcher.keys) if key in contacts(matcher.compared)}
    limits = tuple(min(limit, shared_by_at_most) if at in shared else limit for at, limit in enumerate(matcher.limits))
    engine.execute("CREATE OR REPLACE TEMP TABLE fresh AS SELECT node FROM changed")
    for at, limit in enumerate(limits):
        for bound in {limit, shared_by_at_most} if at in shared else {limit}:
            engine.execute(_crossing_insert(at, bound))
    engine.execute("CREATE OR REPLACE TEMP TABLE fresh AS SELECT DISTINCT node FROM fresh")
    return limits


def _crossing_insert(at: int, limit: int) -> str:
    h = f"h{at:d}"
    return f"""
        INSERT INTO fresh
        WITH moved AS (
          SELECT {h} FROM lost WHERE {h} IS NOT NULL
          UNION SELECT {h} FROM hashed SEMI JOIN changed USING (node) WHERE {h} IS NOT NULL
        ),
        was AS (SELECT {h}, count(*) AS records FROM before SEMI JOIN moved USING ({h}) GROUP BY {h}),
        there AS (SELECT {h}, count(*) AS records FROM hashed SEMI JOIN moved USING ({h}) GROUP BY {h}),
        crossed AS (
          SELECT {h} FROM was FULL JOIN there USING ({h})
          WHERE (coalesce(was.records, 0) > {limit:d}) <> (coalesce(there.records, 0) > {limit:d})
        )
        SELECT node FROM hashed SEMI JOIN crossed USING ({h})
        """


def _write_neighbours(engine: duckdb.DuckDBPyConnection, limits: Sequence[int]) -> None:
    """Write ``near`` (fresh records and all that share a block with one) and ``small0``, … (blocks to be looked at)."""
    engine.execute("CREATE OR REPLACE TEMP TABLE near AS SELECT node FROM fresh")
    for at, limit in enumerate(limits):
        engine.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE small{at:d} AS
            WITH asked AS (SELECT h{at:d} FROM hashed SEMI JOIN fresh USING (node) WHERE h{at:d} IS NOT NULL)
            SELECT h{at:d} FROM hashed SEMI JOIN asked USING (h{at:d})
            GROUP BY h{at:d} HAVING count(*) BETWEEN 2 AND {limit:d}
            """
        )
        engine.execute(f"INSERT INTO near SELECT node FROM hashed SEMI JOIN small{at:d} USING (h{at:d})")
    engine.execute("CREATE OR REPLACE TEMP TABLE near AS SELECT DISTINCT node FROM near")


def _write_compared(engine: duckdb.DuckDBPyConnection, matcher: Matcher, shared_by_at_most: int) -> None:
    """Write ``compared`` for the records that are near, without contact points that too many of all share."""
    engine.execute("CREATE OR REPLACE TEMP TABLE compared AS SELECT * FROM whole ORDER BY node")
    for at, key in enumerate(matcher.keys):
        if key in contacts(matcher.compared):
            engine.execute(
                f"""
                UPDATE compared SET {quoted(key)} = NULL WHERE node IN (
                  SELECT node FROM hashed WHERE h{at:d} IN (
                    SELECT h{at:d} FROM hashed SEMI JOIN (FROM hashed SEMI JOIN near USING (node)) n USING (h{at:d})
                    GROUP BY h{at:d} HAVING count(*) > {shared_by_at_most:d}
                  )
                )
                """
            )


def _write_keyed(engine: duckdb.DuckDBPyConnection, limits: Sequence[int]) -> None:
    """Write ``keyed`` for the records that are near: the keys that are looked at."""
    chosen = ", ".join(f"small{at:d}.h{at:d} AS k{at:d}" for at in range(len(limits)))
    joins = "\n".join(f"LEFT JOIN small{at:d} ON small{at:d}.h{at:d} = n.h{at:d}" for at in range(len(limits)))
    engine.execute(
        f"CREATE OR REPLACE TEMP TABLE keyed AS SELECT n.node, {chosen} "
        f"FROM (FROM hashed SEMI JOIN near USING (node)) n {joins}"
    )


def _kept(engine: duckdb.DuckDBPyConnection, matches: pa.Table, rows: int) -> pa.Table:
    """Return the edges between records that are as they were, by the row numbers that they have now."""
    stayed = engine.sql("SELECT old, node FROM stayed ANTI JOIN fresh USING (node)").to_arrow_table()
    place = np.full(rows, -1, dtype=np.int64)
    place[stayed["old"].to_numpy()] = stayed["node"].to_numpy()
    ends = [place[matches[side].to_numpy()] for side in ("left", "right")]
    still = (ends[0] >= 0) & (ends[1] >= 0)
    return pa.table(
        {
            "left": np.minimum(*ends)[still],
            "right": np.maximum(*ends)[still],
            "weight": matches["weight"].to_numpy()[still],
            "cause": pa.array(["match"] * int(still.sum()), pa.string()),
        },
        schema=EDGES,
    )
