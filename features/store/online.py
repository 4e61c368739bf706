"""Feast's online store over the online records, which are read with or without Feast; on SQLite."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from feast import FeatureView, RepoConfig
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel

from features.base.clock import from_microseconds, to_microseconds
from features.base.duration import Wait
from features.base.errors import Unreachable
from features.store.encoding import key_of, layout_of, messages_of, plain
from features.store.online_records import Block, OnlineRecords
from features.store.online_records_sqlite import SqliteRecords
from features.store.served_features import ServedView, change_served
from features.store.store_settings import DEADLINE


class RecordsOnlineStore(OnlineStore):  # type: ignore[misc]  # Feast is not followed by mypy
    """Newest feature values, one record a customer; a subclass opens the records."""

    def __init__(self) -> None:
        self._records: OnlineRecords | None = None

    @abstractmethod
    def open(self, config: RepoConfig) -> OnlineRecords:
        """Return the records of the configured backend."""

    def records(self, config: RepoConfig) -> OnlineRecords:
        """Return the records, opened once."""
        if self._records is None:
            self._records = self.open(config)
        return self._records

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Write rows that Feast hands over; an older row never replaces a newer one."""
        records, layout = self.records(config), layout_of(table)
        identity = records.put_layout(layout)
        records.write(
            (
                key_of(entity),
                {
                    table.name: Block(
                        event_us=to_microseconds(event),
                        created_us=to_microseconds(created or event),
                        layout=identity,
                        values=tuple(plain(values.get(name)) for name, _ in layout),
                    )
                },
            )
            for entity, values, event, created in data
        )
        if progress:
            progress(len(data))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """Return event time and values for each key, in the order of the keys; (None, None) where unknown.

        Raises
        ------
        Unreachable : the store did not answer within the deadline
        """
        records, deadline_s = self.records(config), config.online_store.deadline.total_seconds()
        wanted = None if requested_features is None else frozenset(requested_features)
        found: list[tuple[datetime | None, dict[str, Value] | None]] = []
        try:
            for record in records.read([key_of(entity) for entity in entity_keys], deadline_s=deadline_s):
                block = record.get(table.name)
                if block is None:
                    found.append((None, None))
                else:
                    layout = records.layout(block.layout, deadline_s=deadline_s)
                    found.append((from_microseconds(block.event_us), messages_of(block, layout, wanted)))
        except TimeoutError as error:
            raise Unreachable(
                "store.online_late", str(error), hint="check the load of the store, or raise `deadline`"
            ) from None
        return found

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        """Whether reads and writes may be awaited."""
        return SupportedAsyncMethods(read=True, write=True)

    async def online_write_batch_async(self, *arguments: Any, **options: Any) -> None:
        """Write rows in a thread; see `online_write_batch`."""
        await asyncio.to_thread(self.online_write_batch, *arguments, **options)

    async def online_read_async(
        self, *arguments: Any, **options: Any
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """Read in a thread; see `online_read`."""
        return await asyncio.to_thread(self.online_read, *arguments, **options)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Any],  # noqa: ARG002  # Feast's signature
        entities_to_keep: Sequence[Any],  # noqa: ARG002
        partial: bool,  # noqa: ARG002
    ) -> None:
        """Store what the views hold, for readers without Feast, and remove views that are no longer declared."""
        records = self.records(config)
        gone = [table.name for table in tables_to_delete]
        records.drop(gone)
        change_served(
            records,
            views={table.name: ServedView(layout_of(table), table.ttl or None) for table in tables_to_keep},
            gone=gone,
        )

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Any]) -> None:
        """Remove these views' values."""
        self.update(config, tables, [], entities, [], partial=False)


class SqliteOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]  # Feast is not followed by mypy
    """Feast's settings of the SQLite store; a relative path is meant from the current folder, as the registry's is."""

    type: Literal["features.store.online.SqliteOnlineStore"] = "features.store.online.SqliteOnlineStore"
    path: str
    deadline: Wait = DEADLINE


class SqliteOnlineStore(RecordsOnlineStore):
    """Feast's online store in one SQLite file."""

    def open(self, config: RepoConfig) -> OnlineRecords:
        """Return the records of the file."""
        return SqliteRecords(Path(config.online_store.path))
