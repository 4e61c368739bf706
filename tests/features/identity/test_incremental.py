"""A day's records resolved against those that are there give the groups of a full run with the same weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from features.base.database_engine import open_engine
from features.base.parquet import write_parquet
from features.config.canonical import CANONICAL
from features.config.feed import Feed
from features.config.identity_settings import Identity
from features.identity.incremental_matching import Gathered, gather_again
from features.identity.judgements import Judgements
from features.identity.matching_memory import Memory
from features.identity.resolve import Resolution, gather, join
from tests.features.simulate.days import days

# So few records may share a contact point that shared ones cross the limit from day to day.
PEOPLE = Identity(rules="people", shared_by_at_most=2)
KEY = b"a key that is no secret, for tests"


def feeds(names: Iterator[str] | list[str]) -> dict[str, Feed]:
    return {name: Feed.model_validate({"source": f"{name}.csv", "kind": "customers", "key": "id"}) for name in names}


def stage(folder: Path, tables: dict[str, pa.Table]) -> dict[str, Feed]:
    """Write feeds as if they had been staged."""
    for name, table in tables.items():
        columns = {"record_id": table["record_id"], "known_at": table["known_at"]}
        for field, kind in CANONICAL["customers"].fields.items():
            wanted = pa.date32() if kind == "date" else pa.string()
            given = field in table.column_names
            columns[field] = table[field].cast(wanted) if given else pa.nulls(table.num_rows, wanted)
        write_parquet(pa.table(columns), folder / name / "rows.parquet")
    return feeds(list(tables))


def again(folder: Path, declared: dict[str, Feed], memory: Memory | None, identity: Identity = PEOPLE) -> Gathered:
    with open_engine(folders=[folder]) as engine:
        return gather_again(engine, declared, identity, folder, judged=Judgements(), memory=memory, key=KEY)


def in_full(folder: Path, declared: dict[str, Feed], memory: Memory) -> Resolution:
    with open_engine(folders=[folder]) as engine:
        return join(gather(engine, declared, PEOPLE, folder, matcher=memory.matcher, key=KEY), PEOPLE)


def weighed(table: pa.Table) -> list[tuple[int, int, float]]:
    rows = zip(*(table[name].to_pylist() for name in ("left", "right", "weight")), strict=True)
    return sorted((left, right, round(weight, 6)) for left, right, weight in rows)


@pytest.mark.slow
def test_day_after_day_the_groups_and_edges_are_those_of_a_full_run_with_the_same_weights(tmp_path: Path) -> None:
    memory: Memory | None = None
    fresh = []
    for day in days(220, days=5, seed=3):
        declared = stage(tmp_path, dict(day.feeds))
        found = again(tmp_path, declared, memory)
        assert found.refitted is (memory is None)
        memory = found.memory
        assert memory is not None
        fresh.append(found.fresh / found.evidence.records.table.num_rows)
        resolved, whole = join(found.evidence, PEOPLE), in_full(tmp_path, declared, memory)
        assert resolved.partition.equals(whole.partition)
        assert weighed(resolved.edges) == weighed(whole.edges)
        memory.save(tmp_path / "memory")
        memory = Memory.load(tmp_path / "memory")
    assert fresh[0] == 1
    assert 0 < max(fresh[1:]) < 0.5


@pytest.mark.slow
def test_weights_are_learnt_again_when_the_rules_change_or_the_records_have_grown_by_half(tmp_path: Path) -> None:
    (day,) = days(60, days=1, seed=5)
    (name, *_) = day.feeds
    table = day.feeds[name]
    half = {name: table.slice(0, table.num_rows // 2)}
    declared = stage(tmp_path, half)
    memory = again(tmp_path, declared, None).memory
    assert again(tmp_path, declared, memory).refitted is False
    assert again(tmp_path, declared, memory, Identity(rules="people", threshold=0.9)).refitted is True
    stage(tmp_path, {name: table})
    assert again(tmp_path, declared, memory).refitted is True


def test_a_damaged_memory_is_no_memory(tmp_path: Path) -> None:
    assert Memory.load(tmp_path) is None
    (tmp_path / "resolved.json").write_text("{", encoding="utf-8")
    assert Memory.load(tmp_path) is None
