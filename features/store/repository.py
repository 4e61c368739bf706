"""The feature store of a workspace: register, retrieve history, fill and read online."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from feast import FeatureStore, FeatureView, RepoConfig

from features.base.database_engine import EngineResources
from features.base.errors import BadConfiguration, BadData
from features.base.workspace import Workspace
from features.config.engine_settings import engine_resources
from features.config.loading import did_you_mean
from features.store import historical, registration
from features.store.definitions import CREATED_TIME, CUSTOMER, EVENT_TIME, ServiceDefinition, SnapshotView, view_of
from features.store.encoding import layout_of
from features.store.historical import PointInTimeFeatures
from features.store.materialize import Difference, Materialized, materialize, reconcile
from features.store.online import RecordsOnlineStore
from features.store.online_blocks import Source
from features.store.online_reader import OnlineReader, OnlineRow
from features.store.online_records import Layout, OnlineRecords
from features.store.registration import Applied
from features.store.registry import engine_arguments, refuse_damage
from features.store.served_features import put_served
from features.store.snapshot_files import latest_cutoff, no_snapshot_at, rows_at
from features.store.store_settings import OFFLINE, folders_of, is_server, read_settings, registry_address

__all__ = ["Applied", "Difference", "Materialized", "OnlineRow", "PointInTimeFeatures", "Store", "open_store"]


def open_store(root: Path) -> Store:
    """Open the feature store of the workspace at `root`; nothing of the workspace is imported.

    Raises
    ------
    BadConfiguration : when ``features/feature_store.yaml`` is absent or holds what is not supported
    StorageFailure : the registry is damaged
    """
    settings = read_settings(root)
    for folder in folders_of(settings):
        folder.mkdir(parents=True, exist_ok=True)
    registry = settings.registry.model_dump() | {"path": registry_address(settings, root=root)}
    if is_server(registry["path"]):
        registry["sqlalchemy_config_kwargs"] = engine_arguments(registry["path"])
    config = RepoConfig(
        project=settings.project,
        provider=settings.provider,
        registry=registry,
        offline_store={"type": OFFLINE, "snapshot_times": True},
        online_store=settings.online_store.model_dump(),
        entity_key_serialization_version=settings.entity_key_serialization_version,
        repo_path=root,
    )
    refuse_damage(registry["path"])
    return Store(CheckedFeatureStore(config=config))


class CheckedFeatureStore(FeatureStore):  # type: ignore[misc]  # Feast is not followed by mypy
    """Feast's own object; rows that lack a column are refused by name before they are written online."""

    def write_to_online_store(self, feature_view_name: str, df: Any = None, inputs: Any = None, **options: Any) -> None:
        """Write rows online; the arguments are Feast's.

        Raises
        ------
        BadData : the rows lack a key, a time or a feature of the view
        """
        self._refuse_missing_columns(feature_view_name, inputs if df is None else df)
        super().write_to_online_store(feature_view_name, df, inputs, **options)

    async def write_to_online_store_async(
        self, feature_view_name: str, df: Any = None, inputs: Any = None, **options: Any
    ) -> None:
        """Write rows online; see `write_to_online_store`."""
        self._refuse_missing_columns(feature_view_name, inputs if df is None else df)
        await super().write_to_online_store_async(feature_view_name, df, inputs, **options)

    def _refuse_missing_columns(self, name: str, rows: Any) -> None:
        view = next((view for view in self.list_feature_views(allow_cache=True) if view.name == name), None)
        if view is None or rows is None:  # Feast refuses it
            return
        source = view.batch_source
        needed = [*view.join_keys, source.timestamp_field, source.created_timestamp_column]
        needed += [column.name for column in view.features]
        given = {(source.field_mapping or {}).get(column, column) for column in rows}
        missing = sorted({column for column in needed if column} - given)
        if missing:
            raise BadData(
                "store.columns",
                f"the rows have no column {', '.join(missing)}",
                where=f"view {name}",
                hint=f"{CREATED_TIME} is when a row could first be known, {EVENT_TIME} since when it holds",
            )


