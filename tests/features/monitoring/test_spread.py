"""How a feature's values are told: what is shown adds up, and nobody's own value is among it."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pytest

from features.base.charts import number
from features.monitoring.distributions import bins_of, counted, distribution_of
from features.quality.load_profile import shift


def column(*values: object) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(list(values))])


def labels(found: object) -> list[str]:
    return [bar.label for bar in found.bars]  # type: ignore[attr-defined]


def test_a_text_is_named_when_five_share_it_and_the_rare_ones_are_counted_together() -> None:
    found = distribution_of(column(*["York"] * 60, *["Hull"] * 5, *["Leeds"] * 4, "Ann Smith", None), shown=True)
    assert labels(found) == ["York", "Hull", "(rare)"]
    assert math.isclose(sum(bar.share for bar in found.bars), 1)
    assert (found.rows, found.filled, found.distinct) == (71, 70, 4)
    assert math.isclose(found.missing, 1 / 71)


def test_where_nobody_shares_a_value_none_is_told() -> None:
    found = distribution_of(column(*(f"record {at}" for at in range(80))), shown=True)
    assert (found.bars, found.distinct) == ((), 80)


def test_of_many_common_texts_the_commonest_are_named() -> None:
    towns = [f"town {at:02}" for at in range(20) for _ in range(40 - at)]
    found = distribution_of(column(*towns), shown=True)
    assert labels(found) == [*(f"town {at:02}" for at in range(12)), "(other)"]
    assert math.isclose(sum(bar.share for bar in found.bars), 1)


@pytest.mark.parametrize("values", [[1.5] * 49, ["York"] * 49, list(range(49))])
def test_of_fewer_than_fifty_customers_nothing_is_told(values: list[object]) -> None:
    found = distribution_of(column(*values, None), shown=True)
    assert (found.bars, found.quantiles, found.zero) == ((), (), None)
    assert found.filled == 49


@pytest.mark.parametrize("values", [[1.5, 2.5] * 40, ["York", "Hull"] * 40])
def test_of_what_identifies_people_nothing_is_told(values: list[object]) -> None:
    found = distribution_of(column(*values), shown=False)
    assert (found.bars, found.quantiles, found.zero) == ((), (), None)


def test_the_richest_customer_stands_in_no_label() -> None:
    spent = np.random.default_rng(1).gamma(2.0, 50.0, 500)
    spent[7] = 987_654.0
    found = distribution_of(column(*spent), shown=True)
    assert not any("987" in label for label in labels(found))
    assert math.isclose(sum(bar.share for bar in found.bars), 1)
    assert list(found.quantiles) == sorted(found.quantiles)


def test_few_values_have_a_bar_each_and_the_rare_of_them_share_one() -> None:
    found = distribution_of(column(*[0] * 80, *[1] * 15, *[2] * 5, 7), shown=True)
    assert labels(found) == ["0", "1", "2", "(rare)"]
    assert found.zero == 80 / 101


def test_whole_numbers_have_whole_bars_and_many_zeros_one_of_their_own() -> None:
    found = distribution_of(column(*[0] * 100, *range(1, 61), *range(1, 61)), shown=True)
    assert labels(found)[:3] == ["0", "1 to 3", "4 to 6"]
    assert [bar.share for bar in found.bars if bar.share == 0] == []


def test_zero_stands_between_what_is_below_it_and_what_is_above() -> None:
    returned = distribution_of(column(*[0.0] * 100, *np.linspace(-90, -1.5, 60)), shown=True)
    assert labels(returned)[-1] == "0"
    assert labels(returned)[0].startswith("-")


def test_what_is_no_number_counts_as_missing() -> None:
    found = distribution_of(column(*[1.0] * 50, math.nan, math.inf, -math.inf, None), shown=True)
    assert (found.rows, found.filled) == (54, 50)


def test_nobody_has_a_value_and_nothing_breaks() -> None:
    for kind in (pa.float64(), pa.int64(), pa.string()):
        empty = pa.chunked_array([pa.array([None] * 60, kind)])
        found = distribution_of(empty, shown=True)
        assert (found.filled, found.missing, found.bars) == (0, 1.0, ())
        assert counted(empty, bins_of(empty)).counts["(missing)"] == 60
    assert distribution_of(pa.chunked_array([pa.array([], pa.float64())]), shown=True).missing == 0.0


def psi(then: pa.ChunkedArray, now: pa.ChunkedArray) -> float:
    by = bins_of(then)
    found = shift(counted(then, by), counted(now, by))
    assert found is not None
    return found


def test_drift_is_the_population_stability_index_and_zero_against_itself() -> None:
    chance = np.random.default_rng(2)
    then, same, later = chance.normal(0, 1, 30_000), chance.normal(0, 1, 30_000), chance.normal(0.8, 1, 30_000)
    assert psi(column(*then), column(*then)) == 0
    assert psi(column(*then), column(*same)) < 0.002
    edges = [NormalDist().inv_cdf(at / 10) for at in range(1, 10)]
    below = [0.0, *(NormalDist(0.8).cdf(edge) for edge in edges), 1.0]
    exact = sum((q - 0.1) * math.log(q / 0.1) for q in (b - a for a, b in pairwise(below)))
    assert abs(psi(column(*then), column(*later)) - exact) < 0.05  # four standard errors


def test_missing_values_and_new_texts_are_drift_too() -> None:
    full = column(*([1.0, 2.0, 3.0, 4.0] * 100))
    half = column(*([1.0, None, 3.0, None] * 100))
    assert psi(full, half) > 0.25
    assert psi(column(*["York"] * 90, *["Hull"] * 10), column(*["York"] * 50, *["Bath"] * 50)) > 0.25


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (12.0, "12"),
        (1234.0, "1,234"),
        (1234.5, "1,234"),
        (0.1234, "0.123"),
        (-3.5, "-3.5"),
        (2.5e7, "2.5e+07"),
    ],
)
def test_numbers_are_written_as_people_read_them(value: float, text: str) -> None:
    assert number(value) == text
