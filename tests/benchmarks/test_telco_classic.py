"""The bars of the telecom benchmark name the row that falls short."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import telco_classic


def test_a_bar_that_falls_short_is_named() -> None:
    assert telco_classic.shortfalls({"nextbest": {"auc": 0.851, "log_loss": 0.41, "empc": 10.43}}) == []
    assert telco_classic.shortfalls({"nextbest": {"auc": 0.84, "log_loss": 0.42, "empc": 10.4}}) == [
        "nextbest auc 0.8400 is below 0.8505",
        "nextbest log_loss 0.4200 is above 0.41",
        "nextbest empc 10.400 is below 10.42",
    ]


def test_a_blank_total_is_missing(shared_data: Path) -> None:
    frame, churned = telco_classic.telco(shared_data)
    assert frame.shape == (7043, 19)
    assert frame["TotalCharges"].dtype == np.float64
    assert frame["TotalCharges"].isna().sum() == 11
    assert churned.mean() == pytest.approx(0.2654, abs=1e-4)
