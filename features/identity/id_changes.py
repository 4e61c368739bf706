"""What becomes of the ids when the groups of records are other ones than before: ledger and partition → ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.base.engine import EngineResources, open_engine
from features.identity.id_assignment import Overlap, keepers
from features.identity.id_key import new_ids
from features.identity.id_ledger import ASSIGNMENTS, EVENTS, IdLedger

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

    A group keeps the id that most of its records had (see `id_keeping.keepers`); one without an id to keep gets a new
    one. An id that no group keeps was merged into the group that took most of its records, or is retired when all of
    them left; retired, it comes back with its records. A kept id of which records are in another group was split when
    that group is a new customer, and lost them to it (moved) when it had an id before. Pure: the same arguments give
    the same ledger, and a partition that changes nothing gives `ledger` itself.

    Parameters
    ----------
    ledger : what is known
    partition : ``feed``, ``record_id``, ``known_at``, ``group`` (a number) of all records that there are now
    at : the moment from which this counts; the ledger's last moment, where that is later
    key : the secret that new ids are made of
    evidence : what tied the records together (`EVIDENCE`), for the causes of merges
    resources : what the engine may use

    Returns
    -------
    IdLedger
    """
    at = max(at, ledger.at)
    with open_engine(folders=[], resources=resources) as engine:
        present = ledger.assignments.append_column("row", pa.array(np.arange(ledger.assignments.num_rows)))
        engine.register("assignments", present)
        engine.register("partition", partition)
        _join(engine)
        touched, gone = _touched(engine), _gone(engine)
        if not touched.num_rows and not gone.num_rows:
            return ledger
        moves = _moves(ledger, touched, gone, key=key)
        causes = _causes(engine, evidence, touched, moves) if evidence is not None and moves.takes_in else {}
    events = _events(moves, causes, never=_never(ledger, touched, moves), at=at, first=ledger.events.num_rows + 1)
    return IdLedger(
        assignments=_assigned(ledger.assignments, touched, gone, moves, at=at),
        events=pa.concat_tables([ledger.events, events]),
        judgements=ledger.judgements,
    )


def _join(engine: duckdb.DuckDBPyConnection) -> None:
    """Create ``held`` (present assignments) and ``joined`` (the partition with each record's present id)."""
    engine.execute(
        "CREATE TEMP TABLE held AS SELECT feed, record_id, customer_id, row FROM assignments WHERE to_at IS NULL"
    )
    engine.execute(
        """
        CREATE TEMP TABLE joined AS
        SELECT p.feed, p.record_id, p.known_at, p."group" AS grp, h.customer_id AS prior, h.row
        FROM partition p LEFT JOIN held h ON h.feed = p.feed AND h.record_id = p.record_id
        """
    )


