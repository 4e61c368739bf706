"""Feast's own file, ``features/feature_store.yaml``, read strictly and resolved against the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from features.base.config import Settings, load
from features.base.errors import BadConfiguration

NAME = "features/feature_store.yaml"
_SQLITE = "sqlite:///"


class Registry(Settings):
    """Where Feast keeps the definitions: a SQLite database, or one file."""

    registry_type: Literal["sql", "file"] = "sql"
    path: str
    cache_ttl_seconds: Annotated[int, Field(ge=0)] = 600


class OfflineStore(Settings):
    """Where history is joined. Feast's default (dask) loses rows, so DuckDB is the only choice."""

    type: Literal["duckdb"]


class OnlineStore(Settings):
    """Where the newest values lie."""

    type: Literal["features.store.online.SqliteOnlineStore"]
    path: str


class FeatureStoreSettings(Settings):
    """The part of Feast's configuration that nextbest supports; anything else is refused by name."""

    project: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    provider: Literal["local"] = "local"
    registry: Registry
    offline_store: OfflineStore
    online_store: OnlineStore
    entity_key_serialization_version: Literal[3] = 3


def read_settings(root: Path) -> FeatureStoreSettings:
    """Read the workspace's Feast file, with every path made absolute.

    Parameters
    ----------
    root : the workspace; relative paths are meant from here (not from the file's own folder)

    Raises
    ------
    BadConfiguration : naming the file, the line and the key
    """
    settings, lines = load(root / NAME, FeatureStoreSettings, name=NAME)
    registry = settings.registry
    if registry.registry_type == "sql":
        if not registry.path.startswith(_SQLITE):
            raise BadConfiguration(
                "store.registry_path",
                "registry.path: only a SQLite database is supported",
                where=lines.where(("registry", "path")),
                hint="write sqlite:///state/feast/registry.db",
            )
        path = f"{_SQLITE}{(root / registry.path.removeprefix(_SQLITE)).resolve()}"
    else:
        path = str((root / registry.path).resolve())
    return settings.model_copy(
        update={
            "registry": registry.model_copy(update={"path": path}),
            "online_store": settings.online_store.model_copy(
                update={"path": str((root / settings.online_store.path).resolve())}
            ),
        }
    )


def folders_of(settings: FeatureStoreSettings) -> tuple[Path, ...]:
    """Return the folders that must exist before Feast opens its files."""
    registry = Path(settings.registry.path.removeprefix(_SQLITE))
    return registry.parent, Path(settings.online_store.path).parent
