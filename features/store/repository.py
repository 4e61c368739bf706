"""The feature store of a workspace: register, retrieve history, fill and read online."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
from feast import FeatureStore, FeatureView, RepoConfig

from features.base.clock import as_utc
from features.base.config import did_you_mean
from features.base.errors import BadConfiguration, BadData
from features.store import historical, registration
from features.store.definitions import CREATED_TIME, CUSTOMER, ServiceDefinition, SnapshotView, view_of
from features.store.historical import History
from features.store.online import RecordsOnlineStore
from features.store.payload import to_microseconds
from features.store.reading import OnlineReader, OnlineRow
from features.store.records import Block, OnlineRecords
from features.store.registration import Applied
from features.store.served import put_served
from features.store.settings import OFFLINE, folders_of, is_server, read_settings, registry_address
from features.store.snapshots import latest_cutoff, no_snapshot_at, plain_values, rows_at

__all__ = ["Applied", "History", "Materialized", "OnlineRow", "Store", "open_store"]


@dataclass(frozen=True)
class Materialized:
    """What filling the online store did for one view.

    Parameters
    ----------
    cutoff : the snapshot that was written; None when the view has none at or before the moment
    written : customers written (rows that were newer already are kept, and not counted)
    dropped : customers removed because the snapshot no longer holds them
    superseded : a newer cutoff lay there already, so nothing was done
    """

    view: str
    cutoff: datetime | None
    written: int = 0
    dropped: int = 0
    superseded: bool = False


def open_store(root: Path) -> Store:
    """Open the feature store of the workspace at `root`; nothing of the workspace is imported.

    Raises
    ------
    BadConfiguration : when ``features/feature_store.yaml`` is absent or says what is not supported
    """
    settings = read_settings(root)
    for folder in folders_of(settings):
        folder.mkdir(parents=True, exist_ok=True)
    registry = settings.registry.model_dump() | {"path": registry_address(settings, root=root)}
    if is_server(registry["path"]):
        registry["sqlalchemy_config_kwargs"] = {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}
    config = RepoConfig(
        project=settings.project,
        provider=settings.provider,
        registry=registry,
        offline_store={"type": OFFLINE, "snapshot_times": True},
        online_store=settings.online_store.model_dump(),
        entity_key_serialization_version=settings.entity_key_serialization_version,
        repo_path=root,
    )
    return Store(FeatureStore(config=config))


class Store:
    """A façade over Feast that keeps its promises: every row, in order, nothing from the future.

    `historical` and `online` may be called from many threads at once.
    """

    def __init__(self, feast: FeatureStore) -> None:
        self._feast = feast
        online: RecordsOnlineStore = feast.provider.online_store
        self._records: OnlineRecords = online.records(feast.config)
        self._reader = OnlineReader(self._records, deadline=feast.config.online_store.deadline)

    def apply(
        self,
        views: Sequence[SnapshotView],
        services: Sequence[ServiceDefinition] = (),
        *,
        allow_type_change: bool = False,
    ) -> Applied:
        """Make the registry hold exactly these views and services; doing it again changes nothing.

        Raises
        ------
        BadData : when a snapshot breaks its contract
        BadConfiguration : when a service names an unknown feature, or a feature changed its type
        """
        done = registration.apply(self._feast, views, services, allow_type_change=allow_type_change)
        put_served(self._records, registration.served_of(self._feast))
        return done

    def views(self) -> tuple[str, ...]:
        """Return the names of the registered views."""
        return tuple(sorted(view.name for view in self._feast.list_feature_views(allow_cache=True)))

    def features(self, view: str) -> tuple[str, ...]:
        """Return a registered view's features, in the declared order."""
        return tuple(registration.columns_of(self._registered([view])[view]))

    def historical(self, entities: pd.DataFrame, features: Sequence[str]) -> History:
        """Return features as they were known at each row's moment.

        Parameters
        ----------
        entities : columns ``customer_id`` and ``as_of`` (others are ignored; times without a zone are UTC)
        features : full names

        Returns
        -------
        one row for each row given, in its order, also for repeated rows and those with no snapshot yet

        Raises
        ------
        BadData : when a row has no customer or no moment
        BadConfiguration : when a feature is not registered
        """
        self._check(features)
        return historical.retrieve(self._feast, entities, features)

    def latest(self, features: Sequence[str], *, as_of: datetime) -> pd.DataFrame:
        """Return every customer's features at exactly the cutoff `as_of`, for scoring in bulk.

        Returns
        -------
        ``customer_id`` (ordered, once each) and the features in the asked order; a customer that
        one view lacks has missing values there

        Raises
        ------
        BadData : when a view holds no snapshot at `as_of`, or a customer twice
        """
        registered = self._check(features)
        whole: pd.DataFrame | None = None
        for name, view in registered.items():
            path = registration.path_of(view)
            wanted = list(dict.fromkeys(feature for feature in features if view_of(feature) == name))
            part = rows_at(path, wanted, cutoff=as_of).select([CUSTOMER, *wanted]).to_pandas()
            if part.empty:
                raise no_snapshot_at(name, as_of=as_of, nearest=latest_cutoff(path, as_of=as_of))
            if part[CUSTOMER].duplicated().any():
                raise BadData(
                    "store.rows_twice", "a customer stands twice at the cutoff", where=name, hint="build it again"
                )
            whole = part if whole is None else whole.merge(part, on=CUSTOMER, how="outer")
        if whole is None:
            raise BadConfiguration("store.no_feature", "no feature was asked for", hint="name at least one")
        return whole.sort_values(CUSTOMER, ignore_index=True)[[CUSTOMER, *features]]

    def materialize(self, *, as_of: datetime) -> tuple[Materialized, ...]:
        """Fill the online store with each view's newest snapshot at or before `as_of`.

        An older snapshot never replaces a newer one, customers that left the snapshot leave the
        store, and a reader sees a view's old snapshot or its new one, never a mixture.
        """
        put_served(self._records, registration.served_of(self._feast))  # its file may be a new one
        done = tuple(self._materialize(view, as_of=as_of) for view in self._feast.list_feature_views())
        self._feast.refresh_registry()
        return done

    def online(self, customers: Sequence[str], features: Sequence[str], *, as_of: datetime) -> list[OnlineRow]:
        """Return the newest values of a few customers (in bulk, take `latest`).

        Parameters
        ----------
        as_of : the moment against which a view's ttl is held

        Returns
        -------
        one row for each customer given, in order; ``found`` is false for one that is not known

        Raises
        ------
        BadConfiguration : when a feature is not registered
        """
        return self._reader.read(customers, features, as_of=as_of)

    def delete(self, customer: str) -> bool:
        """Forget exactly this customer online; say whether there was a record. The next build fills it again."""
        return self._records.delete(customer)

    def close(self) -> None:
        """Close this thread's connection to the online store, and the registry's."""
        self._records.close()
        if self._feast.config.registry.registry_type == "sql":
            self._feast.registry.write_engine.dispose()

    def _materialize(self, view: FeatureView, *, as_of: datetime) -> Materialized:
        path = registration.path_of(view)
        cutoff = latest_cutoff(path, as_of=as_of)
        if cutoff is None:
            return Materialized(view.name, None)
        columns = registration.columns_of(view)
        # Not Feast's own `materialize`: it builds a protobuf message for every single value.
        done = self._records.replace(
            view.name,
            cutoff_us=to_microseconds(cutoff),
            rows=_rows(
                rows_at(path, list(columns), cutoff=cutoff),
                list(columns),
                cutoff_us=to_microseconds(cutoff),
                layout=self._records.put_layout(tuple(columns.items())),
            ),
        )
        if done is None:
            return Materialized(view.name, cutoff, superseded=True)
        self._feast.registry.apply_materialization(view, self._feast.project, cutoff, as_utc(as_of))
        return Materialized(view.name, cutoff, written=done.written, dropped=done.dropped)

    def _check(self, features: Sequence[str]) -> dict[str, FeatureView]:
        """Return the views of these features, or refuse the first one that is not registered."""
        views = self._registered(list(dict.fromkeys(view_of(feature) for feature in features)))
        known = {column.name for view in views.values() for column in view.features}
        for feature in features:
            if feature not in known:
                raise BadConfiguration(
                    "store.unknown_feature",
                    f"the feature {feature!r} is not registered",
                    where=view_of(feature),
                    hint=did_you_mean(feature, sorted(known)),
                )
        return views

    def _registered(self, names: Sequence[str]) -> dict[str, FeatureView]:
        held = {view.name: view for view in self._feast.list_feature_views(allow_cache=True)}
        for name in names:
            if name not in held:
                raise BadConfiguration(
                    "store.unknown_view",
                    f"the view {name!r} is not registered",
                    hint=did_you_mean(name, sorted(held)) if held else "run `nextbest features` first",
                )
        return {name: held[name] for name in names}


def _rows(table: pa.Table, columns: list[str], *, cutoff_us: int, layout: str) -> Iterator[tuple[str, Block]]:
    for batch in plain_values(table, columns).to_batches(max_chunksize=5_000):
        values = [batch.column(name).to_pylist() for name in columns]
        created = [to_microseconds(moment) for moment in batch.column(CREATED_TIME).to_pylist()]
        for customer, row, known in zip(
            batch.column(CUSTOMER).to_pylist(), zip(*values, strict=True), created, strict=True
        ):
            yield customer, Block(cutoff_us, known, layout, row)
