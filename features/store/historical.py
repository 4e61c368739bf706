"""Features as they were known at each row's moment: Feast's point-in-time join, with its order and rows kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from feast import FeatureStore

from features.base.errors import BadData, NextbestError
from features.store.definitions import CUSTOMER, EVENT_TIME, view_of
from features.store.offline import SUFFIX
from features.store.registration import reference

AS_OF = "as_of"


@dataclass(frozen=True)
class PointInTimeFeatures:
    """Features as of each requested moment, and the snapshots that they come from.

    Parameters
    ----------
    frame : ``customer_id``, ``as_of`` and the requested features in the requested order; the rows, their
        order and the index are those that were requested
    snapshot_times : the same rows; for each view the cutoff of the snapshot that was joined, or
        missing where there was none
    """

    frame: pd.DataFrame
    snapshot_times: pd.DataFrame


def retrieve(feast: FeatureStore, entities: pd.DataFrame, features: Sequence[str]) -> PointInTimeFeatures:
    """Return the features of each (customer, moment); see `Store.historical`."""
    requested = _entities(entities)
    views = list(dict.fromkeys(view_of(feature) for feature in features))
    times = [f"{view}{SUFFIX}" for view in views]
    if requested.empty:
        joined = requested.assign(**{name: pd.Series(dtype="float64") for name in features}).assign(
            **{name: pd.Series(dtype="datetime64[us, UTC]") for name in times}
        )
    else:
        joined = _join(feast, requested, list(dict.fromkeys(features)))
    joined = joined.set_axis(entities.index, axis="index")
    frame = joined[[CUSTOMER, EVENT_TIME, *features]].rename(columns={EVENT_TIME: AS_OF})
    snapshot_times = joined[times].set_axis(views, axis="columns")
    _refuse_leaks(snapshot_times, frame[AS_OF])
    return PointInTimeFeatures(frame=frame, snapshot_times=snapshot_times)


def _entities(entities: pd.DataFrame) -> pd.DataFrame:
    for column in (CUSTOMER, AS_OF):
        if column not in entities.columns:
            raise BadData("store.entities", f"the rows have no column {column!r}", hint="give customer_id and as_of")
        missing = int(entities[column].isna().sum())
        if missing:
            raise BadData("store.entities", f"{missing} rows have no {column}", hint="remove them first")
    return pd.DataFrame(
        {
            CUSTOMER: entities[CUSTOMER].astype("string").astype(object).to_numpy(),
            # Feast takes the time from this name; under any other it writes a remark to standard output.
            EVENT_TIME: pd.to_datetime(entities[AS_OF], utc=True).astype("datetime64[us, UTC]").array,
        }
    )


def _join(feast: FeatureStore, requested: pd.DataFrame, features: list[str]) -> pd.DataFrame:
    joined: pd.DataFrame = feast.get_historical_features(
        entity_df=requested, features=[reference(feature) for feature in features]
    ).to_df()
    if not joined[[CUSTOMER, EVENT_TIME]].equals(requested):
        raise NextbestError(
            "store.rows_lost",
            f"{len(requested)} rows were requested, and {len(joined)} or others came back",
            where="features.store",
            hint="this is a defect of the offline store: report it",
        )
    return joined


def _refuse_leaks(snapshot_times: pd.DataFrame, as_of: pd.Series[pd.Timestamp]) -> None:
    for view in snapshot_times.columns:
        late = int((snapshot_times[view] > as_of).sum())
        if late:
            raise NextbestError(
                "store.leak",
                f"{late} rows were joined with a snapshot from after their moment",
                where=str(view),
                hint="this is a defect of the offline store: report it",
            )
