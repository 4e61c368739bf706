"""Feast's own file, ``features/feature_store.yaml``, read strictly and resolved against the workspace."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from features.base.duration import Wait
from features.base.errors import BadConfiguration
from features.base.workspace import is_reference, reveal_address
from features.config.loading import Settings, load

NAME = "features/feature_store.yaml"
OFFLINE = "features.store.offline.PointInTimeOfflineStore"
SQLITE_ONLINE = "features.store.online.SqliteOnlineStore"
REDIS_ONLINE = "features.store.online_redis.RedisOnlineStore"
DEADLINE = timedelta(milliseconds=100)
"""The longest that an online read may take by default."""

_SQLITE = "sqlite:///"
_POSTGRES = "postgresql+psycopg://"
_REDIS = ("redis://", "rediss://", "unix://")
_PASSWORD = re.compile(r"//[^/:@]*:((?:\$\{[^}]*\}|[^/@])+)@")


class Registry(Settings):
    """Where Feast keeps the definitions: a SQLite or PostgreSQL database, or one file."""

    registry_type: Literal["sql", "file"] = Field(default="sql", description="sql: a database; file: one local file")
    path: str = Field(
        description="sql: `sqlite:///PATH`, or `${env:NAME}` that holds a postgresql+psycopg:// address; file: its path"
    )
    cache_ttl_seconds: int = Field(default=600, ge=0, description="how long Feast keeps a copy of the registry")


class OfflineStore(Settings):
    """Where history is joined."""

    type: Literal["features.store.offline.PointInTimeOfflineStore"] = Field(
        description="the platform's own offline store; those of Feast reorder or lose rows"
    )

    @field_validator("type", mode="before")
    @classmethod
    def _ours(cls, value: object) -> object:
        if value in ("duckdb", "dask", "file"):  # Feast's own: they reorder rows, or lose some
            raise ValueError(f"Feast's own offline stores are not used; write `offline_store: {{type: {OFFLINE}}}`")
        return value


class SqliteOnline(Settings):
    """The newest values in one local file."""

    type: Literal["features.store.online.SqliteOnlineStore"] = Field(description="an SQLite file")
    path: str = Field(description="the file, relative to the workspace")
    deadline: Wait = Field(default=DEADLINE, description="the longest that one online read may take")


class RedisOnline(Settings):
    """The newest values on a Redis server."""

    type: Literal["features.store.online_redis.RedisOnlineStore"] = Field(description="a Redis server")
    url: str = Field(description="its redis:// address; a password as `${env:NAME}` or `${file:PATH}`")
    deadline: Wait = Field(default=DEADLINE, description="the longest that one online read may take")


class FeatureStoreSettings(Settings):
    """The part of Feast's configuration that nextbest supports; anything else is refused by name."""

    project: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Feast's name for the workspace")
    provider: Literal["local"] = Field(default="local", description="Feast's provider; the only one that is supported")
    registry: Registry = Field(description="where definitions are stored")
    offline_store: OfflineStore = Field(description="where history is joined")
    online_store: SqliteOnline | RedisOnline = Field(
        discriminator="type", description="where the newest features of each customer are read"
    )
    entity_key_serialization_version: Literal[3] = Field(default=3, description="Feast's format of keys")


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
        _refuse_plain_password(registry.path, where=lines.where(("registry", "path")))
        path = registry.path
    else:
        raise BadConfiguration(
            "store.registry_path",
            "registry.path: it names no SQLite or PostgreSQL database",
            where=lines.where(("registry", "path")),
            hint="write sqlite:///state/feast/registry.db, or ${env:NAME} that holds postgresql+psycopg://…",
        )
    if isinstance(online, RedisOnline):
        _refuse_plain_password(online.url, where=lines.where(("online_store", "url")))
    else:
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
    address = reveal_address(settings.registry.path, root=root, where=NAME)
    if settings.registry.registry_type == "file" or address.startswith((_SQLITE, _POSTGRES)):
        return address
    raise BadConfiguration(
        "store.registry_path",
        "registry.path: the reference holds no address of a PostgreSQL database",
        where=NAME,
        hint="begin it with postgresql+psycopg://",
    )


def redis_address(url: str, *, root: Path) -> str:
    """Return a Redis server's address, its secrets revealed; never to be printed.

    Raises
    ------
    BadConfiguration : a secret is missing, or it is no such address
    """
    address = reveal_address(url, root=root, where=NAME)
    if address.startswith(_REDIS):
        return address
    raise BadConfiguration(
        "store.online_url",
        "online_store.url: this is no address of a Redis server",
        where=NAME,
        hint="write redis://HOST:6379/0, rediss://USER:${env:PASSWORD}@HOST:6379/0 or unix:///PATH",
    )


def is_server(address: str) -> bool:
    """Return whether a registry's address is that of a server."""
    return address.startswith(_POSTGRES)


def _refuse_plain_password(address: str, *, where: str) -> None:
    password = _PASSWORD.search(address)
    if password is not None and not is_reference(password.group(1)):
        raise BadConfiguration(
            "store.secret",
            "the address holds a password",
            where=where,
            hint="write ${env:NAME} or ${file:PATH} in its place",
        )


def folders_of(settings: FeatureStoreSettings) -> tuple[Path, ...]:
    """Return the folders that must exist before Feast opens its files."""
    path, online = settings.registry.path, settings.online_store
    local = settings.registry.registry_type == "file" or path.startswith(_SQLITE)
    return (
        *((Path(path.removeprefix(_SQLITE)).parent,) if local else ()),
        *((Path(online.path).parent,) if isinstance(online, SqliteOnline) else ()),
    )
