"""The training frame: labels joined to features as they were known at each cutoff, with a leak report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.base.errors import BadConfiguration
from features.base.expressions.expression import parse
from features.config.canonical import snake_case
from features.config.loading import did_you_mean
from features.config.views_file import CONSENT_VIEW
from features.snapshots.build_report import FeaturesReport
from features.store.repository import PointInTimeFeatures, Store
from features.views.catalogue import Feature
from training.dataset.leaks.leak_report import ExaminedFrame, LeakLimits, LeakReport, examine
from training.dataset.leaks.recompute_features import CompiledViews
from training.labels.label_settings import ModelSettings
from training.labels.labelled_rows import Labels, total


@dataclass(frozen=True)
class Frame:
    """Rows to learn from.

    Parameters
    ----------
    rows : ``customer_id`` and ``as_of``
    features : one row each, the columns that may be learnt from
    target : shape (rows,) or (rows, candidates); NaN where a candidate is not in question
    candidates : what is ranked, else empty
    leaks : the leak report
    before : shape (rows, candidates), whether each had been bought before; None where that is not asked
    excluded : why customers at a cutoff are not among the rows, and how many
    """

    rows: pd.DataFrame
    features: pd.DataFrame
    target: NDArray[np.float64]
    candidates: tuple[str, ...]
    leaks: LeakReport
    before: NDArray[np.bool_] | None = None
    excluded: Mapping[str, int] = field(default_factory=dict)

    @property
    def customers(self) -> NDArray[np.object_]:
        """The customer of each row."""
        return self.rows["customer_id"].to_numpy(dtype=object)

    @property
    def cutoffs(self) -> NDArray[np.datetime64]:
        """The cutoff of each row, UTC."""
        return np.asarray(self.rows["as_of"].dt.tz_localize(None), dtype="datetime64[us]")

    @property
    def moments(self) -> list[datetime]:
        """Every cutoff, once."""
        return [moment.to_pydatetime() for moment in pd.DatetimeIndex(self.rows["as_of"].unique())]

    def only(self, columns: Sequence[str]) -> Frame:
        """Return the same rows with some of the columns."""
        return replace(self, features=self.features[[name for name in self.features if str(name) in set(columns)]])

    def take(self, chosen: NDArray[np.bool_]) -> Frame:
        """Return the chosen rows."""
        return replace(
            self,
            rows=self.rows[chosen].reset_index(drop=True),
            features=self.features[chosen].reset_index(drop=True),
            target=self.target[chosen],
            before=None if self.before is None else self.before[chosen],
        )


def learnable(features: Sequence[Feature], settings: ModelSettings, exclude: Sequence[str]) -> list[str]:
    """Return the features that a model may learn from, in order.

    Left out are the excluded columns, the label's own field, and consents, which say what may be done with a
    customer and not what the customer will do.

    Parameters
    ----------
    features : all features
    settings : the model; ``features`` names its views
    exclude : ``feed.column`` or full feature names

    Raises
    ------
    BadConfiguration : a view that is not there, or no feature left
    """
    views = sorted({feature.view for feature in features} - {CONSENT_VIEW})
    for view in settings.features:
        if view not in views:
            raise BadConfiguration(
                "label.unknown_view", f"no view {view!r} to learn from", hint=did_you_mean(view, views)
            )
    hidden = {*exclude, *settings.exclude, *settings.label.own_fields}
    columns = {snake_case(name) for name in hidden if "__" not in name}
    allowed = set(settings.features or views)
    kept = [
        feature.name
        for feature in features
        if feature.view in allowed and feature.name not in hidden and feature.name.partition("__")[2] not in columns
    ]
    if not kept:
        raise BadConfiguration(
            "label.no_features", "every feature is excluded", hint="declare more in features/views.yaml"
        )
    return kept


def build_frame(
    store: Store,
    labels: Labels,
    report: FeaturesReport,
    settings: ModelSettings,
    *,
    exclude: Sequence[str],
    views: CompiledViews | None = None,
    limits: LeakLimits | None = None,
) -> Frame:
    """Read the features of every label from Feast as of its cutoff, keep the declared population, look for leaks.

    Parameters
    ----------
    store, labels, report, settings : what is joined, and for which model
    exclude : ``feed.column`` or full feature names
    views : recompute some rows' features without later data (LK001); left out, that check does not apply
    limits : of the leak checks

    Raises
    ------
    BadConfiguration : the population names an unknown feature, or nothing may be learnt from
    """
    names = learnable([feature for view in report.views for feature in view.features], settings, exclude)
    where = (
        parse(settings.population.where, where="population.where").require_evaluable()
        if settings.population.where
        else None
    )
    requested = list(dict.fromkeys([*names, *(sorted(where.columns) if where else [])]))
    unknown = sorted(set(requested) - set(report.features))
    if unknown:
        raise BadConfiguration(
            "label.unknown_feature",
            f"population.where: no feature {unknown[0]!r}",
            hint=did_you_mean(unknown[0], list(report.features)),
        )
    history = store.historical(labels.rows, requested)
    values = history.frame
    kept = (
        np.ones(len(values), dtype=np.bool_)
        if where is None
        else where.evaluate({name: values[name].to_numpy() for name in where.columns}, rows=len(values)).is_true()
    )
    text = [feature.name for view in report.views for feature in view.features if feature.type == "string"]
    types = {name: "string" for name in names if name in text}  # also where every value is missing
    features, target = values.loc[kept, names].reset_index(drop=True).astype(types), labels.target[kept]
    return Frame(
        rows=labels.rows[kept].reset_index(drop=True),
        features=features,
        target=target,
        candidates=labels.candidates,
        before=None if labels.before is None else labels.before[kept],
        excluded=total(labels.excluded, {"outside_population": int((~kept).sum())}),
        leaks=examine(
            ExaminedFrame(
                rows=values.loc[kept, ["customer_id", "as_of"]].reset_index(drop=True),
                features=features,
                target=target,
                requested=labels.rows[kept],
                recompute=views.recompute if views is not None and views.in_step else None,
                first_known=views.first_known(names) if views is not None else None,
                snapshots=_snapshots(history, settings, kept),
            ),
            limits,
        ),
    )


def _snapshots(history: PointInTimeFeatures, settings: ModelSettings, kept: NDArray[np.bool_]) -> pd.DataFrame | None:
    """Return the snapshots that were joined; none where all rows are of the present, which need no cutoff of theirs."""
    return history.snapshot_times[kept].reset_index(drop=True) if settings.label.in_time else None
