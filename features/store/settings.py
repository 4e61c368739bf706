"""Feast's own file, ``features/feature_store.yaml``, read strictly and resolved against the workspace."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from features.base.config import Settings, load
from features.base.duration import Wait
from features.base.errors import BadConfiguration
from features.base.workspace import is_reference, reveal

NAME = "features/feature_store.yaml"
OFFLINE = "features.store.offline.PointInTimeOfflineStore"
SQLITE_ONLINE = "features.store.online.SqliteOnlineStore"
REDIS_ONLINE = "features.store.online_redis.RedisOnlineStore"
DEADLINE = timedelta(milliseconds=100)
"""The longest that a read online may take, where the file says nothing."""

_SQLITE = "sqlite:///"
_POSTGRES = "postgresql+psycopg://"


class Registry(Settings):
    """Where Feast keeps the definitions: a SQLite or PostgreSQL database, or one file."""

    registry_type: Literal["sql", "file"] = "sql"
    path: str
    cache_ttl_seconds: Annotated[int, Field(ge=0)] = 600


class OfflineStore(Settings):
    """Where history is joined."""

    type: Literal["features.store.offline.PointInTimeOfflineStore"]

    @field_validator("type", mode="before")
    @classmethod
    def _ours(cls, value: object) -> object:
        if value in ("duckdb", "dask", "file"):  # Feast's own: they reorder rows, or lose some
            raise ValueError(f"Feast's own offline stores are not used; write `offline_store: {{type: {OFFLINE}}}`")
        return value


class SqliteOnline(Settings):
    """The newest values in one local file."""

    type: Literal["features.store.online.SqliteOnlineStore"]
    path: str
    deadline: Wait = DEADLINE


class FeatureStoreSettings(Settings):
    """The part of Feast's configuration that nextbest supports; anything else is refused by name."""

    project: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    provider: Literal["local"] = "local"
    registry: Registry
    offline_store: OfflineStore
    online_store: SqliteOnline
    entity_key_serialization_version: Literal[3] = 3


def read_settings(root: Path) -> FeatureStoreSettings:
    """Read the workspace's Feast file, with every path made absolute; references to secrets stay what they are.

    Parameters
    ----------
    root : the workspace; relative paths are meant from here (not from the file's own folder)

    Raises
    ------
    BadConfiguration : naming the file, the line and the key
    """
    settings, lines = load(root / NAME, FeatureStoreSettings, name=NAME)
    registry, online = settings.registry, settings.online_store
    if registry.registry_type == "file":
        path = str((root / registry.path).resolve())
    elif registry.path.startswith(_SQLITE):
        path = f"{_SQLITE}{(root / registry.path.removeprefix(_SQLITE)).resolve()}"
    elif registry.path.startswith(_POSTGRES) or is_reference(registry.path):
        path = registry.path
    else:
        raise BadConfiguration(
            "store.registry_path",
            "registry.path: it names no SQLite or PostgreSQL database",
            where=lines.where(("registry", "path")),
            hint="write sqlite:///state/feast/registry.db, or ${env:NAME} that holds postgresql+psycopg://…",
        )
    if isinstance(online, SqliteOnline):
        online = online.model_copy(update={"path": str((root / online.path).resolve())})
    return settings.model_copy(
        update={"registry": registry.model_copy(update={"path": path}), "online_store": online},
    )


def registry_address(settings: FeatureStoreSettings, *, root: Path) -> str:
    """Return where the registry is, its secret revealed; never to be printed.

    Raises
    ------
    BadConfiguration : a secret is missing, or the address is of another kind of database
    """
    address = reveal(settings.registry.path, root=root, where=NAME)
    if settings.registry.registry_type == "file" or address.startswith((_SQLITE, _POSTGRES)):
        return address
    raise BadConfiguration(
        "store.registry_path",
        "registry.path: the reference holds no address of a PostgreSQL database",
        where=NAME,
        hint="begin it with postgresql+psycopg://",
    )


def is_server(address: str) -> bool:
    """Say whether a registry's address is that of a server."""
    return address.startswith(_POSTGRES)


def folders_of(settings: FeatureStoreSettings) -> tuple[Path, ...]:
    """Return the folders that must exist before Feast opens its files."""
    path, online = settings.registry.path, settings.online_store
    local = settings.registry.registry_type == "file" or path.startswith(_SQLITE)
    return (
        *((Path(path.removeprefix(_SQLITE)).parent,) if local else ()),
        *((Path(online.path).parent,) if isinstance(online, SqliteOnline) else ()),
    )
