"""Which records are one customer: links, equal contact points and weighed matches, joined under people's judgements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.base.telephone import NO_COUNTRY, PhoneCountries
from features.config.feed import Feed
from features.config.identity_settings import WEIGHED, Identity
from features.identity.clustering import Guards, cluster
from features.identity.judgements import Judgements
from features.identity.links import ALWAYS, EDGES, PHONE, REVIEW, LinkEvidence, link_edges
from features.identity.matcher import Matcher
from features.identity.records import Records, first_of_copies, load_records, of_all_copies

_NOBODY = Judgements()
#: The least share of the possible edges between two groups of records that there have to be before they are joined.
LEAST_SHARE = 0.08


@dataclass(frozen=True)
class Evidence:
    """What speaks for joining records.

    Parameters
    ----------
    records : the records; edges name them by their row number
    edges : table of ``left``, ``right``, ``weight``, ``cause``, one row a pair and cause, judgements left out
    links : evidence of equal contact points against joining, and how many of them too many records share
    matcher : what weighed the matches, for rules that weigh
    matches : the weighed edges of `edges`, between the first of equal records; from one to itself where it has copies
    first : array of shape (n_records,); the first record that is compared as equal to it, for rules that weigh
    left_out : blocks of records that were too large to be compared
    """

    records: Records
    edges: pa.Table
    links: LinkEvidence
    matcher: Matcher | None = None
    matches: pa.Table = field(default_factory=EDGES.empty_table)
    first: np.ndarray | None = None
    left_out: int = 0


@dataclass(frozen=True)
class Resolution:
    """Records and the groups that they form; the id ledger gives each group its customer.

    Parameters
    ----------
    partition : table of ``feed``, ``record_id``, ``known_at``, ``group``, one row a record, in feed and record order;
        a group is named by the row number of its first record
    customers : how many customers there are
    shared : contact points that too many records share and that therefore linked nobody
    edges : the edges that were followed: ``left``, ``right`` (row numbers), ``weight``, ``cause``
    review : edges that were not followed, with their ``reason``; they wait for a person's review
    matcher : what weighed the matches, for rules that weigh
    left_out : blocks of records that were too large to be compared
    largest : how many records the largest customer has, equal ones counted once
    """

    partition: pa.Table
    customers: int
    shared: int
    edges: pa.Table = field(default_factory=EDGES.empty_table)
    review: pa.Table = field(default_factory=REVIEW.empty_table)
    matcher: Matcher | None = None
    left_out: int = 0
    largest: int = 1


def gather(
    engine: duckdb.DuckDBPyConnection,
    feeds: Mapping[str, Feed],
    identity: Identity,
    staged: Path,
    *,
    judged: Judgements = _NOBODY,
    matcher: Matcher | None = None,
    key: bytes | None = None,
    phones: PhoneCountries = NO_COUNTRY,
) -> Evidence:
    """Read the records and find everything that speaks for joining two of them.

    Links and equal contact points are always looked for among all records; matches are weighed by `matcher`, or by
    one that is fitted here.

    Parameters
    ----------
    engine : may read `staged`
    feeds : all declared feeds; those of other kinds are passed over
    identity : the rules
    staged : folder of the staged feeds
    judged : people's judgements; labels are learnt from when a matcher is fitted
    matcher : one that was fitted before, so that weights stay as they were; it needs the key that it was fitted with
    key : the secret of the digests; a random one if left out
    phones : by which country telephone numbers are read
    """
    records = load_records(engine, feeds, identity, staged, key=key, phones=phones)
    links = link_edges(engine, feeds, identity, staged, phones)
    if identity.rules not in WEIGHED:
        return Evidence(records, links.edges, links)
    matcher = matcher or Matcher.fit(engine, records, identity, judged=judged)
    matches, left_out = matcher.edges(engine)
    edges = pa.concat_tables([links.edges, of_all_copies(engine, matches)])
    return Evidence(records, edges, links, matcher, matches, first_of_copies(engine), left_out)


def join(evidence: Evidence, identity: Identity, judged: Judgements = _NOBODY) -> Resolution:
    """Join records along edges under the declared guards; the same evidence gives the same groups.

    Parameters
    ----------
    evidence : the records and what speaks for joining them; pairs that people judged to be one are put before it
    identity : names the exclusive fields and the most records of a customer
    judged : pairs that are one customer, pairs that are not; a pair with a record that is not there waits
    """
    records = evidence.records
    always, never = _placed(records, judged)
    first = pa.table(
        [always[:, 0], always[:, 1], np.full(len(always), ALWAYS), pa.array(["always"] * len(always), pa.string())],
        schema=EDGES,
    )
    edges = pa.concat_tables([first, evidence.edges.select(EDGES.names).cast(EDGES)]).combine_chunks()
    apart, counted = _but_always(evidence.links.apart, always), _counted(evidence)
    pairs = np.column_stack([apart[side].to_numpy() for side in ("left", "right")])
    found = cluster(
        records.table.num_rows,
        edges["left"].to_numpy(),
        edges["right"].to_numpy(),
        edges["weight"].to_numpy(),
        Guards(
            never=np.concatenate([never, pairs.reshape(-1, 2)]),
            why=["never"] * len(never) + apart["reason"].to_pylist(),
            exclusive=records.exclusive,
            at_most=identity.at_most,
            share=LEAST_SHARE if identity.rules in WEIGHED else 0.0,
            certain=PHONE,
            counted=counted,
        ),
    )
    followed = pa.array(found.refused == "")
    refused = edges.filter(pc.invert(followed)).append_column(
        "reason", pa.array(found.refused[found.refused != ""].tolist(), pa.string())
    )
    return Resolution(
        partition=records.table.select(["feed", "record_id", "known_at"]).append_column("group", pa.array(found.group)),
        customers=len(np.unique(found.group)),
        shared=evidence.links.shared,
        edges=edges.filter(followed),
        review=_review([refused, apart, evidence.links.undecided], found.group),
        matcher=evidence.matcher,
        left_out=evidence.left_out,
        largest=int(np.bincount(found.group, counted).max(initial=0)),
    )


def _but_always(apart: pa.Table, always: np.ndarray) -> pa.Table:
    """Return the pairs that are kept apart, without those that people have judged to be one."""
    judged = {(min(pair), max(pair)) for pair in always.tolist()}
    if not judged:
        return apart
    pairs = zip(apart["left"].to_pylist(), apart["right"].to_pylist(), strict=True)
    return apart.filter(pa.array([pair not in judged for pair in pairs], pa.bool_()))


def _counted(evidence: Evidence) -> np.ndarray:
    """Return which records count: of equal ones the first."""
    nodes = np.arange(evidence.records.table.num_rows)
    return np.asarray(np.full(len(nodes), True) if evidence.first is None else evidence.first == nodes)


def _review(tables: list[pa.Table], group: np.ndarray) -> pa.Table:
    """Return the edges that were not followed and whose records are two customers, each pair once."""
    edges = pa.concat_tables(tables).combine_chunks()
    ends = np.column_stack([edges[side].to_numpy() for side in ("left", "right")])
    _, once = np.unique(ends, axis=0, return_index=True)
    once = once[group[ends[once, 0]] != group[ends[once, 1]]]
    return edges.take(pa.array(np.sort(once)))


def resolve(
    engine: duckdb.DuckDBPyConnection,
    feeds: Mapping[str, Feed],
    identity: Identity,
    staged: Path,
    *,
    judged: Judgements = _NOBODY,
    matcher: Matcher | None = None,
) -> Resolution:
    """Group the records of all customer feeds into customers: `gather`, then `join`.

    Parameters
    ----------
    engine : may read `staged`
    feeds : all declared feeds; those of other kinds are passed over
    identity : the rules
    staged : folder of the staged feeds
    judged : people's judgements
    matcher : one that was fitted before, so that weights stay as they were
    """
    return join(gather(engine, feeds, identity, staged, judged=judged, matcher=matcher), identity, judged)


def _placed(records: Records, judged: Judgements) -> tuple[np.ndarray, np.ndarray]:
    """Return judged pairs by row number; those of records that are not there are left out."""
    pairs = [*judged.always, *judged.never]
    if not pairs:
        return np.empty((0, 2), dtype=np.int64), np.empty((0, 2), dtype=np.int64)
    wanted = pa.array([name for pair in pairs for name in pair], pa.string())
    rows = pc.index_in(wanted, value_set=records.names()).fill_null(-1).to_numpy(zero_copy_only=False)
    placed = rows.astype(np.int64).reshape(-1, 2)
    always, never = np.split(placed, [len(judged.always)])
    return always[(always >= 0).all(axis=1)], never[(never >= 0).all(axis=1)]
