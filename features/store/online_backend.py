"""The backend of a workspace's online records that ``features/feature_store.yaml`` names; no Feast."""

from __future__ import annotations

from pathlib import Path

from features.store.online_records import OnlineRecords
from features.store.online_records_sqlite import SqliteRecords
from features.store.store_settings import SqliteOnline, read_settings, redis_address


def open_records(root: Path) -> OnlineRecords:
    """Open the online records of the workspace at `root`; nothing is connected or created yet.

    Raises
    ------
    BadConfiguration : when ``features/feature_store.yaml`` is absent or holds what is not supported
    """
    settings = read_settings(root)
    online = settings.online_store
    if isinstance(online, SqliteOnline):
        return SqliteRecords(Path(online.path))
    # An optional backend: a process that reads SQLite does not load the client.
    from features.store.online_records_redis import RedisRecords

    return RedisRecords(redis_address(online.url, root=root), name=settings.project)
