"""What is learnt from was known before what is judged by."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import numpy as np
import pytest
from pydantic import ValidationError

from features.base.errors import BadData
from tests.training.rows import frame_of
from training.dataset.splits import by_customer, by_time, recency_weights, split
from training.labels.label_settings import LabelsFile, ModelSettings, Validation

SCHEMES: tuple[Literal["time", "customer"] | None, ...] = (None, "time", "customer")
MONTH = timedelta(days=30)
PARTS = ["part 1", "part 2"]
FRAME = frame_of(np.tile([0.0, 1.0], 20), days=[0, 30, 60, 90])


def test_a_cutoff_is_learnt_from_only_when_its_outcome_had_closed() -> None:
    last = by_time(FRAME, parts=1, embargo=timedelta(days=60))[0]
    assert last.name == "2026-04-01"
    assert (last.train == np.repeat([True, True, False, False], 10)).all()
    assert (last.test == np.repeat([False, False, False, True], 10)).all()


def test_too_short_a_history_is_refused() -> None:
    with pytest.raises(BadData, match=r"split\.no_fold"):
        by_time(FRAME, parts=2, embargo=timedelta(days=91))


def test_no_customer_is_both_learnt_from_and_judged_by() -> None:
    for fold in by_customer(FRAME, parts=2, seed=1):
        assert not set(FRAME.customers[fold.train]) & set(FRAME.customers[fold.test])


def test_the_declared_scheme_is_obeyed() -> None:
    windowed = ModelSettings.model_validate({"label": {"kind": "inactivity", "event": "purchase", "horizon": "30d"}})
    names = {
        scheme: [fold.name for fold in split(FRAME, windowed, Validation(scheme=scheme, folds=2), embargo=MONTH)]
        for scheme in SCHEMES
    }
    assert names == {None: ["2026-03-02", "2026-04-01"], "time": ["2026-03-02", "2026-04-01"], "customer": PARTS}
    recorded = ModelSettings.model_validate({"label": {"kind": "recorded", "field": "crm.left", "positive": "yes"}})
    assert [fold.name for fold in split(FRAME, recorded, Validation(folds=2), embargo=timedelta(0))] == PARTS


def test_customers_of_a_label_of_several_categories_are_split_too() -> None:
    taken = np.zeros((40, 2))
    taken[::2, 0] = taken[1::4, 1] = 1
    folds = by_customer(frame_of(taken, days=[0, 30], candidates=("tea", "cups")), parts=2, seed=1)
    assert [fold.name for fold in folds] == PARTS


def test_a_recorded_label_cannot_be_judged_by_later_cutoffs() -> None:
    label = {"kind": "recorded", "field": "crm.left", "positive": "yes"}
    with pytest.raises(ValidationError, match="has no later cutoff"):
        LabelsFile.model_validate({"models": {"leaver": {"label": label}}, "validation": {"scheme": "time"}})


def test_a_cutoff_older_by_the_half_life_weighs_half() -> None:
    weights = recency_weights(FRAME, half_life=timedelta(days=30))
    assert weights is not None
    assert weights[::10].tolist() == [0.125, 0.25, 0.5, 1.0]


def test_without_a_half_life_there_are_no_weights() -> None:
    assert recency_weights(FRAME, half_life=None) is None