class Store:
    """The feature store on Feast: every row of a retrieval, in order, with nothing from the future.

    `historical` and `online` may be called from many threads at once.

    Parameters
    ----------
    feast : Feast's own object, for those who know its API
    """

    def __init__(self, feast: FeatureStore) -> None:
        self.feast = feast
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
        done = registration.apply(
            self.feast, views, services, allow_type_change=allow_type_change, resources=self._resources
        )
        put_served(self._records, registration.served_of(self.feast))
        return done

    def views(self) -> tuple[str, ...]:
        """Return the names of the registered views."""
        return tuple(sorted(view.name for view in self.feast.list_feature_views(allow_cache=True)))

    def features(self, view: str) -> tuple[str, ...]:
        """Return a registered view's features, in the declared order."""
        return tuple(name for name, _ in layout_of(self._registered([view])[view]))

    def layouts(self) -> dict[str, Layout]:
        """Return every registered view's features with their types, in the declared order."""
        return {view.name: layout_of(view) for view in self.feast.list_feature_views()}

    def historical(self, entities: pd.DataFrame, features: Sequence[str]) -> PointInTimeFeatures:
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
        return historical.retrieve(self.feast, entities, features)

    def latest(self, features: Sequence[str], *, as_of: datetime) -> pd.DataFrame:
        """Return every customer's features at exactly the cutoff `as_of`, for scoring in bulk.

        Returns
        -------
        ``customer_id`` (ordered, once each) and the features in the requested order; a customer that
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
            part = (
                rows_at(path, wanted, cutoff=as_of, resources=self._resources).select([CUSTOMER, *wanted]).to_pandas()
            )
            if part.empty:
                raise no_snapshot_at(name, as_of=as_of, nearest=latest_cutoff(path, as_of=as_of))
            if part[CUSTOMER].duplicated().any():
                raise BadData(
                    "store.rows_twice", "a customer stands twice at the cutoff", where=name, hint="build it again"
                )
            whole = part if whole is None else whole.merge(part, on=CUSTOMER, how="outer")
        if whole is None:
            raise BadConfiguration("store.no_feature", "no feature was requested", hint="name at least one")
        return whole.sort_values(CUSTOMER, ignore_index=True)[[CUSTOMER, *features]]

    def materialize(self, *, as_of: datetime, last_event: int = 0) -> tuple[Materialized, ...]:
        """Fill the online store with each view's newest snapshot at or before `as_of`.

        A snapshot that was built again with other content is written again; nothing older replaces what is newer, and
        customers that left the snapshot leave the store. Each customer's record changes in one step.

        Parameters
        ----------
        last_event : the number of the last streamed event that the snapshots have seen
        """
        put_served(self._records, registration.served_of(self.feast))  # its file may have been replaced
        views = {view.name: view for view in self.feast.list_feature_views()}
        # Not Feast's own `materialize`: it builds a protobuf message for every single value.
        sources = self._sources(views.values())
        done = materialize(self._records, sources, as_of=as_of, resources=self._resources, last_event=last_event)
        for one in done:
            view = views[one.view]
            if one.cutoff is None or one.superseded or view.most_recent_end_time == one.cutoff:
                continue
            # Up to the cutoff and no further: Feast's `materialize_incremental` goes on from there.
            since = view.most_recent_end_time or one.cutoff
            self.feast.registry.apply_materialization(view, self.feast.project, min(since, one.cutoff), one.cutoff)
        self.feast.refresh_registry()
        return done

    def reconcile(
        self, *, as_of: datetime, repair: bool, now: datetime | None = None, last_event: int = 0
    ) -> tuple[Difference, ...]:
        """Compare the whole online store with each view's newest snapshot at or before `as_of`.

        Parameters
        ----------
        repair : whether to make the online store agree with the snapshots
        now : the present moment; with it, online values of a later moment are found too
        last_event : see `materialize`

        Returns
        -------
        one for each registered view, and for each that is only in the online store: how it differed before the repair
        """
        views = self.feast.list_feature_views()
        if repair:
            put_served(self._records, registration.served_of(self.feast))
        return reconcile(
            self._records,
            self._sources(views),
            as_of=as_of,
            resources=self._resources,
            repair=repair,
            now=now,
            last_event=last_event,
        )

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
        """Remove exactly this customer from the online store; return whether there was a record."""
        return self._records.delete(customer)

    def close(self) -> None:
        """Close this thread's connection to the online store, and the registry's."""
        self._records.close()
        if self.feast.config.registry.registry_type == "sql":
            self.feast.registry.write_engine.dispose()

    @property
    def _resources(self) -> EngineResources:
        return engine_resources(Workspace(Path(self.feast.config.repo_path)))

    def _sources(self, views: Iterable[FeatureView]) -> list[Source]:
        return [Source(view.name, registration.path_of(view), layout_of(view)) for view in views]

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
        held = {view.name: view for view in self.feast.list_feature_views(allow_cache=True)}
        for name in names:
            if name not in held:
                raise BadConfiguration(
                    "store.unknown_view",
                    f"the view {name!r} is not registered",
                    hint=did_you_mean(name, sorted(held)) if held else "run `nextbest features` first",
                )
        return {name: held[name] for name in names}
