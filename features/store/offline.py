"""An offline store for Feast on DuckDB: every row kept and in order, ttl and known time always on, safe in threads."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from feast import FeatureView, FileSource, OnDemandFeatureView
from feast.infra.offline_stores import duckdb as feast_duckdb
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.repo_config import RepoConfig

from features.base.clock import as_utc
from features.base.database_engine import one_row, open_engine
from features.base.errors import BadConfiguration, BadData
from features.base.workspace import Workspace
from features.config.engine_settings import engine_resources
from features.store.definitions import EVENT_TIME
from features.store.parquet_rows import NOWHERE, rows_at_places
from features.store.point_in_time import (
    ENTITY_ROWS,
    FILE,
    HAPPENED,
    MOMENT,
    PLACE,
    ROW,
    JoinedView,
    between_select,
    keys_select,
    latest_select,
    match_select,
    parquet,
    plain_select,
)
from features.store.retrieval_job import Job
from features.store.store_settings import NAME

SUFFIX = "__snapshot_time"


class PointInTimeOfflineStoreConfig(feast_duckdb.DuckDBOfflineStoreConfig):  # type: ignore[misc]  # Feast is not followed
    """Feast's settings of this store.

    Parameters
    ----------
    snapshot_times : add a column ``VIEW__snapshot_time`` for each view, the event time of the row that was joined
    """

    type: Literal["features.store.offline.PointInTimeOfflineStore"] = "features.store.offline.PointInTimeOfflineStore"
    snapshot_times: bool = False


@dataclass(frozen=True)
class _Reading:
    """The files that a retrieval may touch, and where it starts from."""

    files: tuple[Path, ...]
    root: Path


class PointInTimeOfflineStore(feast_duckdb.DuckDBOfflineStore):  # type: ignore[misc]  # Feast is not followed by mypy
    """Feast's offline store, with guarantees that its own stores lack.

    A row out for each row in, in the same order, repeated rows too. A feature row counts from when it holds *and* was
    created, with or without ``filter_by_created_timestamp``; past the view's ttl it counts no more. Each
    retrieval has an engine of its own, so that several may run at once. Writing to a single file is Feast's; a view of
    snapshots is written by the build alone.
    """

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | pa.Table | str | None,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = True,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Join the entity rows with the views; the arguments are Feast's.

        Parameters
        ----------
        entity_df : pandas, Arrow, or SQL that DuckDB runs over the workspace's files; None means every key that
            has a row between `start_date` and `end_date`, at `end_date`

        Raises
        ------
        BadConfiguration : a view reads something else than Parquet files
        BadData : the rows lack a key or a moment
        """
        del filter_by_created_timestamp  # always on
        reading = _reading(config, [view.batch_source for view in feature_views])
        times = bool(getattr(config.offline_store, "snapshot_times", False))
        root = reading.root
        views = [_joined(view, feature_refs, full_feature_names, root=root, times=times) for view in feature_views]

        def requested(engine: duckdb.DuckDBPyConnection) -> pa.Table:
            if entity_df is None:
                bounds = {"start": _bound(start_date), "end": _bound(end_date)}
                return engine.sql(keys_select(views), params=bounds).to_arrow_table()
            if isinstance(entity_df, str):
                return engine.sql(entity_df).to_arrow_table()
            if isinstance(entity_df, pa.Table):
                return entity_df
            return pa.Table.from_pandas(entity_df, preserve_index=False)

        def answer() -> pa.Table:
            with _engine(reading) as engine:
                return _join(engine, requested(engine), views)

        def metadata() -> RetrievalMetadata:
            with _engine(reading) as engine:
                return _metadata(requested(engine), feature_refs)

        return Job(
            answer,
            root=root,
            on_demand=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            full_feature_names=full_feature_names,
            metadata=metadata,
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: Any,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """Return each key's newest row in a span of time; the arguments are Feast's."""
        columns = [*join_key_columns, *feature_name_columns, timestamp_field]
        columns += [created_timestamp_column] if created_timestamp_column else []
        select = latest_select(
            _relation(data_source, config.repo_path),
            keys=join_key_columns,
            columns=columns,
            event_time=timestamp_field,
            created_time=created_timestamp_column,
        )
        return _span(_reading(config, [data_source]), select, start_date, end_date)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: Any,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Return all rows in a span of time; the arguments are Feast's."""
        columns = [*join_key_columns, *feature_name_columns, timestamp_field]
        columns += [created_timestamp_column] if created_timestamp_column else []
        select = between_select(_relation(data_source, config.repo_path), columns=columns, event_time=timestamp_field)
        return _span(_reading(config, [data_source]), select, start_date, end_date)

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: Any
    ) -> Iterable[tuple[str, str]]:
        """Return the columns of a source with their types; of several files those of the first, as all have the same.

        Raises
        ------
        BadConfiguration : it is no Parquet file, nor a folder of them, or no file is there
        """
        try:
            schema = pq.read_schema(_files(data_source, Path(config.repo_path or ".").resolve())[0])
        except FileNotFoundError:
            raise BadConfiguration(
                "store.source_missing",
                f"the file of the source {data_source.name!r} does not exist",
                where=NAME,
                hint="write a Parquet file with the source's columns at its path first; Feast adds rows to that file",
            ) from None
        return [(field.name, str(field.type)) for field in schema]

    @staticmethod
    def offline_write_batch(
        config: RepoConfig, feature_view: FeatureView, table: pa.Table, progress: Callable[[int], Any] | None
    ) -> None:
        """Add rows to the file of a view; the arguments are Feast's.

        Raises
        ------
        BadConfiguration : the view is one of snapshots
        """
        if glob.has_magic(feature_view.batch_source.path):
            raise BadConfiguration(
                "store.read_only",
                "snapshots are written by `nextbest features` alone",
                where=f"view {feature_view.name}",
                hint="deliver the rows as a feed; a value for now goes online with `write_to_online_store`",
            )
        feast_duckdb.DuckDBOfflineStore.offline_write_batch(config, feature_view, table, progress)


