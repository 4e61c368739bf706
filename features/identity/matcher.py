"""Weigh pairs of records with Splink: fit once, keep, and weigh later records by the same weights."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from splink.internals.waterfall_chart import records_to_waterfall_data

from features.base.database_engine import one_row
from features.base.errors import StorageFailure
from features.base.parquet import write_parquet
from features.base.storage import read_json, write_json
from features.config.identity_settings import Identity
from features.identity.blocking import (
    copied_select,
    keys,
    new_pairs_select,
    pairs_select,
    random_pairs_select,
    sampled_pairs_select,
    sampled_select,
    whole_keys,
    write_keys,
)
from features.identity.comparisons import Level, levels, splink_comparison
from features.identity.judgements import Judgements
from features.identity.links import EDGES, STRONGEST_MATCH
from features.identity.presets import Compared, personal
from features.identity.records import Records, contacts
from features.identity.scoring import count_terms, linked, patterns, term_columns
from features.identity.separation import separation_sql
from features.identity.weight_estimation import Patterns, estimate, raised

MODEL, TERMS = "model.json", "terms.parquet"
VERSION = 4
#: Of fewer different records no weights are learnt: those that are usual are taken.
FEW_RECORDS = 30
#: The probability that two records of so few are one.
USUAL_MATCH = 2.0**-12
_NO_TERMS = pa.schema([("column", pa.string()), ("digest", pa.uint64()), ("share", pa.float64())]).empty_table()


@dataclass(frozen=True)
class Matcher:
    """A fitted model: what is compared, with which weights, from which pairs on.

    Parameters
    ----------
    compared : what is compared
    keys : SQL of the blocking keys
    limits : the largest block of each key
    m, u : by comparison, the probability of each level among true pairs and among others
    match : the probability that two records drawn at random are one
    threshold : the least weight (log2 of the odds) at which a pair is an edge
    personal : comparisons that tell people of one home apart, and the most bits that each can add
    usual : whether the weights are those that are usual, as there were too few records to learn from
    homes : pairs of two people of one home, for each pair of one person
    terms : table of ``column``, ``digest`` (keyed), ``share``: how frequent each repeated value is
    floors : by column, the share of a value that occurs once
    """

    compared: tuple[Compared, ...]
    keys: tuple[str, ...]
    limits: tuple[int, ...]
    m: Mapping[str, Sequence[float]]
    u: Mapping[str, Sequence[float]]
    match: float
    threshold: float
    personal: Mapping[str, float]
    homes: float
    terms: pa.Table
    floors: Mapping[str, float]
    usual: bool = False

    @classmethod
    def fit(
        cls,
        engine: duckdb.DuckDBPyConnection,
        records: Records,
        identity: Identity,
        *,
        judged: Judgements | None = None,
    ) -> Matcher:
        """Learn the weights from the records themselves, and from judged pairs where there are some.

        Parameters
        ----------
        engine : has the table ``compared`` of these records
        records : the records
        identity : the threshold
        judged : people's judgements, of which labels are learnt from
        """
        expressions = keys(records.compared)
        limits, _ = write_keys(engine, expressions, None, whole=whole_keys(records.compared))
        found = _levels(records.compared)
        start = cls(
            compared=records.compared,
            keys=expressions,
            limits=limits,
            m={name: [level.m for level in each] for name, each in found.items()},
            u={name: [level.u for level in each] for name, each in found.items()},
            match=USUAL_MATCH,
            threshold=math.log2(identity.threshold / (1 - identity.threshold)),
            personal=personal(identity, records.compared),
            homes=1.0,
            terms=_NO_TERMS,
            floors={},
        )
        if one_row(engine, "SELECT count(*) FROM compared")[0] < FEW_RECORDS:
            shares = {level.frequency_of: level.u for each in found.values() for level in each}
            start = replace(start, floors={name: share for name, share in shares.items() if name}, usual=True)
            return start._raised(engine)
        terms, floors = count_terms(engine, term_columns(start.settings()))
        return replace(start, terms=terms, floors=floors)._learnt(engine, records, judged or Judgements())

    def edges(self, engine: duckdb.DuckDBPyConnection, *, new: Sequence[bool] | None = None) -> tuple[pa.Table, int]:
        """Return the pairs of records whose weight reaches the threshold, and how many blocks were left out.

        Parameters
        ----------
        engine : has the tables ``compared`` and ``copies``
        new : of shape (n_records,); only pairs with at least one of these records, all pairs if left out

        Returns
        -------
        pyarrow.Table of ``left``, ``right`` (row numbers, left < right; equal for a record that has copies),
        ``weight``, ``cause``
        """
        _, left_out = write_keys(engine, self.keys, self.limits)
        if new is not None:
            fresh = pa.table({"node": pa.array(np.flatnonzero(np.asarray(new)), pa.int64())})
            engine.register("__fresh", fresh)
            engine.execute("CREATE OR REPLACE TEMP TABLE fresh AS SELECT node FROM __fresh")
            engine.unregister("__fresh")
        select = pairs_select(len(self.keys)) if new is None else new_pairs_select(len(self.keys))
        engine.execute(f"CREATE OR REPLACE TEMP TABLE pairs AS {select} UNION ALL {copied_select(len(self.keys))}")
        return self.weigh(engine, "pairs", threshold=self.threshold), left_out

    def weigh(self, engine: duckdb.DuckDBPyConnection, pairs: str, *, threshold: float | None = None) -> pa.Table:
        """Return the weight of each pair of a table (``join_key_l``, ``join_key_r``, ``match_key``)."""
        settings = self.settings(detail=bool(self.personal))
        least = None if threshold is None else threshold - self._raised_at_most()
        with linked(engine, settings, pairs, terms=self.terms, floors=self.floors) as linker:
            predicted = linker.inference.predict(threshold_match_weight=least, warning_mode="never")
            select = _weights_select(
                self._of_one_person(predicted.physical_name),
                self._against_strangers(),
                self._against_the_home(settings),
                threshold,
            )
            return engine.sql(select).to_arrow_table().cast(EDGES)

    @property
    def address(self) -> tuple[str, ...]:
        """The comparisons that change together when somebody moves; only the strongest evidence against is counted."""
        kinds = ("street", "postcode", "place", "phone") if self.personal else ()
        return tuple(each.column for each in self.compared if each.kind in kinds)

    def _raised_at_most(self) -> float:
        """Return by how much `_against_strangers` may exceed Splink's weight, in bits."""
        against = [-min(np.log2(np.array(self.m[name]) / np.array(self.u[name]))) for name in self.address]
        return float(sum(against) - max(against, default=0.0))

    def _of_one_person(self, predicted: str) -> str:
        """Return SQL of the weighed pairs without those of twins, fathers and sons.

        These have another suffix; or contact points of their own, and another given name or a generation between them.
        """
        if not self.personal:
            return predicted
        born = next((each.column for each in self.compared if each.label == "birth_date"), "NULL")
        fields = [("given", "given"), ("family", "family"), ("suffix", "suffix"), ("born", born)]
        sides = ", ".join(
            f"{f'{side}.{column}' if column != 'NULL' else column} AS {name}_{side}"
            for side in "lr"
            for name, column in fields
        )
        own = " OR ".join(f"l.{column} <> r.{column}" for column in contacts(self.compared)) or "false"
        separated = separation_sql(weighed=True)
        return (
            f"(SELECT * FROM (SELECT p.*, {sides}, ({own}) AS own_contacts FROM {predicted} p "
            f"JOIN compared l ON l.node = p.node_l JOIN compared r ON r.node = p.node_r) "
            f"WHERE ({separated}) IS NULL OR ({separated} <> 'suffix' AND own_contacts IS NOT TRUE))"
        )

    def _against_strangers(self) -> str:
        """Return SQL of what speaks for one person rather than two strangers; an address counts once against."""
        if len(self.address) < 2:
            return "match_weight"
        against = [f"least(mw_{name}, 0)" for name in self.address]
        return f"match_weight - ({' + '.join(against)}) + least({', '.join(against)})"

    def _against_the_home(self, settings: Mapping[str, Any]) -> str | None:
        """Return SQL of what speaks for one person rather than two of one home, in bits."""
        if not self.personal:
            return None
        weighed = {name: f"mw_{name}" for name in self.personal}
        for name in set(weighed) & set(term_columns(settings)):
            weighed[name] += f" + mw_tf_adj_{name}"
        weight = " + ".join(f"least({weighed[name]}, {bits!r})" for name, bits in sorted(self.personal.items()))
        return f"{weight} - {math.log2(self.homes)!r}"

    def save(self, folder: Path) -> None:
        """Write the model into a folder: parameters as JSON, frequencies of values (by keyed digests) as Parquet."""
        document = {
            "version": VERSION,
            "compared": [[each.label, each.kind, list(each.of)] for each in self.compared],
            "keys": list(self.keys),
            "limits": list(self.limits),
            "m": {name: list(values) for name, values in self.m.items()},
            "u": {name: list(values) for name, values in self.u.items()},
            "match": self.match,
            "threshold": self.threshold,
            "personal": dict(self.personal),
            "homes": self.homes,
            "floors": dict(self.floors),
            "usual": self.usual,
        }
        write_parquet(self.terms, folder / TERMS)
        write_json(folder / MODEL, document)

    @classmethod
    def load(cls, folder: Path) -> Matcher:
        """Read a model that `save` wrote.

        Raises
        ------
        StorageFailure : it is not there, or damaged, or of another version
        """
        document = read_json(folder / MODEL)
        try:
            if document["version"] != VERSION:
                raise KeyError("version")
            return cls(
                compared=tuple(Compared(label, kind, tuple(of)) for label, kind, of in document["compared"]),
                keys=tuple(document["keys"]),
                limits=tuple(document["limits"]),
                m=document["m"],
                u=document["u"],
                match=document["match"],
                threshold=document["threshold"],
                personal=document["personal"],
                homes=document["homes"],
                terms=pq.read_table(folder / TERMS, page_checksum_verification=True),
                floors=document["floors"],
                usual=document["usual"],
            )
        except (KeyError, TypeError, ValueError, OSError, pa.ArrowException):
            raise StorageFailure(
                "identity.model",
                "the kept model of identity cannot be read",
                where=str(folder / MODEL),
                hint="remove the file: the next run learns it again",
            ) from None

    def waterfall(self, engine: duckdb.DuckDBPyConnection, left: int, right: int) -> list[dict[str, Any]]:
        """Return how the weight of one pair comes about, step by step, as Splink's waterfall chart has it.

        Parameters
        ----------
        engine : has the table ``compared``
        left, right : row numbers of two records
        """
        engine.execute(
            "CREATE OR REPLACE TEMP TABLE one_pair AS SELECT "
            f"{min(left, right):d}::BIGINT AS join_key_l, {max(left, right):d}::BIGINT AS join_key_r, '0' AS match_key"
        )
        found = self.settings(detail=True, values=True)
        with linked(engine, found, "one_pair", terms=self.terms, floors=self.floors) as linker:
            records = linker.inference.predict(warning_mode="never").as_record_list()
            return [dict(step) for step in records_to_waterfall_data(records, linker._settings_obj, False)]

    def settings(self, *, detail: bool = False, values: bool = False) -> dict[str, Any]:
        """Return the model as Splink's settings: weights in `detail`, or with levels and `values`, where asked for."""
        found = _levels(self.compared)
        return {
            "link_type": "dedupe_only",
            "unique_id_column_name": "node",
            "probability_two_random_records_match": self.match,
            "comparisons": [
                splink_comparison(name, each, m=self.m[name], u=self.u[name]) for name, each in found.items()
            ],
            "blocking_rules_to_generate_predictions": ["l.node = r.node"],  # pairs are registered instead
            "retain_matching_columns": values,
            "retain_intermediate_calculation_columns": detail,
        }

    def _learnt(self, engine: duckdb.DuckDBPyConnection, records: Records, judged: Judgements) -> Matcher:
        """Return this matcher with the parameters that its records and the judged pairs teach."""
        found = _levels(self.compared)
        engine.execute(sampled_select(len(self.keys)))
        engine.execute(f"CREATE OR REPLACE TEMP TABLE blocked AS {sampled_pairs_select(len(self.keys))}")
        engine.execute(random_pairs_select())
        (sampled,) = one_row(engine, "SELECT count(*) FROM sampled")
        (copied,) = one_row(engine, "SELECT count(*) FROM blocked WHERE join_key_l = join_key_r")
        of_key = [[re.search(rf"\b{name}\b", key) is not None for name in found] for key in self.keys]
        silent = np.array([*of_key, [False] * len(found)], dtype=bool)  # the last row is of records and their copies
        learnt = estimate(
            found,
            random=self._patterns(engine, "random_pairs"),
            blocked=self._patterns(engine, "blocked"),
            silent=silent,
            personal=self.personal,
            address=self.address,
            all_pairs=max(sampled * (sampled - 1) / 2, 1.0) + copied,
            labelled=self._labelled(engine, records, judged),
        )
        for table in ("sampled", "blocked", "random_pairs"):
            engine.execute(f"DROP TABLE {table}")
        return replace(
            self,
            m={name: [float(each) for each in values] for name, values in learnt.m.items()},
            u={name: [float(each) for each in values] for name, values in learnt.u.items()},
            match=learnt.match,
            homes=learnt.homes,
        )

    def _raised(self, engine: duckdb.DuckDBPyConnection) -> Matcher:
        """Return this matcher of usual weights with u raised where so few records agree oftener than is usual.

        As many pairs as there are records may be true ones; where more agree, they agree by chance, as numbered e-mail
        addresses do. Equal values of a kind that is rare (contact points, birth dates) are taken for what they are.
        """
        engine.execute(random_pairs_select())
        seen = self._patterns(engine, "random_pairs")
        engine.execute("DROP TABLE random_pairs")
        (records,) = one_row(engine, "SELECT count(*) FROM compared")
        found = {
            name: raised(values, seen.level[:, at], seen.pairs, fewest=records)
            for at, (name, values) in enumerate(self.u.items())
        }
        return replace(self, u=found)

    def _patterns(self, engine: duckdb.DuckDBPyConnection, pairs: str) -> Patterns:
        found = _levels(self.compared)
        with linked(engine, self.settings(values=True), pairs, terms=self.terms, floors=self.floors) as linker:
            return patterns(linker, engine, {name: len(each) for name, each in found.items()})

    def _labelled(self, engine: duckdb.DuckDBPyConnection, records: Records, judged: Judgements) -> Patterns | None:
        """Return the patterns of judged pairs; key 1 for matches."""
        if not judged.labels:
            return None
        names = records.names()
        sides = [pc.index_in(pa.array([row[at] for row in judged.labels]), value_set=names) for at in (0, 1)]
        table = pa.table([*sides, pa.array([int(row[2]) for row in judged.labels])], names=["l", "r", "match"])
        engine.register("__labels", table)
        engine.execute(
            """
            CREATE OR REPLACE TEMP TABLE labelled AS
            SELECT least(a.rep, b.rep)::BIGINT AS join_key_l, greatest(a.rep, b.rep)::BIGINT AS join_key_r,
                   cast(match AS VARCHAR) AS match_key
            FROM __labels JOIN copies a ON a.node = l JOIN copies b ON b.node = r WHERE l <> r
            """
        )
        engine.unregister("__labels")
        return self._patterns(engine, "labelled")


def _levels(compared: Sequence[Compared]) -> dict[str, list[Level]]:
    return {name: found for each in compared for name, found in levels(each).items()}


def _weights_select(predicted: str, strangers: str, home: str | None, threshold: float | None) -> str:
    """Return SQL of the edges; with `home`, a weight is that against strangers and others of the home together."""
    weight = strangers
    if home is not None:
        weight = f"-log2(pow(2, -({strangers})) + pow(2, -greatest({home}, -99)))"
    return f"""
        SELECT node_l AS "left", node_r AS "right", least({weight}, {STRONGEST_MATCH}) AS weight, 'match' AS cause
        FROM {predicted}
        {"" if threshold is None else f"WHERE {weight} >= {threshold!r}"}
        ORDER BY node_l, node_r
        """
