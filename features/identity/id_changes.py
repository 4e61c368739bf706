"""Carry the customer ids over to new groups of records: id ledger and partition → id ledger.

What grows with the number of records stays in tables of the engine, which can spill to disk; only ids whose records
changed groups become objects of Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.base.database_engine import EngineResources, one_row, open_engine
from features.identity.id_assignment import Overlap, keepers
from features.identity.id_ledger import ASSIGNMENTS, EVENTS, IdLedger
from features.identity.keyed_digest import keyed_digest, register_key

#: What ties two records of a partition: a table of these, of any number of rows; `weight` may be empty.
EVIDENCE = pa.schema(
    [
        ("feed", pa.string()),
        ("record_id", pa.string()),
        ("other_feed", pa.string()),
        ("other_record", pa.string()),
        ("rule", pa.string()),
        ("weight", pa.float64()),
    ]
)
_LETTERS = 16
_KEY = "ids"
_ORDER = {kind: place for place, kind in enumerate(("returned", "split", "moved", "merged", "retired"))}


def apply(
    ledger: IdLedger,
    partition: pa.Table,
    *,
    at: datetime,
    key: bytes,
    evidence: pa.Table | None = None,
    resources: EngineResources | None = None,
) -> IdLedger:
    """Carry the ids over to a new partition of the records.

    A group keeps the id that most of its records had (see `id_assignment.keepers`); one without an id to keep gets a
    new one. An id that no group keeps was merged into the group that took most of its records, or is retired when all
    of them left; retired, it comes back with its records. A kept id of which records are in another group was split
    when that group is a new customer, and lost them to it (moved) when it had an id before. Pure: the same arguments
    give the same ledger, and a partition that changes nothing gives `ledger` itself.

    Parameters
    ----------
    ledger : the id ledger before
    partition : ``feed``, ``record_id``, ``known_at``, ``group`` (a number) of all records that there are now
    at : the moment from which this counts; the ledger's last moment, where that is later
    key : the secret that new ids are computed with
    evidence : what tied the records together (`EVIDENCE`), for the causes of merges
    resources : what the engine may use

    Returns
    -------
    IdLedger
    """
    at = max(at, ledger.at)
    with open_engine(folders=[], resources=resources) as engine:
        register_key(engine, _KEY, key)
        present = ledger.assignments.append_column("row", pa.array(np.arange(ledger.assignments.num_rows)))
        engine.register("assignments", present)
        engine.register("events", ledger.events)
        engine.register("partition", partition)
        for statement in _COMPARE:
            engine.execute(statement)
        if one_row(engine, "SELECT (SELECT count(*) FROM touched) + (SELECT count(*) FROM gone)") == (0,):
            return ledger
        overlaps = [Overlap(*row) for row in engine.execute(_OVERLAPS).fetchall()]
        kept = keepers(overlaps)
        _name_groups(engine, kept)
        moves = _moves(engine, overlaps, kept)
        causes = _causes(engine, evidence) if evidence is not None and moves.takes_in else {}
        found = _events(moves, causes, never=_never(engine, ledger))
        births = _births(engine, at=at, first=ledger.events.num_rows + 1)
        first = ledger.events.num_rows + births.num_rows + 1
        rows = [{"event": first + place, "at": at, **event} for place, event in enumerate(found)]
        assignments = _assigned(engine, ledger.assignments, at=at)
    changes = pa.Table.from_pylist(rows, schema=EVENTS)
    return IdLedger(assignments, pa.concat_tables([ledger.events, births, changes]), ledger.judgements)


def new_id(record: str, ordinal: str, *, key: str) -> str:
    """Return SQL of the pseudonymous id of a customer that begins with a record: ``c`` and 16 hexadecimal letters.

    Parameters
    ----------
    record : SQL of the customer's first record, as ``feed:key``
    ordinal : SQL of a text: how many ids were tried before for the same record; another ordinal gives another id
    key : the name under which the key is registered; without the key nobody can find an id by trying records

    Examples
    --------
    >>> with open_engine(folders=[]) as engine:
    ...     register_key(engine, "demo", b"a key that is no secret, for tests")
    ...     engine.execute("SELECT " + new_id("'crm:1'", "'0'", key="demo")).fetchall()
    [('ce7e46bd2255dc245',)]
    """
    return f"'c' || left({keyed_digest(ordinal, domain=record, key=key)}, {_LETTERS:d})"


#: ``open_rows``: present assignments. ``joined``: the partition with each record's present id. ``touched``: the records
#: of all groups that are not exactly what one id held before; ``place`` orders them, the one known first first.
#: ``gone``: the assignments of records that are there no more.
_COMPARE = (
    "CREATE TEMP TABLE open_rows AS SELECT feed, record_id, customer_id, row FROM assignments WHERE to_at IS NULL",
    """
    CREATE TEMP TABLE joined AS
    SELECT p.feed, p.record_id, p.known_at, p."group" AS grp, h.customer_id AS prior, h.row
    FROM partition p LEFT JOIN open_rows h ON h.feed = p.feed AND h.record_id = p.record_id
    """,
    """
    CREATE TEMP TABLE touched AS
    WITH sizes AS (SELECT customer_id, count(*) AS records FROM open_rows GROUP BY customer_id),
    groups AS (
      SELECT grp, count(*) AS records, count(prior) AS had, min(prior) AS low, max(prior) AS high
      FROM joined GROUP BY grp
    ),
    same AS (
      SELECT grp FROM groups g JOIN sizes s ON s.customer_id = g.low
      WHERE g.low = g.high AND g.records = g.had AND g.records = s.records
    ),
    other AS (SELECT * FROM joined ANTI JOIN same USING (grp)),
    past AS (
      SELECT feed, record_id, arg_max(customer_id, row) AS last
      FROM assignments SEMI JOIN (SELECT feed, record_id FROM other WHERE prior IS NULL) USING (feed, record_id)
      GROUP BY ALL
    )
    SELECT other.*, last, row_number() OVER (ORDER BY known_at, feed, record_id) AS place
    FROM other LEFT JOIN past USING (feed, record_id)
    """,
    "DROP TABLE joined",
    """
    CREATE TEMP TABLE gone AS
    SELECT customer_id, row FROM open_rows ANTI JOIN partition USING (feed, record_id)
    """,
)

#: What each group holds of each id before, in the order of `Overlap`; of ids that ended, only those that are retired.
_OVERLAPS = """
    WITH states AS (
      SELECT customer_id, arg_max(kind, event) AS kind
      FROM events SEMI JOIN (SELECT last AS customer_id FROM touched WHERE prior IS NULL) USING (customer_id)
      WHERE kind IN ('created', 'returned', 'merged', 'retired') GROUP BY customer_id
    ),
    firsts AS (SELECT grp, min(place) AS first FROM touched GROUP BY grp),
    found AS (
      SELECT grp, coalesce(prior, states.customer_id) AS customer_id, count(prior) AS live,
             count(*) - count(prior) AS returned
      FROM touched LEFT JOIN states ON states.customer_id = last AND states.kind = 'retired' AND prior IS NULL
      WHERE coalesce(prior, states.customer_id) IS NOT NULL GROUP BY ALL
    )
    SELECT grp, customer_id, live, returned, event, first
    FROM found JOIN firsts USING (grp) JOIN events USING (customer_id) WHERE kind = 'created'
    ORDER BY grp, customer_id
    """


def _name_groups(engine: duckdb.DuckDBPyConnection, kept: Mapping[int, str]) -> None:
    """Write ``fresh`` (groups with a new id: none that was ever given, and none twice) and ``named`` (all groups)."""
    table = pa.table({"grp": pa.array(kept.keys(), pa.int64()), "customer_id": pa.array(kept.values(), pa.string())})
    engine.register("kept", table)
    engine.execute(
        f"""
        CREATE TEMP TABLE fresh AS
        SELECT grp, first, name, {new_id("name", "'0'", key=_KEY)} AS customer_id
        FROM (
          SELECT grp, min(place) AS first, arg_min(feed || ':' || record_id, place) AS name
          FROM touched ANTI JOIN kept USING (grp) GROUP BY grp
        )
        """
    )
    ordinal = 0
    while True:
        engine.execute(
            """
            CREATE OR REPLACE TEMP TABLE again AS
            SELECT grp FROM fresh SEMI JOIN (FROM events WHERE kind = 'created') USING (customer_id)
            UNION ALL
            SELECT f.grp FROM fresh f JOIN (
              SELECT customer_id, min(first) AS first FROM fresh GROUP BY customer_id HAVING count(*) > 1
            ) twice ON twice.customer_id = f.customer_id AND twice.first < f.first
            """
        )
        if one_row(engine, "SELECT count(*) FROM again") == (0,):
            break
        ordinal += 1
        another = new_id("name", f"'{ordinal:d}'", key=_KEY)
        engine.execute(f"UPDATE fresh SET customer_id = {another} WHERE grp IN (FROM again)")
    engine.execute("CREATE TEMP VIEW named AS FROM kept UNION ALL SELECT grp, customer_id FROM fresh")


@dataclass(frozen=True)
class _Moves:
    """Between which ids records went.

    Parameters
    ----------
    ids : the id of each group that holds records that had an id before
    kept : the ids that a group keeps
    returned : retired ids that are back
    overlaps : what each group held of each id before
    retired : ids all of whose records left
    """

    ids: Mapping[int, str]
    kept: frozenset[str]
    returned: list[str]
    overlaps: list[Overlap]
    retired: list[str]

    @property
    def takes_in(self) -> bool:
        return any(self.ids[overlap.group] != overlap.customer_id for overlap in self.overlaps)


def _moves(engine: duckdb.DuckDBPyConnection, overlaps: list[Overlap], kept: Mapping[int, str]) -> _Moves:
    engine.register("overlapping", pa.table({"grp": pa.array({overlap.group for overlap in overlaps}, pa.int64())}))
    ids = dict(engine.execute("SELECT grp, customer_id FROM named SEMI JOIN overlapping USING (grp)").fetchall())
    had = {overlap.customer_id for overlap in overlaps}
    dormant = had - {overlap.customer_id for overlap in overlaps if overlap.live}
    left = {str(name) for (name,) in engine.execute("SELECT DISTINCT customer_id FROM gone").fetchall()}
    return _Moves(
        ids=ids,
        kept=frozenset(kept.values()),
        returned=sorted(dormant & set(kept.values())),
        overlaps=overlaps,
        retired=sorted(left - had),
    )


def _assigned(engine: duckdb.DuckDBPyConnection, before: pa.Table, *, at: datetime) -> pa.Table:
    """Return the assignments with those closed that ended, and the new ones appended."""
    engine.execute(
        """
        CREATE TEMP TABLE opened AS
        SELECT feed, record_id, customer_id, row FROM touched JOIN named USING (grp)
        WHERE prior IS DISTINCT FROM customer_id
        """
    )
    ended = engine.sql("SELECT row FROM opened WHERE row IS NOT NULL UNION ALL SELECT row FROM gone").to_arrow_table()
    ends = np.zeros(before.num_rows, dtype=bool)
    ends[ended["row"].to_numpy()] = True
    moment = pa.scalar(at, ASSIGNMENTS.field("to_at").type)
    to_at = pc.if_else(pa.array(ends), moment, before["to_at"])
    closed = before.set_column(before.schema.get_field_index("to_at"), ASSIGNMENTS.field("to_at"), to_at)
    opened = engine.sql("SELECT feed, record_id, customer_id FROM opened ORDER BY feed, record_id").to_arrow_table()
    times = [pa.repeat(moment, opened.num_rows), pa.nulls(opened.num_rows, moment.type)]
    return pa.concat_tables([closed, pa.table([*opened.columns, *times], schema=ASSIGNMENTS)])


@dataclass(frozen=True)
class _Cause:
    """What tied the records of an id that was merged or moved to the others of its group."""

    rule: str
    weight: float | None


def _causes(engine: duckdb.DuckDBPyConnection, evidence: pa.Table) -> dict[tuple[int, str], _Cause]:
    """Return the strongest evidence between each id's records in a group and the group's others."""
    engine.register("evidence", evidence)
    rows = engine.execute(
        """
        WITH ties AS (
          SELECT * FROM evidence
          UNION ALL
          SELECT other_feed, other_record, feed, record_id, rule, weight FROM evidence
        )
        SELECT one.grp, coalesce(one.prior, one.last) AS id,
          arg_max(rule, coalesce(weight, 'inf'::DOUBLE)), arg_max(weight, coalesce(weight, 'inf'::DOUBLE))
        FROM ties
        JOIN touched one ON one.feed = ties.feed AND one.record_id = ties.record_id
        JOIN touched two ON two.feed = ties.other_feed AND two.record_id = ties.other_record AND two.grp = one.grp
        WHERE coalesce(one.prior, one.last) IS DISTINCT FROM coalesce(two.prior, two.last)
          AND coalesce(one.prior, one.last) IS NOT NULL
        GROUP BY ALL ORDER BY ALL
        """
    ).fetchall()
    return {(int(group), str(name)): _Cause(str(rule), weight) for group, name, rule, weight in rows}


def _never(engine: duckdb.DuckDBPyConnection, ledger: IdLedger) -> set[tuple[str, str]]:
    """Return the pairs of ids between whose records the judgement ``never`` stands."""
    apart = [judgement for judgement in ledger.present_judgements() if judgement.verdict == "never"]
    if not apart:
        return set()
    ends = sorted({end for judgement in apart for end in (judgement.one, judgement.other)})
    engine.register("judged", pa.table({"feed": [end[0] for end in ends], "record_id": [end[1] for end in ends]}))
    rows = engine.execute(
        """
        SELECT feed, record_id, customer_id
        FROM touched SEMI JOIN judged USING (feed, record_id) JOIN named USING (grp)
        """
    ).fetchall()
    ids = {(feed, record): name for feed, record, name in rows}
    pairs = [(ids.get(judgement.one, ""), ids.get(judgement.other, "")) for judgement in apart]
    return {pair for one, other in pairs for pair in ((one, other), (other, one))}


def _events(
    moves: _Moves, causes: Mapping[tuple[int, str], _Cause], *, never: set[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Return the new entries after the births: what records did, then the ids that ended; each in a fixed order."""
    by_id: dict[str, list[Overlap]] = {}
    for overlap in moves.overlaps:
        by_id.setdefault(overlap.customer_id, []).append(overlap)
    found: list[dict[str, Any]] = [
        {"kind": "returned", "customer_id": name, "cause": "records came back"} for name in moves.returned
    ]
    found += [{"kind": "retired", "customer_id": name, "cause": "all records left"} for name in moves.retired]
    for name, parts in by_id.items():
        ended = name not in moves.kept
        for place, part in enumerate(sorted(parts, key=lambda o: (-o.live, -o.returned, o.first))):
            into = moves.ids[part.group]
            if into == name:
                continue
            merged = ended and place == 0
            kind = "merged" if merged else "moved" if into in moves.kept else "split"
            cause = causes.get((part.group, name)) if kind != "split" else None
            apart = (name, into) in never
            rule = "judged never" if apart and not merged else cause.rule if cause else "records"
            weight = cause.weight if cause else None
            found.append({"kind": kind, "customer_id": name, "into": into, "cause": rule, "weight": weight})
    return sorted(found, key=lambda e: (_ORDER[e["kind"]], e["customer_id"], e.get("into", "")))


def _births(engine: duckdb.DuckDBPyConnection, *, at: datetime, first: int) -> pa.Table:
    ids = engine.sql("SELECT customer_id FROM fresh ORDER BY first").to_arrow_table()["customer_id"]
    size = len(ids)
    columns: dict[str, Any] = {
        "event": np.arange(first, first + size),
        "at": pa.repeat(pa.scalar(at, EVENTS.field("at").type), size),
        "kind": pa.repeat("created", size),
        "customer_id": ids,
        "cause": pa.repeat("records", size),
    }
    return pa.table([columns.get(field.name, pa.nulls(size, field.type)) for field in EVENTS], schema=EVENTS)
