"""Snapshots are checked in bounded memory, and running out of it is not reported as a damaged snapshot."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from features.base.database_engine import EngineResources
from features.base.errors import BadData, StorageFailure
from features.store.definitions import FeatureColumn, SnapshotView
from features.store.snapshot_files import check_snapshot

CUSTOMERS, CUTOFFS = 400_000, 4


def large(folder: Path, *, again: int = 0) -> SnapshotView:
    """Return a view with many customers at each cutoff; `again` of them stand twice at the last one."""
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        for day in range(1, CUTOFFS + 1):
            repeated = f"UNION ALL SELECT range FROM range({again if day == CUTOFFS else 0})"
            engine.execute(
                f"""
                COPY (
                    SELECT range AS many__number,
                        'customer-' || printf('%016x', hash(range + 1)) AS customer_id,
                        TIMESTAMPTZ '2026-01-0{day}' AS event_timestamp,
                        TIMESTAMPTZ '2026-01-0{day}' AS created_timestamp
                    FROM (SELECT range FROM range({CUSTOMERS}) {repeated})
                ) TO '{folder}/{day}.parquet'
                """
            )
    return SnapshotView("many", folder, (FeatureColumn("many__number", "int"),))


def test_a_snapshot_larger_than_the_memory_limit_is_checked_by_spilling(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    resources = EngineResources(memory=72_000_000, threads=2, spill=tmp_path / "spill")
    check_snapshot(large(tmp_path / "many"), resources=resources)
    with pytest.raises(BadData, match="3 rows repeat a customer at the same cutoff"):
        check_snapshot(large(tmp_path / "many", again=3), resources=resources)


def test_memory_that_is_too_small_is_named_with_its_limit_and_not_as_a_damaged_snapshot(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    resources = EngineResources(memory=3_000_000, threads=1, spill=tmp_path / "spill")
    with pytest.raises(StorageFailure) as caught:
        check_snapshot(large(tmp_path / "many"), resources=resources)
    assert caught.value.first.code == "engine.memory"
    assert "3MB" in caught.value.first.message
    assert "build" not in caught.value.first.hint
