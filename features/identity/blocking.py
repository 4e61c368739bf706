"""Which pairs of records are looked at: those that share a key, such as a name and a year of birth."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import duckdb

from features.base.database_engine import one_row
from features.identity.presets import Compared

#: Pairs, for each record, that one key may propose; its largest blocks are passed over until it keeps to this.
PAIRS_PER_RECORD = 4
#: SQL between the two parts of a key.
KEY_SEPARATOR = " || '|' || "
#: Records that a small table is counted as having on top, since it can afford more pairs a record.
SMALL = 2_000


def keys(found: Sequence[Compared]) -> tuple[str, ...]:
    """Return SQL over the compared table of the values that two records have to share, one of them, to be looked at.

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
                alone.append("least(given, family) || ' ' || greatest(given, family)")
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


def write_keys(
    engine: duckdb.DuckDBPyConnection, expressions: Sequence[str], limits: Sequence[int] | None
) -> tuple[int, ...]:
    """Write the table ``keyed`` (node, k0, k1, …), and return the largest block that each key may have.

    Parameters
    ----------
    engine : knows the table ``compared``
    expressions : what `keys` gave
    limits : what this function returned when the matcher was fitted; found here if left out
    """
    hashed = ", ".join(
        f"hash({sql}, {at:d}) AS h{at:d}, ({sql}) IS NOT NULL AS f{at:d}" for at, sql in enumerate(expressions)
    )
    engine.execute(f"CREATE OR REPLACE TEMP TABLE hashed AS SELECT node, {hashed} FROM compared")
    found: list[int] = []
    for at in range(len(expressions)):
        engine.execute(_blocks(at))
        limit = limits[at] if limits is not None else int(one_row(engine, _limit(at))[0] or 2)
        engine.execute(f"DELETE FROM blocks{at:d} WHERE size > {limit:d}")
        found.append(limit)
    chosen = ", ".join(f"blocks{at:d}.k AS k{at:d}" for at in range(len(expressions)))
    joins = "\n".join(
        f"LEFT JOIN blocks{at:d} ON f{at:d} AND h{at:d} = blocks{at:d}.k" for at in range(len(expressions))
    )
    engine.execute(f"CREATE OR REPLACE TEMP TABLE keyed AS SELECT node, {chosen} FROM hashed {joins}")
    for at in range(len(expressions)):
        engine.execute(f"DROP TABLE blocks{at:d}")
    return tuple(found)


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


def sampled_pairs_select(keys_: int) -> str:
    """Return SQL of the pairs of ``sampled``, once under each key that they share; from `keys_` on, it is the first."""
    return "\nUNION ALL\n".join(
        f"SELECT l.node AS join_key_l, r.node AS join_key_r,\n"
        f"CASE WHEN true {_but_earlier(at)} THEN '{at + keys_:d}' ELSE '{at:d}' END AS match_key\n"
        f"FROM sampled l JOIN sampled r ON l.k{at:d} = r.k{at:d} WHERE l.node < r.node"
        for at in range(keys_)
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
