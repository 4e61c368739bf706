"""Resolving many records: ours beside plain Splink on the same blocking, and a day's one per cent beside a full run.

Both are given the same normalised values and blocking keys. Ours learns its weights, weighs the blocked pairs, joins
them under guards, and carries the ids on in the ledger; Splink estimates u and m as its guides have it, predicts, and
clusters. Run it from the repository root: ``python -m tests.benchmarks.identity_scale [RECORDS…]``.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.base.database_engine import EngineResources, open_engine
from features.base.machine import parse_size
from features.base.parquet import write_parquet
from features.config.canonical import CANONICAL
from features.config.feed import Feed
from features.config.identity_settings import Identity
from features.identity.id_changes import apply
from features.identity.id_ledger import past_ids
from features.identity.incremental_matching import gather_again
from features.identity.judgements import Judgements
from features.identity.ledger_files import read_ledger, write_ledger
from features.identity.matching_memory import Memory
from features.identity.resolve import join
from tests.benchmarks._run import closing, table
from tests.features.simulate.many_records import many_records

SIZES = (100_000, 1_000_000)
MOST_TIMES_SPLINK, MOST_OF_FULL, LINEAR = 1.2, 0.10, 1.25
PEOPLE = Identity(rules="people")
MEMORY = "5GB"
START = datetime(2026, 7, 1, tzinfo=UTC)
T = TypeVar("T")


def stage(records: pa.Table, folder: Path) -> dict[str, Feed]:
    """Write the records as if their feeds had been staged."""
    names = pc.unique(records["feed"]).to_pylist()
    for name in names:
        rows = records.filter(pc.equal(records["feed"], name))
        columns = {column: rows[column] for column in ("record_id", "known_at")}
        for field, kind in CANONICAL["customers"].fields.items():
            wanted = pa.date32() if kind == "date" else pa.string()
            columns[field] = rows[field].cast(wanted) if field in rows.column_names else pa.nulls(len(rows), wanted)
        write_parquet(pa.table(columns), folder / name / "rows.parquet")
    return {name: Feed.model_validate({"source": "x.csv", "kind": "customers", "key": "id"}) for name in names}


def timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    done = work()
    return done, time.perf_counter() - began


def run(folder: Path, feeds: dict[str, Feed], at: datetime) -> int:
    """Resolve what is staged as `unify` does, with what the run before has left; return the records looked at anew."""
    state = folder / "identity"
    resources = EngineResources(memory=parse_size(MEMORY), spill=folder / ".scratch")
    with open_engine(folders=[folder], resources=resources) as engine:
        kept = read_ledger(state)
        memory, key = Memory.load(state), b"k" * 32
        found = gather_again(engine, feeds, PEOPLE, folder / "staged", judged=Judgements(), memory=memory, key=key)
        resolved = join(found.evidence, PEOPLE)
        ledger = apply(kept.ledger, resolved.partition, at=at, key=key)
        past_ids(ledger)
        after = found.memory
        write_ledger(state, ledger, kept, beside=after.save if after is not None else None)
    return found.fresh


def plain_splink(folder: Path, feeds: dict[str, Feed]) -> tuple[float, float]:
    """Return the seconds of preparing values and keys, and of Splink's own estimating, predicting and clustering."""
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on
    from splink.comparison_library import DateOfBirthComparison, ExactMatch, JaroWinklerAtThresholds

    from features.identity.blocking import keys, write_keys
    from features.identity.records import load_records

    logging.disable(logging.CRITICAL)  # Splink tells every step
    resources = EngineResources(memory=parse_size(MEMORY), spill=folder / ".scratch")
    with open_engine(folders=[folder], resources=resources) as engine:
        began = time.perf_counter()
        records = load_records(engine, feeds, PEOPLE, folder / "staged")
        expressions = keys(records.compared)
        write_keys(engine, expressions, None)
        given = engine.sql("SELECT * FROM compared JOIN keyed USING (node)").to_arrow_table()
        prepared = time.perf_counter() - began
    own = duckdb.connect()
    own.execute(f"SET memory_limit = '{MEMORY}'; SET threads = 2")
    began = time.perf_counter()
    settings: Any = SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="node",
        comparisons=[
            JaroWinklerAtThresholds("given"),
            JaroWinklerAtThresholds("family"),
            DateOfBirthComparison("birth_date", input_is_string=True, datetime_format="%Y%m%d"),
            *(JaroWinklerAtThresholds(name) for name in ("email", "phone", "street", "postcode")),
            ExactMatch("city"),
        ],
        blocking_rules_to_generate_predictions=[block_on(f"k{at}") for at in range(len(expressions))],
    )
    linker = Linker(DuckDBAPI(own).register(given), settings)
    linker.training.estimate_probability_two_random_records_match([block_on("email"), block_on("phone")], recall=0.8)
    linker.training.estimate_u_using_random_sampling(max_pairs=1_000_000, seed=1)
    linker.training.estimate_parameters_using_expectation_maximisation(block_on("given", "family"))
    linker.training.estimate_parameters_using_expectation_maximisation(block_on("birth_date"))
    predicted = linker.inference.predict(threshold_match_probability=0.99)
    linker.clustering.cluster_pairwise_predictions_at_threshold(predicted, threshold_match_probability=0.99)
    return prepared, time.perf_counter() - began