def _metadata(requested: pa.Table, refs: list[str]) -> RetrievalMetadata:
    """Return what Feast stores about a saved dataset, which needs at least one row."""
    moment = _moment_column(requested)
    if not requested.num_rows:
        raise BadData("store.entities", "there are no rows to save", hint="give at least one")
    span = pc.min_max(_utc(requested.column(moment))).as_py()
    keys = [name for name in requested.column_names if name != moment]
    return RetrievalMetadata(features=refs, keys=keys, min_event_timestamp=span["min"], max_event_timestamp=span["max"])


def _span(reading: _Reading, select: str, start: datetime | None, end: datetime | None) -> Job:
    def answer() -> pa.Table:
        with _engine(reading) as engine:
            return engine.sql(select, params={"start": _bound(start), "end": _bound(end)}).to_arrow_table()

    return Job(answer, root=reading.root)


def _bound(moment: datetime | None) -> datetime | None:
    return None if moment is None else as_utc(moment)


def _engine(reading: _Reading) -> Any:
    # the SQL of entity rows may read the workspace
    return open_engine(
        folders=[reading.root, *reading.files],
        resources=engine_resources(Workspace(reading.root)),
    )


def _reading(config: RepoConfig, sources: Sequence[Any]) -> _Reading:
    root = Path(config.repo_path or ".").resolve()
    files = [file for source in sources for file in _files(source, root)]
    return _Reading(tuple(dict.fromkeys(files)), root)


def _files(source: Any, root: Path) -> list[Path]:
    if not isinstance(source, FileSource) or "://" in source.path:
        raise BadConfiguration(
            "store.source",
            "a view reads Parquet files, and this one reads something else",
            where=str(getattr(source, "name", "")),
            hint="give its FileSource a path to a Parquet file or a glob of them",
        )
    # an absolute path replaces the root
    found = sorted(glob.glob(str(root / source.path))) or [str(root / source.path)]  # noqa: PTH207 - absolute pattern
    return [Path(file).resolve() for file in found]


def _relation(source: Any, root: Any) -> str:
    return parquet(_files(source, Path(root or ".").resolve()))


