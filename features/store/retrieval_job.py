"""A retrieval that Feast runs when its result is needed, each in an engine of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from feast import OnDemandFeatureView
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata

from features.base.errors import BadConfiguration
from features.base.parquet import write_parquet


class Job(RetrievalJob):  # type: ignore[misc]  # Feast is not followed by mypy
    """Feast's `RetrievalJob` over a function that gives the answer as an Arrow table.

    Parameters
    ----------
    answer : computes the table, at every call
    root : what relative paths of saved datasets start from
    on_demand : views that Feast computes from the table
    full_feature_names : as Feast defines it
    metadata : computes what Feast stores about a saved dataset
    """

    def __init__(
        self,
        answer: Callable[[], pa.Table],
        *,
        root: Path,
        on_demand: list[OnDemandFeatureView] | None = None,
        full_feature_names: bool = False,
        metadata: Callable[[], RetrievalMetadata] | None = None,
    ) -> None:
        super().__init__()
        self._answer = answer
        self._root = root
        self._on_demand = on_demand or []
        self._full_feature_names = full_feature_names
        self._metadata = metadata

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return None if self._metadata is None else self._metadata()

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        del timeout  # the engine has none; its memory limit bounds the work
        return self._answer()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame

    def persist(self, storage: Any, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Write the answer as one Parquet file, whole or not at all.

        Raises
        ------
        BadConfiguration : the place is no local file
        SavedDatasetLocationAlreadyExists : the file exists and must not be overwritten (Feast's error)
        """
        if not isinstance(storage, SavedDatasetFileStorage) or "://" in storage.file_options.uri:
            raise BadConfiguration(
                "store.persist", "a dataset is saved as a local Parquet file only", hint="give SavedDatasetFileStorage"
            )
        path = self._root / storage.file_options.uri
        if path.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(path))
        write_parquet(self.to_arrow(timeout=timeout), path)