def a_day_later(records: pa.Table, extra: pa.Table, *, seed: int) -> pa.Table:
    """Return the records after a day that touches one in a hundred: half come, a quarter change, a quarter leave."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(records.num_rows)[: records.num_rows // 200]
    changed, left = np.zeros((2, records.num_rows), dtype=bool)
    changed[chosen[::2]], left[chosen[1::2]] = True, True
    phones = [f"0790{number:07d}" for number in range(records.num_rows)]
    phone = pc.if_else(pa.array(changed), pa.array(phones), records["phone"])
    place = records.schema.get_field_index("phone")
    return pa.concat_tables([records.set_column(place, "phone", phone).filter(pa.array(~left)), extra])


def measure(size: int, folder: Path) -> dict[str, float]:
    """Return the seconds of a full run, of plain Splink, and of the day after."""
    crowd = many_records(size + size // 200, seed=1).records
    order = np.random.default_rng(2).permutation(crowd.num_rows)
    here, extra = (crowd.take(np.sort(part)) for part in (order[:size], order[size:]))
    feeds = stage(here, folder / "staged")
    prepared, plain = plain_splink(folder, feeds)
    _, full = timed(lambda: run(folder, feeds, START))
    stage(a_day_later(here, extra, seed=3), folder / "staged")
    fresh, daily = timed(lambda: run(folder, feeds, START + timedelta(days=1)))
    return {
        "full_s": full,
        "splink_s": prepared + plain,
        "ratio": full / (prepared + plain),
        "daily_s": daily,
        "daily_share": daily / full,
        "fresh_share": fresh / size,
    }


def shortfalls(found: dict[int, dict[str, float]]) -> list[str]:
    """Return the rows that miss a stated bar."""
    short = []
    for size, row in found.items():
        if row["ratio"] > MOST_TIMES_SPLINK:
            short.append(f"{size} records: {row['ratio']:.2f} times plain Splink is above {MOST_TIMES_SPLINK}")
        if row["daily_share"] > MOST_OF_FULL:
            share = row["daily_share"]
            short.append(f"{size} records: a day takes {share:.1%} of a full run, above {MOST_OF_FULL:.0%}")
    sizes = sorted(found)
    for one, other in pairwise(sizes):
        growth = found[other]["full_s"] / found[one]["full_s"] / (other / one)
        if growth > LINEAR:
            short.append(f"{one} → {other} records: {growth:.2f} times as long a record, above {LINEAR}")
    return short


def main(arguments: list[str]) -> int:
    found = {}
    for size in map(int, arguments) if arguments else SIZES:
        with tempfile.TemporaryDirectory() as folder:
            found[size] = measure(size, Path(folder))
        rows = {f"{size} records": row for size, row in found.items()}
        table("identity at scale", rows, ("full_s", "splink_s", "ratio", "daily_s", "daily_share", "fresh_share"))
    return closing(shortfalls(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
