"""Each data check finds what it is for, and is silent on data that are fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.training.rows import frame_of
from training.dataset.frame import Frame
from training.dataset.splits import Fold
from training.labels.label_settings import ModelSettings, Validation
from training.labels.purchase_history import FeedTimes
from training.validation.data_checks import CHECKS, CheckedData, DataCheckResult, check_data

CUSTOMERS, DAYS = 1200, [0, 30, 60]
TARGET = (np.random.default_rng(1).random(CUSTOMERS * len(DAYS)) < 0.3).astype(float)
SETTINGS = ModelSettings.model_validate({"label": {"kind": "inactivity", "event": "purchase", "horizon": "30d"}})
RECORDED = ModelSettings.model_validate({"label": {"kind": "recorded", "field": "crm.left", "positive": "yes"}})
FOLDS = [Fold(str(at), np.zeros(1, dtype=np.bool_), np.ones(1, dtype=np.bool_)) for at in range(3)]
TILL = FeedTimes(rows=9000, days=300, busiest=0.01, without_hour=0)
FIT = CheckedData(frame_of(TARGET, days=DAYS), FOLDS, SETTINGS, Validation(), np.full(len(TARGET), 4.0), {"till": TILL})


def found(data: CheckedData, code: str) -> DataCheckResult:
    return next(result for result in check_data(data) if result.code == code)


def with_frame(change: Callable[[Frame], Frame]) -> CheckedData:
    frame = change(FIT.frame)
    return replace(FIT, frame=frame, events_before=np.full(len(frame.rows), 4.0))


def columns(**values: Any) -> CheckedData:
    return with_frame(lambda frame: replace(frame, features=frame.features.assign(**values)))


def test_fit_data_pass_every_check_that_applies() -> None:
    outcomes = {result.code: result.outcome for result in check_data(FIT)}
    assert outcomes == {check.code: "passed" for check in CHECKS} | {"DC008": "not_applicable"}
    assert [check.code for check in CHECKS] == [f"DC{at:03}" for at in range(1, len(CHECKS) + 1)]


SMALL = with_frame(lambda frame: frame.take(np.arange(len(TARGET)) % CUSTOMERS < 40))
ONE_CUTOFF = with_frame(lambda frame: frame.take(np.arange(len(TARGET)) < CUSTOMERS))
RARE = with_frame(lambda frame: replace(frame, target=(np.arange(len(TARGET)) < 20).astype(float)))
SCARCE = with_frame(lambda frame: replace(frame, target=(np.arange(len(TARGET)) % 20 == 0).astype(float)))
SEASON = with_frame(
    lambda frame: replace(
        frame, target=np.where(np.random.default_rng(2).random(3600) < np.repeat([0.1, 0.1, 0.4], 1200), 1.0, 0.0)
    )
)


@pytest.mark.parametrize(
    ("code", "data", "outcome", "detail"),
    [
        ("DC001", ONE_CUTOFF, "failed", "deliver a longer history"),
        ("DC001", replace(FIT, folds=FOLDS[:1]), "tip", "1 of them judge the model, 3 were declared"),
        ("DC001", replace(FIT, settings=RECORDED), "not_applicable", "recorded once"),
        ("DC002", SMALL, "failed", "40 customers, 50 are needed"),
        ("DC003", RARE, "failed", "20 positive and 3580 negative outcomes, 50 of each are needed"),
        ("DC003", SCARCE, "tip", "180 positive"),
        ("DC004", replace(FIT, events_before=np.ones(len(TARGET))), "failed", "0% of the customers"),
        ("DC004", replace(FIT, events_before=None), "not_applicable", "not read from events"),
        ("DC005", replace(FIT, times={"till": replace(TILL, days=1, busiest=1.0)}), "failed", "till lie on one day"),
        ("DC005", replace(FIT, times={"till": TILL, "web": replace(TILL, days=1)}), "tip", "web lie on one day"),
        ("DC005", replace(FIT, times={"till": replace(TILL, without_hour=9000)}), "passed", "dates without a time"),
        ("DC006", columns(empty=np.nan), "tip", "1 of 3 columns are missing in more than 95% of the rows: empty"),
        ("DC007", columns(same=1.0), "tip", "1 of 3 columns hold one value in all rows: same"),
        ("DC008", columns(name=pd.Series([f"n{at}" for at in range(len(TARGET))])), "tip", "value of their own: name"),
        ("DC009", SEASON, "tip", "a season or a change"),
        ("DC009", ONE_CUTOFF, "not_applicable", "one cutoff"),
        ("DC010", with_frame(lambda f: replace(f, excluded={"no_history": 90_000})), "tip", "no_history: 90000"),
    ],
)
def test_what_a_check_is_for_is_found(code: str, data: CheckedData, outcome: str, detail: str) -> None:
    result = found(data, code)
    assert (result.outcome, detail in result.detail) == (outcome, True), result.detail


def test_pairs_that_are_not_in_question_do_not_count() -> None:
    target = np.where(np.arange(3600)[:, None] % 2 == np.arange(2), np.nan, 1.0 * (np.arange(3600)[:, None] % 3 == 0))
    data = with_frame(lambda frame: replace(frame, target=target, candidates=("a", "b")))
    assert found(data, "DC003").detail == "1200 positive and 2400 negative outcomes"


def test_a_check_can_be_switched_off() -> None:
    assert {r.code: r.detail for r in check_data(SMALL, off=["DC002"])}["DC002"] == "switched off"