def _touched(engine: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return the records of all groups that are not exactly what one id held before, the one known first first."""
    return engine.sql(
        """
        WITH sizes AS (SELECT customer_id, count(*) AS records FROM held GROUP BY customer_id),
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
        SELECT other.*, last FROM other LEFT JOIN past USING (feed, record_id)
        ORDER BY known_at, feed, record_id
        """
    ).to_arrow_table()


def _gone(engine: duckdb.DuckDBPyConnection) -> pa.Table:
    """Return the assignments of records that are there no more."""
    return engine.sql(
        """
        SELECT feed, record_id, customer_id, row
        FROM held ANTI JOIN partition USING (feed, record_id)
        ORDER BY row
        """
    ).to_arrow_table()


@dataclass(frozen=True)
class _Moves:
    """Which id every touched group has now, and between which ids records went.

    Parameters
    ----------
    group : for each touched record the place of its group in `ids`
    ids : the id of each group
    created : new ids, in the order of their first records
    returned : retired ids that are back
    overlaps : what each group held of each id before
    retired : ids all of whose records left
    """

    group: np.ndarray
    ids: list[str]
    created: list[str]
    returned: list[str]
    overlaps: list[Overlap]
    retired: list[str]

    @property
    def takes_in(self) -> bool:
        return any(self.ids[overlap.group] != overlap.customer_id for overlap in self.overlaps)


def _moves(ledger: IdLedger, touched: pa.Table, gone: pa.Table, *, key: bytes) -> _Moves:
    labels, first_rows, group = np.unique(touched["grp"].to_numpy(), return_index=True, return_inverse=True)
    overlaps = _overlaps(ledger, touched, group, first_rows)
    kept = keepers(overlaps)
    unnamed = [int(place) for place in np.argsort(first_rows) if int(place) not in kept]
    first = touched.take(pa.array(first_rows[unnamed], pa.int64()))
    names = [f"{f}:{r}" for f, r in zip(first["feed"].to_pylist(), first["record_id"].to_pylist(), strict=True)]
    fresh = _fresh_ids(ledger, names, key=key)
    ids = {**kept, **dict(zip(unnamed, fresh, strict=True))}
    had = {overlap.customer_id for overlap in overlaps}
    dormant = {overlap.customer_id for overlap in overlaps if not overlap.live} - {
        overlap.customer_id for overlap in overlaps if overlap.live
    }
    return _Moves(
        group=group,
        ids=[ids[place] for place in range(len(labels))],
        created=fresh,
        returned=sorted(dormant & set(kept.values())),
        overlaps=overlaps,
        retired=sorted(set(pc.unique(gone["customer_id"]).to_pylist()) - had),
    )


def _overlaps(ledger: IdLedger, touched: pa.Table, group: np.ndarray, first_rows: np.ndarray) -> list[Overlap]:
    frame = pd.DataFrame({"group": group, "prior": touched["prior"].to_pandas(), "last": touched["last"].to_pandas()})
    frame["live"] = frame["prior"].notna()
    frame = frame[frame["live"] | frame["last"].notna()]
    if frame.empty:
        return []
    asleep = _retired(ledger, frame.loc[~frame["live"], "last"].unique().tolist())
    frame["id"] = frame["prior"].where(frame["live"], frame["last"].where(frame["last"].isin(asleep)))
    counts = frame.dropna(subset="id").groupby(["group", "id"], sort=True)["live"].agg(["sum", "count"])
    born = _born(ledger, counts.index.get_level_values("id").unique().tolist())
    return [
        Overlap(int(place), str(name), int(live), int(count - live), born[str(name)], int(first_rows[place]))
        for (place, name), live, count in zip(counts.index, counts["sum"], counts["count"], strict=True)
    ]


def _retired(ledger: IdLedger, ids: Sequence[str]) -> set[str]:
    """Return which of the ids are retired: not live, and not merged into another."""
    if not ids:
        return set()
    states = ("created", "returned", "merged", "retired")
    wanted = pc.and_(
        pc.is_in(ledger.events["customer_id"], pa.array(ids)), pc.is_in(ledger.events["kind"], pa.array(states))
    )
    rows = ledger.events.filter(wanted)
    latest = dict(zip(rows["customer_id"].to_pylist(), rows["kind"].to_pylist(), strict=True))
    return {name for name, kind in latest.items() if kind == "retired"}


def _born(ledger: IdLedger, ids: Sequence[str]) -> dict[str, int]:
    births = ledger.events.filter(pc.equal(ledger.events["kind"], "created"))
    rows = births.filter(pc.is_in(births["customer_id"], pa.array(ids, pa.string())))
    return dict(zip(rows["customer_id"].to_pylist(), rows["event"].to_pylist(), strict=True))


def _fresh_ids(ledger: IdLedger, names: Sequence[str], *, key: bytes) -> list[str]:
    """Return a new id for each name: none that was ever given, and none twice."""
    given = ledger.events.filter(pc.equal(ledger.events["kind"], "created"))["customer_id"]
    found, ordinal = np.array(new_ids(key, names, 0), dtype=object), 0
    while len(found):
        taken = pc.filter(given, pc.is_in(given, pa.array(found, pa.string()))).to_pylist()
        again = np.flatnonzero(pd.Series(found).duplicated().to_numpy() | np.isin(found, taken)).tolist()
        if not again:
            break
        ordinal += 1
        found[again] = new_ids(key, [names[place] for place in again], ordinal)
    return [str(name) for name in found]


def _assigned(before: pa.Table, touched: pa.Table, gone: pa.Table, moves: _Moves, *, at: datetime) -> pa.Table:
    """Return the assignments with those closed that ended, and the new ones appended."""
    now = pa.array(np.array(moves.ids, dtype=object)[moves.group] if touched.num_rows else [], pa.string())
    moved = pc.fill_null(pc.not_equal(touched["prior"], now), True)
    opened = touched.append_column("customer_id", now).filter(moved)
    ended = np.concatenate([opened["row"].drop_null().to_numpy(), gone["row"].to_numpy()]).astype(np.int64)
    ends = np.zeros(before.num_rows, dtype=bool)
    ends[ended] = True
    moment = pa.scalar(at, ASSIGNMENTS.field("to_at").type)
    to_at = pc.if_else(pa.array(ends), moment, before["to_at"])
    closed = before.set_column(before.schema.get_field_index("to_at"), ASSIGNMENTS.field("to_at"), to_at)
    opened = opened.sort_by([("feed", "ascending"), ("record_id", "ascending")])
    rows = pa.table(
        {
            "feed": opened["feed"],
            "record_id": opened["record_id"],
            "customer_id": opened["customer_id"],
            "from_at": pa.repeat(moment, opened.num_rows),
            "to_at": pa.nulls(opened.num_rows, moment.type),
        },
        schema=ASSIGNMENTS,
    )
    return pa.concat_tables([closed, rows])


@dataclass(frozen=True)
class _Cause:
    """What tied the records of an id that was taken in to the others of its group."""

    rule: str
    weight: float | None


def _causes(
    engine: duckdb.DuckDBPyConnection, evidence: pa.Table, touched: pa.Table, moves: _Moves
) -> dict[tuple[int, str], _Cause]:
    """Return the strongest evidence between each id's records in a group and the group's others."""
    engine.register("evidence", evidence)
    engine.register("touched", touched.drop_columns(["grp"]).append_column("grp", pa.array(moves.group)))
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
        GROUP BY ALL ORDER BY ALL
        """
    ).fetchall()
    return {(int(group), str(name)): _Cause(str(rule), weight) for group, name, rule, weight in rows if name}


