"""Which backend keeps a workspace's online records, as ``features/feature_store.yaml`` says; no Feast."""

from __future__ import annotations

from pathlib import Path

from features.store.records import OnlineRecords
from features.store.records_sqlite import SqliteRecords
from features.store.settings import read_settings


def open_records(root: Path) -> OnlineRecords:
    """Open the online records of the workspace at `root`; nothing is reached or made yet.

    Raises
    ------
    BadConfiguration : when ``features/feature_store.yaml`` is absent or says what is not supported
    """
    online = read_settings(root).online_store
    return SqliteRecords(Path(online.path))
