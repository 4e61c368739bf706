"""Versions of records that are removed for good."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from features.base.parquet import read_parquet, write_parquet
from features.base.storage import read_json, write_json
from features.ingest.row_history import HISTORY, VERSIONS


def remove_versions(folder: Path, records: Collection[str]) -> int:
    """Remove from a load what these records held before, for good; return how many versions there were.

    `count_removals` changes, so that the next run makes the tables anew.
    """
    path = folder / VERSIONS
    if not path.is_file():
        return 0
    rows = read_parquet(path)
    left = rows.filter(pc.invert(pc.is_in(rows["record_id"], value_set=pa.array(sorted(records), pa.string()))))
    if left.num_rows < rows.num_rows:
        history = read_json(folder / HISTORY)
        write_json(folder / HISTORY, {**history, "removals": count_removals(folder) + 1})
        write_parquet(left, path)
    return int(rows.num_rows - left.num_rows)


def count_removals(folder: Path) -> int:
    """Return how often versions were removed from a load."""
    path = folder / HISTORY
    return int(read_json(path).get("removals", 0)) if path.is_file() else 0