def _never(ledger: IdLedger, touched: pa.Table, moves: _Moves) -> set[tuple[str, str]]:
    """Return the pairs of ids between whose records a person's ``never`` stands."""
    apart = [judgement for judgement in ledger.standing_judgements() if judgement.verdict == "never"]
    if not apart:
        return set()
    now = np.array(moves.ids, dtype=object)[moves.group] if touched.num_rows else []
    records = zip(touched["feed"].to_pylist(), touched["record_id"].to_pylist(), strict=True)
    ids: dict[tuple[str, str], str] = dict(zip(records, now, strict=True))
    pairs = [(ids.get(judgement.one, ""), ids.get(judgement.other, "")) for judgement in apart]
    return {pair for one, other in pairs for pair in ((one, other), (other, one))}


def _events(
    moves: _Moves,
    causes: Mapping[tuple[int, str], _Cause],
    *,
    never: set[tuple[str, str]],
    at: datetime,
    first: int,
) -> pa.Table:
    """Return the new entries: births first, then what records did, deaths last; each kind in a fixed order."""
    created, living = set(moves.created), set(moves.ids)
    by_id: dict[str, list[Overlap]] = {}
    for overlap in moves.overlaps:
        by_id.setdefault(overlap.customer_id, []).append(overlap)
    found: list[dict[str, Any]] = [
        {"kind": "returned", "customer_id": name, "cause": "records came back"} for name in moves.returned
    ]
    found += [{"kind": "retired", "customer_id": name, "cause": "all records left"} for name in moves.retired]
    for name, parts in by_id.items():
        dead = name not in living
        for place, part in enumerate(sorted(parts, key=lambda o: (-o.live, -o.returned, o.first))):
            into = moves.ids[part.group]
            if into == name:
                continue
            merged = dead and place == 0
            kind = "merged" if merged else "split" if into in created else "moved"
            cause = causes.get((part.group, name)) if kind != "split" else None
            apart = (name, into) in never
            said = "judged never" if apart and not merged else cause.rule if cause else "records"
            weight = cause.weight if cause else None
            found.append({"kind": kind, "customer_id": name, "into": into, "cause": said, "weight": weight})
    found.sort(key=lambda e: (_ORDER[e["kind"]], e["customer_id"], e.get("into", "")))
    births = _births(moves.created, at=at, first=first)
    first += len(moves.created)
    rows = [{"event": first + place, "at": at, **event} for place, event in enumerate(found)]
    return pa.concat_tables([births, pa.Table.from_pylist(rows, schema=EVENTS)])


def _births(ids: Sequence[str], *, at: datetime, first: int) -> pa.Table:
    size = len(ids)
    columns: dict[str, Any] = {
        "event": np.arange(first, first + size),
        "at": pa.repeat(pa.scalar(at, EVENTS.field("at").type), size),
        "kind": pa.repeat("created", size),
        "customer_id": pa.array(ids, pa.string()),
        "cause": pa.repeat("records", size),
    }
    return pa.table([columns.get(field.name, pa.nulls(size, field.type)) for field in EVENTS], schema=EVENTS)
