"""Which pairs of records are compared: those that share a key, such as a name and a year of birth."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import duckdb

from features.base.database_engine import one_row
from features.identity.presets import Compared

#: Pairs, for each record, that one key may propose; its largest blocks are left out until it keeps to this.
PAIRS_PER_RECORD = 4
#: The largest block of a contact point or a whole name: these are left out only where they can be nobody's.
LARGEST_BLOCK = 5_000
#: SQL between the two parts of a key.
KEY_SEPARATOR = " || '|' || "
#: Records that a small table is counted as having on top, since it can afford more pairs a record.
SMALL = 2_000
#: Pairs that parameters are learnt from: of those that are blocked, and of those drawn at random. The latter are dear
#: (all their texts differ) and need not be many: how rare equal values are is known from the frequencies.
SAMPLE, RANDOM = 300_000, 100_000
#: SQL of the key of a person's whole name, whichever way round.
NAME_KEY = "least(given, family) || ' ' || greatest(given, family)"


def keys(found: Sequence[Compared]) -> tuple[str, ...]:
    """Return SQL over the compared table of the values of which two records have to share one, to be compared.

    Contact points, identifiers and whole names serve alone; other parts serve two and two.
    """
    alone: list[str] = []
    parts: list[tuple[str, str]] = []
    for each in found:
        c = each.column
        match each.kind:
            case "email" | "phone" | "identifier" | "exact" | "company":
                alone.append(c)
                if each.kind == "company":
                    parts.append((c, f"left({c}, 5)"))
            case "person":
                alone.append(NAME_KEY)
                parts += [("given", "given"), ("family", "family")]
            case "date":
                alone.append(c)
                parts += [(c, f"left({c}, 4)"), (c, f"nullif(substr({c}, 5, 4), '')")]
            case "place" | "street" | "postcode" | "name":
                parts.append((c, c))
    pairs = [
        f"{one}{KEY_SEPARATOR}{other}"
        for (a, one), (b, other) in combinations(parts, 2)
        if a != b and {a, b} != {"given", "family"}
    ]
    return tuple(dict.fromkeys([*alone, *pairs]))


def whole_keys(found: Sequence[Compared]) -> frozenset[str]:
    """Return the keys whose blocks are compared however large: contact points and whole names."""
    return frozenset(
        NAME_KEY if each.kind == "person" else each.column
        for each in found
        if each.kind in ("email", "phone", "company", "person")
    )


def write_keys(
    engine: duckdb.DuckDBPyConnection,
    expressions: Sequence[str],
    limits: Sequence[int] | None,
    *,
    whole: frozenset[str] = frozenset(),
) -> tuple[tuple[int, ...], int]:
    """Write the table ``keyed`` (node, k0, k1, …).

    Parameters
    ----------
    engine : has the table ``compared``
    expressions : what `keys` gave
    limits : what this function returned when the matcher was fitted; found here if left out
    whole : what `whole_keys` gave

    Returns
    -------
    The largest block that each key may have, and how many blocks were left out because they are larger
    """
    hashed = ", ".join(
        f"hash({sql}, {at:d}) AS h{at:d}, ({sql}) IS NOT NULL AS f{at:d}" for at, sql in enumerate(expressions)
    )
    engine.execute(f"CREATE OR REPLACE TEMP TABLE hashed AS SELECT node, {hashed} FROM compared")
    found: list[int] = []
    left_out = 0
    for at, key in enumerate(expressions):
        engine.execute(_blocks(at))
        if limits is not None:
            limit = limits[at]
        else:
            limit = LARGEST_BLOCK if key in whole else int(one_row(engine, _limit(at))[0] or 2)
        left_out += one_row(engine, f"SELECT count(*) FROM blocks{at:d} WHERE size > {limit:d}")[0]
        engine.execute(f"DELETE FROM blocks{at:d} WHERE size > {limit:d}")
        found.append(limit)
    chosen = ", ".join(f"blocks{at:d}.k AS k{at:d}" for at in range(len(expressions)))
    joins = "\n".join(
        f"LEFT JOIN blocks{at:d} ON f{at:d} AND h{at:d} = blocks{at:d}.k" for at in range(len(expressions))
    )
    engine.execute(f"CREATE OR REPLACE TEMP TABLE keyed AS SELECT node, {chosen} FROM hashed {joins}")
    for at in range(len(expressions)):
        engine.execute(f"DROP TABLE blocks{at:d}")
    return tuple(found), int(left_out)


def _blocks(at: int) -> str:
    return f"""
        CREATE OR REPLACE TEMP TABLE blocks{at:d} AS
        SELECT h{at:d} AS k, count(*) AS size FROM hashed WHERE f{at:d} GROUP BY k HAVING size > 1
        """


def _limit(at: int) -> str:
    """Return SQL of the largest block size up to which a key stays within its number of pairs."""
    return f"""
        SELECT max(size) FROM (
          SELECT size, sum(size * (size - 1) / 2 * count(*)) OVER (ORDER BY size) AS pairs
          FROM blocks{at:d} GROUP BY size
        )
        WHERE pairs <= {PAIRS_PER_RECORD:d} * (SELECT count(*) + {SMALL:d} FROM hashed)
        """


def pairs_select(keys_: int) -> str:
    """Return SQL of all pairs of nodes of ``keyed`` that share a key, with the number of the first that they share."""
    return "\nUNION ALL\n".join(
        f"SELECT l.node AS join_key_l, r.node AS join_key_r, '{at:d}' AS match_key\n"
        f"FROM keyed l JOIN keyed r ON l.k{at:d} = r.k{at:d}\n"
        f"WHERE l.node < r.node {_but_earlier(at)}"
        for at in range(keys_)
    )


def sampled_select(keys_: int) -> str:
    """Return SQL that draws so many records that the pairs among them are about as many as are learnt from."""
    pairs = " + ".join(
        f"(SELECT coalesce(sum(n * (n - 1) / 2), 0) FROM (SELECT count(*) AS n FROM keyed WHERE k{at:d} IS NOT NULL "
        f"GROUP BY k{at:d}))"
        for at in range(keys_)
    )
    return f"""
        CREATE OR REPLACE TEMP TABLE sampled AS
        SELECT * FROM keyed WHERE hash(node, 1) % 1000000 < 1000000 * sqrt(least(1, {SAMPLE:d} / greatest({pairs}, 1)))
        """


def random_pairs_select() -> str:
    """Return SQL that draws pairs at random: each record with those that follow it in an order that means nothing."""
    return f"""
        CREATE OR REPLACE TEMP TABLE random_pairs AS
        WITH shuffled AS MATERIALIZED (
          SELECT node, row_number() OVER (ORDER BY hash(node, 2), node) - 1 AS place, count(*) OVER () AS n
          FROM compared
        ), steps AS (
          SELECT unnest(range(1, greatest(1, least((max(n) - 1) // 2, {RANDOM:d} // max(n))) + 1)) AS step FROM shuffled
        ), ahead AS (SELECT node, (place + step) % n AS place FROM shuffled CROSS JOIN steps WHERE place < {RANDOM:d})
        SELECT least(l.node, r.node) AS join_key_l, greatest(l.node, r.node) AS join_key_r, '0' AS match_key
        FROM ahead l JOIN shuffled r USING (place)
        WHERE l.node <> r.node
        """


def sampled_pairs_select(keys_: int) -> str:
    """Return SQL of the pairs of ``sampled``, once under each key that they share, and of records that have copies.

    A record with a copy is a pair with itself under a key of its own, after the others. The number of a pair's first
    key is raised by the number of keys.
    """
    selects = [
        f"SELECT l.node AS join_key_l, r.node AS join_key_r,\n"
        f"CASE WHEN true {_but_earlier(at)} THEN '{at + keys_ + 1:d}' ELSE '{at:d}' END AS match_key\n"
        f"FROM sampled l JOIN sampled r ON l.k{at:d} = r.k{at:d} WHERE l.node < r.node"
        for at in range(keys_)
    ]
    copied = copied_select(2 * keys_ + 1, "copies SEMI JOIN sampled ON rep = sampled.node")
    return "\nUNION ALL\n".join([*selects, copied])


def copied_select(match_key: int, source: str = "copies") -> str:
    """Return SQL of the records of ``copies`` that have copies, each as a pair with itself."""
    return (
        f"SELECT rep AS join_key_l, rep AS join_key_r, '{match_key:d}' AS match_key\n"
        f"FROM {source} GROUP BY rep HAVING count(*) > 1"
    )


def new_pairs_select(keys_: int) -> str:
    """Return SQL of those pairs of which one node, or both, stands in the table ``fresh``."""
    return "\nUNION ALL\n".join(
        f"SELECT least(l.node, r.node) AS join_key_l, greatest(l.node, r.node) AS join_key_r, '{at:d}' AS match_key\n"
        f"FROM (FROM keyed SEMI JOIN fresh USING (node)) l JOIN keyed r ON l.k{at:d} = r.k{at:d}\n"
        f"WHERE l.node <> r.node AND (l.node < r.node OR r.node NOT IN (SELECT node FROM fresh)) {_but_earlier(at)}"
        for at in range(keys_)
    )


def _but_earlier(at: int) -> str:
    return " ".join(f"AND NOT coalesce(l.k{before:d} = r.k{before:d}, false)" for before in range(at))
