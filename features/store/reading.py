"""One customer's newest values, each labelled fresh, stale or missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from feast import FeatureStore

from features.base.clock import as_utc
from features.store.definitions import CUSTOMER, view_of
from features.store.registration import reference

Value = int | float | str | bool | datetime | None
Freshness = Literal["fresh", "stale", "missing"]


@dataclass(frozen=True)
class OnlineRow:
    """What the online store knows of one customer.

    Parameters
    ----------
    found : whether any asked view holds the customer
    values : by feature, in the asked order; None where the value or the row is missing
    status : by feature: ``missing`` when the view holds no row of the customer, ``stale`` when the
        row is older than the view's ttl, else ``fresh`` (a fresh value may be None: known to be
        absent)
    event_times : by view, the cutoff of the row, or None
    """

    customer_id: str
    found: bool
    values: Mapping[str, Value]
    status: Mapping[str, Freshness]
    event_times: Mapping[str, datetime | None]


def read_online(
    feast: FeatureStore,
    customers: Sequence[str],
    features: Sequence[str],
    *,
    as_of: datetime,
    ttls: Mapping[str, timedelta | None],
) -> list[OnlineRow]:
    """Return one row for each customer, in order; see `Store.online`."""
    if not customers or not features:
        return [OnlineRow(customer, False, {}, {}, {}) for customer in customers]
    response = feast.get_online_features(
        features=[reference(feature) for feature in dict.fromkeys(features)],
        entity_rows=[{CUSTOMER: customer} for customer in customers],
    ).proto
    # Feast returns the columns in any order: take each by its name.
    vectors = dict(zip(response.metadata.feature_names.val, response.results, strict=True))
    first_of = {view_of(feature): feature for feature in reversed(features)}
    rows = []
    for place, customer in enumerate(customers):
        times = {view: _moment(vectors[feature].event_timestamps[place]) for view, feature in first_of.items()}
        ages = {view: _freshness(moment, ttl=ttls[view], as_of=as_of) for view, moment in times.items()}
        rows.append(
            OnlineRow(
                customer_id=customer,
                found=any(moment is not None for moment in times.values()),
                values={feature: _value(vectors[feature].values[place]) for feature in features},
                status={feature: ages[view_of(feature)] for feature in features},
                event_times=times,
            )
        )
    return rows


def _freshness(moment: datetime | None, *, ttl: timedelta | None, as_of: datetime) -> Freshness:
    if moment is None:
        return "missing"
    return "stale" if ttl is not None and as_utc(as_of) - moment > ttl else "fresh"


def _moment(stamp: Any) -> datetime | None:
    # Feast gives the zero time for a row that it did not find.
    if stamp.seconds == 0 and stamp.nanos == 0:
        return None
    found: datetime = stamp.ToDatetime(tzinfo=UTC)
    return found


def _value(value: Any) -> Value:
    slot = value.WhichOneof("val")
    if slot is None:
        return None
    held: Value = getattr(value, slot)
    return datetime.fromtimestamp(int(value.unix_timestamp_val), UTC) if slot == "unix_timestamp_val" else held
