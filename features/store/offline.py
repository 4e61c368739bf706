"""Feast's DuckDB offline store, which also says which snapshot each row was joined with."""

from __future__ import annotations

from typing import Any, Literal

from feast import FeatureView, FileSource
from feast.infra.offline_stores import duckdb as feast_duckdb
from feast.infra.offline_stores.ibis import get_historical_features_ibis
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.repo_config import RepoConfig

SUFFIX = "__snapshot_time"


class DuckDBOfflineStoreConfig(feast_duckdb.DuckDBOfflineStoreConfig):  # type: ignore[misc]  # Feast is not followed
    """Feast's settings of this store; the workspace's file says ``duckdb``."""

    type: Literal["features.store.offline.DuckDBOfflineStore"] = "features.store.offline.DuckDBOfflineStore"


class DuckDBOfflineStore(feast_duckdb.DuckDBOfflineStore):  # type: ignore[misc]  # Feast is not followed by mypy
    """The point-in-time join of Feast, with one more column for each view: ``VIEW__snapshot_time``.

    Feast joins on the snapshot's time and then drops it, so nobody could check its answer for a
    leak. Here the time goes through the same join as the values.
    """

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: Any,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """Join as Feast does; the arguments are Feast's."""
        times = [f"{view.projection.name_to_use()}:{view.name}{SUFFIX}" for view in feature_views]
        return get_historical_features_ibis(
            config=config,
            feature_views=feature_views,
            feature_refs=[*feature_refs, *times],
            entity_df=entity_df,
            registry=registry,
            project=project,
            full_feature_names=full_feature_names,
            data_source_reader=_read_with_time,
            data_source_writer=feast_duckdb._write_data_source,
            filter_by_created_timestamp=filter_by_created_timestamp,
        )


def _read_with_time(source: FileSource, repo_path: str) -> Any:
    table = feast_duckdb._read_data_source(source, repo_path)
    return table.mutate(**{f"{source.name}{SUFFIX}": table[source.timestamp_field]})
