"""Feast's online store upon records on a Redis server."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from feast import RepoConfig
from feast.repo_config import FeastConfigBaseModel

from features.base.duration import Wait
from features.store.online import RecordsOnlineStore
from features.store.online_records import OnlineRecords
from features.store.online_records_redis import RedisRecords
from features.store.store_settings import DEADLINE, redis_address


class RedisOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]  # Feast is not followed by mypy
    """Feast's settings of the Redis store; ``url`` may hold ``${env:NAME}`` or ``${file:PATH}`` for what is secret."""

    type: Literal["features.store.online_redis.RedisOnlineStore"] = "features.store.online_redis.RedisOnlineStore"
    url: str
    deadline: Wait = DEADLINE


class RedisOnlineStore(RecordsOnlineStore):
    """Feast's online store on a Redis server."""

    def open(self, config: RepoConfig) -> OnlineRecords:
        """Return the records of the server; it is reached when they are first used."""
        root = Path(config.repo_path or ".")
        return RedisRecords(redis_address(config.online_store.url, root=root), name=config.project)
