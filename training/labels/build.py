"""Labels from the canonical tables: who was in the population at each cutoff, and what came after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import duckdb

from features.base.errors import BadData
from features.config.feeds_file import FeedsFile
from training.labels.categories import categories
from training.labels.cutoffs import LearntCutoffs, feed_ends, usable_cutoffs
from training.labels.label_settings import EndOfHolding, EventLabel, Inactivity, ModelSettings, RecordedField
from training.labels.labelled_rows import Labels, count, events_by, known_customers, require_event, total, without_gone
from training.labels.leaving import end_of_holding, holders, inactivity, require_holding
from training.labels.recorded import recorded


def build(
    engine: duckdb.DuckDBPyConnection, settings: ModelSettings, cutoffs: Sequence[datetime], feeds: FeedsFile
) -> Labels:
    """Return the labels of every usable cutoff.

    Features lie at or before the cutoff; the outcome window is ``(cutoff + gap, cutoff + gap + horizon]``.

    Parameters
    ----------
    engine : with the canonical tables
    settings : the model's declaration
    cutoffs : all snapshot cutoffs, oldest first; the last is now
    feeds : whose rules choose the value of a recorded field

    Raises
    ------
    BadData : no cutoff can be used, or nobody is in the population
    BadConfiguration : the label names a field, an item or a kind of event that is not there
    """
    label = settings.label
    if isinstance(label, EventLabel):
        require_event(engine, label.event)
    elif isinstance(label, EndOfHolding):
        require_holding(engine, label.item)
    found = usable_cutoffs(cutoffs, settings, feed_ends(engine, label, feeds, now=cutoffs[-1]))
    match label:
        case Inactivity():
            labels = inactivity(engine, label, settings, found.usable)
        case EndOfHolding():
            labels = end_of_holding(engine, label, found.usable)
        case RecordedField():
            labels = recorded(engine, label, found.usable[-1], feeds)
        case _:
            labels = categories(engine, label, settings, found.usable)
    if not labels.rows.empty:
        labels = without_gone(engine, labels)
    if labels.rows.empty:
        raise BadData("label.empty", "nobody is in the population", hint="widen population.active_within")
    return replace(
        labels,
        waits=found.waits,
        closes_after=labels.closes_after + (settings.settle if label.in_time else timedelta(0)),
        excluded=total(labels.excluded, _left_out(engine, settings, found)),
    )


def _left_out(engine: duckdb.DuckDBPyConnection, settings: ModelSettings, found: LearntCutoffs) -> dict[str, int]:
    """Return how many customers at a cutoff no label was asked of, by reason."""
    label = settings.label
    if isinstance(label, EndOfHolding):
        return {"not_mature": count(engine, holders(label, found.waiting, still=True)) if found.waiting else 0}
    if not isinstance(label, EventLabel):
        return {}
    within = settings.population.active_within
    ever = count(engine, events_by(found.usable, label.event))
    return {
        "not_mature": count(engine, events_by(found.waiting, label.event, within=within)) if found.waiting else 0,
        "no_history": known_customers(engine, found.usable) - ever,
        "outside_population": ever - count(engine, events_by(found.usable, label.event, within=within)),
    }