def _joined(view: FeatureView, refs: Sequence[str], full_names: bool, *, root: Path, times: bool) -> JoinedView:
    source, name = view.batch_source, view.projection.name_to_use()
    files = _files(source, root)
    stored: Mapping[str, str] = {ours: theirs for theirs, ours in (source.field_mapping or {}).items()}
    features = [ref.split(":", 1)[1] for ref in refs if ref.split(":", 1)[0] == name]
    rename: Mapping[str, str] = view.projection.join_key_map
    return JoinedView(
        relation=parquet(files),
        files=tuple(files),
        keys={rename.get(key.name, key.name): stored.get(key.name, key.name) for key in view.entity_columns},
        columns={f"{name}__{feature}" if full_names else feature: stored.get(feature, feature) for feature in features},
        event_time=source.timestamp_field,
        created_time=source.created_timestamp_column or None,
        ttl=view.ttl or None,
        time_as=f"{name}{SUFFIX}" if times else None,
    )


def _join(engine: duckdb.DuckDBPyConnection, requested: pa.Table, views: Sequence[JoinedView]) -> pa.Table:
    moment = _moment_column(requested)
    keys = {key for view in views for key in view.keys}
    missing = sorted(keys - set(requested.column_names))
    if missing:
        raise BadData(
            "store.entities", f"the rows have no column {missing[0]!r}", hint="give every join key of the views"
        )
    times = _utc(requested.column(moment))
    if times.null_count:
        raise BadData("store.entities", f"{times.null_count} rows have no {moment}", hint="remove them first")
    answer = requested.set_column(requested.column_names.index(moment), moment, times)
    numbered = requested.select(sorted(keys)).append_column(MOMENT, times)
    engine.register(ENTITY_ROWS, numbered.append_column(ROW, pa.array(range(len(requested)), pa.int64())))
    for view in views:
        for name, column in _joined_columns(engine, view, rows=len(requested)):
            answer = answer.append_column(name, column)
    return answer


def _joined_columns(
    engine: duckdb.DuckDBPyConnection, view: JoinedView, *, rows: int
) -> Iterator[tuple[str, pa.ChunkedArray]]:
    """Yield a view's columns, one value a requested row: first find which row counts, then fetch what it holds."""
    settled = replace(view, plain=bool(one_row(engine, plain_select(view))[0]))
    try:
        matched = engine.sql(match_select(settled)).to_arrow_table()
    except (duckdb.ConversionException, duckdb.BinderException):  # their message quotes a key
        raise BadData(
            "store.entities",
            f"the rows' {', '.join(view.keys)} are of another type than the views'",
            hint="give them as they are stored: a customer's id is text",
        ) from None
    at = matched.column(ROW).to_numpy()
    file, place = (np.full(rows, NOWHERE, dtype=np.int64) for _ in range(2))
    file[at], place[at] = matched.column(FILE).to_numpy(), matched.column(PLACE).to_numpy()
    held = rows_at_places(view.files, list(view.columns.values()), file, place)
    for number, name in enumerate(view.columns):
        yield name, held.column(number)
    if view.time_as is not None:
        match = np.full(rows, NOWHERE, dtype=np.int64)
        match[at] = np.arange(len(at))
        yield view.time_as, matched.column(HAPPENED).take(pa.array(match, mask=match == NOWHERE))


def _moment_column(requested: pa.Table) -> str:
    """Return the column of the moments: ``event_timestamp``, or the only one that holds times (as in Feast)."""
    if EVENT_TIME in requested.column_names:
        return EVENT_TIME
    times = [field.name for field in requested.schema if pa.types.is_timestamp(field.type)]
    if len(times) != 1:
        raise BadData("store.entities", "the rows have no column of moments", hint=f"name that column {EVENT_TIME}")
    return str(times[0])


def _utc(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return moments in UTC, microseconds; those without a zone are in UTC already, a finer part is cut off."""
    if pa.types.is_string(times.type) or pa.types.is_large_string(times.type):
        return pa.chunked_array([pa.array(pd.to_datetime(times.to_pandas(), utc=True).dt.as_unit("us"))])
    if pa.types.is_timestamp(times.type) and times.type.tz is None:
        return times.cast(pa.timestamp("us"), safe=False).cast(pa.timestamp("us", "UTC"))
    return times.cast(pa.timestamp("us", "UTC"), safe=False)
