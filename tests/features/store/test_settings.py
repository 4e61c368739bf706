"""Feast's own file, read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.base.errors import BadConfiguration
from features.store.store_settings import OFFLINE, SqliteOnline, read_settings


def rewrite(workspace: Path, old: str, new: str) -> None:
    file = workspace / "features" / "feature_store.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_relative_paths_are_meant_from_the_workspace(workspace: Path) -> None:
    settings = read_settings(workspace)
    assert isinstance(settings.online_store, SqliteOnline)
    assert settings.online_store.path == str(workspace / "state" / "feast" / "online.db")
    assert settings.registry.path == f"sqlite:///{workspace}/state/feast/registry.db"


def test_a_registry_in_one_file_is_resolved_too(workspace: Path) -> None:
    rewrite(
        workspace,
        '{registry_type: sql, path: "sqlite:///state/feast/registry.db"}',
        "{registry_type: file, path: state/feast/registry.pb}",
    )
    assert read_settings(workspace).registry.path == str(workspace / "state" / "feast" / "registry.pb")


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("provider: local", "provider: gcp", "provider"),
        (OFFLINE, "dask", "offline_store.type"),
        (OFFLINE, "duckdb", r"write `offline_store: \{type: features\.store\.offline\.PointInTimeOfflineStore\}`"),
        ("type: features.store.online.SqliteOnlineStore", "type: sqlite", "online_store"),
        ("entity_key_serialization_version: 3", "entity_key_serialization_version: 2", "entity_key"),
        ("sqlite:///state", "mysql://state", "registry.path"),
        ("provider: local", "auth: {type: kubernetes}", "auth"),
        ("project: nextbest", "project: Next Best", "project"),
        ("provider: local", "provider: local\nbatch_engine: spark.engine", "batch_engine"),
    ],
)
def test_a_setting_that_is_not_supported_is_refused_by_name(workspace: Path, old: str, new: str, key: str) -> None:
    rewrite(workspace, old, new)
    with pytest.raises(BadConfiguration, match=key) as caught:
        read_settings(workspace)
    assert caught.value.first.where.startswith("features/feature_store.yaml:")


def test_a_workspace_without_the_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"feature_store\.yaml"):
        read_settings(tmp_path)
