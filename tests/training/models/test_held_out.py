"""Rows are held out by customer, or forward in time with an embargo."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from features.base.errors import BadData
from training.models import held_out


def test_a_customer_is_never_learnt_from_and_held_out_at_once() -> None:
    customers = np.repeat(np.arange(40), 3)
    target = (customers % 4 == 0).astype(float)
    parts = held_out.by_customer(target, groups=customers, number=5, seed=1)
    assert all(not set(customers[part.train]) & set(customers[part.held]) for part in parts)
    assert sorted(row for part in parts for row in part.held.tolist()) == list(range(120))


def test_what_is_learnt_from_is_earlier_than_what_is_held_out_and_its_outcome_is_known() -> None:
    months = pd.date_range("2025-01-01", periods=12, freq="MS", tz="UTC")
    times = np.repeat(months, 40)
    target = np.tile([1.0, 0.0, 0.0, 0.0], 120)
    parts = held_out.forward_in_time(target, times, number=4, embargo=timedelta(days=60))
    assert parts is not None
    assert parts.forward
    assert all(times[part.train].max() + timedelta(days=60) <= times[part.held].min() for part in parts)
    starts = [times[part.held].min() for part in parts]
    assert starts == sorted(starts)
    assert len(set(np.concatenate([part.held for part in parts]))) == sum(len(part.held) for part in parts)


def test_equal_times_are_never_parted() -> None:
    times = np.repeat([1, 2, 3, 4], [100, 5, 300, 100])
    parts = held_out.forward_in_time(np.tile([1.0, 0.0, 0.0, 0.0, 0.0], 101), times, number=3)
    assert parts is not None
    assert all(not set(times[part.train]) & set(times[part.held]) for part in parts)


@pytest.mark.parametrize("times", [np.ones(80), np.repeat([1, 2], 40)])
def test_a_time_too_short_holds_nothing_out(times: np.ndarray) -> None:
    assert held_out.forward_in_time(np.tile([0.0, 1.0], 40), times, number=3) is None


def test_times_that_are_missing_or_too_few_are_refused() -> None:
    with pytest.raises(BadData, match=r"label\.times"):
        held_out.forward_in_time(np.tile([0.0, 1.0], 40), np.arange(79), number=3)
    with pytest.raises(BadData, match=r"label\.times"):
        held_out.forward_in_time(np.tile([0.0, 1.0], 40), [None, *range(79)], number=3)
