"""Declarations as Feast objects, and what a change of them means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.data_format import ParquetFormat
from feast.types import Bool, Float64, Int64, String, UnixTimestamp

from features.base.database_engine import EngineResources, open_engine
from features.base.errors import BadConfiguration, Problem, StorageFailure
from features.base.generations import is_published
from features.store.definitions import (
    CREATED_TIME,
    CUSTOMER,
    EVENT_TIME,
    ServiceDefinition,
    SnapshotView,
    check_services,
    view_of,
)
from features.store.encoding import layout_of
from features.store.served_features import Served, ServedView
from features.store.snapshot_files import check_snapshot, parquet_pattern

_FEAST_TYPES = {"int": Int64, "float": Float64, "string": String, "bool": Bool, "timestamp": UnixTimestamp}
_PATH_TAG = "nextbest.path"  # the source's own path is a pattern, from which this one cannot be derived

_ORDER_TAG = "nextbest.features"  # Feast groups a service's features by view


@dataclass(frozen=True)
class Applied:
    """What the registry holds now, and what was taken out of it."""

    views: tuple[str, ...]
    services: tuple[str, ...]
    removed: tuple[str, ...]


def apply(
    feast: FeatureStore,
    views: Sequence[SnapshotView],
    services: Sequence[ServiceDefinition],
    *,
    allow_type_change: bool,
    resources: EngineResources | None = None,
) -> Applied:
    """Make the registry hold exactly these views and services; see `Store.apply`."""
    check_services(views, services)
    with open_engine(folders=[view.path for view in views], resources=resources) as engine:
        for view in views:
            check_snapshot(view, engine=engine)
    registered = list(feast.list_feature_views())
    if not allow_type_change:
        _refuse_type_changes(registered, views)
    customer = Entity(name="customer", join_keys=[CUSTOMER], value_type=ValueType.STRING)
    wanted = {view.name: _feature_view(view, customer) for view in views}
    wanted_services = {service.name: _feature_service(service, wanted) for service in services}
    gone_views = [view for view in registered if view.name not in wanted]
    gone_services = [service for service in feast.list_feature_services() if service.name not in wanted_services]
    # Objects, never a folder: `feast apply` imports every .py that it finds.
    feast.apply(
        [customer, *wanted.values(), *wanted_services.values()],
        objects_to_delete=[*gone_views, *gone_services, *(view.batch_source for view in gone_views)],
        partial=False,
    )
    return Applied(tuple(wanted), tuple(wanted_services), tuple(item.name for item in [*gone_views, *gone_services]))


def reference(feature: str) -> str:
    """Return Feast's way of naming a feature: ``view:feature``."""
    return f"{view_of(feature)}:{feature}"


def path_of(view: FeatureView) -> Path:
    """Return the file or folder of snapshots that a registered view reads.

    Raises
    ------
    StorageFailure : the registry names a generation of snapshots that is no longer the published one
    """
    path = Path(view.tags[_PATH_TAG])
    if not is_published(path):
        raise StorageFailure(
            "store.out_of_step",
            "the registry names an earlier generation of the snapshots: the last build ended before it was registered, "
            "or another one was published since the store was opened",
            where=f"view {view.name}",
            hint="open the store again; if that does not help, run `nextbest features`, which registers the build",
        )
    return path


def served_of(feast: FeatureStore) -> Served:
    """Return the views and services that the registry holds, as the online store describes them."""
    return Served(
        views={
            # The registry returns a zero length for "no limit".
            view.name: ServedView(layout_of(view), view.ttl or None)
            for view in feast.list_feature_views()
        },
        services={service.name: _features_of(service) for service in feast.list_feature_services()},
    )


def _features_of(service: FeatureService) -> tuple[str, ...]:
    if _ORDER_TAG in service.tags:
        return tuple(service.tags[_ORDER_TAG].split())
    return tuple(column.name for view in service.feature_view_projections for column in view.features)


def _feature_view(view: SnapshotView, customer: Entity) -> FeatureView:
    source = FileSource(
        # The offline store names its snapshot-time column after the source: keep both names equal.
        name=view.name,
        path=parquet_pattern(view.path),
        file_format=ParquetFormat(),
        timestamp_field=EVENT_TIME,
        created_timestamp_column=CREATED_TIME,
    )
    features = [
        Field(
            name=column.name,
            dtype=_FEAST_TYPES[column.type],
            description=column.description,
            tags=dict(column.tags),
        )
        for column in view.columns
    ]
    return FeatureView(
        name=view.name,
        entities=[customer],
        ttl=view.ttl,
        # The key's type stands in the schema so that Feast infers nothing from the files.
        schema=[Field(name=CUSTOMER, dtype=String), *features],
        source=source,
        online=True,
        owner=view.owner,
        tags={**dict(view.tags), _PATH_TAG: str(view.path)},
    )


def _feature_service(service: ServiceDefinition, views: dict[str, FeatureView]) -> FeatureService:
    by_view: dict[str, list[str]] = {}
    for feature in service.features:
        by_view.setdefault(view_of(feature), []).append(feature)
    return FeatureService(
        name=service.name,
        features=[views[name][chosen] for name, chosen in by_view.items()],
        tags={_ORDER_TAG: " ".join(service.features)},
    )


def _refuse_type_changes(registered: Iterable[FeatureView], views: Sequence[SnapshotView]) -> None:
    known = {name: kind for view in registered for name, kind in layout_of(view)}
    problems = [
        Problem(
            "store.type_change",
            f"the feature {column.name!r} was {known[column.name]} and is now {column.type}",
            view.name,
            "give it a new name, or allow the change and train again what reads it",
        )
        for view in views
        for column in view.columns
        if column.name in known and known[column.name] != column.type
    ]
    if problems:
        raise BadConfiguration.of(problems)
